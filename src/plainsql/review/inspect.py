"""Statements → what PostgreSQL says of each: every variant analysed, every refusal with its place in the file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from plainsql.analysis import Analyser, RefusedError
from plainsql.codegen import Checked
from plainsql.errors import ContractError, PlainsqlError
from plainsql.statements import Statement

__all__ = ["Inspection", "inspect"]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in a folder of SQL."""

    checked: tuple[Checked, ...]
    """In the order of their names: the statements that PostgreSQL accepts."""
    errors: tuple[PlainsqlError, ...]
    """In the order of files and places."""


def inspect(connection: Any, statements: Iterable[Statement]) -> Inspection:
    """Analyse every variant of every statement on a scratch database's connection. Nothing is executed."""
    checked: list[Checked] = []
    errors: list[PlainsqlError] = []
    analyser = Analyser(connection)
    for statement in statements:
        try:
            checked.append(_inspect(analyser, statement))
        except ContractError as error:
            errors.append(error)
    return Inspection(tuple(checked), tuple(errors))


def _inspect(analyser: Analyser, statement: Statement) -> Checked:
    analyses = []
    for variant in statement.variants():
        try:
            analyses.append(analyser.analyse(variant.sql, variant.parameters))
        except RefusedError as error:
            place = variant.place(error.position or 1)
            raise ContractError(
                error.message, sqlstate=error.sqlstate, place=place, detail=error.detail, hint=error.hint
            ) from None
    return Checked(statement, tuple(analyses))
