"""The link of replicas: reads that may go to one go there, and everything else to the primary.

Only a statement that is proved to change nothing may run on a replica, so it may run again: whatever a
replica answers but rows, the read runs on the primary, and the caller gets the primary's result or error.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from time import perf_counter
from typing import Any, Final, TypeVar

from asyncpg import exceptions

from plainsql.database.execution.link import CopyWork, Executes, Link
from plainsql.database.pool.call import Call
from plainsql.database.pool.lost_connection import is_lost
from plainsql.database.pool.tenant_pool import AroundCommit, TenantPool
from plainsql.database.replicas.replica import Replica
from plainsql.database.replicas.replica_set import ReplicaSet
from plainsql.database.replicas.scoped_pool import Demand, ScopedPool
from plainsql.errors import ConnectError, ContractError, PlainsqlError, PoolTimeoutError
from plainsql.query import Args, CompiledQuery

__all__ = ["Routed"]

R = TypeVar("R")
T = TypeVar("T")

OnServer = Callable[[Executes, TenantPool], Coroutine[Any, Any, R]]
"""A call on a server, given its chain and its pool."""

_OF_THE_SERVER: Final = ConnectError | ContractError | PoolTimeoutError
"""plainsql's own errors that another server may not have: a replica may lag behind a migration."""


