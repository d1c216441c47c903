"""A pool of connections to one database, opened: behind a pooler or not, and with its codecs."""

from __future__ import annotations

from collections.abc import Mapping
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
    pool_options: Mapping[str, Any], lease_options: Mapping[str, Any], pooler: Pooler | None
) -> OpenedPool:
    """Open the first connections of a pool, and find out what stands between it and the server.

    Raises what opening a connection raises.
    """
    return await _Opener(pool_options, lease_options).open(pooler)


class _Opener:
    def __init__(self, pool_options: Mapping[str, Any], lease_options: Mapping[str, Any]) -> None:
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
            if floor.measurements < _MEASURED:
                began = perf_counter()
                await connection.execute("select")
                floor.measured(perf_counter() - began)

        create_pool: Any = asyncpg.create_pool  # untyped
        pool: Any = create_pool(
            init=install, connection_class=connection_class, **(dict(self._pool_options) | options)
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
        connection = await self._pool_options["connect"](
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
