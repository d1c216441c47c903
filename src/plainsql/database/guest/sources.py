"""The connections and pools that ``plainsql.over`` takes, and the asyncpg connection behind each.

SQLAlchemy is never imported here: an object of it can be given only if the program has imported it.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from plainsql.codec import NO_CODECS, CodecMap
from plainsql.database.guest.guest_connection import GuestConnection, guest_on
from plainsql.database.pool.contexts import asynccontextmanager
from plainsql.errors import BindError, PlainsqlError

__all__ = ["Lend", "is_pool", "lender"]

Lend = Callable[[], AbstractAsyncContextManager[GuestConnection]]
"""Lends the connection of one call, or of one block."""

_EXPECTED = (
    "a connection or a pool of asyncpg, or an AsyncConnection or AsyncSession of SQLAlchemy on asyncpg"
)


def lender(source: Any, codecs: CodecMap = NO_CODECS) -> Lend:
    """Return the function that lends the connections of a source, with the project's codecs.

    Raises ``BindError`` if plainsql cannot run queries over it.
    """
    if isinstance(source, PoolConnectionProxy):
        return lambda: _of_proxy(source, codecs)
    if isinstance(source, asyncpg.Connection):
        return lambda: _of_connection(source, codecs)
    if is_pool(source):
        return lambda: _of_pool(source, codecs)
    asyncio_part: Any = sys.modules.get("sqlalchemy.ext.asyncio")
    if asyncio_part is not None:
        if isinstance(source, asyncio_part.AsyncConnection):
            return lambda: _of_sqlalchemy(source, codecs)
        if isinstance(source, asyncio_part.AsyncSession | asyncio_part.async_scoped_session):
            return lambda: _of_session(source, codecs)
    raise _refusal(source)


def is_pool(source: Any) -> bool:
    """Return whether each call gets a connection of its own."""
    return isinstance(source, asyncpg.Pool)


def _refusal(source: Any) -> BindError:
    kind = type(source)
    module = kind.__module__.partition(".")[0]
    hint = None
    if hasattr(source, "run") and hasattr(source, "execute_many"):
        hint = "it runs queries already: call the query with it"
    elif hasattr(source, "__await__") and not hasattr(source, "acquire"):
        hint = "await it first"
    elif module == "sqlalchemy" and "Engine" in kind.__name__:
        hint = "open a connection of the engine: 'async with engine.connect() as connection'"
    elif module == "sqlalchemy" or (module == "psycopg" and not kind.__name__.startswith("Async")):
        hint = "use 'plainsql.sync.over' for a synchronous connection"
    elif module == "psycopg":
        hint = "connect with asyncpg, or use 'plainsql.sync.over' with a synchronous connection of psycopg"
    return BindError(f"over(): expected {_EXPECTED}, got {kind.__name__}", hint=hint)


@asynccontextmanager
async def _of_connection(connection: Any, codecs: CodecMap) -> AsyncIterator[GuestConnection]:
    yield await guest_on(connection, codecs)


@asynccontextmanager
async def _of_proxy(proxy: Any, codecs: CodecMap) -> AsyncIterator[GuestConnection]:
    if proxy._con is None:
        raise PlainsqlError(
            "over(): the connection has been released to its pool",
            hint="use it inside its 'async with pool.acquire()' block",
        )
    yield await guest_on(proxy._con, codecs)


@asynccontextmanager
async def _of_pool(pool: Any, codecs: CodecMap) -> AsyncIterator[GuestConnection]:
    async with pool.acquire() as proxy:
        yield await guest_on(proxy._con, codecs)


@asynccontextmanager
async def _of_session(session: Any, codecs: CodecMap) -> AsyncIterator[GuestConnection]:
    if session.autoflush:
        await session.flush()
    async with _of_sqlalchemy(await session.connection(), codecs) as guest:
        yield guest


@asynccontextmanager
async def _of_sqlalchemy(connection: Any, codecs: CodecMap) -> AsyncIterator[GuestConnection]:
    pooled = await connection.get_raw_connection()
    driver = pooled.driver_connection
    if isinstance(driver, PoolConnectionProxy):
        driver = driver._con
    if not isinstance(driver, asyncpg.Connection):
        raise BindError(
            f"over(): expected SQLAlchemy's connection on asyncpg, got one on {_driver_name(driver)}",
            hint="create the engine with 'postgresql+asyncpg://…'",
        )
    if not driver.is_in_transaction() and not getattr(pooled.dbapi_connection, "autocommit", False):
        # SQLAlchemy begins its transaction with its first statement.
        await connection.exec_driver_sql("select 1")
    yield await guest_on(driver, codecs)


def _driver_name(driver: Any) -> str:
    return type(driver).__module__.partition(".")[0]
