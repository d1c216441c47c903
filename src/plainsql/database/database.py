"""``Database``, the result of ``plainsql.connect``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import NamedTuple, Self
from weakref import WeakSet

from plainsql.database.caching.outbox_consumer import OutboxConsumer, check_outbox
from plainsql.database.health_check import check_health
from plainsql.database.listen import Listener
from plainsql.database.locks import Locks
from plainsql.database.pool.tenant_pool import TenantPool
from plainsql.database.reading_executor import ReadingExecutor
from plainsql.database.replicas.scoped_pool import ScopedPool
from plainsql.database.state import DatabaseState
from plainsql.errors import PlainsqlError
from plainsql.health.results import Health
from plainsql.options import check
from plainsql.replication.read_scope import ReadScope
from plainsql.replication.replica_stats import ReplicaStats
from plainsql.tenancy import tenant_of

__all__ = ["Database", "PoolStats", "TenantDatabase"]


class _Counts(NamedTuple):
    open: int
    in_use: int
    idle: int
    waiting: int
    max_size: int


class PoolStats(_Counts):
    """The number of connections of a database, and of calls that wait for one."""

    replicas: tuple[ReplicaStats, ...] = ()
    """The state of each replica."""


class TenantDatabase(ReadingExecutor):
    """A database as one tenant sees it: an executor whose sessions carry the tenant's settings. It holds no
    connection.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<TenantDatabase {self._state.pool.name}>"


