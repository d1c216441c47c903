"""The database as a synchronous executor: queries on one psycopg connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import psycopg

from plainsql.errors import PlainsqlError
from plainsql.query import Args, Query
from plainsql.sync.execution import execute, iterate
from plainsql.sync.session import Session
from plainsql.sync.transaction import Isolation, Transaction, begin

__all__ = ["Database"]

R = TypeVar("R")
T = TypeVar("T")


class Database:
    """A PostgreSQL database on one connection: an executor for scripts.

    Made by ``plainsql.sync.connect``. Every call commits by itself, outside of ``transaction()``. Threads may
    share it: their calls take turns. While a transaction or a stream is open, the connection is its own, and
    a call on the database raises ``TransactionError``.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        *,
        name: str,
        prefetch: int,
        on_close: Callable[[], object],
    ) -> None:
        self._session = Session(connection)
        self._name = name
        self._prefetch = prefetch
        self._on_close = on_close

    def run(self, query: Query[..., Any, R], args: Args, /) -> R:
        """Run a query and commit what it did."""
        session = self._open_session()
        with session.lock:
            session.check_free()
            return execute(session, query, args)

    def stream(self, query: Query[..., T, Any], args: Args, /) -> Iterator[T]:
        """Iterate over a query's rows through a cursor, in a transaction of its own."""
        holder = f"the rows of {query.name}"
        with begin(self._open_session(), self._prefetch, holder):
            yield from iterate(self._session, query, args, self._prefetch)

    @contextmanager
    def transaction(
        self,
        *,
        isolation: Isolation | None = None,
        read_only: bool = False,
        deferrable: bool = False,
    ) -> Iterator[Transaction]:
        """Open a transaction: ``with db.transaction() as tx``.

        ``isolation`` is the server's default (read committed) where it is not given. ``deferrable`` counts
        only with ``isolation="serializable"`` and ``read_only``: it waits until it cannot fail.

        Raises ``TransactionError`` where a transaction is open, and where the block ends well although one of
        its statements failed: nothing is committed then.
        """
        options = (isolation, read_only, deferrable)
        with begin(self._open_session(), self._prefetch, "a transaction", *options) as transaction:
            yield transaction

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The psycopg connection, in autocommit mode, for what queries cannot say: COPY, LISTEN."""
        return self._open_session().connection

    def close(self) -> None:
        """Close the connection. An open transaction is rolled back."""
        if not self._session.connection.closed:
            self._session.connection.close()
        self._on_close()

    def __repr__(self) -> str:
        return f"<Database {self._name}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_session(self) -> Session:
        connection = self._session.connection
        if connection.closed and not connection.broken:
            raise PlainsqlError("the database is closed", hint="use it inside its 'with' block")
        return self._session