class Routed(Link):
    """Selects the server of each read."""

    __slots__ = ("_caches", "_name", "_replicas")

    def __init__(self, following: Executes, replicas: ReplicaSet | None, name: str, *, caches: bool) -> None:
        super().__init__(following)
        self._replicas = replicas
        self._name = name
        """The primary's."""
        self._caches = caches
        """True if results of cached queries are stored: they come from the primary."""

    def run(
        self, query: CompiledQuery[Any, R], args: Args, pool: TenantPool, call: Call | None, /
    ) -> Coroutine[Any, Any, R]:
        demand = self._demand(query, pool)
        if demand is not None:
            return self._read(demand, pool, call, lambda chain, on: chain.run(query, args, on, call))
        work = self._next.run(query, args, pool, call)
        if call is None and not (isinstance(pool, ScopedPool) and pool.scope.is_monotonic):
            return work
        return self._on_primary(work, pool, call, is_read=query.read_only)

    def fresh(
        self, query: CompiledQuery[Any, R], args: Args, pool: TenantPool, call: Call | None, /
    ) -> Coroutine[Any, Any, R]:
        return self._on_primary(
            self._next.fresh(query, args, pool, call), pool, call, is_read=query.read_only
        )

    def batch(
        self, query: CompiledQuery[Any, R], sets: Sequence[Args], pool: TenantPool, call: Call | None, /
    ) -> Coroutine[Any, Any, list[R]]:
        demand = self._demand(query, pool)
        if demand is not None:
            return self._read(demand, pool, call, lambda chain, on: chain.batch(query, sets, on, call))
        return self._on_primary(
            self._next.batch(query, sets, pool, call), pool, call, is_read=query.read_only
        )

    async def stream(
        self,
        query: CompiledQuery[T, Any],
        args: Args,
        pool: TenantPool,
        call: Call | None,
        around: AroundCommit | None = None,
        /,
    ) -> AsyncIterator[T]:
        """Iterate over rows. Before the first row, a stream that fails on a replica begins on the primary."""
        demand = self._demand(query, pool)
        replica = None if demand is None else await self._select(demand, pool)
        if replica is not None and replica.server is not None and isinstance(pool, ScopedPool):
            epoch, generation = replica.epoch, replica.generation
            at_home = _generation_at_home(pool, replica)
            rows = replica.server.chain.stream(query, args, pool.on(replica.server.pool), call)
            is_first = True
            replica.in_flight += 1
            try:
                async for row in rows:
                    if is_first:
                        if not replica.has_kept(epoch, at_home):
                            break
                        is_first = False
                        _saw(pool, replica, generation, call)
                    yield row
                if not is_first or replica.has_kept(epoch, at_home):
                    _saw(pool, replica, generation, call)
                    return
            except Exception as error:
                if not is_first or not _may_run_elsewhere(error):
                    raise
                replica.read_failed(was_lost=is_lost(error))
            finally:
                replica.in_flight -= 1
                if (close := getattr(rows, "aclose", None)) is not None:
                    await close()
        if call is not None:
            call.server = self._name
        async for row in self._next.stream(query, args, pool, call, around):
            yield row

    def copy_out(
        self, query: CompiledQuery[Any, Any], copy: CopyWork, pool: TenantPool, call: Call | None, /
    ) -> Coroutine[Any, Any, int]:
        # Part of what a replica sent may be written when it fails: it runs on the primary.
        return self._on_primary(self._next.copy_out(query, copy, pool, call), pool, call, is_read=True)

    def _demand(self, query: CompiledQuery[Any, Any], pool: TenantPool) -> Demand | None:
        """Return the demands of a query on replicas; None if it runs on the primary."""
        if not query.read_only or self._replicas is None or not isinstance(pool, ScopedPool):
            return None
        if query.cache is not None and self._caches:
            return None
        if pool.demand is not None:
            return pool.demand
        return None if query.replica is None else Demand(query.replica)

    async def _select(self, demand: Demand, pool: TenantPool) -> Replica | None:
        replicas = self._replicas
        if replicas is None or not isinstance(pool, ScopedPool):
            return None
        scope = pool.scope
        if (replica := replicas.select(scope, demand)) is not None:
            return replica
        pool.check_loop()
        # What others write through the same database while this read waits is none of its matter.
        return await replicas.wait(scope if scope.is_monotonic else scope.copy(), demand)

    async def _read(self, demand: Demand, pool: TenantPool, call: Call | None, on_server: OnServer[R]) -> R:
        replica = await self._select(demand, pool)
        if replica is not None and replica.server is not None and isinstance(pool, ScopedPool):
            server, epoch, generation = replica.server, replica.epoch, replica.generation
            at_home = _generation_at_home(pool, replica)
            began = perf_counter()
            replica.in_flight += 1
            try:
                result = await on_server(server.chain, pool.on(server.pool))
            except Exception as error:
                if not _may_run_elsewhere(error):
                    raise
                replica.read_failed(was_lost=is_lost(error) or isinstance(error, ConnectError))
            else:
                if replica.has_kept(epoch, at_home):
                    replica.answered(perf_counter() - began)
                    _saw(pool, replica, generation, call)
                    return result
                # Its connection may be to a server that has less than what was known of the former one.
                replica.read_failed(was_lost=False)
            finally:
                replica.in_flight -= 1
        return await self._on_primary(on_server(self._next, pool), pool, call, is_read=True)

    async def _on_primary(
        self, work: Coroutine[Any, Any, R], pool: TenantPool, call: Call | None, *, is_read: bool
    ) -> R:
        if call is not None:
            call.server = self._name
        try:
            return await work
        finally:
            if is_read and isinstance(pool, ScopedPool) and pool.scope.is_monotonic:
                pool.scope.saw_primary()


def _generation_at_home(pool: ScopedPool, replica: Replica) -> int | None:
    """Return the generation of a replica that is selected because the scope's last reads were there alone;
    None if it is proved by its position.
    """
    scope = pool.scope
    return replica.generation if scope.is_monotonic and not scope.is_resolved else None


def _saw(pool: ScopedPool, replica: Replica, generation: int, call: Call | None) -> None:
    if call is not None:
        call.server = replica.name
    if pool.scope.is_monotonic:
        pool.scope.saw_replica(replica, generation)


def _may_run_elsewhere(error: Exception) -> bool:
    """Return whether a read that failed on a replica runs on the primary: unless the caller's time is up, or
    its call or its data are wrong.
    """
    if isinstance(error, exceptions.PostgresError | _OF_THE_SERVER) or is_lost(error):
        return True
    return not isinstance(error, PlainsqlError | TimeoutError)
