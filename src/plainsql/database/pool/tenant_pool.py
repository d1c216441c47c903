"""Connections for the calls of one tenant, or of nobody's: taken, made the tenant's, given back.

A connection that carries a tenant serves nothing else before that is replaced. Behind a pooler that gives out
its connections by the transaction no connection carries anything, and may carry what another program has left
there: every call is a transaction that begins with its tenant's settings, or with nobody's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import Any, TypeVar

from asyncpg import exceptions

from plainsql.database.caching.cached_queries import CachedQueries
from plainsql.database.execution.cost import RoundTrip
from plainsql.database.execution.forms import Forms
from plainsql.database.execution.scheduler import Scheduler
from plainsql.database.hooks import Call, OnCall
from plainsql.database.pool.commit_outcome import CommitOutcome, add_note, may_run_again, note_of_statement
from plainsql.database.pool.connection_pool import ConnectionPool, PooledConnection
from plainsql.database.pool.connection_proxy import ConnectionProxy
from plainsql.database.pool.contexts import asynccontextmanager
from plainsql.database.pool.holders import Holders, Use
from plainsql.database.pool.lost_connection import ConnectionLostError, as_lost, is_lost
from plainsql.database.pool.read_only_servers import ReadOnlyServers, explain_refusal, is_refusal
from plainsql.database.pool.resettable_connection import may_alter_statements
from plainsql.database.pool.tenant_guard import TenantGuard, set_session
from plainsql.database.pool.transaction_block import block
from plainsql.database.transaction import Isolation, Transaction, TransactionOptions, begin
from plainsql.diagnose import cannot_connect
from plainsql.errors import PlainsqlError, PoolTimeoutError
from plainsql.outcomes import NOT_SENT
from plainsql.pooler import Pooler
from plainsql.query import Plan, Query
from plainsql.tenancy import Tenant, local_settings

__all__ = ["DatabaseState", "TenantPool"]

T = TypeVar("T")

# A farewell that the driver reads in the middle of a connection's set-up confuses its state.
_LOST_ON_THE_WAY = (exceptions.ConnectionDoesNotExistError, exceptions.InternalClientError)
_OF_OPENING = (
    OSError,
    exceptions.PostgresError,
    exceptions.InterfaceError,
    exceptions.InternalClientError,
)

_OUTSIDE_OF_TRANSACTIONS = (
    exceptions.ActiveSQLTransactionError,
    exceptions.InvalidTransactionTerminationError,
)
_IN_A_TRANSACTION = (
    "behind a pooler in transaction mode every call is a transaction: run what cannot be in one through "
    "'acquire', or connect to the server itself"
)


@dataclass(slots=True)
class DatabaseState:
    """What a database and all views of it share."""

    pool: ConnectionPool
    name: str
    """The URL without its password."""
    prefetch: int
    joins: bool
    pooler: Pooler | None
    on_call: OnCall | None
    tenant_guard: TenantGuard
    cached_queries: CachedQueries | None
    """None where nothing is cached."""
    round_trip: RoundTrip
    """What a round trip to the server takes."""
    tenant_settings: tuple[str, str] = ("app.jwt_tenant", "app.jwt_user")
    holders: Holders = field(default_factory=Holders)
    """Tasks that hold connections for longer than a call."""
    forms: dict[int, Forms] = field(default_factory=dict)
    """By the identity of a query's plan, which each of them keeps alive."""
    schedulers: dict[tuple[Tenant | None, int], Scheduler] = field(default_factory=dict)
    read_only: ReadOnlyServers = field(init=False)

    def __post_init__(self) -> None:
        self.read_only = ReadOnlyServers(self.pool)


