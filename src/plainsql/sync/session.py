"""One connection and what is prepared on it: statements are described once, then run in one round trip.

A connection that is lost is replaced by a new one at the next call. Behind a pooler that gives out its
connections by the transaction nothing stays prepared: each statement is sent with its text, inside of a
transaction.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Sequence
from selectors import EVENT_READ, DefaultSelector
from time import monotonic
from typing import Any, Final

import psycopg
from psycopg import pq

from plainsql.errors import PlainsqlError, TransactionError
from plainsql.sync.catalog import Catalog
from plainsql.sync.codecs import Codec
from plainsql.sync.wire import answers, checked, run_script

__all__ = ["Prepared", "Session"]

_GRACE_S: Final = 1.0
"""Seconds after a statement's time limit in which the server must say that it has ended it."""
_FENCED_S: Final = 5.0
"""Seconds between two connections that are given up because their server is read-only: it may be so for
good."""
_READ_ONLY_PARAMETERS: Final = (b"in_hot_standby", b"default_transaction_read_only")
"""What a server from PostgreSQL 14 on reports by itself whenever it changes."""
_COPYING: Final = {pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH}


class Prepared:
    """A statement that the server has prepared, and what it said about it."""

    __slots__ = (
        "column_names",
        "column_types",
        "columns",
        "compared_for",
        "name",
        "parameter_types",
        "parameters",
        "sql",
        "through_cursor",
    )

    def __init__(
        self,
        name: bytes,
        sql: str,
        parameter_types: Sequence[int],
        parameters: Sequence[Codec],
        column_names: Sequence[str],
        column_types: Sequence[int],
        columns: Sequence[Codec],
    ) -> None:
        self.name = name
        """Empty if it does not stay prepared."""
        self.sql = sql
        self.parameter_types = parameter_types
        """The numbers of the parameters' types."""
        self.parameters = parameters
        self.column_names = column_names
        self.column_types = column_types
        """The numbers of the columns' types."""
        self.columns = columns
        self.compared_for: object = None
        """The query whose row type its result was compared with last."""
        self.through_cursor: bool | None = None
        """Whether a cursor can be declared for it; None as long as nobody has tried."""


