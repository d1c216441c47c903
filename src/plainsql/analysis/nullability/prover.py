"""The prover's interface for its rules: a rule for an expression needs the verdicts on its parts."""

from __future__ import annotations

from typing import Protocol

from plainsql.analysis.cardinality.row_counts import Cardinality
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.conditions.known_facts import NO_FACTS, Facts, Inference
from plainsql.analysis.nodes import Node
from plainsql.analysis.nullability.verdict import Context, Verdict
from plainsql.analysis.tree.query_tree import Scope
from plainsql.analysis.tree.scopes import Scopes

__all__ = ["Prover"]


class Prover(Protocol):
    """A proof for the queries of one statement; ``Nullability`` implements it."""

    @property
    def catalog(self) -> Catalog:
        """Return the catalog of the database."""
        ...

    @property
    def scopes(self) -> Scopes:
        """Return the queries of the statement."""
        ...

    @property
    def cardinality(self) -> Cardinality:
        """Return the row counts of these queries."""
        ...

    @property
    def inference(self) -> Inference:
        """Return the inference of facts from conditions."""
        ...

    @property
    def refusing(self) -> frozenset[int]:
        """Return the numbers of the parameters to which null is never bound."""
        ...

    @property
    def in_the_past(self) -> bool:
        """Return whether the rows were read earlier, when the tables may have had other constraints."""
        ...

    @property
    def past(self) -> Prover:
        """Return the prover for the rows of materialised views."""
        ...

    def outputs(
        self, scope: Scope, outside: Context | None = None, of_row: Facts = NO_FACTS
    ) -> list[Verdict]:
        """Return a verdict for each column that a query returns."""
        ...

    def expression(self, node: Node, context: Context) -> Verdict:
        """Return the verdict for an expression in its context."""
        ...

    def variable(self, node: Node, context: Context) -> Verdict:
        """Return the verdict for a variable."""
        ...

    def returned_set(self, node: Node, context: Context) -> Verdict:
        """Return the verdict for a set-returning call in the select list."""
        ...

    def rows(self, scope: Scope, outside: Context | None = None) -> Context:
        """Return the context of every row that comes out of a query's ``from`` and ``where``."""
        ...

    def type_of(self, node: Node | None) -> int:
        """Return the type of an expression; 0 if it is not known."""
        ...
