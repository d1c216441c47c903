"""The interface that the rules of shapes use: a rule for an expression needs the shapes of its parts."""

from __future__ import annotations

from typing import Protocol

from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.model import PgType, Shape
from plainsql.analysis.nodes import Node
from plainsql.analysis.nullability.prover import Prover
from plainsql.analysis.nullability.verdict import Context

__all__ = ["ShapeFinder"]


class ShapeFinder(Protocol):
    """The shapes of one statement; ``ValueShapes`` implements it."""

    @property
    def prover(self) -> Prover:
        """Return the proof of nulls."""
        ...

    @property
    def catalog(self) -> Catalog:
        """Return the catalog of the database."""
        ...

    def of(self, node: Node | None, context: Context) -> Shape:
        """Return the shape of an expression in its context."""
        ...

    def json_of(self, node: Node | None, context: Context) -> Shape:
        """Return the shape of the JSON that an expression becomes."""
        ...

    def of_type(self, type: PgType) -> Shape:
        """Return the shape of a value of which only the type is known."""
        ...

    def type_of(self, node: Node | None) -> PgType:
        """Return the type of an expression."""
        ...
