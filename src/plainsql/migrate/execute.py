"""One step → the server, and its record with it.

A transactional file and its record are one transaction: both are there, or neither is. A file that says
``-- transactional: false`` goes statement by statement, and what ran before a failure stays.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress

import psycopg
from psycopg.pq import TransactionStatus

from plainsql.errors import Place
from plainsql.migrate.blame import explain, invalid_indexes, left_behind
from plainsql.migrate.failure import MigrationFailedError
from plainsql.migrate.ledger import Ledger
from plainsql.migrate.results import OnProgress, Progress, Step, milliseconds
from plainsql.migrate.session import Connection, ServerRefusal, clean, send, watch_client

__all__ = ["execute"]


def execute(
    connection: Connection,
    step: Step,
    ledger: Ledger,
    *,
    lock_timeout: float,
    done: Sequence[str],
    report: OnProgress,
) -> None:
    """Run one file and record it; report its start and, after the commit, its end.

    Args:
        connection: in autocommit mode, holding the lock.
        step: what to run.
        ledger: of the step's layer.
        lock_timeout: seconds, for a transactional file; 0 for ever.
        done: names of what the run has completed so far, to be named in an error.
        report: told what happens.

    Raises:
        MigrationFailedError: the server refused a statement or the commit, or an invalid index is in the way.
    """
    began = time.monotonic()
    report(Progress("started", step.direction, step.name))
    try:
        with _notices(connection, step, report):
            watch_client(connection)
            if step.transactional:
                _in_transaction(connection, step, ledger, lock_timeout, done)
            else:
                _by_statement(connection, step, ledger, done)
    except BaseException:
        report(Progress("failed", step.direction, step.name, time.monotonic() - began))
        raise
    report(Progress("done", step.direction, step.name, time.monotonic() - began))


def _in_transaction(
    connection: Connection, step: Step, ledger: Ledger, lock_timeout: float, done: Sequence[str]
) -> None:
    began, at_commit = time.monotonic(), False
    connection.execute("begin")
    try:
        with _undone(connection):
            send(connection, f"set local lock_timeout = {milliseconds(lock_timeout)}")
            send(connection, step.script.source)
            clean(connection)
            _record(ledger, step, time.monotonic() - began)
            at_commit = True
            send(connection, "commit")
    except ServerRefusal as refusal:
        raise explain(refusal, step, connection=connection, done=done, at_commit=at_commit) from refusal.cause


def _by_statement(connection: Connection, step: Step, ledger: Ledger, done: Sequence[str]) -> None:
    began, migration, ran = time.monotonic(), step.migration, 0
    for index in invalid_indexes(connection, step.script):
        raise _stopped(
            step,
            done,
            f"an earlier run left the invalid index {index}, which 'if not exists' would take for done",
            hint=f"drop index concurrently {index}; then run it again",
        )
    invalid_before = left_behind(connection)
    if step.direction == "apply":
        ledger.note(migration.id, migration.checksum, "applying")
    else:
        ledger.note_rolling_back(migration.id)
    try:
        with _undone(connection):
            connection.execute("set lock_timeout = 0")
            for statement in step.script.statements:
                send(connection, statement.text)
                ran += 1
            if connection.info.transaction_status != TransactionStatus.IDLE:
                raise _stopped(
                    step, done, "the file begins a transaction and does not end it", hint="add a commit"
                )
    except ServerRefusal as refusal:
        raise explain(
            refusal, step, connection=connection, done=done, ran=ran, invalid_before=invalid_before
        ) from refusal.cause
    clean(connection)
    with connection.transaction():
        _record(ledger, step, time.monotonic() - began)


@contextmanager
def _undone(connection: Connection) -> Generator[None]:
    """Leave no transaction and no setting behind when the block fails, or is interrupted."""
    try:
        yield
    except BaseException:
        with suppress(psycopg.Error):  # a lost connection has rolled back by itself
            if connection.info.transaction_status != TransactionStatus.IDLE:
                connection.execute("rollback")
            clean(connection)
        raise


def _stopped(step: Step, done: Sequence[str], message: str, *, hint: str) -> MigrationFailedError:
    """The error of a file that we stop, and not the server."""
    kept = f"completed before it, and kept: {', '.join(done)}" if done else None
    return MigrationFailedError(
        message,
        migration=step.name,
        sqlstate=None,
        done=done,
        place=Place(step.path),
        detail=kept,
        hint=hint,
    )


def _record(ledger: Ledger, step: Step, seconds: float) -> None:
    if step.direction == "apply":
        ledger.mark(step.migration.id, step.migration.checksum, seconds)
    else:
        ledger.unmark(step.migration.id)


@contextmanager
def _notices(connection: Connection, step: Step, report: OnProgress) -> Generator[None]:
    def told(diagnostic: psycopg.errors.Diagnostic) -> None:
        if diagnostic.severity_nonlocalized in ("WARNING", "NOTICE"):
            text = f"{diagnostic.severity_nonlocalized}: {diagnostic.message_primary}"
            report(Progress("notice", step.direction, step.name, text=text))

    connection.add_notice_handler(told)
    try:
        yield
    finally:
        connection.remove_notice_handler(told)
