"""The consumer of the cache's outbox, in the background: one of all processes at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from asyncpg import exceptions

from plainsql.cache import Cache
from plainsql.cache.outbox import OUTBOX, Begin, Fetch, drain, keep_draining
from plainsql.database.pool.contexts import asynccontextmanager
from plainsql.errors import PlainsqlError, SettingsError

__all__ = ["Acquire", "OutboxConsumer", "check_outbox", "drain_all"]

_log = logging.getLogger("plainsql")

_LOCK_SQL = f"select pg_try_advisory_lock(hashtextextended('{OUTBOX}', 0))"

_TURN_S = 2.0
"""Seconds after which another process checks whether there is still a consumer."""

Acquire = Callable[[], AbstractAsyncContextManager[Any]]
"""Acquires a connection, or one that is in a transaction."""

_MAY_DRAIN = """
select to_regclass($1) is not null,
  coalesce(has_table_privilege(to_regclass($1), 'select')
    and has_table_privilege(to_regclass($1), 'update')
    and has_table_privilege(to_regclass($1), 'delete'), false)
"""


async def check_outbox(acquire: Acquire) -> None:
    """Raise ``SettingsError`` if there is no outbox, or if this role may not drain it."""
    async with acquire() as connection:
        try:
            exists, may = await connection.fetchrow(_MAY_DRAIN, OUTBOX)
        except exceptions.InsufficientPrivilegeError:
            exists, may = True, False
    if not exists:
        raise SettingsError(
            f"there is no table {OUTBOX} to drain",
            hint="write its migration with 'plainsql cache triggers --write', then apply it",
        )
    if not may:
        raise SettingsError(
            f"this role may not drain {OUTBOX}",
            hint="grant it usage on the schema, and select, update and delete on the table",
        )


async def drain_all(cache: Cache, in_transaction: Acquire) -> int:
    """Drain all that is in the outbox now, and return the number of records."""
    found, begin = 0, _begin_on(in_transaction)
    while taken := await drain(cache, begin):
        found += taken
    return found


def _begin_on(acquire: Acquire) -> Begin:
    @asynccontextmanager
    async def begin() -> AsyncIterator[Fetch]:
        async with acquire() as connection:
            yield _fetch_on(connection)

    return begin


def _within(connection: Any) -> Begin:
    @asynccontextmanager
    async def begin() -> AsyncIterator[Fetch]:
        async with connection.transaction():
            yield _fetch_on(connection)

    return begin


def _fetch_on(connection: Any) -> Fetch:
    async def fetch(statement: str, limit: int) -> Sequence[Mapping[str, Any]]:
        rows: Sequence[Mapping[str, Any]] = await connection.fetch(statement, limit)
        return rows

    return fetch


class OutboxConsumer:
    """Drains the outbox until it is stopped.

    One process at a time holds the lock and drains, on the connection that holds it. If the connection is
    lost, so is the lock, and another process takes over. Behind a pooler in transaction mode there is no such
    lock, and every process drains; each skips the records that another has taken.
    """

    def __init__(
        self, cache: Cache, acquire: Acquire, in_transaction: Acquire, *, by_transaction: bool
    ) -> None:
        self._cache = cache
        self._acquire, self._in_transaction = acquire, in_transaction
        self._by_transaction = by_transaction
        self._warned = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start in the background."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop, and release the connection. Records that were not handled yet stay in the outbox."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            try:
                if self._by_transaction:
                    await keep_draining(self._cache, _begin_on(self._in_transaction), every=_TURN_S / 4)
                else:
                    await self._take_turn()
                self._warned = False
            except (
                PlainsqlError,
                exceptions.PostgresError,
                exceptions.InterfaceError,
                exceptions.InternalClientError,
                OSError,
            ) as error:
                if not self._warned:
                    self._warned = True
                    _log.warning("the cache's outbox cannot be drained: %s", type(error).__name__)
            await asyncio.sleep(_TURN_S)

    async def _take_turn(self) -> None:
        async with self._acquire() as connection:
            if await connection.fetchval(_LOCK_SQL):
                await keep_draining(self._cache, _within(connection), errors=())
