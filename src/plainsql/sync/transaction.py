"""A transaction as an executor; nested ones are savepoints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal, TypeVar

import psycopg

from plainsql.errors import TransactionError
from plainsql.options import check
from plainsql.query import Args, Query
from plainsql.sync.execution import execute, iterate
from plainsql.sync.session import Session

__all__ = ["Isolation", "Transaction", "begin"]

R = TypeVar("R")
T = TypeVar("T")

Isolation = Literal["read committed", "repeatable read", "serializable"]


class Transaction:
    """A transaction: an executor whose queries all succeed or all leave no trace.

    Leaving its block commits; leaving it by any error rolls back.
    """

    def __init__(self, session: Session, prefetch: int) -> None:
        self._session = session
        self._prefetch = prefetch
        self._open = True

    def run(self, query: Query[..., Any, R], args: Args, /) -> R:
        """Run a query inside the transaction."""
        return execute(self._claim(), query, args)

    def stream(self, query: Query[..., T, Any], args: Args, /) -> Iterator[T]:
        """Iterate over a query's rows through a cursor; other queries may run in between."""
        for row in iterate(self._claim(), query, args, self._prefetch):
            yield row
            self._claim()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open a savepoint: what fails inside its block is undone, the outer transaction goes on."""
        session = self._claim()
        savepoint = session.new_name()
        session.run_text(f"savepoint {savepoint}")
        inner = Transaction(session, self._prefetch)
        try:
            yield inner
        except BaseException:
            inner._open = False
            # Where the connection is gone, the error that says so is on its way already.
            with suppress(psycopg.OperationalError):
                session.run_text(f"rollback to savepoint {savepoint}")
            raise
        inner._open = False
        session.run_text(f"release savepoint {savepoint}")

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The psycopg connection underneath, for what queries cannot say: COPY, LISTEN."""
        return self._claim().connection

    def __repr__(self) -> str:
        return f"<Transaction {'open' if self._open else 'ended'}>"

    def _claim(self) -> Session:
        if not self._open:
            raise TransactionError("the transaction has ended", hint="use it only inside its 'with' block")
        return self._session


@contextmanager
def begin(
    session: Session,
    prefetch: int,
    holder: str,
    isolation: Isolation | None = None,
    read_only: bool = False,
    deferrable: bool = False,
) -> Iterator[Transaction]:
    """Open a transaction on a session that is free."""
    check("transaction", isolation=isolation, read_only=read_only, deferrable=deferrable)
    command = "begin"
    if isolation is not None:
        command += f" isolation level {isolation}"
    command += " read only" * read_only + " deferrable" * deferrable
    with session.lock:
        session.check_free()
        session.run_text(command)
        session.holder = holder
    transaction = Transaction(session, prefetch)
    try:
        yield transaction
    except BaseException:
        with suppress(psycopg.OperationalError):
            session.run_text("rollback")
        raise
    else:
        _commit(session)
    finally:
        transaction._open = False
        session.holder = None


def _commit(session: Session) -> None:
    result = session.run_text("commit")
    # What the server answers where an error has ended the transaction, and was caught.
    if result.command_status == b"ROLLBACK":
        raise TransactionError(
            "the transaction is not committed: one of its statements failed",
            hint="let the error leave the block, or try what may fail inside of 'tx.transaction()', "
            "a savepoint",
        )
