"""The check of a database that is distributed by one column: its queries, its tables and their keys."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import msgspec

from plainsql import statements
from plainsql.analysis import Analyser, RefusedError
from plainsql.analysis.assumptions import Assumptions
from plainsql.analysis.distribution.distributed_tables import column_names, distributed_tables
from plainsql.analysis.distribution.model import CALLED_KINDS, DistributedTable, Distribution, Kind
from plainsql.analysis.findings.schema_lints import SchemaLint
from plainsql.analysis.representative_variants import representative_variants
from plainsql.analysis.scratch_database import scratch_database
from plainsql.check.allowed import AllowedFindings
from plainsql.check.problems import Problem, problems_of_files, refusal
from plainsql.check.schema_findings import problems_of_lints
from plainsql.check.statement_errors import placed_refusal
from plainsql.errors import Place, SettingsError
from plainsql.schema import schema_source
from plainsql.settings import Project
from plainsql.statements import Statement, Variant

__all__ = ["DistributionCheck", "QueryDistribution", "TableDistribution", "check_distribution"]

_WORST_FIRST: Final[tuple[Kind, ...]] = (
    "across",
    "unknown",
    "joined",
    "unseen",
    "policy",
    "tenant",
    "reference",
    "none",
)


class QueryDistribution(msgspec.Struct, frozen=True):
    """The tenants whose rows a query reads or writes."""

    query: str
    kind: Kind
    text: str
    """The kind as people read it: ``one tenant``."""
    by: str
    """The value of the tenant; empty if there is no one value."""
    because: str
    tables: tuple[str, ...]
    path: str
    line: int
    allowed: str | None = None
    """The reason why the header or the settings allow that it does not fit."""
    citus: tuple[str, ...] = ()
    """Notes on a query of one tenant that Citus refuses or does not send to one node."""


class TableDistribution(msgspec.Struct, frozen=True):
    """A table, as it would be distributed."""

    table: str
    place: str
    """``distributed``, ``reference`` or ``undecided``."""
    faults: tuple[str, ...]
    citus: tuple[str, ...]
    """The parts that Citus refuses on a distributed table."""


class DistributionCheck(msgspec.Struct, frozen=True):
    """The result of the check."""

    problems: tuple[Problem, ...]
    queries: tuple[QueryDistribution, ...]
    tables: tuple[TableDistribution, ...]


def check_distribution(
    project: Project,
    column: str,
    *,
    reference: Sequence[str] = (),
    scratch: str | None = None,
    only: Sequence[Path] = (),
    no_cache: bool = False,
) -> DistributionCheck:
    """Check whether each query of a project, and each table, fits a database that is distributed by a column.

    Args:
        project: the settings of the project.
        column: the distribution column.
        reference: the tables that every server has a copy of, as ``schema.table`` or ``schema.*``.
        scratch: a database of the server to build the scratch database on.
        only: the SQL files to check, with the tables that they use; all by default.
        no_cache: build the scratch database even if it exists.

    Raises what ``scratch_database`` and ``load_sound`` raise, and ``SettingsError`` if no table has the
    column or there is no table of a name in ``reference``.
    """
    allowed = AllowedFindings(project)
    catalog, unsound = statements.load_sound(project.sql_folder)
    wanted = {file.resolve() for file in only}
    chosen = [s for s in catalog.values() if not wanted or Path(s.path).resolve() in wanted]
    problems = [problem for error in unsound for problem in problems_of_files(error)]
    queries: list[QueryDistribution] = []
    used: set[str] = set()
    with scratch_database(schema_source(project), scratch, project=project, rebuild=no_cache) as connection:
        tables = distributed_tables(connection, column, reference)
        _refuse_unknown(connection, tables, column, reference)
        with Analyser(connection, Assumptions(project.oldest_server, project.not_null)) as analyser:
            for statement in chosen:
                found = _worst(analyser, statement, column, reference)
                if isinstance(found, Problem):
                    problems.append(found)
                    continue
                distribution, place, named = found
                used |= named
                query, own = _judged(statement, distribution, place, allowed)
                queries.append(query)
                problems += own
    shown = [each for each in tables if not wanted or f"{each.schema}.{each.relation}" in used]
    lints = [lint for each in shown for lint in _lints(each)]
    of_tables = problems_of_lints(lints, project.schema_path, owned=project.owns_schema)
    problems += allowed.without_allowed(of_tables)
    return DistributionCheck(
        tuple(sorted(problems, key=lambda problem: problem.order)),
        tuple(queries),
        tuple(
            TableDistribution(
                each.name, each.place, tuple(fault.message for fault in each.faults), each.citus
            )
            for each in shown
        ),
    )


def _refuse_unknown(
    connection: Any,
    tables: Sequence[DistributedTable],
    column: str,
    reference: Collection[str],
) -> None:
    if not any(each.place == "distributed" for each in tables):
        meant = get_close_matches(column, column_names(connection), 1)
        raise SettingsError(
            f"--distributed: no table has a column {column!r}",
            hint=f"did you mean {meant[0]}?"
            if meant
            else "name the column by which the rows of tenants are kept apart, such as tenant_id",
        )
    for name in reference:
        schema, _, table = name.rpartition(".")
        known = [each for each in tables if each.schema == schema and table in ("*", each.relation)]
        if not known:
            raise SettingsError(
                f"--reference: there is no table {name!r}",
                hint="write schema.table, or schema.* for all tables of a schema; several with commas",
            )


def _worst(
    analyser: Analyser, statement: Statement, column: str, reference: Collection[str]
) -> tuple[Distribution, Place, set[str]] | Problem:
    """Return the distribution of the variant that fits the least, its place, and the tables that it uses."""
    found: list[tuple[Distribution, Variant]] = []
    named: set[str] = set()
    variants = representative_variants(
        statement.compiled, statement.variants(), independent=not statement.encryptions
    )
    for variant in variants:
        try:
            one = analyser.distribution(variant.sql, variant.parameters, column=column, reference=reference)
        except RefusedError as error:
            return refusal(placed_refusal(error, variant))
        found.append((one, variant))
        named |= {*one.tables, *one.others}
    worst, variant = min(found, key=lambda each: (_WORST_FIRST.index(each[0].kind), not each[0].citus))
    place = variant.place(worst.position) if worst.position else Place(statement.path, statement.body_line)
    return worst, place, named


def _judged(
    statement: Statement, found: Distribution, place: Place, allowed: AllowedFindings
) -> tuple[QueryDistribution, list[Problem]]:
    """Return the entry of a query, and its problems: that it does not fit, and a wrong allowance."""
    finding = "" if found.fits else "tenant-unknown" if found.kind == "unknown" else "fans-out"
    problems: list[Problem] = []
    reason: str | None = None
    if finding:
        problem = Problem(
            finding, place.path, place.line, place.column, found.because, None, found.hint, place.excerpt
        )
        own = next((each for each in statement.allow if each.finding == finding), None)
        reason = own.reason if own is not None else allowed.reason_for(finding, place.path)
        problems += [problem] if reason is None else []
    for each in statement.allow:
        if each.finding in ("fans-out", "tenant-unknown") and each.finding != finding:
            at = each.place
            message = f"allows {each.finding!r}, which is not found here"
            problems.append(
                Problem("allow", at.path, at.line, at.column, message, None, "remove the line", at.excerpt)
            )
    entry = QueryDistribution(
        statement.name,
        found.kind,
        CALLED_KINDS[found.kind],
        found.by,
        found.because,
        found.tables,
        place.path,
        place.line,
        reason,
        found.citus,
    )
    return entry, problems


def _lints(table: DistributedTable) -> Iterator[SchemaLint]:
    for fault in table.faults:
        words: tuple[tuple[str, ...], ...] = (
            (f"create table {table.relation}",),
            (f"table {table.relation}",),
        )
        if fault.object:
            words = ((fault.object,), *words)
        yield SchemaLint(fault.name, fault.message, "", fault.hint, words, table.relation)
