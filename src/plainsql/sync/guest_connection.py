"""A psycopg connection of the program: plainsql runs queries on it and leaves its state as it is.

The program's adapters, row factory, cursor factory and ``prepare_threshold`` do not matter here: statements
are sent below them, by libpq. No statement stays prepared in the session, which may be a pool's.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final
from weakref import WeakKeyDictionary

import psycopg
from psycopg import IsolationLevel, pq

from plainsql.codec import NO_CODECS, CodecMap
from plainsql.errors import PlainsqlError, TransactionError
from plainsql.sync.connection import Prepared, SharedConnection
from plainsql.sync.type_catalog import FIRST_OID_OF_USERS, TypeCatalog
from plainsql.tenancy import local_settings

__all__ = ["GuestConnection"]

_Status = pq.TransactionStatus

# The settings that shape the text of values, and that the server reports with every change. DateStyle is
# followed by the order of day and month, which shapes no text in the style ISO.
_REPORTED: Final = (
    ("client_encoding", b"UTF8"),
    ("DateStyle", b"ISO"),
    ("IntervalStyle", b"postgres"),
)
# Those that it does not report: they are read once.
_UNREPORTED: Final = """
select name, current_setting(name), wanted
from (
  values
    ('bytea_output', 'hex', current_setting('bytea_output') = 'hex'),
    ('extra_float_digits', '1', current_setting('extra_float_digits')::int >= 1)
) as setting (name, wanted, as_wanted)
where not as_wanted"""


class _Known:
    """The descriptions of statements and types that were made on one connection."""

    def __init__(self, codecs: CodecMap) -> None:
        self.lock = threading.RLock()
        self.types = TypeCatalog(codecs)
        self.prepared: dict[str, Prepared] = {}
        self.unreported: list[tuple[str, str, str]] | None = None
        """The settings that the server does not report and that are not as wanted: names, values, and the
        wanted values. None before they are read."""


# A program makes an executor for each request, on the connections of its pool. Without this, each request
# would describe its statements again. It holds no connection: an entry goes with its connection.
_KNOWN: Final[WeakKeyDictionary[psycopg.Connection[Any], _Known]] = WeakKeyDictionary()


class GuestConnection(SharedConnection):
    """A connection that the program opened and closes, with the transaction that is open there."""

    def __init__(self, connection: psycopg.Connection[Any], codecs: CodecMap = NO_CODECS) -> None:
        known = _KNOWN.get(connection)
        if known is None:
            known = _KNOWN.setdefault(connection, _Known(codecs))
        self._known = known
        self._take(connection)
        self.lock = known.lock
        self._types = known.types
        self._prepared = known.prepared

    @property
    def keeps_statements(self) -> bool:
        """False: each statement is sent with its text."""
        return False

    def check_usable(self) -> None:
        """Raise ``PlainsqlError`` in a forked process, and ``TransactionError`` in pipeline mode."""
        if not self.is_own:
            raise PlainsqlError(
                "the connection was given to plainsql before this process was forked: it is the parent's",
                hint="call plainsql.sync.over in the process that uses it",
            )
        pgconn = self.psycopg.pgconn
        if pgconn.pipeline_status != pq.PipelineStatus.OFF:
            raise TransactionError(
                "the connection is in pipeline mode: its results belong to the pipeline",
                hint="call the query outside of 'with connection.pipeline()'",
            )

    def begin_implicitly(self) -> None:
        """Begin the transaction that psycopg begins before the first statement, unless one is open or the
        connection is in autocommit mode.
        """
        connection = self.psycopg
        if connection.autocommit or self.in_transaction:
            return
        command = "begin"
        if connection.isolation_level is not None:
            level = IsolationLevel(connection.isolation_level).name.replace("_", " ")
            command += f" isolation level {level}"
        if connection.read_only is not None:
            command += " read only" if connection.read_only else " read write"
        if connection.deferrable is not None:
            command += " deferrable" if connection.deferrable else " not deferrable"
        self.run_command(command)

    def raise_if_failed(self) -> None:
        """Raise the server's error for a statement in a transaction that has failed."""
        if self.psycopg.pgconn.transaction_status == _Status.INERROR:
            self.run_command("select")

    def run(self, prepared: Prepared, values: Sequence[bytes | None]) -> pq.abc.PGresult:
        """Run a statement."""
        with self.with_settings():
            return super().run(prepared, values)

    def run_pipeline(self, calls: Sequence[tuple[Prepared, Sequence[bytes | None]]]) -> list[pq.abc.PGresult]:
        """Run statements without waiting for each. An error among the results ends the others."""
        with self.with_settings():
            return super().run_pipeline(calls)

    def run_text(
        self, sql: str, values: Sequence[bytes | None] = (), types: Sequence[int] = ()
    ) -> pq.abc.PGresult:
        """Run a text that is used once."""
        with self.with_settings():
            return super().run_text(sql, values, types)

    def run_command(self, sql: str) -> None:
        """Run a command of transactions: a savepoint must not keep the settings of one statement."""
        super().run_text(sql)

    def close_cursor(self, name: str) -> None:
        """Close a cursor if it is open. The program may have ended its transaction."""
        # A generator may be collected in the middle of any call on the connection: it must not wait then.
        if not self.is_own or self.psycopg.lock.locked() or not self.is_idle_in_transaction:
            return
        if super().run_text("select from pg_cursors where name = $1", [name.encode()]).ntuples:
            self.run_command(f"close {name}")

    @property
    def is_idle_in_transaction(self) -> bool:
        """True if a transaction is open that takes commands."""
        return bool(self.psycopg.pgconn.transaction_status == _Status.INTRANS)

    def _prepare(self, sql: str) -> Prepared:
        with self.with_settings():
            prepared = super()._prepare(sql)
        # The same text means other types of the user under another search_path: the server infers them.
        prepared.parameter_types = [
            oid if oid < FIRST_OID_OF_USERS else 0 for oid in prepared.parameter_types
        ]
        return prepared

    def with_settings(self) -> AbstractContextManager[None]:
        """Return the block of a statement, in which the session writes values as plainsql reads them."""
        status = self.psycopg.pgconn.parameter_status
        different = [
            (name, value.decode("ascii", "replace"), wanted.decode())
            for name, wanted in _REPORTED
            if (value := status(name.encode()) or b"").partition(b",")[0] != wanted
        ]
        if self._known.unreported is None:
            self._known.unreported = []
            self._known.unreported = self._read_unreported()
        different += self._known.unreported
        return self._set_for_one_statement(different) if different else nullcontext()

    def _read_unreported(self) -> list[tuple[str, str, str]]:
        found = super().run_text(_UNREPORTED)

        def text(row: int, column: int) -> str:
            return (found.get_value(row, column) or b"").decode()

        return [(text(row, 0), text(row, 1), text(row, 2)) for row in range(found.ntuples)]

    @contextmanager
    def _set_for_one_statement(self, different: list[tuple[str, str, str]]) -> Iterator[None]:
        """Set settings for one statement, and set them back. Without a transaction the statement is one."""
        self._known.unreported, unreported = [], self._known.unreported
        try:
            begins = not self.in_transaction
            wanted = local_settings(tuple((name, value) for name, _, value in different), ())
            self.run_script(f"begin; {wanted}" if begins else wanted)
            try:
                yield
            except BaseException:
                if begins:
                    self.rollback()
                elif self.is_idle_in_transaction:
                    self._set_back(different)
                raise
            if begins:
                self.run_script("commit")
            else:
                self._set_back(different)
        finally:
            self._known.unreported = unreported

    def _set_back(self, different: list[tuple[str, str, str]]) -> None:
        self.run_script(local_settings(tuple((name, value) for name, value, _ in different), ()))
