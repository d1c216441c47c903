"""``Database``: what ``plainsql.connect`` makes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Self, TypeVar

from asyncpg import exceptions

from plainsql.database.listening import Notification, listen
from plainsql.database.one_shot import Core, OneShot
from plainsql.database.transaction import Isolation, Transaction
from plainsql.errors import PlainsqlError

__all__ = ["Database", "PoolStats", "TenantDatabase"]

R = TypeVar("R")


class PoolStats(NamedTuple):
    """The connections of a database, and who waits for one."""

    open: int
    in_use: int
    idle: int
    waiting: int
    max_size: int


class TenantDatabase(OneShot):
    """A database as one tenant sees it: an executor whose sessions carry the tenant's settings. Holds no
    connection.
    """

    def __repr__(self) -> str:
        return f"<TenantDatabase {self._core.name}>"


class Database(OneShot):
    """A PostgreSQL database: an executor that serves any number of tasks at once.

    Made by ``plainsql.connect``. A call takes a connection of the pool for as long as it runs; concurrent
    calls of the same read share one.
    """

    def __init__(
        self, core: Core, pool: Any, tenant_settings: tuple[str, str], on_close: Callable[[], object]
    ) -> None:
        super().__init__(core, None)
        self._pool = pool
        self._tenant_settings = tenant_settings
        self._on_close = on_close

    def tenant(self, tenant_id: object, *, user_id: object = None) -> TenantDatabase:
        """Return the database as a tenant sees it, for row-level security. Costs nothing; make one for each
        request.

        Every session it uses has the settings ``app.jwt_tenant`` and ``app.jwt_user`` (``connect`` can name
        others), as ``str`` of what is given here; ``app.jwt_user`` is empty without a user.
        """
        tenant = str(tenant_id)
        if tenant_id is None or not tenant:
            raise PlainsqlError("tenant(): expected a tenant's id, got none")
        user = "" if user_id is None else str(user_id)
        names = self._tenant_settings
        return TenantDatabase(self._core, ((names[0], tenant), (names[1], user)))

    async def retry(
        self,
        work: Callable[[Transaction], Awaitable[R]],
        *,
        attempts: int = 5,
        isolation: Isolation | None = "serializable",
        on_retry: Callable[[int, BaseException], object] | None = None,
    ) -> R:
        """Run ``work`` in a transaction, again where it failed by a serialization failure or a deadlock.

        Between attempts it waits a random time that grows, up to a second. ``on_retry`` is told the number of
        the attempt that failed and its error. The last error is raised with a note of how many attempts were
        made.
        """
        for attempt in range(1, attempts + 1):
            try:
                async with self.transaction(isolation=isolation) as transaction:
                    return await work(transaction)
            except (exceptions.SerializationError, exceptions.DeadlockDetectedError) as error:
                if attempt == attempts:
                    error.add_note(f"after {attempts} attempts")
                    raise
                if on_retry is not None:
                    on_retry(attempt, error)
                # Full jitter: two that collided do not collide again.
                await asyncio.sleep(random.uniform(0, min(0.01 * 2**attempt, 1.0)))
        raise ValueError(f"attempts: expected at least 1, got {attempts}")

    @asynccontextmanager
    async def lock(self, key: str, *, wait: bool = True) -> AsyncIterator[bool]:
        """Hold an advisory lock of PostgreSQL by the name of ``key``, on a connection of its own.

        Yields whether it is held: always True with ``wait``; False at once without, where another holds it.
        """
        async with self.acquire() as connection:
            function = "pg_advisory_lock" if wait else "pg_try_advisory_lock"
            held = await connection.fetchval(f"select {function}(hashtextextended($1, 0))", key)
            # It is released with the session's reset, whatever happens; explicitly, so that the next need not
            # wait for it.
            try:
                yield held is not False
            finally:
                if held is not False and not connection.is_closed():
                    await connection.execute("select pg_advisory_unlock(hashtextextended($1, 0))", key)

    def listen(self, channel: str) -> AsyncIterator[Notification]:
        """Iterate over the notifications of a channel, from now on, on a connection of its own.

        It survives the loss of its connection: it connects again and goes on. What was sent in between is
        lost; a notification whose ``gap`` is true says so.
        """
        return listen(self.acquire, channel)

    def stats(self) -> PoolStats:
        """Return how many connections there are, and how many calls wait for one."""
        leases = self._leases
        return PoolStats(
            leases.in_use + leases.idle, leases.in_use, leases.idle, leases.waiting, leases.max_size
        )

    async def close(self, timeout: float | None = 10.0) -> None:
        """Let running queries end, then close all connections; after ``timeout`` seconds, at once."""
        try:
            async with asyncio.timeout(timeout):
                await self._leases.close()
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()
        finally:
            # The embedded server, where this database is one: stopping it waits for its processes.
            await asyncio.to_thread(self._on_close)

    def __repr__(self) -> str:
        return f"<Database {self._core.name}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
