"""The opening of a connection pool: it finds out about a pooler, and sets up codecs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Any, NamedTuple

from asyncpg import exceptions

from plainsql.codec import NO_CODECS, CodecMap
from plainsql.database.pool import connection_classes as session
from plainsql.database.pool.codecs import Codecs
from plainsql.database.pool.connection_pool import ConnectionPool
from plainsql.database.pool.connector import Connect, Connector
from plainsql.database.pool.keepalive import Keepalive
from plainsql.database.pool.round_trip import RoundTrip
from plainsql.database.pool.session_hook import OnConnect, prepare_session
from plainsql.errors import ConnectError
from plainsql.pooler import Pooler

__all__ = ["OpenedPool", "open_pool"]

Identify = Callable[[Any], Awaitable[None]]
"""Finds out which server a connection is on."""

_MEASURED_CONNECTIONS = 3
"""The round trip is measured on so many of the first connections."""


class OpenedPool(NamedTuple):
    """The connections of a database, the first of them open."""

    pool: ConnectionPool
    pooler: Pooler | None
    round_trip: RoundTrip
    """The time of a round trip on the first connections."""
    keeps_statements: bool
    """True if a statement stays prepared on a connection from one transaction to the next."""


async def open_pool(
    connect: Connect,
    options: Mapping[str, Any],
    pool_options: Mapping[str, Any],
    pooler: Pooler | None,
    identify: Identify | None = None,
) -> OpenedPool:
    """Open the first connections of a pool, and find out whether a pooler is in front of the server.

    ``connect`` opens one with ``options``: those of ``asyncpg.connect``, a `Keepalive` as ``keepalive``, and
    the ``search_path``, the project's ``codecs`` and ``on_connect``.
    Their ``timeout`` limits the opening of the first connection, and of each later one. ``identify`` is
    awaited with each connection before it serves a call; not behind a pooler in transaction mode, where a
    connection belongs to no one server.

    Raises what opening a connection raises, ``TimeoutError`` if there is none in time.
    """
    return await _Opener(connect, options, pool_options, identify).open(pooler)


class _Opener:
    def __init__(
        self,
        connect: Connect,
        options: Mapping[str, Any],
        pool_options: Mapping[str, Any],
        identify: Identify | None,
    ) -> None:
        self._connect = connect
        self._identify = identify
        self._options = dict(options)
        """The options of ``asyncpg.connect``."""
        self._timeout: float = self._options.pop("timeout")
        self._search_path: str = self._options.pop("search_path", "")
        self._codecs: CodecMap = self._options.pop("codecs", NO_CODECS)
        self._on_connect: OnConnect | None = self._options.pop("on_connect", None)
        self._keepalive: Keepalive = self._options.pop("keepalive", Keepalive())
        self._pool_options = pool_options

    async def open(self, pooler: Pooler | None) -> OpenedPool:
        async with asyncio.timeout(self._timeout):
            opened = await self._open(pooler)
        try:
            await opened.pool.fill()
        except BaseException:
            opened.pool.terminate()
            raise
        return opened

    async def _open(self, pooler: Pooler | None) -> OpenedPool:
        if pooler is None:
            try:
                return await self._direct_pool()
            except _BehindPoolerError:
                pooler = "transaction"
            except exceptions.PostgresError as error:
                if not session.refuses_settings(error):
                    raise
                pooler = "transaction"
        if pooler == "session":
            return await self._make(session.SessionPoolerConnection.with_path(self._search_path), pooler)
        options = {} if await self._pooler_keeps_statements() else {"statement_cache_size": 0}
        return await self._make(session.TransactionPoolerConnection.of_pool(), pooler, **options)

    async def _direct_pool(self) -> OpenedPool:
        settings = session.SETTINGS | self._options["server_settings"]
        if self._search_path:
            settings["search_path"] = self._search_path
        checked = False

        async def check(connection: Any) -> None:
            nonlocal checked
            # Each connection is checked: the address may lead to a pooler now, whose sessions carry no
            # tenant.
            if await session.is_behind_pooler(connection):
                if not checked:
                    raise _BehindPoolerError
                raise ConnectError(
                    "there is a pooler in front of the server now, which was not there at 'connect'",
                    hint="connect again, or pass pooler='transaction'",
                )
            checked = True

        return await self._make(session.DirectConnection, None, check, server_settings=settings)

    async def _make(
        self,
        connection_class: type[session.DriverConnection],
        pooler: Pooler | None,
        check: Any = None,
        **options: Any,
    ) -> OpenedPool:
        by_transaction = issubclass(connection_class, session.TransactionPoolerConnection)
        if self._on_connect is not None and by_transaction:
            raise ConnectError(
                "on_connect: expected a session for each connection, got a pooler in transaction mode",
                hint="use server_settings, or a pooler in session mode with pooler='session'",
            )
        codecs, round_trip = Codecs(self._codecs), RoundTrip()

        async def set_up(connection: Any) -> None:
            if check is not None:
                await check(connection)
            if issubclass(connection_class, session.SessionPoolerConnection):
                await connection.execute(connection_class.set_settings())
            await codecs.install(connection)
            if self._identify is not None and not by_transaction:
                await self._identify(connection)
            if self._on_connect is not None:
                await prepare_session(self._on_connect, connection)
                connection.on_connect = self._on_connect
            if round_trip.measurements < _MEASURED_CONNECTIONS:
                began = perf_counter()
                await connection.execute("select")
                round_trip.record(perf_counter() - began)

        pool = ConnectionPool(self._connector(connection_class, set_up, **options), **self._pool_options)
        await pool.open()
        return OpenedPool(pool, pooler, round_trip, options.get("statement_cache_size") != 0)

    async def _pooler_keeps_statements(self) -> bool:
        connector = self._connector(session.DriverConnection, statement_cache_size=0)
        connection = await connector.open()
        try:
            return await session.keeps_statements(connection)
        finally:
            connection.terminate()

    def _connector(
        self,
        connection_class: type[session.DriverConnection],
        set_up: Callable[[Any], Awaitable[object]] | None = None,
        **options: Any,
    ) -> Connector:
        return Connector(
            self._connect,
            self._options | options,
            connection_class,
            timeout=self._timeout,
            keepalive=self._keepalive,
            set_up=set_up,
        )


class _BehindPoolerError(Exception):
    """The server is behind a pooler."""
