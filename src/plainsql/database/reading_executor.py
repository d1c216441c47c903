"""Views of a database that read from its replicas."""

from __future__ import annotations

from contextlib import suppress
from typing import Self

from asyncpg import exceptions

from plainsql.database.executor import Executor
from plainsql.database.replicas.read_scope import ReadScope
from plainsql.database.replicas.routed import Routed
from plainsql.database.replicas.scoped_pool import MAX_WAIT_S, Demand, ScopedPool
from plainsql.database.state import DatabaseState
from plainsql.errors import PlainsqlError
from plainsql.options import check
from plainsql.statements.model import DEFAULT_MAX_LAG_S

__all__ = ["CausalSession", "ReadingExecutor", "ReplicaView"]


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
        """Return a view whose reads run on a replica. Its writes and transactions run on the primary.

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
        pool = ScopedPool(self._state.pool, self._pool.tenant, scope, Demand(max_lag, max_wait))
        return CausalSession(self._state, pool)


class ReplicaView(Executor):
    """A database, or a tenant's view of it, whose reads run on replicas. It holds no connection."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<ReplicaView {self._state.pool.name}>"


class CausalSession(Executor):
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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        # Without a position the token is right all the same.
        with suppress(PlainsqlError, exceptions.PostgresError, exceptions.InterfaceError, OSError):
            if (replicas := self._state.replicas) is not None:
                self._scoped_pool.check_loop()
                await replicas.resolve(self._scoped_pool.scope)
            else:
                await self._scoped_pool.resolve()

    def __repr__(self) -> str:
        return f"<CausalSession {self._state.pool.name}>"
