"""One connection and what is prepared on it: statements are described once, then run in one round trip."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Final

import psycopg
from psycopg import generators, pq
from psycopg.errors import error_from_result

from plainsql.errors import PlainsqlError, TransactionError
from plainsql.sync.catalog import Catalog
from plainsql.sync.codecs import Codec

__all__ = ["Prepared", "Session"]

_DONE: Final = {pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK, pq.ExecStatus.EMPTY_QUERY}
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
        "through_cursor",
    )

    def __init__(
        self,
        name: bytes,
        parameter_types: Sequence[int],
        parameters: Sequence[Codec],
        column_names: Sequence[str],
        column_types: Sequence[int],
        columns: Sequence[Codec],
    ) -> None:
        self.name = name
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
    """A psycopg connection in autocommit mode, used by one thread at a time."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.lock = threading.RLock()
        """Held while a query runs, so that threads take turns."""
        self.holder: str | None = None
        """What has the connection for longer than one query: a transaction, the rows of a stream."""
        self._catalog = Catalog()
        self._prepared: dict[str, Prepared] = {}
        self._count = 0

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
            self.connection.pgconn.send_query_prepared(prepared.name, values)
            return self._result()

    def run_text(
        self, sql: str, values: Sequence[bytes | None] = (), types: Sequence[int] = ()
    ) -> pq.abc.PGresult:
        """Run a text that is used once."""
        with self.connection.lock:
            self.connection.pgconn.send_query_params(sql.encode(), values, types)
            return self._result()

    def forget(self, sql: str) -> None:
        """Have a statement prepared again at its next use, and its types looked up again."""
        self._prepared.pop(sql, None)
        self._catalog.forget()

    def new_name(self) -> str:
        """A name that no statement, cursor or savepoint of this session has."""
        self._count += 1
        return f"plainsql_{self._count}"

    def _prepare(self, sql: str) -> Prepared:
        name = self.new_name().encode()
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
            name, parameters, codecs[: len(parameters)], names, columns, codecs[len(parameters) :]
        )

    def _result(self) -> pq.abc.PGresult:
        """Wait for the server's answer. Ctrl-C cancels what runs there."""
        result: pq.abc.PGresult
        (result, *_) = self.connection.wait(generators.execute(self.connection.pgconn))
        if result.status in _DONE:
            return result
        if result.status in _COPYING:
            # The connection waits for data that will not come.
            self.connection.close()
            raise PlainsqlError(
                "COPY from or to the client is no query",
                hint="use 'db.connection.cursor().copy(…)'; this connection is closed",
            )
        raise error_from_result(result, "utf-8")
