"""The run of a migration on a scratch database, with the state before and after each statement.

A transactional file runs in one transaction, as ``plainsql migrate`` runs it: its locks add up. A statement
of another file runs in a transaction of its own. If PostgreSQL refuses that, as for ``create index
concurrently``, the statement runs outside, and its locks are read while it waits for another session.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Final, NamedTuple

import psycopg
from psycopg.pq import TransactionStatus

from plainsql.errors import MigrationError
from plainsql.migrate.connection import Connection, ServerRefusal, clean, send
from plainsql.migrate.discovery import Migration
from plainsql.migrate.lock_limit import LockLimit
from plainsql.migrate.results import milliseconds
from plainsql.migrate.script import Statement, place_at
from plainsql.migrate.trace.snapshot import Snapshot, read_blocked_locks, read_session, read_snapshot

__all__ = ["RecordedStatement", "is_of_server", "record_migration", "run_migration"]

# It must run outside a transaction, or it ends one.
_OUTSIDE: Final = ("25001", "2D000")
_ROLES: Final = ("role", "user", "group")
_POLL_S: Final = 0.002
_HINTS: Final = {
    "25001": "start the file with '-- transactional: false', and keep such statements in a file of their own",
    "55P04": "add the value in a migration of its own, before the one that uses it",
}


class RecordedStatement(NamedTuple):
    """One statement, with the state of the database around it."""

    statement: Statement
    before: Snapshot
    after: Snapshot
    held: frozenset[tuple[int, str]]
    """The locks that it took and that were not held before it."""
    in_transaction: bool
    """True if its locks are held until the end of a transaction that it shares with other statements."""
    lock_timeout: str
    """The setting while it ran; ``0`` is no limit."""
    was_run: bool = True


def run_migration(connection: Connection, migration: Migration, *, lock_timeout: float) -> None:
    """Run a migration without a record of its statements. The connection is in autocommit mode.

    Raises ``MigrationError`` if the server refuses a statement.
    """
    for _ in _run(connection, migration, lock_timeout=lock_timeout, record=False):
        pass


def record_migration(
    connection: Connection, migration: Migration, *, lock_timeout: float
) -> list[RecordedStatement]:
    """Run a migration, and return its statements with the state around each.

    Raises ``MigrationError`` if the server refuses a statement.
    """
    found = _run(connection, migration, lock_timeout=lock_timeout, record=True)
    return [each for each in found if each is not None]


def is_of_server(statement: Statement) -> bool:
    """Return True if a statement changes the whole server: its settings, its databases, its tablespaces."""
    first, second = (*statement.words, "", "")[:2]
    return (first, second) == ("alter", "system") or (
        first in ("alter", "create", "drop") and second in ("database", "tablespace")
    )


def _run(
    connection: Connection, migration: Migration, *, lock_timeout: float, record: bool
) -> Iterator[RecordedStatement | None]:
    try:
        if migration.transactional:
            yield from _in_transaction(connection, migration, lock_timeout, record=record)
        else:
            yield from _by_statement(connection, migration, LockLimit(lock_timeout), record=record)
    finally:
        if not connection.closed:
            if connection.info.transaction_status != TransactionStatus.IDLE:
                connection.execute("rollback")
            clean(connection)


def _in_transaction(
    connection: Connection, migration: Migration, lock_timeout: float, *, record: bool
) -> Iterator[RecordedStatement | None]:
    # Before `begin`: a file may start with `set transaction`, which no query precedes.
    before = _first_state(connection) if record else None
    connection.execute("begin")
    limit = milliseconds(lock_timeout)
    send(connection, f"set local lock_timeout = {limit}")
    for statement in migration.script.statements:
        if is_of_server(statement):
            yield _left_out(statement, before)
            continue
        _send(connection, migration, statement)
        if before is not None:
            keeps = _keeps_relations(statement)
            after = read_session(connection, before) if keeps else read_snapshot(connection)
            held = after.locks - before.locks
            yield RecordedStatement(statement, before, after, held, True, limit)
            before, limit = after, after.lock_timeout
    _send(connection, migration, None)


def _by_statement(
    connection: Connection, migration: Migration, limit: LockLimit, *, record: bool
) -> Iterator[RecordedStatement | None]:
    before = _first_state(connection) if record else None
    for statement in migration.script.statements:
        if is_of_server(statement):
            yield _left_out(statement, before)
            continue
        shared = connection.info.transaction_status != TransactionStatus.IDLE
        setting = None if shared else limit.setting(migration.script, statement)
        if setting is not None:
            send(connection, f"set lock_timeout = {setting}")
        if before is None:
            _send(connection, migration, statement)
            continue
        if shared or statement.words[:1] in (("begin",), ("start",)):
            _send(connection, migration, statement)
            after = read_snapshot(connection)
            held = after.locks - before.locks
        elif (alone := _in_own_transaction(connection, migration, statement)) is not None:
            after, held = alone, alone.locks
        else:
            held = _outside(connection, migration, statement, before)
            after = read_snapshot(connection)
        yield RecordedStatement(statement, before, after, held, shared, setting or before.lock_timeout)
        idle = connection.info.transaction_status == TransactionStatus.IDLE
        before = _first_state(connection) if idle else after


def _keeps_relations(statement: Statement) -> bool:
    """Return True for a statement that changes no relation, column or constraint, and reads no table."""
    first, second = (*statement.words, "", "")[:2]
    return first in _KEEPS or (first in ("create", "alter") and second in _ROUTINES)


_KEEPS: Final = frozenset({"comment", "grant", "revoke", "set"})
_ROUTINES: Final = frozenset({"function", "procedure"})


def _left_out(statement: Statement, state: Snapshot | None) -> RecordedStatement | None:
    if state is None:
        return None
    return RecordedStatement(statement, state, state, frozenset(), False, state.lock_timeout, was_run=False)


def _first_state(connection: Connection) -> Snapshot:
    """Read the state outside a transaction, in which the session has no scans yet."""
    connection.execute("select pg_catalog.pg_stat_force_next_flush()")
    return read_snapshot(connection)


def _in_own_transaction(
    connection: Connection, migration: Migration, statement: Statement
) -> Snapshot | None:
    """Run a statement in a transaction of its own, and return the state before the commit.

    Return ``None`` if it must run outside a transaction; then nothing is changed.
    """
    connection.execute("begin")
    try:
        send(connection, statement.text)
    except ServerRefusal as refusal:
        connection.execute("rollback")
        if refusal.cause.sqlstate in _OUTSIDE:
            return None
        raise _failed(migration, statement, refusal) from refusal.cause
    after = read_snapshot(connection)
    connection.execute("commit")
    return after


def _outside(
    connection: Connection, migration: Migration, statement: Statement, before: Snapshot
) -> frozenset[tuple[int, str]]:
    """Run a statement outside a transaction, and return the locks that it holds or requests while it waits.

    A second session holds the lock of a writer on each table. A statement that waits for writers to end, as
    all concurrent ones do, waits for it. It is released as soon as the wait is seen.
    """
    refusals: list[ServerRefusal] = []

    def run() -> None:
        try:
            send(connection, statement.text)
        except ServerRefusal as refusal:
            refusals.append(refusal)

    pid = connection.info.backend_pid
    seen: frozenset[tuple[int, str]] = frozenset()
    tables = [each.name for each in before.relations.values() if each.kind in "rp"]
    with closing(_another(connection)) as writer:
        writer.execute("begin")
        for table in tables:
            writer.execute(f"lock table only {table} in row exclusive mode".encode())
        worker = threading.Thread(target=run, name="plainsql migrate trace", daemon=True)
        worker.start()
        try:
            while worker.is_alive():
                if (locks := read_blocked_locks(writer, pid)) is not None:
                    seen = locks
                    break
                worker.join(_POLL_S)
        finally:
            with suppress(psycopg.Error):
                writer.execute("rollback")
            worker.join()
    if refusals:
        raise _failed(migration, statement, refusals[0]) from refusals[0].cause
    return seen


def _another(connection: Connection) -> Connection:
    info = connection.info
    return psycopg.connect(
        info.dsn, password=info.password or None, autocommit=True, application_name="plainsql migrate trace"
    )


def _send(connection: Connection, migration: Migration, statement: Statement | None) -> None:
    """Run a statement, or the commit for ``None``."""
    # A role belongs to the whole server, and another scratch database may have created it.
    creates_role = (
        statement is not None and statement.words[:1] == ("create",) and statement.words[1:2] in _ROLE_WORDS
    )
    in_transaction = connection.info.transaction_status == TransactionStatus.INTRANS
    if creates_role and in_transaction:
        connection.execute("savepoint plainsql_role")
    try:
        send(connection, "commit" if statement is None else statement.text)
    except ServerRefusal as refusal:
        if not (creates_role and refusal.cause.sqlstate == "42710"):
            raise _failed(migration, statement, refusal) from refusal.cause
        if in_transaction:
            connection.execute("rollback to savepoint plainsql_role")
    if creates_role and in_transaction:
        connection.execute("release savepoint plainsql_role")


_ROLE_WORDS: Final = tuple((word,) for word in _ROLES)


def _failed(migration: Migration, statement: Statement | None, refusal: ServerRefusal) -> MigrationError:
    script, diagnostic, sqlstate = migration.script, refusal.cause.diag, refusal.cause.sqlstate
    at = script.statements[-1] if statement is None else statement
    offset = at.start
    if statement is not None and diagnostic.statement_position and diagnostic.statement_position.isdecimal():
        offset += int(diagnostic.statement_position) - 1
    said = diagnostic.message_primary or str(refusal.cause)
    return MigrationError(
        f"{'at the commit: ' if statement is None else ''}{said} (SQLSTATE {sqlstate})",
        place=place_at(migration.path, script.source, offset),
        detail=diagnostic.message_detail,
        hint=_HINTS.get(sqlstate or "") or diagnostic.message_hint,
    )
