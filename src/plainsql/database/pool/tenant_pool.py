"""The connection pool as one tenant uses it, or as calls without a tenant use it.

A tenant's settings go with what they are for, and end with it: in the round trip of a statement, where the
compiled protocol can send them there (see `tenant_settings`), and in the message that begins a transaction.

Otherwise the session carries them: for a connection that is lent, for a statement that may not be in a
transaction, and for all calls without the compiled part. A connection whose session carries a tenant serves
no other before its settings are replaced.

Behind a pooler in transaction mode no session can carry anything, and any may carry what another program has
left in it. There calls without a tenant send settings too, the defaults. What cannot be sent with its
settings is a transaction that begins with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from time import monotonic, perf_counter
from typing import Any, Protocol, TypeVar

from asyncpg import exceptions

from plainsql.connect_errors import cannot_connect
from plainsql.database.pool.call import Call
from plainsql.database.pool.commit_outcome import CommitOutcome, add_note, may_run_again, note_of_statement
from plainsql.database.pool.connection_pool import ConnectionPool
from plainsql.database.pool.connection_proxy import ConnectionProxy
from plainsql.database.pool.contexts import asynccontextmanager
from plainsql.database.pool.driver_errors import name_at_commit
from plainsql.database.pool.failover_wait import FailoverWait
from plainsql.database.pool.holders import Holders, Use
from plainsql.database.pool.lost_connection import ConnectionLostError, as_lost, is_lost
from plainsql.database.pool.pooled_connection import PooledConnection
from plainsql.database.pool.read_only_servers import ReadOnlyServers, explain_refusal, is_refusal
from plainsql.database.pool.resettable_connection import may_alter_statements
from plainsql.database.pool.tenant_guard import TenantGuard
from plainsql.database.pool.tenant_session import set_session
from plainsql.database.pool.tenant_settings import LocalSettings, is_of_settings
from plainsql.database.pool.transaction_block import block
from plainsql.errors import BindError, ContractError, PlainsqlError, PoolTimeoutError
from plainsql.outcome_notes import NOT_SENT
from plainsql.query import CompiledQuery, QueryText
from plainsql.query.setting_values import SetTo, refused_setting
from plainsql.tenancy import Tenant, local_settings

__all__ = ["AroundCommit", "DatabasePool", "TenantPool"]

T = TypeVar("T")

# Both are raised if the driver reads the server's last message in the middle of a connection's set-up.
_LOST_DURING_SETUP = (exceptions.ConnectionDoesNotExistError, exceptions.InternalClientError)
_MAX_SETUP_LOSSES = 3

_OPENING_ERRORS = (
    OSError,
    exceptions.PostgresError,
    exceptions.InterfaceError,
    exceptions.InternalClientError,
)

_NOT_IN_A_TRANSACTION = (
    exceptions.ActiveSQLTransactionError,
    exceptions.InvalidTransactionTerminationError,
)
_IN_A_TRANSACTION = (
    "behind a pooler in transaction mode every call is a transaction: run what cannot be in one through "
    "'acquire', or connect to the server itself"
)
_HAS_SETTINGS = "a statement with settings of its own runs in a transaction: remove its set lines"


class AroundCommit(Protocol):
    """Work around a commit: it begins right before it, and ends after it or after the error in its place."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None: ...

    async def before_commit(self) -> None:
        """Begin. An error that it raises keeps the transaction from being committed."""
        ...


@dataclass(slots=True)
class DatabasePool:
    """The connections of one database, and what its tenants share."""

    connections: ConnectionPool
    name: str
    """The URL without its password."""
    by_transaction: bool
    """True behind a pooler in transaction mode."""
    tenant_settings: tuple[str, str]
    guard: TenantGuard
    search_path: str = ""
    """The ``search_path`` of all sessions; empty for the server's own."""
    sends_settings: bool = False
    """True if the connections can send settings in the round trip of a statement."""
    is_replica: bool = False
    """True if a read that fails here runs elsewhere: it is not run a second time here."""
    failover: FailoverWait = field(default_factory=partial(FailoverWait, None))
    holders: Holders = field(default_factory=Holders)
    """The tasks that hold connections for longer than a call."""
    read_only: ReadOnlyServers = field(init=False)

    def __post_init__(self) -> None:
        self.read_only = ReadOnlyServers(self.connections)


