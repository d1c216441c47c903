"""The differences of a query between two schemas that break the code which was generated for the first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from plainsql.analysis.model import Analysis, ColumnFact, Finding, Violation
from plainsql.check.cache_map import invalidations
from plainsql.check.problems import WRONG_WHEN_CACHED, Problem
from plainsql.check.project_check import ProjectCheck
from plainsql.check.release.type_changes import column_change, parameter_change
from plainsql.codegen import Checked
from plainsql.codegen.error_classes import matching
from plainsql.codegen.source_places import column_place, statement_place
from plainsql.errors import Place

__all__ = ["Break", "cache_breaks", "contract_breaks", "query_breaks", "refused_break"]


class Break(NamedTuple):
    """One difference that breaks a query of a running release."""

    name: str
    """A key of ``RELEASE_FINDINGS``."""
    query: str
    """The name of the query; empty for a file that cannot be read."""
    subject: str
    """The column, parameter or table that differs; empty for the whole query."""
    message: str
    place: Place
    detail: str | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """The parts by which the same break is found in another state of the schema."""
        return (self.name, self.query, self.subject)


def refused_break(query: str, problem: Problem) -> Break:
    """Return the break of a query that is refused on the new schema."""
    place = Place(problem.path, problem.line, problem.column, problem.excerpt)
    return Break("release-refused", query, "", problem.message, place, problem.detail)


def query_breaks(before: Checked, after: Checked) -> Iterator[Break]:
    """Yield the breaks of one query, analysed on the schema of its release and on the new one."""
    yield from _column_breaks(before, after)
    refused = [*_parameter_breaks(before, after), *_insert_breaks(before, after)]
    yield from refused
    yield from _constraint_breaks(before, after, nulls=not refused)
    yield from _named_error_breaks(before, after)
    yield from _effect_breaks(before, after)


def contract_breaks(before: ProjectCheck, after: ProjectCheck, broken: Collection[str]) -> Iterator[Break]:
    """Yield the promises of headers that do not hold on the new schema, of queries without another break.

    Such as the total order of a page, or that a cached query only reads.
    """
    names = {each.path: each.name for each in before.statements}
    known = {(each.name, each.path, each.message) for each in before.errors}
    for each in after.errors:
        query = names.get(each.path, "")
        is_promise = each.name == "contract" or each.name in WRONG_WHEN_CACHED
        if not is_promise or query in broken or (each.name, each.path, each.message) in known:
            continue
        name = "release-effects" if each.name == "contract" else "release-cache"
        place = Place(each.path, each.line, each.column, each.excerpt)
        yield Break(name, query, each.message, each.message, place, each.detail)


def cache_breaks(before: Iterable[Checked], after: Iterable[Checked]) -> Iterator[Break]:
    """Yield the cached reads that go stale: the running processes know the dependencies of the old schema."""
    before = list(before)
    places = {each.statement.name: statement_place(each.statement) for each in before}
    old = {entry.read: entry for entry in invalidations(before)}
    for entry in invalidations(after):
        if entry.read not in old:
            continue
        new = sorted(set(map(_table, entry.depends)) - set(map(_table, old[entry.read].depends)))
        for table in new:
            message = f"its cached result depends on {table} now, whose writes do not invalidate it"
            yield Break("release-cache", entry.read, table, message, places[entry.read])
        if new:
            continue
        known = {each.write for each in old[entry.read].invalidated}
        for each in entry.invalidated:
            if each.write in places and each.write not in known:
                message = f"it writes {', '.join(each.tables)} now, and does not invalidate {entry.read}"
                yield Break("release-cache", each.write, entry.read, message, places[each.write])


def _table(dependency: str) -> str:
    return dependency.partition(" ")[0]


def _column_breaks(before: Checked, after: Checked) -> Iterator[Break]:
    statement, returns = before.statement, before.statement.returns
    old, new = before.analysis.columns, after.analysis.columns
    if returns.kind == "count":
        return
    names, now = [each.name for each in old], [each.name for each in new]
    # The columns that a table gained are left out at the end of a row, if the header allows the star.
    more = any(each.finding == "star" for each in statement.allow) and returns.row is not None
    if now != names and not (more and now[: len(names)] == names):
        message = f"expected the columns {', '.join(names)}, got {', '.join(now)}"
        place = statement_place(statement)
        yield Break("release-columns", statement.name, "", message, place)
    by_name = {each.name: each for each in new}
    for column in old:
        if column.name in by_name:
            yield from _column_break(before, column, by_name[column.name])


def _column_break(before: Checked, old: ColumnFact, new: ColumnFact) -> Iterator[Break]:
    statement = before.statement
    place = column_place(statement, old)
    if change := column_change(old.type, new.type):
        message = f"column {old.name}: {change}"
        yield Break("release-columns", statement.name, old.name, message, place)
    if new.nullable and not old.nullable:
        message = f"column {old.name}: expected no null, it may be null now: {new.because}"
        yield Break("release-columns", statement.name, f"{old.name} null", message, place)


def _parameter_breaks(before: Checked, after: Checked) -> Iterator[Break]:
    statement, known = before.statement, after.parameters
    for name, old in before.parameters.items():
        new, place = known.get(name), statement.parameter(name).places[0]
        if new is None:
            continue
        if change := parameter_change(old.type, new.type):
            message = f":{name}: {change}"
            yield Break("release-parameters", statement.name, f":{name}", message, place)
        if old.nullable and not new.nullable:
            message = f":{name} refuses null now: {new.because}"
            yield Break("release-parameters", statement.name, f":{name} null", message, place)


def _insert_breaks(before: Checked, after: Checked) -> Iterator[Break]:
    known = {each.message for variant in before.variants for each in _failing(variant)}
    found: dict[str, Place] = {}
    for variant, text in zip(after.variants, after.texts, strict=True):
        for finding in _failing(variant):
            place = text.place(finding.position) if finding.position else statement_place(before.statement)
            if finding.message not in known:
                found.setdefault(finding.message, place)
    for message, place in found.items():
        yield Break("release-insert", before.statement.name, message, message, place)


def _failing(analysis: Analysis) -> Iterator[Finding]:
    return (finding for finding in analysis.findings if finding.name == "insert-fails")


def _constraint_breaks(before: Checked, after: Checked, *, nulls: bool) -> Iterator[Break]:
    """Yield the new constraints that the query may violate; with ``nulls``, those of nulls as well.

    A foreign key of another table counts for the queries that write that table: a new one is empty.
    """
    statement, old, new = before.statement, before.analysis.violations, after.analysis.violations
    names, known = {each.name for each in old if each.name}, Counter(map(_rule, old))
    for each in new:
        if each.name in names or (each.kind == "not null" and not nulls):
            continue
        if not _is_written(each, before.analysis) or any(_implies(other, each) for other in old):
            continue
        if known[_rule(each)]:  # it was renamed, or made again
            known[_rule(each)] -= 1
            continue
        what = (
            f"the not-null column {each}" if each.kind == "not null" else f"the {each.kind} constraint {each}"
        )
        message = f"it may violate {what} of {each.table}, which is new"
        yield Break("release-constraint", statement.name, str(each), message, statement_place(statement))


def _named_error_breaks(before: Checked, after: Checked) -> Iterator[Break]:
    """Yield the errors of the header whose constraint is gone: the release does not raise them any more."""
    statement, old, new = before.statement, before.analysis, after.analysis
    for named in statement.errors:
        was_known = matching(old.violations, named.constraint)
        if was_known and not matching(new.violations, named.constraint) and not new.opaque:
            message = f"{named.name} is not raised any more: no constraint {named.constraint} can be violated"
            yield Break("release-constraint", statement.name, named.constraint, message, named.place)


def _is_written(violation: Violation, analysis: Analysis) -> bool:
    """Return True if a statement itself writes a column of a constraint, or columns that are not known."""
    uses = [use for use in analysis.writes if str(use) == violation.table and not use.via]
    return any(not use.columns or set(use.columns) & set(violation.columns) for use in uses)


def _implies(old: Violation, new: Violation) -> bool:
    """Return True if rows that keep one unique constraint keep another one as well."""
    unique = old.kind == new.kind == "unique" and old.table == new.table
    return unique and bool(old.columns) and set(old.columns) <= set(new.columns)


def _rule(violation: Violation) -> tuple[str, str, tuple[str, ...]]:
    return (violation.kind, violation.table, violation.columns)


def _effect_breaks(before: Checked, after: Checked) -> Iterator[Break]:
    statement, old, new = before.statement, before.analysis, after.analysis

    def broken(name: str, subject: str, message: str) -> Break:
        return Break(name, statement.name, subject, message, statement_place(statement))

    at_most_one = ("one", "optional")
    if statement.returns.kind in at_most_one and old.rows in at_most_one and new.rows == "many":
        yield broken("release-rows", "", f"expected at most one row, got no proof of it: {new.rows_because}")
    if statement.paged and _has(after, "partial-order") and not _has(before, "partial-order"):
        message = "its pages may leave out rows: its order is no key any more"
        yield broken("release-effects", "page", message)
    for table in sorted(set(new.row_security) - set(old.row_security)):
        yield broken("release-effects", table, f"row-level security of {table} selects its rows now")
    if old.read_only and not new.read_only:
        message = f"it is not proved to be read-only any more: {new.not_read_only or 'no proof'}"
        yield broken("release-effects", "read-only", message)
    if old.session_safe and not new.session_safe:
        reason = new.not_session_safe or "no proof"
        message = f"it is not proved to leave its session clean any more: {reason}"
        yield broken("release-effects", "session", message)


def _has(checked: Checked, finding: str) -> bool:
    return any(each.name == finding for variant in checked.variants for each in variant.findings)
