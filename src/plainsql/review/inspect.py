"""Statements → what PostgreSQL says of each: all variants analysed, every refusal with its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from plainsql.analysis import Analyser, Analysis, RefusedError
from plainsql.analysis.joined_plans import lost_by_joining
from plainsql.analysis.model import ParameterFact
from plainsql.codegen import Checked
from plainsql.codegen.python_types import annotate_parameter
from plainsql.errors import ContractError, PlainsqlError
from plainsql.review.memory import Memory
from plainsql.review.refusals import fault_of, lines_taken, place_of, placed
from plainsql.statements import Statement, Variant

__all__ = ["Inspection", "inspect"]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in a folder of SQL."""

    checked: tuple[Checked, ...]
    """In the order of their names: the statements that PostgreSQL accepts."""
    errors: tuple[PlainsqlError, ...]
    """In the order of their names: what it refuses, and faults."""


def inspect(connection: Any, statements: Iterable[Statement], memory: Memory) -> Inspection:
    """Analyse statements on a scratch database's connection. Nothing is executed.

    Every variant is analysed. What is in ``memory`` is taken from there; what is found is put there.
    """
    checked: list[Checked] = []
    errors: list[PlainsqlError] = []
    with Analyser(connection) as analyser:
        for statement in statements:
            try:
                checked.append(_inspect(analyser, connection, statement, memory))
            except ContractError as error:
                errors.append(error)
            except Exception as error:
                if connection.closed:  # the server is gone, and all statements with it
                    raise
                errors.append(fault_of(error, place_of(statement)))
    return Inspection(tuple(checked), tuple(errors))


def _inspect(analyser: Analyser, connection: Any, statement: Statement, memory: Memory) -> Checked:
    variants = statement.variants()
    key = memory.key((variant.sql, variant.parameters) for variant in variants)
    analyses = memory.get(key)
    if analyses is None or len(analyses) != len(variants):
        analyses = _analyse(analyser, connection, variants)
        memory.put(key, analyses)
    _check_parameter_types(statement, variants, analyses)
    return _with_overrides(Checked(statement, tuple(analyses), variants))


def _analyse(analyser: Analyser, connection: Any, variants: tuple[Variant, ...]) -> list[Analysis]:
    analyses = []
    for variant in variants:
        try:
            analysis = analyser.analyse(variant.sql, variant.parameters)
        except RefusedError as error:
            raise _refused(analyser, error, variant, variants) from None
        if analysis.read_only and analysis.session_safe:
            analysis = replace(analysis, lost_by_joining=lost_by_joining(connection, variant))
        analyses.append(analysis)
    return analyses


def _refused(
    analyser: Analyser, error: RefusedError, variant: Variant, variants: tuple[Variant, ...]
) -> ContractError:
    found = placed(error, variant)
    if len(variants) > 1:
        lines = _what_matters(analyser, found, variant, variants)
        if lines:
            found.detail = f"{found.detail} ({lines})" if found.detail else lines
    return found


def _what_matters(
    analyser: Analyser, refused: ContractError, variant: Variant, variants: tuple[Variant, ...]
) -> str:
    """The lines and choices with which the first variant that is refused is made, where others pass.

    What the file is refused for whatever is taken is no matter of them.
    """
    alike = [other for other in variants if other.choices == variant.choices]
    lines = len(alike) > 1 and (variant is alike[-1] or not _is_refused_alike(analyser, refused, alike[-1]))
    others = [
        other for other in variants if other.given == variant.given and other.choices != variant.choices
    ]
    choices = variants[0].choices != variant.choices or (
        bool(others) and not _is_refused_alike(analyser, refused, others[-1])
    )
    return lines_taken(variant, lines=lines, choices=choices)


def _is_refused_alike(analyser: Analyser, known: ContractError, variant: Variant) -> bool:
    try:
        analyser.analyse(variant.sql, variant.parameters)
    except RefusedError as error:
        other = placed(error, variant)
        return (other.message, other.place) == (known.message, known.place)
    return False


def _check_parameter_types(
    statement: Statement, variants: tuple[Variant, ...], analyses: list[Analysis]
) -> None:
    """Raise where a parameter is of one Python type in one variant and of another in another."""
    known: dict[str, ParameterFact] = {}
    for analysis in analyses:
        for fact in analysis.parameters:
            first = known.setdefault(fact.name, fact)
            if first.type.oid != fact.type.oid and _python_type(first) != _python_type(fact):
                raise ContractError(
                    f":{fact.name} is {first.type} with some lines and {fact.type} with others",
                    place=statement.parameter(fact.name).places[0],
                    hint=f"cast it wherever it stands: :{fact.name}::{first.type}",
                )


def _python_type(fact: ParameterFact) -> str:
    try:
        return annotate_parameter(fact.type).text
    except LookupError:  # reported where the module is planned
        return ""


def _with_overrides(checked: Checked) -> Checked:
    """Put in place what the header knows better of a column's nullability."""
    statement = checked.statement
    known = {column.name for column in checked.analysis.columns}
    for hint in statement.columns:
        if hint.name not in known:
            raise ContractError(
                f"there is no column {hint.name!r}",
                place=hint.place,
                hint=f"the columns are {', '.join(sorted(known))}"
                if known
                else "the query returns no columns",
            )
    overrides = {hint.name: hint.nullable for hint in statement.columns if hint.nullable is not None}
    if not overrides:
        return checked
    return replace(
        checked,
        variants=tuple(
            replace(
                analysis,
                columns=tuple(
                    replace(
                        column,
                        nullable=overrides[column.name],
                        # Of a nested row, it says what holds where there is one: the group stays.
                        nullable_in_group=overrides[column.name],
                        nullable_group=column.nullable_group if "." in column.name else None,
                        because=f"the header says so ({column.because})",
                        overridden=True,
                    )
                    if column.name in overrides
                    else column
                    for column in analysis.columns
                ),
            )
            for analysis in checked.variants
        ),
    )
