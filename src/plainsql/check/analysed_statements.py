"""The analyses of statements by PostgreSQL: all variants are covered, and every refusal has its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from plainsql.analysis import Analyser, Analysis, RefusedError
from plainsql.analysis.assumptions import NO_ASSUMPTIONS, Assumptions
from plainsql.analysis.batched_plans import lost_by_batching
from plainsql.analysis.conflict_targets import refuse_conflict_targets
from plainsql.analysis.model import PgType
from plainsql.analysis.preparation import prepare_all
from plainsql.analysis.query_settings import setting_facts, with_setting_bounds
from plainsql.analysis.representative_variants import representative_variants
from plainsql.check.analysis_cache import AnalysisCache
from plainsql.check.copied_tables import check_copied_table
from plainsql.check.element_claims import with_element_claims
from plainsql.check.missing_names import hint_of_schemas
from plainsql.check.page_texts import check_page_texts
from plainsql.check.statement_errors import describe_lines_taken, fault_error, placed_refusal
from plainsql.codegen import Checked
from plainsql.codegen.list_classes import list_names
from plainsql.codegen.own_types import NO_OWN_TYPES, OwnTypes
from plainsql.codegen.python_types import annotate_parameter
from plainsql.codegen.source_places import statement_place
from plainsql.errors import ContractError, PlainsqlError
from plainsql.extension_names import hint_of_extension
from plainsql.statements import Statement, Variant

__all__ = ["AnalysedStatements", "analyse_one", "analyse_statements", "analysed_statements"]


@dataclass(frozen=True, slots=True)
class AnalysedStatements:
    """The analysed statements of a folder of SQL."""

    checked: tuple[Checked, ...]
    """The statements that PostgreSQL accepts, in the order of their names."""
    errors: tuple[PlainsqlError, ...]
    """Refusals and faults, in the order of the statements' names."""
    own_types: OwnTypes = NO_OWN_TYPES
    """The Python types of the project's own that its settings name."""
    digest_columns: Mapping[str, str] = field(default_factory=dict)
    """The encrypted column below each column of digests, as ``schema.table.column`` both."""


def analyse_statements(
    connection: Any,
    statements: Iterable[Statement],
    cache: AnalysisCache,
    assumptions: Assumptions = NO_ASSUMPTIONS,
) -> AnalysedStatements:
    """Analyse statements on a scratch database's connection. No statement is executed.

    Every variant is prepared, and the facts hold for all of them. Analyses are taken from ``cache`` if they
    are there, and put there otherwise.
    """
    with Analyser(connection, assumptions) as analyser:
        found = [analyse_one(analyser, connection, statement, cache) for statement in statements]
    return analysed_statements(found)


def analysed_statements(found: Iterable[Checked | PlainsqlError]) -> AnalysedStatements:
    """Divide what ``analyse_one`` returns."""
    found = [*found]
    return AnalysedStatements(
        tuple(each for each in found if isinstance(each, Checked)),
        tuple(each for each in found if isinstance(each, PlainsqlError)),
    )


def analyse_one(
    analyser: Analyser, connection: Any, statement: Statement, cache: AnalysisCache
) -> Checked | PlainsqlError:
    """Return a statement with its analyses; the refusal or the fault, if there is one.

    ``analyser`` is one of the connection's.
    """
    try:
        return _analyse_statement(analyser, connection, statement, cache)
    except ContractError as error:
        return error
    except Exception as error:
        if connection.closed:  # the server is gone, and all statements with it
            raise
        return fault_error(error, statement_place(statement))


