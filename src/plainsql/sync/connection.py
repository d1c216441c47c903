"""The connection of a database: prepares each statement once, and then runs it in one round trip.

A connection that is lost is replaced at the next call. Behind a pooler that lends its connections by the
transaction nothing stays prepared: each statement is sent with its text, inside a transaction.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from time import monotonic
from typing import Any, Final, Protocol

import psycopg
from psycopg import capabilities, pq
from psycopg.postgres import types as builtin_types

from plainsql.codec import NO_CODECS, CodecMap
from plainsql.errors import PlainsqlError, TransactionError
from plainsql.pooler import StatementTexts
from plainsql.query import Described
from plainsql.sync.adapters import Adapter
from plainsql.sync.row_loader import RowLoader
from plainsql.sync.type_catalog import TypeCatalog
from plainsql.sync.wire import check_result, has_ended, run_pipeline, run_script, wait_for_results

__all__ = ["GRACE_S", "MAX_STATEMENTS", "Prepared", "SharedConnection"]

GRACE_S: Final = 1.0
"""Seconds after a statement's time limit in which the server must report that it has ended it."""
MAX_STATEMENTS: Final = 2048
"""The number of prepared statements above which those of texts made at run time replace older ones."""
_READ_ONLY_PAUSE_S: Final = 0.5
"""Seconds between two connections that are closed because their server is read-only: it may stay so."""
_READ_ONLY_PARAMETERS: Final = (b"in_hot_standby", b"default_transaction_read_only")
"""The settings that a server reports whenever they change, from PostgreSQL 14 on."""


class Prepared:
    """A statement that the server has prepared, and its description."""

    __slots__ = (
        "arrow_types",
        "columns",
        "compared_for",
        "modifiers",
        "name",
        "parameter_types",
        "parameters",
        "rows",
        "sql",
        "through_cursor",
    )

    def __init__(
        self,
        name: bytes,
        sql: str,
        parameter_types: Sequence[int],
        parameters: Sequence[Adapter],
        columns: tuple[Described, ...],
        rows: RowLoader,
        modifiers: Sequence[int] = (),
    ) -> None:
        self.name = name
        """Empty if it does not stay prepared."""
        self.sql = sql
        self.parameter_types = parameter_types
        """The numbers of the parameters' types."""
        self.parameters = parameters
        self.columns = columns
        self.rows = rows
        self.modifiers = modifiers
        """The declared precisions and dimensions of the columns, as the server has them."""
        self.arrow_types: Any = None
        """The types of its columns in Arrow; None until they are needed."""
        self.compared_for: object = None
        """The query whose row type its columns were last compared with."""
        self.through_cursor: bool | None = None
        """True if a cursor can be declared for it; None before the first attempt."""

    def has_columns_of(self, result: pq.abc.PGresult) -> bool:
        """Return whether a result has the columns that were described."""
        if result.nfields != len(self.columns):
            return False
        return all(result.ftype(index) == column.oid for index, column in enumerate(self.columns))


class Flight(Protocol):
    """Runs a statement in a round trip with others."""

    def run(self, prepared: Prepared, values: Sequence[bytes | None]) -> pq.abc.PGresult:
        """Run a prepared statement, and return its result."""
        ...


