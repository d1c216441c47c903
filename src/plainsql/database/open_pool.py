"""A pool of connections to one database, opened: behind a pooler or not, and with its codecs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Any, NamedTuple

import asyncpg
from asyncpg import exceptions

from plainsql.database import session
from plainsql.database.borrowing import Pooler
from plainsql.database.codecs import Codecs
from plainsql.database.cost import Floor
from plainsql.database.leases import Leases

__all__ = ["OpenedPool", "open_pool"]

Identify = Callable[[Any], Awaitable[None]]
"""Asks a connection which server it is on."""

_MEASURED = 3
"""On so many connections the round trip is measured when they open."""


class OpenedPool(NamedTuple):
    """The connections of a database, its first ones open."""

    pool: Any
    """asyncpg's."""
    leases: Leases
    pooler: Pooler | None
    floor: Floor
    """What a round trip took on the first connections."""


async def open_pool(
    url: str,
    pool_options: Mapping[str, Any],
    lease_options: Mapping[str, Any],
    pooler: Pooler | None,
    identify: Identify | None = None,
) -> OpenedPool:
    """Open the first connections of a pool, and find out what stands between it and the server.

    ``identify`` is awaited with each connection that is opened, before it serves anybody; not behind a pooler
    in transaction mode, where a connection is on no one server.

    Raises what opening a connection raises.
    """
    return await _Opener(url, pool_options, lease_options, identify).open(pooler)


class _Opener:
    def __init__(
        self,
        url: str,
        pool_options: Mapping[str, Any],
        lease_options: Mapping[str, Any],
        identify: Identify | None,
    ) -> None:
        self._url = url
        self._identify = identify
        self._pool_options = pool_options
        """Of asyncpg's pool."""
        self._lease_options = lease_options

    async def open(self, pooler: Pooler | None) -> OpenedPool:
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
            return await self._make(session.SessionPooledConnection, pooler)
        options = {} if await self._pooler_keeps_statements() else {"statement_cache_size": 0}
        return await self._make(session.TransactionPooledConnection, pooler, **options)

    async def _direct_pool(self) -> OpenedPool:
        options = dict(self._pool_options)
        options["server_settings"] = session.SETTINGS | options["server_settings"]
        checked = False

        async def check(connection: Any) -> None:
            nonlocal checked
            if not checked and await session.is_behind_pooler(connection):
                raise _BehindPoolerError
            checked = True

        return await self._make(session.DirectConnection, None, check, **options)

    async def _make(
        self, connection_class: type, pooler: Pooler | None, check: Any = None, **options: Any
    ) -> OpenedPool:
        codecs, floor = Codecs(), Floor()

        async def install(connection: Any) -> None:
            if check is not None:
                await check(connection)
            if connection_class is session.SessionPooledConnection:
                await connection.execute(session.set_settings())
            await codecs.install(connection)
            if self._identify is not None and connection_class is not session.TransactionPooledConnection:
                await self._identify(connection)
            if floor.measurements < _MEASURED:
                began = perf_counter()
                await connection.execute("select")
                floor.measured(perf_counter() - began)

        create_pool: Any = asyncpg.create_pool  # untyped
        pool: Any = create_pool(
            self._url, init=install, connection_class=connection_class, **(dict(self._pool_options) | options)
        )
        await pool
        leases = Leases(pool, **self._lease_options)
        try:
            await leases.open()
        except BaseException:
            pool.terminate()
            raise
        return OpenedPool(pool, leases, pooler, floor)

    async def _pooler_keeps_statements(self) -> bool:
        connect_to: Any = asyncpg.connect
        connection = await connect_to(
            self._url,
            timeout=self._pool_options["timeout"],
            server_settings=self._pool_options["server_settings"],
            statement_cache_size=0,
        )
        try:
            return await session.keeps_statements(connection)
        finally:
            await connection.close()


class _BehindPoolerError(Exception):
    """What answers is not the server itself."""
