"""A run that makes the partitions of the time to come, and detaches those whose time is over.

A new partition is a table of its own first, and is then attached: readers and writers of the table do not
wait, as ``attach partition`` takes SHARE UPDATE EXCLUSIVE on it. ``create table … partition of`` would take
ACCESS EXCLUSIVE.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

import psycopg
from psycopg import sql

from plainsql.errors import MigrationError
from plainsql.migrate import lock
from plainsql.migrate.connection import Connection, connected
from plainsql.migrate.lock_limit import RETRIED, LockLimit
from plainsql.migrate.partitions.declared_partitions import DeclaredPartitions
from plainsql.migrate.partitions.partitioned_tables import Partition, PartitionedTable, read_table
from plainsql.migrate.partitions.time_ranges import TimeRange, interval_at, intervals, uncovered
from plainsql.migrate.pooler_check import refuse_pooler
from plainsql.migrate.results import milliseconds

__all__ = ["PartitionRun", "PartitionStep", "ensure_partitions"]

_MAX_NAME_BYTES: Final = 63
"""PostgreSQL cuts longer names."""
_CLEANUP_LOCK_TIMEOUT_MS: Final = 2000
_LIKE: Final = (
    "including defaults including constraints including generated including comments including storage"
    " including compression including statistics"
)
"""The parts that a partition takes from its table before it is attached; indexes, foreign keys and triggers
come with the attachment. An identity column stays one of the table alone."""

_HINTS: Final = {
    "25006": "this is a standby or a read-only database: connect to the primary",
    "40P01": "run it again",
    "55P03": "run it again when the lock is free; the sessions that have it: plainsql activity",
}
Action = Literal["create", "detach", "finish detach"]
OnWaiting = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PartitionStep:
    """One partition to make or to detach."""

    table: str
    partition: str
    action: Action
    start: datetime | None
    end: datetime | None
    sql: tuple[str, ...]
    """The statements, in order."""
    refused: str = ""
    """The reason why it cannot be done; empty if it can."""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class PartitionRun:
    """The result of a run."""

    steps: tuple[PartitionStep, ...]
    """The steps in their order; those that are refused, too."""
    done: bool
    """False after a dry run."""

    @property
    def refused(self) -> tuple[PartitionStep, ...]:
        """The steps that cannot be done."""
        return tuple(step for step in self.steps if step.refused)


def ensure_partitions(
    url: str,
    declared: Sequence[DeclaredPartitions],
    *,
    now: datetime | None = None,
    detach: bool = False,
    dry_run: bool = False,
    lock_timeout: float = 5.0,
    lock_retries: int = 5,
    wait: float = 120.0,
    on_waiting: OnWaiting = lambda _: None,
) -> PartitionRun:
    """Make the partitions of now and of the time to come that are missing.

    It may run at any time and any number of times: a range that has a partition is left alone. It holds the
    lock of migrations, so that no migration runs meanwhile.

    Args:
        url: the database.
        declared: the tables.
        now: the time; by default the server's.
        detach: also detach the partitions that are older than ``keep``. Their tables and rows stay.
        dry_run: return the steps, and change nothing.
        lock_timeout: the seconds that a statement waits for a lock; 0 is no limit.
        lock_retries: the number of tries after the first.
        wait: the seconds to wait for another run of migrations.
        on_waiting: called with the reason of a wait.

    Raises ``MigrationError`` if a table is not partitioned by time, or the role may not make partitions, and
    ``LockedError`` if another run does not end in time. A range that rows of the default partition are in is
    refused: its step says so, and the others are done.
    """
    limit = LockLimit(lock_timeout, lock_retries)
    with connected(url) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute("set datestyle = 'ISO'")
        connection.execute("set search_path = pg_catalog, pg_temp")
        if now is None:
            row = connection.execute("select clock_timestamp()").fetchone()
            now = row[0] if row is not None and isinstance(row[0], datetime) else datetime.now().astimezone()
        if dry_run:
            return PartitionRun(tuple(_steps(connection, declared, now, detach=detach)), done=False)
        refuse_pooler(connection, "plainsql migrate partitions", None)
        with lock.held(connection, wait=wait, on_waiting=on_waiting, by_session=True):
            steps = [*_steps(connection, declared, now, detach=detach)]
            for position, step in enumerate(steps):
                if not step.refused:
                    steps[position] = _do(connection, step, limit, on_waiting)
            return PartitionRun(tuple(steps), done=True)


def _steps(
    connection: Connection, declared: Sequence[DeclaredPartitions], now: datetime, *, detach: bool
) -> Iterator[PartitionStep]:
    for each in declared:
        table = read_table(connection, each)
        if table.sets_owner:
            # A member that does not inherit the owner's rights reads nothing by itself.
            connection.execute(sql.SQL("set role {}").format(sql.Identifier(table.owner)))
        try:
            steps = [*_steps_of(connection, table, now, detach=detach)]
        finally:
            if not connection.closed:
                connection.execute("reset role")
        yield from steps


def _steps_of(
    connection: Connection, table: PartitionedTable, now: datetime, *, detach: bool
) -> Iterator[PartitionStep]:
    each = table.declared
    yield from (_finish(table, part) for part in table.partitions if part.is_detaching)
    attached = [part.range for part in table.partitions if not part.is_detaching]
    for wanted in intervals(now, each.every, each.ahead):
        for missing in uncovered(wanted, attached):
            yield _creation(connection, table, missing, now)
    if detach and each.keep is not None:
        oldest = interval_at(now, each.every, -each.keep)
        for part in table.partitions:
            if not part.is_detaching and part.range.end is not None and part.range.end <= oldest:
                yield _detachment(table, part)


def _creation(
    connection: Connection, table: PartitionedTable, missing: TimeRange, now: datetime
) -> PartitionStep:
    assert missing.start is not None
    assert missing.end is not None
    start, end, declared = missing.start, missing.end, table.declared
    suffix = f"_p{start:%Y%m%d}" + (f"_{start:%H}" if start.hour or declared.every == "hour" else "")
    name = _cut(declared.table, _MAX_NAME_BYTES - len(suffix)) + suffix
    parent, own = _name(declared.schema, declared.table), _name(declared.schema, name)
    bounds = [_bound(table, each) for each in (start, end)]
    attach = sql.SQL("alter table {} attach partition {} for values from ({}) to ({})").format(
        parent, own, *bounds
    )
    space = (
        sql.SQL(" tablespace {}").format(sql.Identifier(table.tablespace))
        if table.tablespace
        else sql.SQL("")
    )
    statements = [sql.SQL("create table {} (like {} {}){}").format(own, parent, sql.SQL(_LIKE), space)]
    if table.row_security:
        # The table's policies do not hold for a partition that is read by its own name: without policies,
        # it shows no row then.
        statements.append(sql.SQL("alter table {} enable row level security").format(own))
    statements.append(attach)
    # Until the attachment, the constraint refuses rows of the range: there are none before its time.
    if table.default is not None and start > now and _has_rows(connection, table.default):
        default, check = _name(*table.default), sql.Identifier(f"plainsql{suffix}")
        column = sql.Identifier(table.column)
        outside = sql.SQL("{} < {} or {} >= {}").format(column, bounds[0], column, bounds[1])
        if not table.column_not_null:
            outside = sql.SQL("{} is null or {}").format(column, outside)
        # With a valid constraint that excludes the range, the default partition is not scanned while it is
        # locked.
        drop = sql.SQL("alter table {} drop constraint if exists {}").format(default, check)
        statements = [
            drop,
            sql.SQL("alter table {} add constraint {} check ({}) not valid").format(default, check, outside),
            sql.SQL("alter table {} validate constraint {}").format(default, check),
            *statements,
            drop,
        ]
    step = PartitionStep(
        str(declared),
        f"{declared.schema}.{name}",
        "create",
        start,
        end,
        _texts(connection, table, statements),
    )
    return _refused_by_rows(connection, table, step, missing)


def _refused_by_rows(
    connection: Connection, table: PartitionedTable, step: PartitionStep, missing: TimeRange
) -> PartitionStep:
    """Return the step; it is refused if a table has its name, or the default partition rows of its range."""
    schema, name = table.declared.schema, step.partition.removeprefix(f"{table.declared.schema}.")
    taken = connection.execute(
        "select true from pg_class as c inner join pg_namespace as n on n.oid = c.relnamespace"
        " where n.nspname = %s and c.relname = %s",
        (schema, name),
    ).fetchone()
    if taken is not None:
        return replace(
            step,
            refused=f"there is another relation {step.partition}",
            hint="attach it with its range, or rename it",
        )
    if table.default is None:
        return step
    query = sql.SQL("select true from only {} where {} >= {} and {} < {} limit 1")
    column = sql.Identifier(table.column)
    ends = [_bound(table, each) for each in (missing.start, missing.end) if each is not None]
    found = connection.execute(query.format(_name(*table.default), column, ends[0], column, ends[1]))
    if found.fetchone() is None:
        return step
    return replace(
        step,
        refused=f"the default partition {'.'.join(table.default)} has rows of its range",
        hint="move them in one transaction: detach the default partition, make this one, and insert them",
    )


def _has_rows(connection: Connection, default: tuple[str, str]) -> bool:
    query = sql.SQL("select true from only {} limit 1").format(_name(*default))
    return connection.execute(query).fetchone() is not None


def _detachment(table: PartitionedTable, part: Partition) -> PartitionStep:
    # A table with a default partition refuses `concurrently`.
    form = sql.SQL("" if table.default is not None else " concurrently")
    statement = sql.SQL("alter table {} detach partition {}{}").format(
        _name(table.declared.schema, table.declared.table), _name(part.schema, part.name), form
    )
    return _of_part(table, part, "detach", statement)


def _finish(table: PartitionedTable, part: Partition) -> PartitionStep:
    statement = sql.SQL("alter table {} detach partition {} finalize").format(
        _name(table.declared.schema, table.declared.table), _name(part.schema, part.name)
    )
    return _of_part(table, part, "finish detach", statement)


def _of_part(
    table: PartitionedTable, part: Partition, action: Action, statement: sql.Composed
) -> PartitionStep:
    texts = _texts(None, table, [statement])
    return PartitionStep(str(table.declared), str(part), action, part.range.start, part.range.end, texts)


def _texts(
    connection: Connection | None, table: PartitionedTable, statements: Sequence[sql.Composed]
) -> tuple[str, ...]:
    role = [sql.SQL("set role {}").format(sql.Identifier(table.owner))] if table.sets_owner else []
    return tuple(each.as_string(connection) for each in (*role, *statements))


def _do(
    connection: Connection, step: PartitionStep, limit: LockLimit, on_waiting: OnWaiting
) -> PartitionStep:
    """Run the statements of a step, again after a lock that was not free; return the step, or it refused."""
    for attempt in range(1, limit.retries + 2):
        try:
            _run(connection, step, limit)
        except psycopg.Error as error:
            if error.sqlstate == "23514":
                # A row came into the range since it was looked at.
                return replace(step, refused=str(error).strip(), hint="run it again")
            if error.sqlstate not in RETRIED or attempt > limit.retries:
                raise MigrationError(
                    f"{step.partition}: {error.diag.message_primary or error}",
                    detail=error.diag.message_detail or "the partitions before it are made",
                    hint=_HINTS.get(error.sqlstate or "", error.diag.message_hint or "see the server's log"),
                ) from error
            pause = limit.pause_s(attempt)
            on_waiting(f"{step.partition}: {error.diag.message_primary}; try {attempt + 1} in {pause:.1f} s")
            time.sleep(pause)
        else:
            break
    return step


def _run(connection: Connection, step: PartitionStep, limit: LockLimit) -> None:
    timeout = milliseconds(limit.timeout_s)
    is_constrained = False
    try:
        connection.execute(f"set lock_timeout = {timeout}".encode())
        together: list[str] = []
        for statement in step.sql:
            if statement.startswith("set role "):
                connection.execute(statement.encode())
            elif step.action != "create":
                connection.execute(
                    b"set lock_timeout = 0" if statement.endswith(" concurrently") else b"select"
                )
                connection.execute(statement.encode())
            elif statement.startswith("create table ") or together:
                together.append(statement)
            else:
                connection.execute(statement.encode())
                is_constrained = is_constrained or " add constraint " in statement
        if together:
            with connection.transaction():
                for statement in together:
                    connection.execute(statement.encode())
    except (psycopg.Error, KeyboardInterrupt):
        if is_constrained and not connection.closed:
            # If its lock is taken, the constraint is dropped by the next run.
            with suppress(psycopg.errors.LockNotAvailable):
                connection.execute(f"set lock_timeout = {_CLEANUP_LOCK_TIMEOUT_MS}".encode())
                connection.execute(step.sql[-1].encode())
        raise
    finally:
        if not connection.closed:
            connection.execute("reset role")
            connection.execute("reset lock_timeout")


def _bound(table: PartitionedTable, time: datetime) -> sql.Literal:
    if table.type == "date":
        return sql.Literal(f"{time:%Y-%m-%d}")
    text = f"{time:%Y-%m-%d %H:%M:%S}" + (f".{time:%f}" if time.microsecond else "")
    return sql.Literal(text + ("+00" if table.type.endswith("with time zone") else ""))


def _name(schema: str, name: str) -> sql.Identifier:
    return sql.Identifier(schema, name)


def _cut(name: str, most: int) -> str:
    return name.encode()[:most].decode(errors="ignore")