class SharedConnection:
    """A psycopg connection in autocommit mode, used by one thread at a time and replaced when it is lost."""

    limit_s: float | None = None
    """Seconds in which the server must answer; None without a limit."""
    codecs: CodecMap = NO_CODECS
    """The project's own codecs of types."""
    flight: Flight | None = None
    """Runs the statements of reads outside of transactions, with others in the same round trip; None as a
    rule."""

    def __init__(
        self,
        open_connection: Callable[..., psycopg.Connection[Any]],
        *,
        statement_timeout: float | None = None,
        codecs: CodecMap = NO_CODECS,
    ) -> None:
        self.codecs = codecs
        self._open_connection = open_connection
        self._take(open_connection())
        if statement_timeout is not None:
            self.limit_s = statement_timeout + GRACE_S

    def _take(self, connection: psycopg.Connection[Any]) -> None:
        """Begin the state of a connection."""
        self.psycopg = connection
        self.local_settings: str | None = None
        """The statements that begin each transaction; None if the server's session has all settings. With
        them each transaction may run in another session of the server."""
        self.texts: StatementTexts | None = None
        """The texts to prepare through a pooler that keeps its clients' statements; None without one."""
        self._process = os.getpid()
        self._is_closed = False
        self._left_read_only_at: float | None = None
        self.lock = threading.RLock()
        """Held while a query runs, so that threads take turns."""
        self.holder: str | None = None
        """The transaction or stream that has the connection for longer than one query."""
        self.session_is_altered = False
        """True if a statement may have changed what outlives its transaction: settings, locks, listeners."""
        self.statements_are_altered = False
        """True if prepared statements may have been added or dropped by their names."""
        self._types = TypeCatalog(self.codecs)
        self._prepared: dict[str, Prepared] = {}
        # A pooler may lend the server's session to another client, whose statements must have other names.
        self._prefix = f"plainsql_{secrets.token_hex(8)}"
        self._count = 0
        self._version = 0

    def check_usable(self) -> None:
        """Raise ``PlainsqlError`` in a forked process, and after ``close``."""
        if not self.is_own:
            raise PlainsqlError(
                "the database was connected before this process was forked: its connection is the parent's",
                hint="call plainsql.sync.connect in the process that uses it",
            )
        if self._is_closed:
            raise PlainsqlError("the database is closed", hint="use it inside its 'with' block")

    def revive(self, *, waits: bool = True) -> None:
        """Replace the connection if it is lost. Raises ``ConnectError`` if no other can be opened.

        ``waits``: wait for the next primary, with ``failover_timeout``.
        """
        self.check_usable()
        if has_ended(self.psycopg):
            self.reopen(waits=waits)

    def reopen(self, *, waits: bool = True) -> None:
        """Replace the connection by a new one, which has nothing prepared.

        Raises ``ConnectError``, and what ``check_usable`` raises: another thread may close meanwhile.
        """
        self.check_usable()
        self.psycopg.close()
        self.forget_all()
        self.psycopg = self._open_connection() if waits else self._open_connection(waits=False)
        if self._is_closed:
            self.psycopg.close()
            self.check_usable()

    def may_leave_read_only_server(self) -> bool:
        """Return whether to replace the connection because its server refuses to write.

        False if the server reports that it is the primary: the statement itself set its transaction to read
        only then.
        """
        if not self.is_read_only:
            return False
        now = monotonic()
        if self._left_read_only_at is not None and now - self._left_read_only_at < _READ_ONLY_PAUSE_S:
            return False
        self._left_read_only_at = now
        return True

    @property
    def is_read_only(self) -> bool:
        """True if the server reports that it is read-only, or may be: a pooler does not pass that on."""
        pgconn = self.psycopg.pgconn
        reported = [pgconn.parameter_status(name) for name in _READ_ONLY_PARAMETERS]
        return None in reported or b"on" in reported

    @property
    def keeps_statements(self) -> bool:
        """True if a statement that was prepared by name can be run by it until the connection is closed."""
        return self.local_settings is None or self.texts is not None

    @property
    def is_own(self) -> bool:
        """True if this process opened the connection, and is no fork of the process that did."""
        return os.getpid() == self._process

    @property
    def is_lost(self) -> bool:
        """True if the connection is known to be closed."""
        return self.psycopg.closed

    def close(self) -> None:
        """Close the connection; nothing opens it again. In a forked process leave it to the parent."""
        self._is_closed = True
        if self.is_own:
            self.psycopg.close()

    def check_free(self) -> None:
        """Raise ``TransactionError`` if a transaction or a stream has the connection."""
        if self.holder is not None:
            raise TransactionError(
                f"the database's one connection is held by {self.holder}",
                hint="inside 'with db.transaction() as tx', give tx to every query, not db",
            )

    @property
    def in_transaction(self) -> bool:
        """True if a transaction is open, also one that has failed."""
        return self.psycopg.pgconn.transaction_status != pq.TransactionStatus.IDLE

    def prepare(self, sql: str) -> Prepared:
        """Return the prepared statement of a text."""
        prepared = self._prepared.get(sql)
        if prepared is None:
            prepared = self._prepared[sql] = self._prepare(sql)
        return prepared

    def make_room(self) -> None:
        """Drop the oldest statements if there are many: a program may make texts without end at run time.

        No batch and no stream may be in progress that has prepared its statements and not sent them.
        """
        while len(self._prepared) >= MAX_STATEMENTS:
            sql, oldest = next(iter(self._prepared.items()))
            if oldest.name and not self.is_lost:
                if capabilities.has_send_close_prepared():
                    with self.psycopg.lock:
                        self.psycopg.pgconn.send_close_prepared(oldest.name)
                        self._result()
                elif self.in_transaction or self.texts is not None:
                    return  # an error would end it; a pooler knows the statement by another name
                else:
                    self.run_text(f"deallocate {oldest.name.decode()}")
            self._prepared.pop(sql, None)

    def run(self, prepared: Prepared, values: Sequence[bytes | None]) -> pq.abc.PGresult:
        """Run a prepared statement."""
        if self.flight is not None and not self.in_transaction:
            return self.flight.run(prepared, values)
        with self.psycopg.lock:
            self.send(prepared, values)
            return self._result()

    def run_pipeline(self, calls: Sequence[tuple[Prepared, Sequence[bytes | None]]]) -> list[pq.abc.PGresult]:
        """Run prepared statements without waiting for each. An error among the results ends the others."""
        return run_pipeline(self.psycopg, [partial(self.send, *call) for call in calls], self.limit_s)

    def run_text(
        self, sql: str, values: Sequence[bytes | None] = (), types: Sequence[int] = ()
    ) -> pq.abc.PGresult:
        """Run a text that is used once."""
        with self.psycopg.lock:
            # 3.2 takes lists only.
            self.psycopg.pgconn.send_query_params(sql.encode(), [*values], [*types] or None)
            return self._result()

    def run_command(self, sql: str) -> None:
        """Run a command of transactions: ``savepoint``, ``release savepoint``, ``set transaction``."""
        self.run_text(sql)

    def run_script(self, sql: str) -> None:
        """Run statements without parameters in one round trip."""
        run_script(self.psycopg, sql, self.limit_s)

    def with_settings(self) -> AbstractContextManager[None]:
        """Return the block of a statement: the session writes values as plainsql reads them already."""
        return nullcontext()

    def rollback(self) -> None:
        """Roll the transaction back, or close the connection if that fails.

        Raises nothing: the error that caused the rollback is on its way to the caller.
        """
        if self.is_lost or not self.is_own:
            return
        try:
            self.run_script("rollback")
        except (psycopg.Error, OSError):
            self.psycopg.close()

    def close_cursor(self, name: str) -> None:
        """Close a cursor if its transaction is open."""
        # After an error the cursor is gone, and the transaction takes no commands.
        is_open = self.psycopg.pgconn.transaction_status == pq.TransactionStatus.INTRANS
        if is_open and self.is_own:
            self.run_text(f"close {name}")

    def forget(self, sql: str) -> None:
        """Prepare a statement again at its next use, and look its types up again."""
        if self.texts is None:
            self._prepared.pop(sql, None)
        else:
            self.texts.renew(self._version)
            self._prepared.clear()  # the others may be as old
        self._types.forget()

    def forget_all(self) -> None:
        """Prepare all statements again at their next use."""
        self._prepared.clear()
        self._types.forget()

    def new_name(self) -> str:
        """Return a name that no statement, cursor or savepoint of this connection has."""
        self._count += 1
        return f"{self._prefix}_{self._count}"

    def read_records(self, prepared: Prepared, records: Mapping[int, Sequence[str]]) -> None:
        """Have a statement load anonymous records, by the names of the types of their fields."""
        fields = {index: [builtin_types[name].oid for name in names] for index, names in records.items()}
        for oids in fields.values():
            self._types.adapters(self.run_text, oids)
        prepared.rows.read_records(fields)

    def _prepare(self, sql: str) -> Prepared:
        name = self.new_name().encode() if self.keeps_statements else b""
        text = sql
        if self.texts is not None:
            self._version, text = self.texts.version, self.texts.of(sql)
        with self.psycopg.lock:
            self.psycopg.pgconn.send_prepare(name, text.encode())
            self._result()
            self.psycopg.pgconn.send_describe_prepared(name)
            described = self._result()
        parameters = [described.param_type(index) for index in range(described.nparams)]
        names = [(described.fname(index) or b"").decode() for index in range(described.nfields)]
        types = [described.ftype(index) for index in range(described.nfields)]
        adapters = self._types.adapters(self.run_text, [*parameters, *types])
        columns = tuple(
            Described(name, oid, adapter.name)
            for name, oid, adapter in zip(names, types, adapters[len(parameters) :], strict=True)
        )
        return Prepared(
            name,
            sql,
            parameters,
            adapters[: len(parameters)],
            columns,
            RowLoader(self._types.loaders, types),
            [described.fmod(index) for index in range(described.nfields)],
        )

    def send(self, prepared: Prepared, values: Sequence[bytes | None]) -> None:
        """Send a prepared statement, and wait for nothing."""
        if prepared.name:
            self.psycopg.pgconn.send_query_prepared(prepared.name, values)
        else:
            self.psycopg.pgconn.send_query_params(prepared.sql.encode(), values, prepared.parameter_types)

    def _result(self) -> pq.abc.PGresult:
        """Wait for the one result of what was sent. Ctrl-C cancels what runs on the server."""
        result, *more = wait_for_results(self.psycopg, self.limit_s)
        for refusal in more:
            # A deferred constraint fails the commit, which comes after the statement's own result.
            check_result(refusal)
        return check_result(result)