def _analyse_statement(
    analyser: Analyser, connection: Any, statement: Statement, cache: AnalysisCache
) -> Checked:
    variants = statement.variants()
    # If a value is bound to its row, the bindings of two lines may combine into one row only together.
    chosen = representative_variants(statement.compiled, variants, independent=not statement.encryptions)
    # The defaults are not part of the text, but the proofs depend on them.
    accepting = _null_by_default(statement)
    marks = ("page: key",) if statement.paged else ()
    key = cache.key((variant.sql, (*variant.parameters, *accepting, *marks)) for variant in variants)
    analyses = cache.get(key)
    if analyses is None or len(analyses) != len(chosen):
        analyses = _analyse(analyser, connection, statement, variants, chosen)
        cache.put(key, analyses)
    facts = setting_facts(connection, statement, tuple(analyses))
    checked = Checked(with_setting_bounds(statement, facts), tuple(analyses), chosen, facts)
    return with_element_claims(_with_overrides(checked))


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
            refuse_conflict_targets(connection, variant.sql)
        except RefusedError as error:
            error.hint = (
                hint_of_schemas(connection, variant.sql, error)
                or hint_of_extension(connection, error.sqlstate, str(error))
                or error.hint
            )
            raise _refused(analyser, error, variant, variants) from None
        if analysis.by_key and analysis.read_only and analysis.session_safe:
            analysis = replace(analysis, lost_by_batching=lost_by_batching(connection, variant))
        analyses.append(analysis)
        prepared.append((variant, [fact.type for fact in analysis.parameters]))
    # The facts hold for the other variants, if PostgreSQL accepts them with the same types.
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
    if statement.paged:
        check_page_texts(connection, statement, zip(chosen, analyses, strict=True))
    check_copied_table(connection, statement)
    return analyses


def _null_by_default(statement: Statement) -> tuple[str, ...]:
    """Return the parameters whose default is null: null is bound to them, whatever the statement does with
    it.
    """
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
        lines = _deciding_lines(analyser, found, variant, variants)
        if lines:
            found.detail = f"{found.detail} ({lines})" if found.detail else lines
    return found


def _deciding_lines(
    analyser: Analyser, refused: ContractError, variant: Variant, variants: tuple[Variant, ...]
) -> str:
    """Return the lines and choices of the first refused variant, if other variants pass.

    If all variants are refused for the same reason, the lines and choices do not matter.
    """
    alike = [other for other in variants if other.choices == variant.choices]
    lines = len(alike) > 1 and (variant is alike[-1] or not _has_same_refusal(analyser, refused, alike[-1]))
    others = [
        other for other in variants if other.given == variant.given and other.choices != variant.choices
    ]
    choices = variants[0].choices != variant.choices or (
        bool(others) and not _has_same_refusal(analyser, refused, others[-1])
    )
    return describe_lines_taken(variant, lines=lines, choices=choices)


def _has_same_refusal(analyser: Analyser, known: ContractError, variant: Variant) -> bool:
    try:
        analyser.analyse(variant.sql, variant.parameters)
    except RefusedError as error:
        other = placed_refusal(error, variant)
        return (other.message, other.place) == (known.message, known.place)
    return False


def _check_parameter_types(
    statement: Statement, prepared: Iterable[tuple[Variant, Sequence[PgType]]]
) -> None:
    """Raise ``ContractError`` if a parameter has different Python types in different variants."""
    known: dict[str, PgType] = {}
    for variant, types in prepared:
        for name, type in zip(variant.parameters, types, strict=False):
            first = known.setdefault(name, type)
            if first.oid != type.oid and _python_type(first) != _python_type(type):
                raise ContractError(
                    f":{name} is {first} with some lines and {type} with others",
                    place=statement.parameter(name).places[0],
                    hint=f"cast it everywhere: :{name}::{first}",
                )


def _python_type(type: PgType) -> str:
    try:
        return annotate_parameter(type).text
    except LookupError:  # reported when the module is planned
        return ""


def _with_overrides(checked: Checked) -> Checked:
    """Apply the header's overrides of the nullability of columns."""
    statement = checked.statement
    known = {column.name for column in checked.analysis.columns}
    known.update(list_names(checked.analysis.columns))
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
                        # In a nested row the override holds if the row exists: the group remains.
                        nullable_in_group=overrides[column.name],
                        nullable_group=column.nullable_group if "." in column.name else None,
                        because=f"the header says so ({column.because})",
                        overridden=True,
                        assumed=False,
                    )
                    if column.name in overrides
                    else column
                    for column in analysis.columns
                ),
            )
            for analysis in checked.variants
        ),
    )
