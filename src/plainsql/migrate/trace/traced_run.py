"""The trace of migrations on the connection of a scratch database."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from plainsql.migrate.connection import Connection
from plainsql.migrate.discovery import Migration
from plainsql.migrate.script import Script, place_at
from plainsql.migrate.trace.allowances import allowances_of, wrong_allowances
from plainsql.migrate.trace.catalog_changes import Effects
from plainsql.migrate.trace.durations import estimate_seconds, time_class_of
from plainsql.migrate.trace.hazard_rules import Found, hazards_of
from plainsql.migrate.trace.hazards import HAZARDS, SIZED
from plainsql.migrate.trace.lock_comment import compare_comment
from plainsql.migrate.trace.model import Blocks, Hazard, MigrationTrace, StatementTrace, TableSize
from plainsql.migrate.trace.old_queries import BrokenQuery, OldQueries
from plainsql.migrate.trace.recorded_run import RecordedStatement, record_migration, run_migration
from plainsql.migrate.trace.snapshot import Snapshot, read_snapshot

__all__ = ["LOCK_TIMEOUT_S", "trace_run"]

LOCK_TIMEOUT_S: Final = 5.0
"""The limit that ``plainsql migrate`` sets in a transactional file."""
_HARMLESS_PART: Final = 0.1
"""A hazard is not reported if it takes less than this part of the time that a lock may block."""


def trace_run(
    connection: Connection,
    migrations: Sequence[Migration],
    chosen: Collection[str],
    *,
    one_batch: bool,
    lock_timeout: float = LOCK_TIMEOUT_S,
    sizes: Mapping[str, TableSize] | None = None,
    max_blocked_s: float = 1.0,
    old_queries: OldQueries | None = None,
    other_findings: Collection[str] = (),
) -> tuple[MigrationTrace, ...]:
    """Run migrations on an empty scratch database, and return the traces of the chosen ones.

    Args:
        connection: a connection to the database, in autocommit mode.
        migrations: all migrations to run, in their order.
        chosen: the names of those to trace.
        one_batch: the chosen ones are deployed together: a table that one of them creates is no table of
            production for those after it. The others run first. Otherwise each is a batch of its own.
        lock_timeout: the seconds that ``plainsql migrate`` sets in a transactional file; 0 is no limit.
        sizes: the sizes of production's tables; ``None`` if they are not known.
        max_blocked_s: the seconds for which a lock may block the application, if sizes are known. A hazard
            above is an error, one below a warning, and one far below is not reported.
        old_queries: the queries of the code in production; ``None`` if they are not known.
        other_findings: the names of the findings that a comment in a migration may allow, in addition to
            the hazards.

    Raises ``MigrationError`` if the server refuses a statement.
    """
    order = list(migrations)
    if one_batch:
        order.sort(key=lambda each: each.name in chosen)
    while order and order[-1].name not in chosen:
        order.pop()
    traces: list[MigrationTrace] = []
    production: frozenset[int] | None = None
    for migration in order:
        if migration.name not in chosen:
            run_migration(connection, migration, lock_timeout=lock_timeout)
            continue
        existing = read_snapshot(connection)
        if old_queries is not None and (production is None or not one_batch):
            old_queries.prepare(connection)
        if production is None or not one_batch:
            production = frozenset(existing.relations)
        recorded = record_migration(connection, migration, lock_timeout=lock_timeout)
        broken = old_queries.broken(connection) if old_queries is not None else None
        trace = _Trace(migration, existing, production, recorded, sizes, max_blocked_s, old_queries)
        traces.append(trace.result(broken, (*HAZARDS, *other_findings)))
    return tuple(traces)


class _Trace:
    """The trace of one migration that was recorded."""

    def __init__(
        self,
        migration: Migration,
        existing: Snapshot,
        production: frozenset[int],
        recorded: Sequence[RecordedStatement],
        sizes: Mapping[str, TableSize] | None,
        max_blocked_s: float,
        old_queries: OldQueries | None,
    ) -> None:
        self._migration = migration
        self._script: Script = migration.script
        self._existing = existing
        self._effects = [Effects(each, existing, production) for each in recorded]
        self._final = recorded[-1].after if recorded else existing
        self._sizes = sizes
        self._max_blocked_s = max_blocked_s
        self._old_queries = old_queries

    def _is_read(self, column: str) -> bool:
        """Return True if the code in production may read a column of this name."""
        return self._old_queries is None or self._old_queries.mention(column)

    def result(self, broken: Sequence[BrokenQuery] | None, may_be_allowed: Collection[str]) -> MigrationTrace:
        statements = tuple(self._statement(each) for each in self._effects)
        trace = MigrationTrace(
            name=self._migration.name,
            path=self._migration.path,
            transactional=self._migration.transactional,
            statements=statements,
        )
        comment = compare_comment(self._script, trace.locks, self._existing.names)
        found = self._hazards(broken)
        found += self._wrong_allowances(may_be_allowed)
        if comment is not None and comment.contradictions:
            place = place_at(self._migration.path, self._script.source, _offset(self._script, comment.line))
            found.insert(
                0,
                Hazard(
                    name="lock-comment",
                    message="the Lock comment contradicts the trace: " + "; ".join(comment.contradictions),
                    hint="write the locks that the trace has into the comment",
                    path=place.path,
                    line=place.line,
                    column=place.column,
                    excerpt=place.excerpt,
                    allowed=next(
                        (
                            each["lock-comment"]
                            for each in allowances_of(self._script)
                            if "lock-comment" in each
                        ),
                        None,
                    ),
                ),
            )
        found.sort(key=lambda each: (each.line, each.column))
        return msgspec.structs.replace(trace, hazards=tuple(found), lock_comment=comment)

    def _statement(self, effects: Effects) -> StatementTrace:
        statement = effects.statement
        place = place_at(self._migration.path, self._script.source, statement.start)
        return StatementTrace(
            path=place.path,
            line=place.line,
            column=place.column,
            sql=statement.text,
            locks=effects.locks,
            rewrites=effects.rewrites,
            scans=effects.scans,
            built_indexes=effects.built_indexes,
            time=time_class_of(self._seconds(effects)),
            was_run=effects.recorded.was_run,
        )

    def _seconds(self, effects: Effects) -> float | None:
        return estimate_seconds(effects.scans, effects.rewrites, effects.built_indexes, self._sizes)

    def _hazards(self, broken: Sequence[BrokenQuery] | None) -> list[Hazard]:
        found: list[Hazard] = []
        held: dict[int, Blocks] = {}
        out_of_order = False
        explained: set[BrokenQuery] = set()
        for effects, allowed in zip(self._effects, self._allowed(), strict=True):
            of_statement = hazards_of(effects, self._final)
            if broken is not None:
                of_statement = [
                    _with_queries(each, broken, explained)
                    for each in of_statement
                    if (not each.old_names or _users(each, broken))
                    and (not each.read_name or self._is_read(each.read_name))
                ]
            if not effects.recorded.in_transaction:
                held = {}
            of_statement += self._under_lock(effects, held, of_statement)
            if not out_of_order and (more := _lock_order(effects, held)) is not None:
                out_of_order = True
                of_statement.append(more)
            if effects.blocking_tables and effects.recorded.lock_timeout == "0":
                of_statement.append(_no_timeout(effects))
            held |= effects.blocking_tables
            hazards = (self._hazard(effects, each, allowed.get(each.name)) for each in of_statement)
            found += [hazard for hazard in hazards if hazard is not None]
        if unexplained := [each for each in broken or () if each not in explained]:
            found += self._failing(unexplained)
        return found

    def _allowed(self) -> list[dict[str, str]]:
        by_statement = allowances_of(self._script)
        return by_statement[: len(self._effects)]

    def _under_lock(self, effects: Effects, held: Mapping[int, Blocks], found: list[Found]) -> list[Found]:
        """Return the hazard of long work while earlier statements hold locks; it replaces that of a write."""
        works = (
            effects.scans_production()
            or effects.rewritten_tables
            or any(effects.is_production(each.table) for each in effects.built)
        )
        others = {each.name for each in found} & (SIZED | {"truncate"})
        if not works or not held or others - {"whole-table-write"}:
            return []
        found[:] = [each for each in found if each.name != "whole-table-write"]
        tables = {each.table for each in effects.scans if not each.is_new}
        tables |= {each.table for each in effects.rewrites if not each.is_new}
        tables |= {each.table for each in effects.built_indexes if not each.is_new}
        blocked: Blocks = "reads and writes" if "reads and writes" in held.values() else "writes"
        locked = ", ".join(sorted(effects.name(oid) for oid in held))
        shown = ", ".join(sorted(tables))
        return [
            Found(
                "work-under-lock",
                f"works on all rows of {shown} while this transaction blocks {blocked} of {locked}",
                "move the statement into a migration of its own",
                tuple(sorted(tables)),
            )
        ]

    def _hazard(self, effects: Effects, found: Found, allowed: str | None) -> Hazard | None:
        severity = self._severity(effects, found)
        if severity is None:
            return None
        place = place_at(self._migration.path, self._script.source, effects.statement.start)
        message, _, detail = found.message.partition("\n")
        return Hazard(
            name=found.name,
            message=message,
            hint=found.hint,
            detail=detail or None,
            path=place.path,
            line=place.line,
            column=place.column,
            excerpt=place.excerpt,
            tables=found.tables,
            severity="warning" if severity == "warning" else "error",
            allowed=allowed,
        )

    def _severity(self, effects: Effects, found: Found) -> str | None:
        """Return ``None`` if the hazard is over before the application would notice it."""
        seconds = self._seconds(effects)
        if found.name not in SIZED or seconds is None:
            return "error"
        if seconds < self._max_blocked_s * _HARMLESS_PART:
            return None
        return "warning" if seconds <= self._max_blocked_s else "error"

    def _wrong_allowances(self, known: Collection[str]) -> Iterator[Hazard]:
        for wrong in wrong_allowances(self._script, known):
            place = place_at(self._migration.path, self._script.source, wrong.start)
            yield Hazard(
                name="allow",
                message=wrong.message,
                hint=wrong.hint,
                path=place.path,
                line=place.line,
                column=place.column,
                excerpt=place.excerpt,
            )

    def _failing(self, broken: Sequence[BrokenQuery]) -> list[Hazard]:
        statement = self._script.statements[0]
        place = place_at(self._migration.path, self._script.source, statement.start)
        allowed: dict[str, str] = {}
        for each in self._allowed():
            allowed |= each
        return [
            Hazard(
                name="query-fails",
                message=f"the query {each.query.name} of the code in production fails afterwards: "
                f"{each.message}",
                hint="deploy code without the query first, then run this migration",
                path=place.path,
                line=place.line,
                column=place.column,
                excerpt=place.excerpt,
                allowed=allowed.get("query-fails"),
            )
            for each in broken
        ]


def _users(found: Found, broken: Sequence[BrokenQuery]) -> list[BrokenQuery]:
    """Return the broken queries whose text has one of the names that are gone."""
    return [each for each in broken if any(each.query.mentions(name) for name in found.old_names)]


def _with_queries(found: Found, broken: Sequence[BrokenQuery], explained: set[BrokenQuery]) -> Found:
    """Return a hazard with the names of the queries that it breaks."""
    if not found.old_names:
        return found
    users = _users(found, broken)
    explained.update(users)
    names = ", ".join(dict.fromkeys(each.query.name for each in users))
    return found._replace(message=f"{found.message}\nqueries that fail afterwards: {names}")


def _lock_order(effects: Effects, held: Mapping[int, Blocks]) -> Found | None:
    further = sorted(effects.name(oid) for oid in effects.blocking_tables if oid not in held)
    if not held or not further:
        return None
    earlier = ", ".join(sorted(effects.name(oid) for oid in held))
    return Found(
        "lock-order",
        f"waits for a lock on {', '.join(further)} while this transaction blocks {earlier}",
        "change one table in a migration, or lock all of them first in the order of the application",
        tuple(further),
    )


def _no_timeout(effects: Effects) -> Found:
    tables = ", ".join(sorted(effects.name(oid) for oid in effects.blocking_tables))
    return Found(
        "lock-timeout-missing",
        f"waits for a lock on {tables} without a limit, and all that come later queue behind it",
        "remove what sets lock_timeout to 0: plainsql migrate sets 5 seconds and tries again",
        tuple(sorted(effects.name(oid) for oid in effects.blocking_tables)),
    )


def _offset(script: Script, line: int) -> int:
    """Return the offset at which a line begins."""
    return sum(len(each) for each in script.source.splitlines(keepends=True)[: line - 1])