class Session:
    """A psycopg connection in autocommit mode, used by one thread at a time, and replaced when it is lost."""

    def __init__(
        self,
        open_connection: Callable[[], psycopg.Connection[Any]],
        *,
        statement_timeout: float | None = None,
    ) -> None:
        self._open_connection = open_connection
        self.connection = open_connection()
        self.local_settings: str | None = None
        """The statements that each transaction begins with; None if the session has what it needs. With them
        each transaction may run in another session of the server."""
        self._limit_s = None if statement_timeout is None else statement_timeout + _GRACE_S
        self._process = os.getpid()
        self._is_closed = False
        self._fenced_at: float | None = None
        self.lock = threading.RLock()
        """Held while a query runs, so that threads take turns."""
        self.holder: str | None = None
        """What has the connection for longer than one query: a transaction, the rows of a stream."""
        self._catalog = Catalog()
        self._prepared: dict[str, Prepared] = {}
        # A pooler may give the connection's session to others, who must not have statements of this name.
        self._prefix = f"plainsql_{secrets.token_hex(8)}"
        self._count = 0

    def check_usable(self) -> None:
        """Raise ``PlainsqlError`` in a forked process, and after `close`."""
        if not self.is_own:
            raise PlainsqlError(
                "the database was connected before this process was forked: its connection is the parent's",
                hint="call plainsql.sync.connect in the process that uses it",
            )
        if self._is_closed:
            raise PlainsqlError("the database is closed", hint="use it inside its 'with' block")

    def revive(self) -> None:
        """Replace the connection if it is lost. Raises ``ConnectError`` if no other can be opened."""
        self.check_usable()
        if self._has_ended():
            self.reopen()

    def reopen(self) -> None:
        """Replace the connection by a new one, which has nothing prepared.

        Raises ``ConnectError``, and what ``check_usable`` raises: another thread may close meanwhile.
        """
        self.check_usable()
        self.connection.close()
        self._prepared.clear()
        self._catalog.forget()
        self.connection = self._open_connection()
        if self._is_closed:
            self.connection.close()
            self.check_usable()

    def may_leave_read_only_server(self) -> bool:
        """Say whether a connection may be given up for another one because its server refuses to write.

        Not if it says that it is the primary: the statement asked for a read-only transaction then.
        """
        pgconn = self.connection.pgconn
        said = [pgconn.parameter_status(name) for name in _READ_ONLY_PARAMETERS]
        if None not in said and b"on" not in said:
            return False
        now = monotonic()
        if self._fenced_at is not None and now - self._fenced_at < _FENCED_S:
            return False
        self._fenced_at = now
        return True

    @property
    def is_own(self) -> bool:
        """Whether this process opened the connection, and is no fork of the one that did."""
        return os.getpid() == self._process

    @property
    def is_lost(self) -> bool:
        """Whether the connection is known to be gone."""
        return self.connection.closed

    def close(self) -> None:
        """Close the connection for good; in a forked process leave it to the parent."""
        self._is_closed = True
        if self.is_own:
            self.connection.close()

    def check_free(self) -> None:
        """Raise ``TransactionError`` where the connection is held."""
        if self.holder is not None:
            raise TransactionError(
                f"the database's one connection is held by {self.holder}",
                hint="inside 'with db.transaction() as tx', give tx to every query, not db",
            )

    @property
    def in_transaction(self) -> bool:
        return self.connection.pgconn.transaction_status != pq.TransactionStatus.IDLE

    def prepare(self, sql: str) -> Prepared:
        """Return the prepared statement for a text."""
        prepared = self._prepared.get(sql)
        if prepared is None:
            prepared = self._prepared[sql] = self._prepare(sql)
        return prepared

    def run(self, prepared: Prepared, values: Sequence[bytes | None]) -> pq.abc.PGresult:
        """Run a prepared statement."""
        with self.connection.lock:
            if prepared.name:
                self.connection.pgconn.send_query_prepared(prepared.name, values)
            else:
                self.connection.pgconn.send_query_params(
                    prepared.sql.encode(), values, prepared.parameter_types
                )
            return self._result()

    def run_text(
        self, sql: str, values: Sequence[bytes | None] = (), types: Sequence[int] = ()
    ) -> pq.abc.PGresult:
        """Run a text that is used once."""
        with self.connection.lock:
            self.connection.pgconn.send_query_params(sql.encode(), values, types)
            return self._result()

    def run_script(self, sql: str) -> None:
        """Run statements without parameters in one round trip."""
        run_script(self.connection, sql, self._limit_s)

    def rollback(self) -> None:
        """End the transaction; a connection that is lost, or does not do so, is closed: the error that says
        why is on its way already.
        """
        if self.is_lost or not self.is_own:
            return
        try:
            self.run_script("rollback")
        except (psycopg.Error, OSError):
            self.connection.close()

    def forget(self, sql: str) -> None:
        """Have a statement prepared again at its next use, and its types looked up again."""
        self._prepared.pop(sql, None)
        self._catalog.forget()

    def new_name(self) -> str:
        """A name that no statement, cursor or savepoint of this session has."""
        self._count += 1
        return f"{self._prefix}_{self._count}"

    def _prepare(self, sql: str) -> Prepared:
        name = b"" if self.local_settings is not None else self.new_name().encode()
        with self.connection.lock:
            self.connection.pgconn.send_prepare(name, sql.encode())
            self._result()
            self.connection.pgconn.send_describe_prepared(name)
            described = self._result()
        parameters = [described.param_type(index) for index in range(described.nparams)]
        columns = [described.ftype(index) for index in range(described.nfields)]
        names = [(described.fname(index) or b"").decode() for index in range(described.nfields)]
        codecs = self._catalog.codecs(self.connection, [*parameters, *columns])
        return Prepared(
            name, sql, parameters, codecs[: len(parameters)], names, columns, codecs[len(parameters) :]
        )

    def _result(self) -> pq.abc.PGresult:
        """Wait for the server's answer. Ctrl-C cancels what runs there."""
        (result, *_) = answers(self.connection, self._limit_s)
        if result.status in _COPYING:
            # The connection waits for data that will not come.
            self.connection.close()
            raise PlainsqlError(
                "COPY from or to the client is no query",
                hint="use 'db.connection.cursor().copy(…)'; this connection is closed",
            )
        return checked(result)

    def _has_ended(self) -> bool:
        """Whether the connection is closed, or the server has closed it while it was idle."""
        pgconn = self.connection.pgconn
        try:
            # The server's farewell first, and then the end of the stream.
            for _ in range(3):
                if self.connection.closed:
                    return True
                with DefaultSelector() as selector:
                    selector.register(pgconn.socket, EVENT_READ)
                    if not selector.select(0):
                        return False
                pgconn.consume_input()
        except (psycopg.Error, OSError):
            return True
        return self.connection.closed
