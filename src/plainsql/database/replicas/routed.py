"""The link of replicas: reads that may go to one go there, and everything else to the primary.

Only a statement that is proved to change nothing may run on a replica, so it may run again: whatever a
replica answers but rows, the read runs on the primary, and the caller gets the primary's result or error.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from plainsql.database.execution.copy_out import CopyOut
from plainsql.database.execution.link import CopyWork, Executes, Link
from plainsql.database.pool.call import Call
from plainsql.database.pool.tenant_pool import AroundCommit, TenantPool
from plainsql.database.replicas.replica_set import ReplicaSet
from plainsql.database.replicas.replica_use import (
    ReplicaUse,
    add_replica_note,
    find_replica,
    is_of_server,
    may_run_elsewhere,
)
from plainsql.database.replicas.scoped_pool import ScopedPool
from plainsql.query import Args, CompiledQuery
from plainsql.replication.demand import Demand

__all__ = ["Routed"]

R = TypeVar("R")
T = TypeVar("T")

OnServer = Callable[[Executes, TenantPool], Coroutine[Any, Any, R]]
"""A call on a server, given its chain and its pool."""


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
        use = None if demand is None else await find_replica(self._replicas, pool, demand)
        if use is not None:
            rows = use.server.chain.stream(query, args, use.pool, call)
            is_first = is_kept = True
            try:
                with use:
                    async for row in rows:
                        if is_first:
                            if not (is_kept := use.is_kept):
                                break
                            is_first = False
                            use.saw(call)
                        yield row
                if is_kept and (not is_first or use.is_kept):
                    use.saw(call)
                    use.replica.served()
                    return
                use.failed()
            except Exception as error:
                if not is_first or not may_run_elsewhere(error):
                    add_replica_note(error, use.replica.name)
                    raise
                use.failed(error)
            finally:
                if (close := getattr(rows, "aclose", None)) is not None:
                    await close()
        if call is not None:
            call.server = self._name
        async for row in self._next.stream(query, args, pool, call, around):
            yield row

    async def copy_out(
        self, query: CompiledQuery[Any, Any], copy: CopyWork, pool: TenantPool, call: Call | None, /
    ) -> int:
        """Copy rows out. A copy that fails on a replica begins again on the primary, unless a function or an
        object of the caller's has taken part of it.
        """
        demand = self._demand(query, pool)
        use = None
        if demand is not None and isinstance(copy, CopyOut):
            use = await find_replica(self._replicas, pool, demand)
        if use is not None and isinstance(copy, CopyOut):
            admit = partial(_admit, use, call)
            try:
                with use:
                    copied = await use.server.chain.copy_out(
                        query, partial(copy, admit=admit), use.pool, call
                    )
            except Exception as error:
                if not copy.may_begin_again or not (isinstance(error, _NotKeptError) or is_of_server(error)):
                    add_replica_note(error, use.replica.name)
                    raise
                use.failed(error)
            else:
                use.saw(call)
                use.replica.served()
                return copied
        return await self._on_primary(self._next.copy_out(query, copy, pool, call), pool, call, is_read=False)

    def _demand(self, query: CompiledQuery[Any, Any], pool: TenantPool) -> Demand | None:
        """Return the demands of a query on replicas; None if it runs on the primary."""
        if not query.read_only or self._replicas is None or not isinstance(pool, ScopedPool):
            return None
        if query.cache is not None and self._caches:
            return None
        if pool.demand is not None:
            return pool.demand
        return None if query.replica is None else Demand(query.replica)

    async def _read(self, demand: Demand, pool: TenantPool, call: Call | None, on_server: OnServer[R]) -> R:
        use = await find_replica(self._replicas, pool, demand)
        if use is not None:
            try:
                with use:
                    result = await on_server(use.server.chain, use.pool)
            except Exception as error:
                if not may_run_elsewhere(error):
                    raise
                use.failed(error)
            else:
                if use.is_kept:
                    use.answered()
                    use.saw(call)
                    return result
                # Its connection may be to a server that has less than what was known of the former one.
                use.failed()
        return await self._on_primary(on_server(self._next, pool), pool, call, is_read=True)

    async def _on_primary(
        self, work: Coroutine[Any, Any, R], pool: TenantPool, call: Call | None, *, is_read: bool
    ) -> R:
        """Run work on the primary. ``is_read``: it is one that the pool does not record."""
        if call is not None:
            call.server = self._name
        if isinstance(pool, ScopedPool) and pool.scope.may_be_ahead:
            try:
                await pool.until_visible()
            except BaseException:
                work.close()
                raise
        try:
            return await work
        finally:
            if is_read and isinstance(pool, ScopedPool) and pool.scope.is_monotonic:
                pool.scope.saw_primary()


class _NotKeptError(Exception):
    """A replica may have less than what was known of it."""


def _admit(use: ReplicaUse, call: Call | None) -> None:
    """Record the snapshot of a copy before the caller gets anything of it."""
    if not use.is_kept:
        raise _NotKeptError
    use.saw(call)
