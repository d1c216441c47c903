"""The primary's pool as a scope uses it: it records what the scope writes.

A write of a session of ``db.causal`` learns its position on its own connection after the commit: with the
compiled part in the round trip of the write or of the commit, else in one more. Behind a pooler in
transaction mode the two statements may run in two sessions of the server, which is as good: the first one is
committed when its answer is sent. If a failover comes between them, the position is of the new timeline, and
no replica of another one is proved to have it.

A write through a database or a tenant's view costs nothing: its position is unresolved, and the next read
that a replica could serve has the primary name one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar

from asyncpg import exceptions

from plainsql.database.pool.call import Call
from plainsql.database.pool.contexts import asynccontextmanager
from plainsql.database.pool.following_statement import FollowingStatement
from plainsql.database.pool.holders import Use
from plainsql.database.pool.pooled_connection import PooledConnection
from plainsql.database.pool.tenant_pool import DatabasePool, TenantPool
from plainsql.database.pool.tenant_settings import LocalSettings
from plainsql.errors import PlainsqlError
from plainsql.query import CompiledQuery, QueryText
from plainsql.replication import visibility
from plainsql.replication.demand import Demand
from plainsql.replication.positions import POSITION_SQL, position_of, read_position
from plainsql.replication.read_scope import ReadScope
from plainsql.tenancy import Tenant

__all__ = ["ScopedPool"]

T = TypeVar("T")

_NO_POSITION = (
    exceptions.PostgresError,
    exceptions.InterfaceError,
    exceptions.InternalClientError,
    OSError,
)


class ScopedPool(TenantPool):
    """A pool that records in a scope what is written through it."""

    __slots__ = ("_on_replicas", "demand", "scope")

    def __init__(
        self, pool: DatabasePool, tenant: Tenant | None, scope: ReadScope, demand: Demand | None = None
    ) -> None:
        super().__init__(pool, tenant)
        self.scope = scope
        self.demand = demand
        """The demands on replicas; None if only the header of a query can send it to a replica."""
        self._on_replicas: dict[int, TenantPool] = {}

    def of_tenant(self, tenant: Tenant | None) -> ScopedPool:
        """Return the pool as another tenant uses it, with a scope that begins with what this one has seen."""
        scope = self.scope.copy()
        return ScopedPool(self._pool, tenant, scope, self.demand)

    def with_scope(self, scope: ReadScope, demand: Demand | None) -> ScopedPool:
        """Return the pool of the same tenant with another scope, and other demands on replicas."""
        return ScopedPool(self._pool, self.tenant, scope, demand)

    def check_loop(self) -> None:
        """Raise ``PlainsqlError`` in another event loop, thread or process than that of the connections."""
        self._connections.check_loop()

    def on(self, replica: DatabasePool) -> TenantPool:
        """Return the pool of a replica for the same tenant."""
        found = self._on_replicas.get(id(replica))
        if found is None:
            found = self._on_replicas[id(replica)] = TenantPool(replica, self.tenant)
        return found

    @asynccontextmanager
    async def borrow(
        self, use: Use, *, read_only: bool = False, in_session: bool = False
    ) -> AsyncIterator[PooledConnection]:
        """Acquire a connection for a block, and record what the block may have written or seen."""
        scope = self.scope
        scope.has_written |= not read_only and use != "health"
        if not scope.is_monotonic:
            try:
                async with super().borrow(use, read_only=read_only, in_session=in_session) as pooled:
                    yield pooled
            finally:
                if not read_only:
                    scope.saw_primary()
            return
        await self.until_visible()
        is_known = False
        following = FollowingStatement(POSITION_SQL) if self.takes_steps else None
        scope.begin_block()
        try:
            async with super().borrow(use, read_only=read_only, in_session=in_session) as pooled:
                pooled.following = following
                try:
                    yield pooled
                finally:
                    pooled.following = None
                is_known = await self._learn(pooled.connection, following)
        finally:
            scope.end_block()
            if not is_known:
                scope.saw_primary()

    async def run_on_connection(
        self,
        work: Callable[..., Awaitable[T]],
        query: CompiledQuery[Any, Any],
        text: QueryText,
        values: Any,
        call: Call | None,
        *,
        sends_settings: bool = False,
        is_pipeline: bool = False,
    ) -> T:
        """Run the work of a call on a connection, and record that it may have written."""
        is_known = query.read_only  # reads are recorded by the chain
        self.scope.has_written |= not query.read_only
        learns = self.scope.is_monotonic and not is_known
        following: FollowingStatement | None = None
        if learns and sends_settings and query.session_clean and self.takes_steps:
            following = FollowingStatement(POSITION_SQL)

        async def work_and_learn(connection: Any, *rest: Any) -> T:
            nonlocal is_known
            if following is None:
                result = await work(connection, *rest)
            else:
                following.reset()
                settings = LocalSettings.followed_by(following, rest[-1])
                result = await work(connection, *rest[:-1], settings)
            is_known = await self._learn(connection, following)
            return result

        try:
            return await super().run_on_connection(
                work_and_learn if learns else work,
                query,
                text,
                values,
                call,
                sends_settings=sends_settings,
                is_pipeline=is_pipeline,
            )
        finally:
            if not is_known:
                self.scope.saw_primary()

    async def until_visible(self) -> None:
        """Wait until the primary shows what a replica has shown to a session.

        See ``plainsql.replication.visibility``. It costs nothing if no read was on a replica lately.
        """
        scope = self.scope
        shown_at = scope.shown_at
        ends = shown_at + visibility.VISIBLE_S
        if monotonic() >= ends:
            scope.saw_all()
            return
        pending: set[str] | None = None
        with suppress(PlainsqlError, TimeoutError, *_NO_POSITION):  # the call itself finds out why
            async with super().borrow("health", read_only=True) as pooled:
                while pending is None or (pending and monotonic() < ends):
                    if pending is not None:
                        await asyncio.sleep(visibility.PAUSE_S)
                    rows = await pooled.connection.fetch(
                        visibility.RUNNING_SQL, timeout=pooled.connection.control_timeout_s
                    )
                    running = {number for (number,) in rows}
                    pending = running if pending is None else pending & running
        if scope.shown_at == shown_at:
            scope.saw_all()

    async def resolve(self) -> None:
        """Have the primary name a position for what is unresolved, on any connection."""
        if not self.scope.is_resolved:
            async with self.borrow("health"):
                pass

    async def _learn(self, connection: Any, following: FollowingStatement | None) -> bool:
        """Record the position of what was committed on a connection. Return whether it is known.

        ``following``: the statement that may have read it in the round trip of the commit.
        """
        if following is not None and following.was_sent:
            row = following.row
            return row is not None and self.scope.reach(position_of(row), following.sent_at)
        if connection.is_closed() or connection.is_in_transaction():
            return False
        sent_at = monotonic()
        try:
            async with asyncio.timeout(connection.control_timeout_s):
                if following is not None:
                    await following.prepare(connection)  # for the next write on the connection
                position = await read_position(connection)
        except _NO_POSITION as error:  # the write is done all the same
            if isinstance(error, TimeoutError):
                connection.terminate()  # its statement may still be running
            return False
        return self.scope.reach(position, sent_at)