class Database(ReadingExecutor):
    """A PostgreSQL database: an executor that serves any number of tasks at the same time.

    Made by ``plainsql.connect``. A call holds a connection of the pool while it runs; concurrent calls of the
    same read may share one.
    """

    def __init__(self, state: DatabaseState, on_close: Callable[[], object]) -> None:
        pool = TenantPool(state.pool, None)
        super().__init__(state, pool if state.replicas is None else ScopedPool(state.pool, None, ReadScope()))
        self._connections = state.pool.connections
        self._on_close = on_close
        self._listeners: WeakSet[Listener] = WeakSet()
        self._outbox_consumer: OutboxConsumer | None = None
        by_transaction = state.pool.by_transaction
        self._locks = Locks(
            partial(self._pool.in_transaction if by_transaction else self._pool.acquire, use="lock"),
            by_transaction=by_transaction,
        )

    def tenant(self, tenant_id: object, *, user_id: object = None) -> TenantDatabase:
        """Return the database as a tenant sees it, for row-level security. It costs next to nothing: make one
        for each request.

        Each of its calls has the settings ``app.jwt_tenant`` and ``app.jwt_user`` (``connect`` can name
        others), as ``str`` of these arguments; ``app.jwt_user`` is empty without a user. They end with the
        call, with the transaction, or with the block of ``acquire``.
        """
        check("tenant", tenant_id=tenant_id, user_id=user_id)
        pool = self._state.pool
        tenant = tenant_of(pool.tenant_settings, tenant_id, user_id)
        return TenantDatabase(self._state, self._pool.of_tenant(tenant))

    def lock(self, key: str, *, wait: bool = True) -> AbstractAsyncContextManager[bool]:
        """Hold the advisory lock of PostgreSQL with this name, on a connection of its own.

        Yields True if it is held. With ``wait=False`` it yields False immediately if it is held elsewhere.

        Raises ``ConnectionLostError``, which is a ``ConnectError`` too, if the connection is lost: before the
        lock is held, or at the end of the block if the lock was lost inside.
        """
        check("lock", key=key, wait=wait)
        return self._locks.hold(key, wait=wait)

    def listen(self, channel: str, *, heartbeat: float = 30.0) -> Listener:
        """Iterate over the notifications of a channel, on a connection of its own.

        They arrive from the first step of ``async for``, or from the beginning of ``async with db.listen(…)
        as notifications``.

        If the connection is lost, it connects again and goes on. Notifications that were sent in between are
        lost; one with ``gap=True`` marks their place. ``heartbeat``: seconds of silence after which it checks
        the connection, and seconds that the check may take.
        """
        check("listen", channel=channel, heartbeat=heartbeat)
        if self._state.pool.by_transaction:
            raise PlainsqlError(
                "listen(): behind a pooler in transaction mode no connection stays ours",
                hint="connect to the server itself for this",
            )
        listener = Listener(partial(self._pool.acquire, use="listen"), channel, heartbeat)
        self._listeners.add(listener)
        return listener

    @property
    def name(self) -> str:
        """The database's URL without its password."""
        return self._state.pool.name

    def stats(self) -> PoolStats:
        """Return the number of connections, and of calls that wait for one; and the same of each replica."""
        connections = self._connections
        in_use, idle = connections.in_use, connections.idle
        stats = PoolStats(in_use + idle, in_use, idle, connections.waiting, connections.max_size)
        if (replicas := self._state.replicas) is not None:
            stats.replicas = tuple(replica.stats() for replica in replicas.replicas)
        return stats

    async def check(
        self, *, layer: str | None = None, migrations: bool = True, timeout: float = 5.0
    ) -> Health:
        """Check the server, the role, TLS, pgvector, the migrations and Redis, as ``db doctor`` does.

        Each result has a name, a state (``ok``, ``warning``, ``failed``, ``skipped``), a text without secrets
        and a hint; ``.ok`` is true if no check failed. A failed check raises nothing.

        Args:
            layer: check this layer alone, and also its extensions, its indexes, and whether the role can run
                each of its queries.
            migrations: check the migrations of the project and of the layers in the database.
            timeout: seconds after which PostgreSQL, or Redis, counts as failed.

        Raises ``SettingsError`` if there is no layer of that name.
        """
        check("check", layer=layer, migrations=migrations, timeout=timeout)
        return await check_health(
            self._state, self._pool, layer=layer, migrations=migrations, timeout=timeout
        )

    async def _drain_outbox(self) -> None:
        """Start to drain the cache's outbox. Raises ``SettingsError`` if there is none."""
        pool = TenantPool(self._state.pool, None)  # its writes are no reader's own
        await check_outbox(pool.acquire)
        if self._state.cached is not None:
            self._outbox_consumer = OutboxConsumer(
                self._state.cached.queries.cache,
                partial(pool.acquire, use="outbox"),
                partial(pool.in_transaction, use="outbox"),
                by_transaction=self._state.pool.by_transaction,
            )
            self._outbox_consumer.start()

    async def close(self, timeout: float | None = 10.0) -> None:
        """Let running queries end, then close all connections.

        After ``timeout`` seconds the server cancels what still runs, and the connections are cut. That takes
        little more than a second.
        """
        check("close", timeout=timeout)
        connections, replicas = self._connections, self._state.replicas
        if connections.is_stranded:
            await self._close_stranded()
            return
        connections.check_loop()
        for listener in self._listeners:
            listener.stop()
        try:
            async with asyncio.timeout(timeout):
                if self._outbox_consumer is not None:
                    await self._outbox_consumer.stop()
                if replicas is not None:
                    await replicas.close()
                await connections.close()
        except TimeoutError:
            if replicas is not None:
                replicas.terminate()
            await connections.cut()
        except BaseException:
            if replicas is not None:
                replicas.terminate()
            connections.terminate()
            raise
        finally:
            try:
                if self._state.cached is not None:
                    await self._state.cached.queries.cache.close()
            finally:
                # The embedded server, if this database is one: stopping it waits for its processes.
                await asyncio.to_thread(self._on_close)

    async def _close_stranded(self) -> None:
        """Close what can be closed if the event loop is closed, or in a forked child."""
        if self._connections.is_forked:
            return  # the connections and the embedded server are the parent's
        self._connections.abandon()
        if self._state.replicas is not None:
            self._state.replicas.abandon()
        await asyncio.to_thread(self._on_close)

    def __repr__(self) -> str:
        return f"<Database {self._state.pool.name}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
