"""A program's asyncpg connection as plainsql uses it: the same session, with plainsql's own codecs.

asyncpg keeps the codecs of types in the settings of a connection. The program may have set its own there
(``set_type_codec``), and SQLAlchemy does. With them plainsql's rows would hold other values, and plainsql's
codecs would change what the program's own ``fetch`` returns. So a `GuestConnection` is a second object of
asyncpg over the same protocol: it has settings and prepared statements of its own, and shares the socket, the
transaction and the loggers. A statement of asyncpg reads and writes values by the settings that it was made
with.

This uses what is behind asyncpg's public methods, as `execution.driver` does.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final
from weakref import WeakKeyDictionary, ref

from asyncpg import Record
from asyncpg.protocol import protocol

from plainsql.codec import NO_CODECS, CodecMap
from plainsql.database.execution.asyncpg_version import IS_KNOWN
from plainsql.database.pool.codecs import Codecs
from plainsql.database.pool.lost_connection import as_lost
from plainsql.database.pool.resettable_connection import ResettableConnection
from plainsql.errors import PlainsqlError

__all__ = ["GuestConnection", "guest_on"]

_CACHED_STATEMENTS: Final = 2048
"""The statements that stay prepared, as on a connection of a `Database`. None if the program turned its cache
off, as behind a pooler."""

_guests: WeakKeyDictionary[Any, GuestConnection] = WeakKeyDictionary()
"""The guests by the program's connections, for as long as these exist."""


class _GuestProtocol:
    """The protocol of a connection, with other settings: statements are prepared with these."""

    def __init__(self, shared: Any, record: Callable[..., Any], blank: Any) -> None:
        self._shared = shared
        self._record = record
        self._blank = blank
        # Each call of a query needs these two.
        self.bind_execute = shared.bind_execute
        self.bind_execute_many = shared.bind_execute_many

    def get_settings(self) -> Any:
        return self._blank.get_settings()

    def get_record_class(self) -> Any:
        return Record

    async def prepare(
        self,
        name: str,
        sql: str,
        timeout: float | None,
        *,
        ignore_custom_codec: bool = False,
        record_class: Any,
    ) -> Any:
        state = self._record(name, sql, self._blank, record_class, ignore_custom_codec)
        return await self._shared.prepare(name, sql, timeout, state=state, record_class=record_class)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shared, name)


class _Savepoint:
    """A savepoint in a transaction that the program began with SQL, which asyncpg's own class refuses."""

    def __init__(self, connection: GuestConnection) -> None:
        self._connection: Any = connection
        self._name = connection._get_unique_id("savepoint")  # type: ignore[no-untyped-call]

    async def start(self) -> None:
        await self._connection.execute(f"savepoint {self._name}")

    async def commit(self) -> None:
        await self._connection.execute(f"release savepoint {self._name}")

    async def rollback(self) -> None:
        await self._connection.execute(f"rollback to savepoint {self._name}; release savepoint {self._name}")


class GuestConnection(ResettableConnection):
    """A program's connection as plainsql uses it. Make it with `guest_on`."""

    __slots__ = ("_original", "_released_here", "busy", "control_timeout_s")

    def __init__(self, original: Any) -> None:
        shared = original._protocol
        config = original._config
        cached = _CACHED_STATEMENTS if config.statement_cache_size else 0
        self._original: Callable[[], Any] = lambda: None
        self._released_here = 0
        super().__init__(
            shared,
            original._transport,
            original._loop,
            original._addr,
            config._replace(statement_cache_size=cached, max_cached_statement_lifetime=0),
            original._params,
        )
        # The codecs are in the settings of a protocol, which only a protocol can make; this one never
        # connects.
        driver: Any = protocol
        blank: Any = driver.Protocol(original._addr, None, original._params, Record, original._loop)
        self._protocol = _GuestProtocol(shared, driver.PreparedStatementState, blank)
        self._original = ref(original)
        self._query_loggers = original._query_loggers
        self._stmt_exclusive_section = original._stmt_exclusive_section
        self.busy = False
        """True while a call of plainsql uses the connection."""
        self.control_timeout_s = 10.0
        """Seconds that a rollback may take."""

    @property
    def original(self) -> Any:
        """The program's own connection."""
        return self._original()

    # asyncpg's objects read and set these two of their connection; they belong to the session.

    @property
    def _top_xact(self) -> Any:
        original = self._original()
        return None if original is None else original._top_xact

    @_top_xact.setter
    def _top_xact(self, transaction: Any) -> None:
        original = self._original()
        if original is not None:
            original._top_xact = transaction

    @property
    def _pool_release_ctr(self) -> int:
        # What was made on it ends with a transaction of plainsql and when the program releases the
        # connection. What the program has made itself does not end with plainsql's transaction.
        original = self._original()
        return self._released_here + (0 if original is None else int(original._pool_release_ctr))

    @_pool_release_ctr.setter
    def _pool_release_ctr(self, number: int) -> None:
        self._released_here += number - self._pool_release_ctr

    def transaction(self, **options: Any) -> Any:
        """Return a transaction of asyncpg, or a savepoint if one is open."""
        if self._top_xact is None and self.is_in_transaction():  # type: ignore[no-untyped-call]
            return _Savepoint(self)
        return super().transaction(**options)  # type: ignore[no-untyped-call]

    def terminate(self) -> None:
        """End the program's connection: it is in a state that must not be committed."""
        original = self._original()
        if original is not None:
            original.terminate()

    def __del__(self) -> None:
        pass  # asyncpg's warns of a connection that is open: that is the program's


async def guest_on(original: Any, codecs: CodecMap = NO_CODECS) -> GuestConnection:
    """Return the guest on a program's connection. The first time it reads which extension types there are,
    and sets the codecs.

    Raises ``PlainsqlError`` if the connection is closed, or has another encoding than UTF-8, and
    ``ConnectionLostError`` if it is lost meanwhile.
    """
    if original.is_closed():
        raise PlainsqlError("over(): the connection is closed")
    encoding: str = original._protocol.get_settings().get_text_codec().name
    if encoding != "utf-8":
        raise PlainsqlError(
            f"over(): client_encoding: expected utf-8, got {encoding}",
            hint="do not change client_encoding on a connection of asyncpg",
        )
    guest = _guests.get(original)
    if guest is None:
        try:
            guest = _guests[original] = GuestConnection(original)
            guest.busy = True  # another task must not use it yet
            await Codecs(codecs).install(guest)
        except BaseException as error:
            _guests.pop(original, None)
            if not IS_KNOWN and isinstance(error, AttributeError | TypeError):
                raise PlainsqlError(
                    f"over(): asyncpg {version('asyncpg')} works in a way that this version of plainsql "
                    "does not know",
                    hint="install asyncpg 0.32, or a newer plainsql",
                ) from error
            if (lost := as_lost(error, original)) is not error:
                raise lost from error  # nothing of the program's was sent
            raise
        guest.busy = False
    return guest
