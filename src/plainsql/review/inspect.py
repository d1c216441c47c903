"""Statements → what PostgreSQL says of each: variants analysed, every refusal with its place in the file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from plainsql.analysis import Analyser, Analysis, RefusedError
from plainsql.analysis.joined_plans import lost_by_joining
from plainsql.analysis.prepare import prepare_all
from plainsql.codegen import Checked
from plainsql.errors import ContractError
from plainsql.review.memory import Memory
from plainsql.statements import Statement, Variant

__all__ = ["Inspection", "inspect"]

_FULLY = 16
"""Up to so many variants are all analysed; of more, those that tell everything their lines can do alone."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in a folder of SQL."""

    checked: tuple[Checked, ...]
    """In the order of their names: the statements that PostgreSQL accepts."""
    errors: tuple[ContractError, ...]
    """In the order of their names: what it refuses."""


def inspect(connection: Any, statements: Iterable[Statement], memory: Memory) -> Inspection:
    """Analyse statements on a scratch database's connection. Nothing is executed.

    Every variant is prepared. What is in ``memory`` is taken from there; what is found is put there.
    """
    checked: list[Checked] = []
    errors: list[ContractError] = []
    with Analyser(connection) as analyser:
        for statement in statements:
            variants = statement.variants()
            # The defaults are no part of the text, and what is proved depends on them.
            accepting = _null_by_default(statement)
            key = memory.key((variant.sql, (*variant.parameters, *accepting)) for variant in variants)
            chosen = _telling(statement, variants)
            try:
                analyses = memory.get(key)
                if analyses is None or len(analyses) != len(chosen):
                    analyses = _analyse(analyser, connection, statement, variants, chosen)
                    memory.put(key, analyses)
                checked.append(_with_overrides(Checked(statement, tuple(analyses), chosen)))
            except ContractError as error:
                errors.append(error)
    return Inspection(tuple(checked), tuple(errors))


def _telling(statement: Statement, variants: tuple[Variant, ...]) -> tuple[Variant, ...]:
    """The variants to analyse: all, or, where there are many, with no, one, all but one and all optional
    lines.
    """
    if len(variants) <= _FULLY:
        return variants
    # Of each choice for itself: one that needs more parameters must not stand for the others.
    by_choices: dict[tuple[str, ...], list[Variant]] = {}
    for variant in variants:
        by_choices.setdefault(tuple(variant.choices.values()), []).append(variant)
    chosen: set[Variant] = set()
    for group in by_choices.values():
        least = frozenset.intersection(*(variant.given for variant in group))
        most = frozenset[str]().union(*(variant.given for variant in group))
        one = _smallest(variant.given - least for variant in group)
        all_but_one = _smallest(most - variant.given for variant in group)
        chosen |= {v for v in group if v.given - least in one or most - v.given in all_but_one}
    return tuple(variant for variant in variants if variant in chosen)


def _smallest(sets: Iterable[frozenset[str]]) -> set[frozenset[str]]:
    """The empty set, and the others that hold no other one: what a line's parameters are, one or several."""
    found: set[frozenset[str]] = {frozenset()}
    for names in sorted(sets, key=len):
        if not any(smaller <= names for smaller in found if smaller):
            found.add(names)
    return found


def _analyse(
    analyser: Analyser,
    connection: Any,
    statement: Statement,
    variants: tuple[Variant, ...],
    chosen: tuple[Variant, ...],
) -> list[Analysis]:
    analyses = []
    for variant in chosen:
        try:
            analysis = analyser.analyse(
                variant.sql, variant.parameters, accepting=_null_by_default(statement)
            )
        except RefusedError as error:
            raise _placed(error, variant) from None
        if analysis.by_key and analysis.read_only and analysis.session_safe:
            analysis = replace(analysis, lost_by_joining=lost_by_joining(connection, variant))
        analyses.append(analysis)
    others = [variant for variant in variants if variant not in set(chosen)]
    expected = tuple((column.name, column.type.oid) for column in analyses[0].columns)
    for variant, answer in zip(others, prepare_all(connection, [other.sql for other in others]), strict=True):
        if isinstance(answer, RefusedError):
            raise _placed(answer, variant)
        if answer != expected:
            raise _placed(RefusedError("the columns differ with the optional lines that are taken"), variant)
    return analyses


def _null_by_default(statement: Statement) -> tuple[str, ...]:
    """The parameters whose default is null: it is bound, whatever the statement makes of it."""
    return tuple(
        parameter.name
        for parameter in statement.parameters
        if parameter.bounds is not None and parameter.bounds.has_default and parameter.bounds.default is None
    )


def _placed(error: RefusedError, variant: Variant) -> ContractError:
    detail = error.detail
    if variant.given or variant.choices:
        taken = [*sorted(variant.given), *(f"{name}={value}" for name, value in variant.choices.items())]
        with_lines = f"with {', '.join(taken)}"
        detail = f"{detail} ({with_lines})" if detail else with_lines
    return ContractError(
        error.message,
        sqlstate=error.sqlstate,
        place=variant.place(error.position or 1),
        detail=detail,
        hint=error.hint,
    )


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