class TenantPool:
    """Takes and gives back connections whose session is one tenant's, or nobody's."""

    def __init__(self, core: DatabaseState, tenant: Tenant | None) -> None:
        self._state = core
        self._pool = core.pool
        self._tenant = tenant
        by_transaction = core.pooler == "transaction"
        self._session = None if by_transaction else tenant
        """What the sessions of this executor carry."""
        self._local = local_settings(tenant, core.tenant_settings) if by_transaction else None
        """What its transactions begin with, where sessions can carry nothing."""

    @asynccontextmanager
    async def _borrow(self, use: Use, *, read_only: bool = False) -> AsyncIterator[PooledConnection]:
        """Take a connection for as long as a block; ``read_only``: writes are refused because the block has
        asked for that.
        """
        pooled = await self._lease()
        holder = self._state.holders.add(use)
        try:
            yield pooled
        except BaseException as raised:
            error = as_lost(raised, pooled.connection)
            self._note_refusal(error, pooled, read_only=read_only)
            if isinstance(error, Exception) and not is_lost(error) and not isinstance(error, TimeoutError):
                self._pool.release_dirty(pooled)
            else:  # it may be in the middle of something
                self._pool.discard(pooled)
            if error is raised:
                raise
            raise error from raised
        else:
            self._pool.release_dirty(pooled)
        finally:
            self._state.holders.remove(holder)
            # Ends what was made on the connection: statements, cursors, transactions.
            pooled.connection._pool_release_ctr += 1

    @asynccontextmanager
    async def _acquire(self, use: Use = "acquire") -> AsyncIterator[Any]:
        async with self._borrow(use) as pooled:
            yield pooled.connection

    @asynccontextmanager
    async def _hand_out(self) -> AsyncIterator[Any]:
        """Take a connection for the user, which is the user's until the end of the block."""
        async with self._borrow("acquire") as pooled:

            def explain(raised: BaseException) -> BaseException:
                error = as_lost(raised, pooled.connection)
                self._note_refusal(error, pooled)
                if (
                    isinstance(error, ConnectionLostError)
                    and (note := note_of_statement(error, "unknown")) is not None
                ):
                    add_note(error, note)
                return error

            connection = ConnectionProxy(pooled.connection, explain)
            try:
                yield connection
            except BaseException as raised:  # of a cursor, or of a statement that was prepared
                error = explain(raised)
                if error is raised:
                    raise
                raise error from raised
            finally:
                connection.release()

    @asynccontextmanager
    async def _in_transaction(self, call: Call | None = None, use: Use = "batch") -> AsyncIterator[Any]:
        """Take a connection that is in a transaction of this executor's tenant."""
        with CommitOutcome() as outcome:
            async with self._acquire(use) as connection:
                if call is not None:
                    call.lease_wait = perf_counter() - call.began
                async with block(connection, outcome):
                    if self._local is not None:
                        await connection.execute(self._local)
                    yield connection

    @asynccontextmanager
    async def _open_transaction(
        self, isolation: Isolation | None, read_only: bool, deferrable: bool
    ) -> AsyncIterator[Transaction]:
        core = self._state
        tenant_guard = core.tenant_guard if self._tenant is None else None
        with CommitOutcome() as outcome:
            async with self._borrow("transaction", read_only=read_only) as pooled:

                def explain(raised: BaseException) -> BaseException:
                    error = as_lost(raised, pooled.connection)
                    self._note_refusal(error, pooled, read_only=read_only)  # also if the block handles it
                    return error

                options = TransactionOptions(
                    core.prefetch, core.on_call, tenant_guard, core.cached_queries, explain
                )
                async with begin(
                    pooled.connection, options, outcome, isolation, read_only, deferrable, local=self._local
                ) as transaction:
                    yield transaction

    async def _admit(self, query: Query[..., Any, Any]) -> None:
        """Refuse a query whose tables are closed to those who name no tenant."""
        if query.row_security is None or self._tenant is not None or self._state.tenant_guard.knows(query):
            return
        if self._local is None:
            async with self._acquire("check") as connection:
                await self._state.tenant_guard.check(connection, query)
        else:
            async with self._in_transaction(use="check") as connection:
                await self._state.tenant_guard.check(connection, query, lasting_setting=False)

    def _note_refusal(
        self, error: BaseException, pooled: PooledConnection, *, read_only: bool = False
    ) -> bool:
        """Retire what leads to a read-only server if a write was refused there; return whether a new
        connection may lead to another.
        """
        if not is_refusal(error) or (read_only and isinstance(error, exceptions.ReadOnlySQLTransactionError)):
            return False
        replaced = self._state.read_only.refused(error, pooled)
        explain_refusal(error, pooled.connection, replaced=replaced)
        return replaced

    async def _lease(
        self, pooled: PooledConnection | None = None, *, proved: bool = False
    ) -> PooledConnection:
        """Take a connection whose session is this executor's tenant's, or nobody's.

        ``proved``: one that was just lost is not the only one, as a rule; each is asked for a sign of life.
        """
        pool = self._pool
        deadline = pool.deadline()
        losses = 0
        while True:
            if pooled is None:
                pooled = pool.acquire_nowait(self._session)
            if pooled is None:
                try:
                    if losses == 0:
                        pooled = await pool.acquire(self._session)
                    else:
                        async with asyncio.timeout_at(deadline):
                            pooled = await pool.acquire(self._session)
                except PoolTimeoutError as error:
                    self._state.holders.explain(error)
                    raise
                except PlainsqlError:
                    raise
                except _OF_OPENING as error:
                    if losses and isinstance(error, TimeoutError):
                        raise pool.no_answer() from None
                    losses += 1
                    if isinstance(error, _LOST_ON_THE_WAY) and losses < 3:
                        continue  # it was lost while it was set up, and not refused
                    state: str | None = getattr(error, "sqlstate", None)
                    raise cannot_connect(self._state.name, error, state) from None
            if pooled.tenant == self._session and not proved:
                return pooled
            limit = pool.answer_timeout(deadline)
            try:
                if pooled.tenant != self._session:
                    await set_session(pooled.connection, pooled.tenant, self._session, timeout=limit)
                    pooled.tenant = self._session
                else:
                    await pooled.connection.execute("select", timeout=limit)
                return pooled
            except BaseException as raised:
                pool.discard(pooled)  # whose it is now is not known
                silent = isinstance(raised, TimeoutError)
                losses += 1
                if (silent or is_lost(raised)) and losses <= pool.max_size:
                    if silent:
                        # What was open beside a connection that does not answer is as suspect.
                        pool.discard_before(monotonic())
                    if deadline is not None and asyncio.get_running_loop().time() >= deadline:
                        raise pool.no_answer() from None
                    pooled = None
                    continue
                lost = as_lost(raised)
                if lost is raised:
                    raise
                add_note(lost, NOT_SENT)
                raise lost from raised

    async def _on_connection(
        self,
        work: Callable[[Any, Query[..., Any, Any], Plan, Any], Awaitable[T]],
        query: Query[..., Any, Any],
        plan: Plan,
        values: Any,
        call: Call | None,
    ) -> T:
        """Run work on a connection of its own; a second time if its connection was lost, and it changes
        nothing or was not sent at all, or if it was refused by a server that only reads now.
        """
        effect: Any = query.effect
        again = False
        while True:
            pooled = self._pool.acquire_nowait(self._session)
            if pooled is None or again or pooled.tenant != self._session:
                pooled = await self._lease(pooled, proved=again)
            connection = pooled.connection
            if call is not None:
                call.lease_wait = perf_counter() - call.began
            try:
                if self._local is not None:
                    await connection.execute(f"begin; {self._local}")
                result = await work(connection, query, plan, values)
                if self._local is not None and effect != "reads":
                    await connection.execute("commit")
            except BaseException as raised:
                error = as_lost(raised)
                refused = self._note_refusal(error, pooled)
                self._give_back_failed(pooled, query, error)
                if not again and (refused or may_run_again(error, effect)):
                    again = True
                    continue
                if (note := note_of_statement(error, effect)) is not None:
                    add_note(error, note)
                if self._local is not None and isinstance(error, _OUTSIDE_OF_TRANSACTIONS):
                    add_note(error, _IN_A_TRANSACTION)
                if error is raised:
                    raise
                raise error from raised
            if effect == "unknown":
                self._give_back_unknown(pooled, query)
            elif self._local is not None and effect == "reads":
                self._pool.release_after(pooled, "commit")  # the caller need not wait for it
            else:
                self._pool.release(pooled)
            return result

    def _give_back_unknown(self, pooled: PooledConnection, query: Query[..., Any, Any]) -> None:
        if may_alter_statements(query.sql):
            pooled.connection.is_suspect = True
        self._pool.release_dirty(pooled)

    def _give_back_failed(
        self, pooled: PooledConnection, query: Query[..., Any, Any], error: BaseException
    ) -> None:
        if self._local is not None and not is_lost(error):
            # Where the statement was cancelled, the driver waits for its end first.
            self._pool.release_after(pooled, "rollback")
        elif not isinstance(error, exceptions.PostgresError | PlainsqlError) or is_lost(error):
            # The server may still be at it: the pool waits for its answer, or closes the connection.
            self._pool.discard(pooled)
        elif query.effect == "unknown":
            self._give_back_unknown(pooled, query)
        else:
            self._pool.release(pooled)
