"""Views of a database that read from its replicas."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import replace
from typing import Any, Self, TypeVar

from asyncpg import exceptions

from plainsql.database.executor import Executor
from plainsql.database.pool.contexts import asynccontextmanager
from plainsql.database.pool.tenant_pool import TenantPool
from plainsql.database.replicas.replica import ReplicaServer
from plainsql.database.replicas.replica_transaction import begun_on_replica
from plainsql.database.replicas.replica_use import may_run_elsewhere
from plainsql.database.replicas.routed import Routed
from plainsql.database.replicas.scoped_pool import ScopedPool
from plainsql.database.state import DatabaseState
from plainsql.database.transaction import Isolation, Transaction
from plainsql.errors import PlainsqlError
from plainsql.options import check
from plainsql.query import Args, CompiledQuery
from plainsql.replication.demand import MAX_WAIT_S, Demand
from plainsql.replication.read_scope import ReadScope
from plainsql.statements.model import DEFAULT_MAX_LAG_S

__all__ = ["CausalSession", "ReadingExecutor", "ReplicaView"]

T = TypeVar("T")


class ReadingExecutor(Executor):
    """An executor whose reads may run on replicas."""

    __slots__ = ()

    def replica(
        self,
        *,
        max_lag: float = DEFAULT_MAX_LAG_S,
        max_wait: float = MAX_WAIT_S,
        own_writes: bool = True,
    ) -> ReplicaView:
        """Return a view whose reads and read-only transactions run on replicas, and all else on the primary.

        A read runs on the primary if it is not proved to change nothing, if its result is cached, or if no
        replica is new enough. Without replicas all of its calls do.

        Args:
            max_lag: seconds that the replica may be behind the primary.
            max_wait: seconds that a read waits for a replica that is new enough, before it runs on the
                primary.
            own_writes: whether the replica must have what was written through this database, or this
                tenant's view of it, and through the view.
        """
        check("replica", max_lag=max_lag, max_wait=max_wait, own_writes=own_writes)
        pool = self._pool
        if isinstance(pool, ScopedPool):
            scope = pool.scope if own_writes else ReadScope()
            pool = pool.with_scope(scope, Demand(max_lag, max_wait))
        return ReplicaView(self._state, pool)

    def causal(
        self,
        token: bytes | None = None,
        *,
        max_lag: float = DEFAULT_MAX_LAG_S,
        max_wait: float = MAX_WAIT_S,
    ) -> CausalSession:
        """Return a session whose reads see its own writes, and never less than its reads before.

        Use it as ``async with db.causal(token) as session``. Its reads run on a replica that has replayed
        what the session has written and seen, or on the primary.

        Args:
            token: the ``token`` of the session that this one continues, in this or another process.
            max_lag: seconds that the replica may be behind the primary.
            max_wait: seconds that a read waits for a replica that is new enough, before it runs on the
                primary.
        """
        check("causal", token=token, max_lag=max_lag, max_wait=max_wait)
        scope = ReadScope.of_token(token)
        replicas = self._state.replicas
        if replicas is None or replicas.primary.has_shown(scope.floor):
            scope.saw_all()
        pool = ScopedPool(self._state.pool, self._pool.tenant, scope, Demand(max_lag, max_wait))
        return CausalSession(self._state, pool)


class OnReplicas(Executor):
    """An executor whose read-only transactions and pipelines run on replicas, as its reads do."""

    __slots__ = ()

    @asynccontextmanager
    async def transaction(
        self,
        *,
        isolation: Isolation | None = None,
        read_only: bool = False,
        deferrable: bool = False,
    ) -> AsyncIterator[Transaction]:
        """Open a transaction: ``async with db.replica().transaction(read_only=True) as tx``.

        With ``read_only`` it is on one replica from its beginning to its end, if one is new enough. All
        others are on the primary, and so are serializable ones, which no standby has.

        A replica ends a transaction whose rows are in the way of the changes that it applies. Such an error
        has a note that the transaction was on a replica: run it again, as ``retry(read_only=True)`` does.
        """
        check("transaction", isolation=isolation, read_only=read_only, deferrable=deferrable)
        if read_only and isolation != "serializable":
            async with self._begun_on_replica(isolation) as transaction:
                if transaction is not None:
                    yield transaction
                    return
        async with super().transaction(
            isolation=isolation, read_only=read_only, deferrable=deferrable
        ) as transaction:
            yield transaction

    @property
    def _transaction_again(self) -> Callable[..., AbstractAsyncContextManager[Transaction]]:
        return super().transaction

    async def _run_in_order(self, calls: list[tuple[CompiledQuery[Any, Any], Args]]) -> list[Any]:
        if all(query.read_only for query, _ in calls):
            try:
                async with self._begun_on_replica(None) as transaction:
                    if transaction is not None:
                        return await transaction._run_in_order(calls, own=True)
            except Exception as error:
                if not may_run_elsewhere(error):
                    raise
        async with super().transaction() as transaction:
            return await transaction._run_in_order(calls, own=True)

    def _begun_on_replica(
        self, isolation: Isolation | None
    ) -> AbstractAsyncContextManager[Transaction | None]:
        """Begin a read-only transaction on a replica. Its block gets None if there is none for it."""
        pool, state = self._pool, self._state
        if state.replicas is None or not isinstance(pool, ScopedPool) or pool.demand is None:
            return nullcontext()

        def begin(server: ReplicaServer, pool: TenantPool) -> AbstractAsyncContextManager[Transaction]:
            there = replace(state, pool=server.pool, chain=server.chain, cached=None, replicas=None)
            return Executor(there, pool).transaction(isolation=isolation, read_only=True)

        return begun_on_replica(state.replicas, pool, pool.demand, begin)


class ReplicaView(OnReplicas):
    """A database, or a tenant's view of it, whose reads run on replicas. It holds no connection."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<ReplicaView {self._state.pool.name}>"


class CausalSession(OnReplicas):
    """An executor whose reads see its own writes, and never less than its reads before. It holds no
    connection.
    """

    __slots__ = ("_scoped_pool",)

    def __init__(self, state: DatabaseState, pool: ScopedPool) -> None:
        super().__init__(state, pool)
        self._scoped_pool = pool
        if state.replicas is None:  # for the token alone
            self._chain = Routed(state.chain, None, state.pool.name, caches=state.cached is not None)

    @property
    def token(self) -> bytes:
        """The position of all that the session has written and seen, for ``db.causal`` of a later request.

        It is 8 bytes long, and holds nothing secret. After a write and after the end of the block it is
        exact. After a read inside the block it may mean all that the primary has when the token is used.
        """
        return self._scoped_pool.scope.token()

    @property
    def has_written(self) -> bool:
        """True if the session may have written: by a statement that is not proved to be a read, or in a
        transaction that is not read-only.
        """
        return self._scoped_pool.scope.has_written

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            return  # no token of a block that failed or was cancelled is worth a wait
        # Without a position the token is right all the same.
        with suppress(PlainsqlError, exceptions.PostgresError, exceptions.InterfaceError, OSError):
            if (replicas := self._state.replicas) is not None:
                self._scoped_pool.check_loop()
                await replicas.resolve(self._scoped_pool.scope)
            else:
                await self._scoped_pool.resolve()

    def __repr__(self) -> str:
        return f"<CausalSession {self._state.pool.name}>"
