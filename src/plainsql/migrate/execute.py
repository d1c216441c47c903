"""The execution of one step, together with its record.

A transactional file and its record are one transaction: both are committed, or neither. A file with
``-- transactional: false`` runs statement by statement, and the statements before a failure stay done: after
each of them their number is recorded.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress

import psycopg
from psycopg.pq import TransactionStatus

from plainsql.errors import Place
from plainsql.migrate.blockers import Blocker, watched
from plainsql.migrate.connection import Connection, Interruption, ServerRefusal, clean, send, watch_client
from plainsql.migrate.errors import MigrationFailedError
from plainsql.migrate.failure_report import (
    describe_earlier,
    explain,
    explain_interruption,
)
from plainsql.migrate.invalid_index import (
    InProgressError,
    drop_invalid,
    invalid_indexes,
    left_behind,
    left_by_reindex,
)
from plainsql.migrate.ledger import Ledger, Record
from plainsql.migrate.lock_limit import RETRIED, LockLimit
from plainsql.migrate.results import OnProgress, Progress, Step, milliseconds
from plainsql.migrate.script import Script, Statement

__all__ = ["execute"]


def execute(
    connection: Connection,
    step: Step,
    ledger: Ledger,
    *,
    limit: LockLimit,
    done: Sequence[str],
    report: OnProgress,
) -> None:
    """Run one file and record it; report its start and, after the commit, its end.

    Args:
        connection: a connection in autocommit mode that holds the lock.
        step: the file to run.
        ledger: the ledger of the step's layer.
        limit: the wait of a statement for a lock, and the number of tries after it.
        done: names of the migrations that the run has completed so far, for errors.
        report: called with the progress.

    Raises ``MigrationFailedError`` if the server refuses a statement or the commit, or if an invalid index
    is in the way. Raises ``MigrationInterrupted`` after Ctrl-C or a signal; it says what is kept.
    """
    began = time.monotonic()
    tries = _Tries(connection, step, limit, report)
    report(Progress("started", step.direction, step.name))
    try:
        with _notices(connection, step, report):
            watch_client(connection)
            if step.transactional:
                _in_transaction(connection, step, ledger, tries, done)
            else:
                _by_statement(connection, step, ledger, tries, done, report)
    except BaseException:
        report(Progress("failed", step.direction, step.name, time.monotonic() - began))
        raise
    report(Progress("done", step.direction, step.name, time.monotonic() - began))


class _Tries:
    """The tries of a statement, or of a whole transaction, that does not get its locks in time."""

    def __init__(self, connection: Connection, step: Step, limit: LockLimit, report: OnProgress) -> None:
        self.limit = limit
        self._connection = connection
        self._step = step
        self._report = report
        self._blockers: tuple[Blocker, ...] = ()
        self._attempt = 0
        self._began = 0.0

    def begin(self) -> None:
        """Count the tries of another statement or transaction."""
        self._blockers, self._attempt, self._began = (), 0, time.monotonic()

    @contextmanager
    def watched(self) -> Generator[None]:
        """Report the sessions that the block waits for, and keep them for the message."""
        with watched(self._connection, timeout_s=self.limit.timeout_s, on_blocked=self._blocked) as watch:
            try:
                yield
            finally:
                self._blockers = watch.last or self._blockers

    def again(self, refusal: ServerRefusal, place: str) -> bool:
        """Pause and return True if the refusal is that of a lock and another try is left."""
        self._attempt += 1
        total = self.limit.retries + 1
        if refusal.cause.sqlstate not in RETRIED or self._attempt >= total or self._connection.broken:
            return False
        pause = self.limit.pause_s(self._attempt)
        reason = refusal.cause.diag.message_primary or str(refusal.cause)
        text = f"{place}: {reason}; try {self._attempt + 1} of {total} in {pause:.1f} s"
        self._report(Progress("retrying", self._step.direction, self._step.name, pause, text))
        time.sleep(pause)
        return True

    def describe(self, refusal: ServerRefusal) -> str | None:
        """Return the number of tries and the blockers of the last one; None for another refusal."""
        if refusal.cause.sqlstate not in RETRIED:
            return None
        count = f"tried {self._attempt} time{'' if self._attempt == 1 else 's'}"
        lines = [f"{count} in {time.monotonic() - self._began:.1f} s"]
        lines += [f"blocked by {each}" for each in self._blockers]
        return "\n        ".join(lines)

    def _blocked(self, blockers: Sequence[Blocker]) -> None:
        if {each.pid for each in blockers} == {each.pid for each in self._blockers}:
            return  # an earlier try has reported them
        for each in blockers:
            self._report(Progress("blocked", self._step.direction, self._step.name, text=str(each)))


def _in_transaction(
    connection: Connection, step: Step, ledger: Ledger, tries: _Tries, done: Sequence[str]
) -> None:
    at_commit = False

    def attempt() -> None:
        nonlocal at_commit
        began, at_commit = time.monotonic(), False
        connection.execute("begin")
        with _undone(connection), tries.watched():
            send(connection, f"set local lock_timeout = {milliseconds(tries.limit.timeout_s)}")
            send(connection, step.script.source)
            clean(connection)
            _record(ledger, step, time.monotonic() - began)
            at_commit = True
            send(connection, "commit")

    try:
        tries.begin()
        while True:
            try:
                attempt()
                return
            except ServerRefusal as refusal:
                place = "the commit" if at_commit else f"statement {refusal.completed + 1}"
                if not tries.again(refusal, place):
                    raise
    except ServerRefusal as refusal:
        raise explain(
            refusal,
            step,
            connection=connection,
            done=done,
            at_commit=at_commit,
            waited=tries.describe(refusal),
        ) from refusal.cause
    except KeyboardInterrupt as interrupt:
        committed: bool | None = False
        if at_commit:
            committed = None
            if isinstance(interrupt, Interruption) and not connection.broken:
                committed = interrupt.completed > 0
        raise explain_interruption(step, connection=connection, done=done, committed=committed) from None


def _by_statement(
    connection: Connection,
    step: Step,
    ledger: Ledger,
    tries: _Tries,
    done: Sequence[str],
    report: OnProgress,
) -> None:
    began, ran, running = time.monotonic(), 0, False
    earlier = _earlier_run(step, ledger)
    for index in invalid_indexes(connection, step.script, unnamed=True):
        raise _stopped(
            step,
            done,
            f"an earlier run left the invalid index {index}, and PostgreSQL would build another next to it",
            detail=describe_earlier(step, earlier) if earlier else None,
            hint=f"drop index concurrently {index}; then run it again",
        )
    invalid_before = left_behind(connection)
    try:
        _note_begin(step, ledger, earlier)
        with _undone(connection):
            for statement in step.script.statements:
                running = True
                with tries.watched():
                    _clear_way(connection, step, statement, done, report)
                _send_alone(connection, step.script, statement, tries, ran)
                running = False
                ran += 1
                _note_statements(connection, step, ledger, ran)
            if connection.info.transaction_status != TransactionStatus.IDLE:
                raise _stopped(
                    step, done, "the file begins a transaction and does not end it", hint="add a commit"
                )
        clean(connection)
        with connection.transaction():
            _record(ledger, step, time.monotonic() - began)
    except ServerRefusal as refusal:
        if _changed_nothing(step, ran, earlier):
            _note_statements(connection, step, ledger, ran, going_on=False)
        raise explain(
            refusal,
            step,
            connection=connection,
            done=done,
            ran=ran,
            invalid_before=invalid_before,
            earlier=earlier,
            waited=tries.describe(refusal),
        ) from refusal.cause
    except KeyboardInterrupt as interrupt:
        if isinstance(interrupt, Interruption) and interrupt.completed:
            # It completed before the cancellation reached it.
            ran, running = ran + interrupt.completed, False
            _note_statements(connection, step, ledger, ran)
        raise explain_interruption(
            step,
            connection=connection,
            done=done,
            ran=ran,
            running=running,
            invalid_before=invalid_before,
        ) from None


def _clear_way(
    connection: Connection, step: Step, statement: Statement, done: Sequence[str], report: OnProgress
) -> None:
    """Drop the invalid index that an earlier run of a statement left; name what a reindexing left."""
    if connection.info.transaction_status != TransactionStatus.IDLE:
        return
    try:
        dropped = drop_invalid(connection, statement)
    except InProgressError as error:
        raise _stopped(
            step,
            done,
            f"the index {error.index} is invalid, and pid {error.pid}, which works on its table, may be "
            "building it",
            hint="run it again when that session has ended",
        ) from None
    except psycopg.Error as error:
        raise ServerRefusal(error, 0) from error
    if dropped is not None:
        text = f"dropped the invalid index {dropped}, which an earlier build left; building it again"
        report(Progress("notice", step.direction, step.name, text=text))
    for left in left_by_reindex(connection, statement):
        text = f"an earlier reindexing left {left}: drop index concurrently {left}"
        report(Progress("notice", step.direction, step.name, text=text))


def _send_alone(
    connection: Connection, script: Script, statement: Statement, tries: _Tries, ran: int
) -> None:
    """Send a statement outside a transaction, again if it gets no lock in time and has changed nothing.

    Inside a transaction that the file has begun nothing is tried again: the server has rolled it back.
    """
    alone = connection.info.transaction_status == TransactionStatus.IDLE
    tries.begin()
    while True:
        if alone and (value := tries.limit.setting(script, statement)) is not None:
            send(connection, f"set lock_timeout = {value}")
        try:
            with tries.watched():
                send(connection, statement.text)
            return
        except ServerRefusal as refusal:
            if not (alone and tries.limit.limits(statement) and tries.again(refusal, f"statement {ran + 1}")):
                raise


def _earlier_run(step: Step, ledger: Ledger) -> Record | None:
    """Return the record of a run of the same file in the same direction that was cut off, if any."""
    record = ledger.records().get(step.migration.id)
    state = "applying" if step.direction == "apply" else "rolling back"
    return record if record is not None and record.state == state else None


def _note_begin(step: Step, ledger: Ledger, earlier: Record | None) -> None:
    migration = step.migration
    if step.direction == "rollback":
        if earlier is None:
            ledger.note_rolling_back(migration.id)
    elif earlier is None or earlier.checksum != migration.checksum:
        ledger.note(migration.id, migration.checksum, "applying")
        ledger.note_statements(migration.id, 0, 1, fresh=True)


def _changed_nothing(step: Step, index: int, earlier: Record | None) -> bool:
    """Return True if a refused statement has changed nothing, in this run or an earlier one."""
    statements = step.script.statements
    if earlier is not None and earlier.checksum == step.migration.checksum:
        begun = earlier.statements_begun
        if begun is None or index < begun:
            return False
    words = statements[index].words if index < len(statements) else ()
    # These commit while they run.
    return not ({"call", "do"} & set(words[:1]) or "concurrently" in words)


def _note_statements(
    connection: Connection, step: Step, ledger: Ledger, ran: int, *, going_on: bool = True
) -> None:
    """Record the number of statements that are done, and that the next one begins if the run goes on.

    After a run is cut off, this says how far it came. Inside a transaction that the file has begun, nothing
    is done yet. A role or a setting of the file may prevent the write; then less is recorded than was done,
    and never more.
    """
    if step.direction == "apply" and connection.info.transaction_status == TransactionStatus.IDLE:
        with suppress(psycopg.Error):
            begun = min(ran + going_on, len(step.script.statements))
            ledger.note_statements(step.migration.id, ran, begun, fresh=not going_on)


@contextmanager
def _undone(connection: Connection) -> Generator[None]:
    """Roll back and reset the session if the block fails or is interrupted."""
    try:
        yield
    except BaseException:
        with suppress(psycopg.Error):  # a lost connection has rolled back by itself
            if connection.info.transaction_status != TransactionStatus.IDLE:
                connection.execute("rollback")
            clean(connection)
        raise


def _stopped(
    step: Step, done: Sequence[str], message: str, *, hint: str, detail: str | None = None
) -> MigrationFailedError:
    """Return the error of a file that we stop, not the server."""
    kept = f"completed before it, and kept: {', '.join(done)}" if done else None
    return MigrationFailedError(
        message,
        migration=step.name,
        sqlstate=None,
        done=done,
        place=Place(step.path),
        detail="\n        ".join(filter(None, (detail, kept))) or None,
        hint=hint,
    )


def _record(ledger: Ledger, step: Step, seconds: float) -> None:
    if step.direction == "apply":
        ledger.mark(step.migration.id, step.migration.checksum, seconds)
    else:
        ledger.unmark(step.migration.id)


@contextmanager
def _notices(connection: Connection, step: Step, report: OnProgress) -> Generator[None]:
    def forward(diagnostic: psycopg.errors.Diagnostic) -> None:
        if diagnostic.severity_nonlocalized in ("WARNING", "NOTICE"):
            text = f"{diagnostic.severity_nonlocalized}: {diagnostic.message_primary}"
            report(Progress("notice", step.direction, step.name, text=text))

    connection.add_notice_handler(forward)
    try:
        yield
    finally:
        connection.remove_notice_handler(forward)
