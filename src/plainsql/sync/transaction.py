"""A transaction as an executor; nested ones are savepoints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal, TypeVar

import psycopg

from plainsql.errors import TransactionError
from plainsql.options import check
from plainsql.query import Args, CompiledQuery
from plainsql.sync.admission import Admission
from plainsql.sync.execution import execute, iterate
from plainsql.sync.outcome import add_transaction_note
from plainsql.sync.session import Session

__all__ = ["Isolation", "Transaction", "begin"]

R = TypeVar("R")
T = TypeVar("T")

Isolation = Literal["read committed", "repeatable read", "serializable"]


class Transaction:
    """A transaction: an executor whose queries all succeed or all leave no trace.

    Leaving its block commits; leaving it by any error rolls back.
    """

    def __init__(self, session: Session, prefetch: int, admission: Admission | None) -> None:
        self._session = session
        self._prefetch = prefetch
        self._admission = admission
        """None in a tenant's transaction."""
        self._open = True
        self._savepoint: Transaction | None = None
        """The savepoint whose block is open."""

    def run(self, query: CompiledQuery[Any, R], args: Args, /) -> R:
        """Run a query inside the transaction."""
        session = self._claim()
        if self._admission is not None:
            self._admission.check(session, query)
        return execute(session, query, args)

    def stream(self, query: CompiledQuery[T, Any], args: Args, /) -> Iterator[T]:
        """Iterate over a query's rows through a cursor; other queries may run in between."""
        session = self._claim()
        if self._admission is not None:
            self._admission.check(session, query)
        for row in iterate(session, query, args, self._prefetch):
            yield row
            self._claim()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open a savepoint: what fails inside its block is undone, the outer transaction goes on.

        Inside the block the savepoint is the executor: the outer transaction waits.
        """
        session = self._claim()
        savepoint = session.new_name()
        session.run_text(f"savepoint {savepoint}")
        inner = self._savepoint = Transaction(session, self._prefetch, self._admission)
        try:
            try:
                yield inner
            finally:
                inner._open = False
                self._savepoint = None
        except BaseException:
            # If the connection is gone, the error that says so is on its way already.
            with suppress(psycopg.Error, OSError):
                if session.is_own:
                    session.run_text(f"rollback to savepoint {savepoint}")
            raise
        session.run_text(f"release savepoint {savepoint}")

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The psycopg connection underneath, for what queries cannot say: COPY, LISTEN."""
        return self._claim().connection

    def __repr__(self) -> str:
        return f"<Transaction {'open' if self._open else 'ended'}>"

    def check_usable(self) -> None:
        """Raise ``TransactionError`` if it has ended, or a savepoint of it is open."""
        self._claim()

    def _claim(self) -> Session:
        self._session.check_usable()
        if not self._open:
            raise TransactionError("the transaction has ended", hint="use it only inside its 'with' block")
        if self._savepoint is not None:
            raise TransactionError(
                "the transaction has a savepoint open: what it did now would be undone with that",
                hint="use the savepoint inside its block: 'with tx.transaction() as savepoint'",
            )
        return self._session


@contextmanager
def begin(
    session: Session,
    prefetch: int,
    admission: Admission | None,
    holder: str,
    local: str = "",
    isolation: Isolation | None = None,
    read_only: bool = False,
    deferrable: bool = False,
) -> Iterator[Transaction]:
    """Open a transaction on a session that is free. ``local`` is what it begins with: a tenant's settings."""
    check("transaction", isolation=isolation, read_only=read_only, deferrable=deferrable)
    command = "begin"
    if isolation is not None:
        command += f" isolation level {isolation}"
    command += " read only" * read_only + " deferrable" * deferrable
    with session.lock:
        session.check_free()
        session.revive()
        session.holder = holder
    transaction = Transaction(session, prefetch, admission)
    is_committing = False
    try:
        session.run_script(f"{command}; {local}" if local else command)
        yield transaction
        session.check_usable()
        is_committing = True
        _commit(session)
    except BaseException as error:
        transaction._open = False
        if not is_committing or isinstance(error, KeyboardInterrupt):
            session.rollback()
        if isinstance(error, psycopg.errors.ReadOnlySqlTransaction) and not read_only:
            _leave_read_only_server(session)
        if isinstance(error, psycopg.Error | OSError):
            add_transaction_note(session, error, committing=is_committing)
        raise
    finally:
        transaction._open = False
        session.holder = None


def _leave_read_only_server(session: Session) -> None:
    """Have the next call find the primary: this server is it no more."""
    if session.may_leave_read_only_server():
        session.connection.close()


def _commit(session: Session) -> None:
    result = session.run_text("commit")
    # The server's answer if an error has ended the transaction, and was caught.
    if result.command_status == b"ROLLBACK":
        raise TransactionError(
            "the transaction is not committed: one of its statements failed",
            hint="let the error leave the block, or try what may fail inside of 'tx.transaction()', "
            "a savepoint",
        )
