"""A read-only transaction on one replica, from its beginning to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from typing import TypeVar

from plainsql.database.pool.contexts import asynccontextmanager
from plainsql.database.pool.lost_connection import ConnectionLostError
from plainsql.database.pool.pooled_connection import PooledConnection
from plainsql.database.pool.tenant_pool import TenantPool
from plainsql.database.replicas.replica import ReplicaServer
from plainsql.database.replicas.replica_set import ReplicaSet
from plainsql.database.replicas.replica_use import (
    ReplicaUse,
    add_replica_note,
    find_replica,
    may_run_elsewhere,
)
from plainsql.database.replicas.scoped_pool import ScopedPool
from plainsql.replication.demand import Demand
from plainsql.replication.read_scope import ReadScope

__all__ = ["begun_on_replica"]

T = TypeVar("T")

Begin = Callable[[ReplicaServer, TenantPool], AbstractAsyncContextManager[T]]
"""Begins a read-only transaction on a server, with its pool."""


class BlockPool(TenantPool):
    """The pool of a replica for a transaction."""

    __slots__ = ()

    def explain(
        self, raised: BaseException, pooled: PooledConnection, *, read_only: bool = False
    ) -> BaseException:
        error = super().explain(raised, pooled, read_only=read_only)
        add_replica_note(error, self._pool.name)
        return error

    def verifier(self, pooled: PooledConnection) -> Callable[[], object]:
        settings = pooled.connection.get_settings()

        def verify() -> None:
            # A server that is promoted reports it before the end of its next statement.
            if settings.in_hot_standby != "on":
                raise ConnectionLostError("the server is no standby any more: it was promoted")

        return verify


@asynccontextmanager
async def begun_on_replica(
    replicas: ReplicaSet, pool: ScopedPool, demand: Demand, begin: Begin[T]
) -> AsyncIterator[T | None]:
    """Run a block in a transaction on a replica. Yields None if it has to run on the primary."""
    use = await find_replica(replicas, pool, demand)
    opened = None if use is None else begin(use.server, BlockPool(use.server.pool, pool.tenant))
    transaction = None if use is None or opened is None else await _entered(opened, use)
    if use is None or opened is None or transaction is None:
        yield None
        return
    async with AsyncExitStack() as stack:
        stack.push_async_exit(opened)
        with use, _recording(pool.scope, use):
            yield transaction
    use.replica.served()


@contextmanager
def _recording(scope: ReadScope, use: ReplicaUse) -> Iterator[None]:
    """Record in a session what a block sees."""
    if not scope.is_monotonic:
        yield
        return
    scope.begin_block()
    try:
        yield
    finally:
        scope.end_block()
        if use.is_kept:
            use.saw()
        else:  # it was promoted, or has crashed: the primary names a position later
            scope.saw_primary()


async def _entered(opened: AbstractAsyncContextManager[T], use: ReplicaUse) -> T | None:
    """Begin the transaction; None if the replica refuses it, or has less than what was known of it.

    Its connection is open: from here on the server cannot have less without ending it.
    """
    try:
        with use:
            transaction = await opened.__aenter__()
    except Exception as error:
        if not may_run_elsewhere(error):
            raise
        use.failed(error)
        return None
    if use.is_kept:
        return transaction
    await opened.__aexit__(None, None, None)
    use.failed()
    return None
