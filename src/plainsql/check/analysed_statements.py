"""Statements → what PostgreSQL says of each: all variants analysed, every refusal with its place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from plainsql.analysis import Analyser, Analysis, RefusedError
from plainsql.analysis.batched_plans import lost_by_joining
from plainsql.analysis.model import PgType
from plainsql.analysis.preparation import prepare_all
from plainsql.analysis.representative_variants import representative_variants
from plainsql.check.analysis_cache import AnalysisCache
from plainsql.check.statement_errors import describe_lines_taken, fault_error, placed_refusal
from plainsql.codegen import Checked
from plainsql.codegen.python_types import annotate_parameter
from plainsql.codegen.source_places import statement_place
from plainsql.errors import ContractError, PlainsqlError
from plainsql.statements import Statement, Variant

__all__ = ["AnalysedStatements", "analyse_statements"]


@dataclass(frozen=True, slots=True)
class AnalysedStatements:
    """What was found in a folder of SQL."""

    checked: tuple[Checked, ...]
    """In the order of their names: the statements that PostgreSQL accepts."""
    errors: tuple[PlainsqlError, ...]
    """In the order of their names: what it refuses, and faults."""


def analyse_statements(
    connection: Any, statements: Iterable[Statement], memory: AnalysisCache
) -> AnalysedStatements:
    """Analyse statements on a scratch database's connection. Nothing is executed.

    Every variant is prepared, and what is said holds for all. What is in ``memory`` is taken from there;
    what is found is put there.
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
                errors.append(fault_error(error, statement_place(statement)))
    return AnalysedStatements(tuple(checked), tuple(errors))


def _inspect(analyser: Analyser, connection: Any, statement: Statement, memory: AnalysisCache) -> Checked:
    variants = statement.variants()
    # Where a value is bound to its row, what two lines set may be of one row only together.
    chosen = representative_variants(statement.compiled, variants, independent=not statement.encryptions)
    # The defaults are no part of the text, and what is proved depends on them.
    accepting = _null_by_default(statement)
    key = memory.key((variant.sql, (*variant.parameters, *accepting)) for variant in variants)
    analyses = memory.get(key)
    if analyses is None or len(analyses) != len(chosen):
        analyses = _analyse(analyser, connection, statement, variants, chosen)
        memory.put(key, analyses)
    return _with_overrides(Checked(statement, tuple(analyses), chosen))


def _analyse(
    analyser: Analyser,
    connection: Any,
    statement: Statement,
    variants: tuple[Variant, ...],
    chosen: tuple[Variant, ...],
) -> list[Analysis]:
    analyses: list[Analysis] = []
    prepared: list[tuple[Variant, Sequence[PgType]]] = []
    for variant in chosen:
        try:
            analysis = analyser.analyse(
                variant.sql, variant.parameters, accepting=_null_by_default(statement)
            )
        except RefusedError as error:
            raise _refused(analyser, error, variant, variants) from None
        if analysis.by_key and analysis.read_only and analysis.session_safe:
            analysis = replace(analysis, lost_by_joining=lost_by_joining(connection, variant))
        analyses.append(analysis)
        prepared.append((variant, [fact.type for fact in analysis.parameters]))
    # The others are what these say, as long as PostgreSQL takes them, and as the same types.
    others = [variant for variant in variants if variant not in set(chosen)]
    columns = [(column.name, column.type.oid) for column in analyses[0].columns]
    for variant, answer in zip(others, prepare_all(connection, [other.sql for other in others]), strict=True):
        if isinstance(answer, RefusedError):
            raise _refused(analyser, answer, variant, variants)
        if list(answer.columns) != columns:
            refused = RefusedError("the columns differ with the optional lines that are taken")
            raise _refused(analyser, refused, variant, variants)
        prepared.append((variant, [analyser.catalog.type(oid) for oid in answer.parameters]))
    _check_parameter_types(statement, prepared)
    return analyses


def _null_by_default(statement: Statement) -> tuple[str, ...]:
    """The parameters whose default is null: it is bound, whatever the statement makes of it."""
    return tuple(
        parameter.name
        for parameter in statement.parameters
        if parameter.bounds is not None and parameter.bounds.has_default and parameter.bounds.default is None
    )


def _refused(
    analyser: Analyser, error: RefusedError, variant: Variant, variants: tuple[Variant, ...]
) -> ContractError:
    found = placed_refusal(error, variant)
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
    return describe_lines_taken(variant, lines=lines, choices=choices)


def _is_refused_alike(analyser: Analyser, known: ContractError, variant: Variant) -> bool:
    try:
        analyser.analyse(variant.sql, variant.parameters)
    except RefusedError as error:
        other = placed_refusal(error, variant)
        return (other.message, other.place) == (known.message, known.place)
    return False


def _check_parameter_types(
    statement: Statement, prepared: Iterable[tuple[Variant, Sequence[PgType]]]
) -> None:
    """Raise where a parameter is of one Python type in one variant and of another in another."""
    known: dict[str, PgType] = {}
    for variant, types in prepared:
        for name, type in zip(variant.parameters, types, strict=False):
            first = known.setdefault(name, type)
            if first.oid != type.oid and _python_type(first) != _python_type(type):
                raise ContractError(
                    f":{name} is {first} with some lines and {type} with others",
                    place=statement.parameter(name).places[0],
                    hint=f"cast it wherever it stands: :{name}::{first}",
                )


def _python_type(type: PgType) -> str:
    try:
        return annotate_parameter(type).text
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