class TenantPool:
    """Acquires connections for one tenant, or for calls without a tenant, and releases them."""

    __slots__ = ("_connections", "_pool", "_session", "local", "settings", "tenant")

    def __init__(self, pool: DatabasePool, tenant: Tenant | None) -> None:
        self._pool = pool
        self._connections = pool.connections
        self.tenant = tenant
        self._session = tenant
        """The tenant that a session carries if the settings are not sent with what they are for."""
        self.local: str | None = None
        """The statements that each transaction begins with, if sessions can carry nothing."""
        self.settings: LocalSettings | None = None
        """The settings that are sent in the round trip of a statement; None if there are none, or if they
        cannot be sent there."""
        search_path = ""
        if pool.by_transaction:
            self._session = None
            self.local = local_settings(tenant, pool.tenant_settings)
            if search_path := pool.search_path:
                self.local += f"; set local search_path = {search_path}"
        if pool.sends_settings and (tenant is not None or pool.by_transaction):
            self.settings = LocalSettings.of(tenant, pool.tenant_settings, search_path)

    def of_tenant(self, tenant: Tenant | None) -> TenantPool:
        """Return the pool as another tenant uses it."""
        return TenantPool(self._pool, tenant)

    @property
    def takes_steps(self) -> bool:
        """True if the connections can send several statements in one round trip, as steps."""
        return self._pool.sends_settings

    @property
    def opening(self) -> str | None:
        """The statements that a transaction begins with; None if it needs none."""
        if self.local is None and self.tenant is not None:
            return local_settings(self.tenant, ())
        return self.local

    def settings_of(self, text: QueryText) -> LocalSettings | None:
        """Return the settings to send in the round trip of a statement: its own, and the tenant's."""
        return LocalSettings.with_own(text.settings, self.settings) if text.settings else self.settings

    # For longer than a call ---------------------------------------------------------------------------

    @asynccontextmanager
    async def borrow(
        self, use: Use, *, read_only: bool = False, in_session: bool = False
    ) -> AsyncIterator[PooledConnection]:
        """Acquire a connection for a block, and reset it afterwards.

        ``read_only``: the block is a transaction that refuses writes. ``in_session``: the session carries the
        tenant; if not, the block begins transactions with `opening`.
        """
        if in_session:
            pooled = await self._acquire(self._session)
        else:
            # Of another tenant there must be nothing, even if the block ends its transaction by itself.
            pooled = await self._acquire(None if self.settings is not None else self._session, or_none=True)
        holders = self._pool.holders
        holder = holders.add(use)
        pooled.is_lent = True
        try:
            yield pooled
        except BaseException as raised:
            error = self.explain(raised, pooled, read_only=read_only)
            if isinstance(error, Exception) and not is_lost(error) and not isinstance(error, TimeoutError):
                self._connections.release_dirty(pooled)
            else:  # a statement may still be running
                self._connections.discard(pooled)
            if error is raised:
                raise
            raise error from raised
        else:
            self._connections.release_dirty(pooled)
        finally:
            pooled.is_lent = False
            holders.remove(holder)
            # Ends what was made on the connection: statements, cursors, transactions.
            pooled.connection._pool_release_ctr += 1

    @asynccontextmanager
    async def acquire(self, use: Use = "acquire") -> AsyncIterator[Any]:
        """Acquire a driver's connection for a block. Its session carries the tenant."""
        async with self.borrow(use, in_session=True) as pooled:
            yield pooled.connection

    @asynccontextmanager
    async def hand_out(self) -> AsyncIterator[Any]:
        """Acquire a connection for the user, as a proxy that ends with the block."""
        async with self.borrow("acquire", in_session=True) as pooled:

            def explain(raised: BaseException) -> BaseException:
                error = self.explain(raised, pooled)
                if isinstance(error, ConnectionLostError) and (note := note_of_statement(error)) is not None:
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
    async def in_transaction(
        self,
        call: Call | None = None,
        use: Use = "batch",
        around: AroundCommit | None = None,
        query: CompiledQuery[Any, Any] | None = None,
    ) -> AsyncIterator[Any]:
        """Acquire a connection that is in a transaction of this tenant; the end of the block commits it.

        ``query``: the query that the transaction is for.
        """
        framed: AbstractAsyncContextManager[object] = nullcontext() if around is None else around
        try:
            async with framed:
                with CommitOutcome() as outcome:
                    read_only = query is not None and query.read_only
                    async with self.borrow(use, read_only=read_only) as pooled:
                        connection = pooled.connection
                        if call is not None:
                            call.lease_wait = perf_counter() - call.began
                        async with block(
                            connection, outcome, opening=self.opening, following=pooled.following
                        ):
                            yield connection
                            if around is not None:
                                await around.before_commit()
        except exceptions.IntegrityConstraintViolationError as error:
            if query is not None:
                name_at_commit(error, query)
            raise

    async def admit(self, query: CompiledQuery[Any, Any]) -> None:
        """Refuse a call without a tenant if row-level security would show it nothing.

        Raises ``TenantError``.
        """
        guard = self._pool.guard
        if query.row_security is None or self.tenant is not None or guard.knows(query):
            return
        if self.local is None:
            async with self.acquire("check") as connection:
                await guard.check(connection, query)
        else:
            async with self.in_transaction(use="check") as connection:
                await guard.check(connection, query, lasting_setting=False)

    def explain(
        self, raised: BaseException, pooled: PooledConnection, *, read_only: bool = False
    ) -> BaseException:
        """Return the error to raise for one of a block; discard the connections to a read-only server."""
        error = as_lost(raised, pooled.connection)
        self._is_replaced(error, pooled, read_only=read_only)
        return error

    def verifier(self, pooled: PooledConnection) -> Callable[[], object] | None:
        """Return what verifies the server of a transaction after each answer; None if nothing need be."""
        del pooled
        return None

    # For one call -------------------------------------------------------------------------------------

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
        """Run the work of a call on a connection: ``work(connection, query, text, values)``.

        ``sends_settings``: the work gets one more argument, the settings that it has to send with each of its
        statements, or None. Other work gets a connection that has the tenant's settings already. A connection
        for work that sends them carries no tenant: work that forgot them would see what a call without a
        tenant sees.

        Run it a second time if the connection was lost and the statement changes nothing or was not sent.
        The same if the server refused it because it is read-only now. After that, only if calls wait for a
        primary.
        """
        connections = self._connections
        read_only = query.read_only
        own = text.settings if query.has_settings and text else ()
        settings = None
        # A statement that nothing is proved about may be one that refuses to be in a transaction.
        if sends_settings and query.session_clean and self._pool.sends_settings:
            settings = self.settings_of(text) if own else self.settings
        tenant, local = (self._session, self.local) if settings is None else (None, None)
        if own and settings is None:
            # The call is a transaction that begins with them. The tenant's come last: they win.
            local = "; ".join([local_settings(own, ()), *filter(None, [self.opening])])
        again, ends = False, 0.0
        while True:
            pooled = connections.acquire_nowait(tenant, is_pipeline=is_pipeline)
            if pooled is None or again or pooled.tenant != tenant:
                pooled = await self._acquire(tenant, pooled, probe=again)
            connection = pooled.connection
            if call is not None:
                call.lease_wait = perf_counter() - call.began
            try:
                if local is not None:
                    await _begin(connection, query, local, own)
                if sends_settings:
                    result = await work(connection, query, text, values, settings)
                else:
                    result = await work(connection, query, text, values)
                if local is not None and not read_only:
                    await connection.execute("commit")
            except BaseException as raised:
                error = as_lost(raised)
                if local is not None:
                    name_at_commit(error, query)
                replaced = self._is_replaced(error, pooled)
                self._release_failed(pooled, query, error, in_transaction=local is not None)
                if not (again or self._pool.is_replica) and (
                    replaced or may_run_again(error, read_only=read_only)
                ):
                    again = True
                    continue
                failover = self._pool.failover
                if failover.allows_call(error, connection, read_only=read_only):
                    ends = ends or failover.ends()
                    if await failover.pause(ends):
                        again = True
                        continue
                if (note := note_of_statement(error, read_only=read_only)) is not None:
                    add_note(error, note)
                if local is not None and isinstance(error, _NOT_IN_A_TRANSACTION):
                    add_note(error, _IN_A_TRANSACTION if self.local is not None else _HAS_SETTINGS)
                if own and is_of_settings(error):
                    error = _refused(error, query, own)
                if error is raised:
                    raise
                raise error from raised
            if not query.session_clean:
                self._release_unproved(pooled, query)
            elif local is not None and read_only:
                connections.release_after(pooled, "commit")  # the caller need not wait for it
            else:
                connections.release(pooled)
            return result

    def _release_failed(
        self,
        pooled: PooledConnection,
        query: CompiledQuery[Any, Any],
        error: BaseException,
        *,
        in_transaction: bool,
    ) -> None:
        if in_transaction and not is_lost(error):
            # If the statement was cancelled, the driver waits for its end first.
            self._connections.release_after(pooled, "rollback")
        elif not isinstance(error, exceptions.PostgresError | PlainsqlError) or is_lost(error):
            # The server may still run it: the pool waits for its answer, or closes the connection.
            self._connections.discard(pooled)
        elif not query.session_clean:
            self._release_unproved(pooled, query)
        elif _is_unsent(error):
            # What was parsed is a transaction, with locks, until another statement is sent.
            self._connections.release_after(pooled, "")
        else:
            self._connections.release(pooled)

    def _release_unproved(self, pooled: PooledConnection, query: CompiledQuery[Any, Any]) -> None:
        if may_alter_statements(query.sql):
            pooled.connection.is_suspect = True
        self._connections.release_dirty(pooled)

    async def _acquire(
        self,
        tenant: Tenant | None,
        pooled: PooledConnection | None = None,
        *,
        probe: bool = False,
        or_none: bool = False,
    ) -> PooledConnection:
        """Acquire a connection whose session carries a tenant, or none.

        ``or_none``: one that carries no tenant will do. ``pooled``: one that is acquired already. ``probe``:
        the last connection was lost, and others may be lost with it, so a round trip proves this one first.
        """
        connections = self._connections
        deadline = connections.deadline()
        losses, ends = 0, 0.0
        while True:
            if pooled is None:
                pooled = connections.acquire_nowait(tenant)
            if pooled is None:
                try:
                    if losses == 0:
                        pooled = await connections.acquire(tenant)
                    else:
                        async with asyncio.timeout_at(deadline):
                            pooled = await connections.acquire(tenant)
                except PoolTimeoutError as error:
                    self._pool.holders.explain(error)
                    raise
                except PlainsqlError:
                    raise
                except _OPENING_ERRORS as error:
                    if losses and isinstance(error, TimeoutError):
                        raise connections.no_answer() from None
                    losses += 1
                    if isinstance(error, _LOST_DURING_SETUP) and losses < _MAX_SETUP_LOSSES:
                        continue  # it was lost while it was set up, and not refused
                    state: str | None = getattr(error, "sqlstate", None)
                    failover = self._pool.failover
                    if failover.allows_opening(error):
                        ends = ends or failover.ends()
                        if await failover.pause(ends):
                            losses, deadline = 0, connections.deadline()
                            continue
                    raise cannot_connect(self._pool.name, error, state) from None
            if (pooled.tenant == tenant or (or_none and pooled.tenant is None)) and not probe:
                return pooled
            limit_s = connections.answer_timeout(deadline)
            try:
                if pooled.tenant != tenant:
                    await set_session(pooled.connection, pooled.tenant, tenant, timeout=limit_s)
                    pooled.tenant = tenant
                else:
                    await pooled.connection.execute("select", timeout=limit_s)
                return pooled
            except BaseException as raised:
                connections.discard(pooled)  # the tenant that its session carries now is not known
                silent = isinstance(raised, TimeoutError)
                losses += 1
                if (silent or is_lost(raised)) and losses <= connections.max_size:
                    if silent:
                        # The connections that were open next to one that does not answer are as suspect.
                        connections.discard_before(monotonic())
                    if deadline is not None and asyncio.get_running_loop().time() >= deadline:
                        raise connections.no_answer() from None
                    pooled = None
                    continue
                lost = as_lost(raised)
                if lost is raised:
                    raise
                add_note(lost, NOT_SENT)
                raise lost from raised

    def _is_replaced(
        self, error: BaseException, pooled: PooledConnection, *, read_only: bool = False
    ) -> bool:
        """Discard the connections to a read-only server if it refused a write. Return whether the next
        connection may be to another server.
        """
        if not is_refusal(error) or (read_only and isinstance(error, exceptions.ReadOnlySQLTransactionError)):
            return False
        replaced = self._pool.read_only.refused(error, pooled)
        explain_refusal(error, pooled.connection, replaced=replaced)
        return replaced


async def _begin(connection: Any, query: CompiledQuery[Any, Any], local: str, own: SetTo) -> None:
    """Begin the transaction of a call with its settings: ``own`` are those of the query."""
    try:
        await connection.execute(f"begin; {local}")
    except exceptions.PostgresError as error:
        if (said := _refused(error, query, own)) is error:
            raise
        raise said from None


def _refused(error: BaseException, query: CompiledQuery[Any, Any], own: SetTo) -> BaseException:
    """Return the error of a query whose setting the server refuses: it does not hold the value."""
    state: str | None = getattr(error, "sqlstate", None)
    return refused_setting(query.name, query.file, own, state, str(error)) or error


def _is_unsent(error: BaseException) -> bool:
    """Return whether a statement was not executed, because its arguments or its result do not fit."""
    if isinstance(error, exceptions.DataError):
        return error.severity is None  # type: ignore[attr-defined]
    return isinstance(error, BindError | ContractError)
