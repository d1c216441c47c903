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

from plainsql.database.block import block
from plainsql.database.borrowed import BorrowedConnection
from plainsql.database.contexts import asynccontextmanager
from plainsql.database.cost import Floor
from plainsql.database.forms import Forms
from plainsql.database.holders import Holders, Use
from plainsql.database.leases import Lease, Leases
from plainsql.database.lost import ConnectionLostError, as_lost, is_lost
from plainsql.database.observing import Call, OnCall
from plainsql.database.outcome import Ending, add_note, may_run_again, note_of_statement
from plainsql.database.read_only import ReadOnlyServers, explain_refusal, is_refusal
from plainsql.database.resetting import may_alter_statements
from plainsql.database.scheduler import Scheduler
from plainsql.database.tenancy import Admission, set_session
from plainsql.database.through import Through
from plainsql.database.transaction import Isolation, Terms, Transaction, begin
from plainsql.diagnose import cannot_connect
from plainsql.errors import PlainsqlError, PoolTimeoutError
from plainsql.outcomes import NOT_SENT
from plainsql.pooler import Pooler
from plainsql.query import CompiledQuery, QueryText
from plainsql.tenancy import Tenant, local_settings

__all__ = ["Borrower", "Core"]

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
_IS_A_TRANSACTION = (
    "behind a pooler in transaction mode every call is a transaction: run what cannot be in one through "
    "'acquire', or connect to the server itself"
)


@dataclass(slots=True)
class Core:
    """What a database and all views of it share."""

    leases: Leases
    name: str
    """The URL without its password."""
    prefetch: int
    autobatch: bool
    pooler: Pooler | None
    on_call: OnCall | None
    admission: Admission
    through: Through | None
    """None where nothing is cached."""
    floor: Floor
    """What a round trip to the server takes."""
    tenant_settings: tuple[str, str] = ("app.jwt_tenant", "app.jwt_user")
    holders: Holders = field(default_factory=Holders)
    """Tasks that hold connections for longer than a call."""
    forms: dict[int, Forms] = field(default_factory=dict)
    """By the identity of a query's plan, which each of them keeps alive."""
    schedulers: dict[tuple[Tenant | None, int], Scheduler] = field(default_factory=dict)
    read_only: ReadOnlyServers = field(init=False)

    def __post_init__(self) -> None:
        self.read_only = ReadOnlyServers(self.leases)


class Borrower:
    """Takes and gives back connections whose session is one tenant's, or nobody's."""

    def __init__(self, core: Core, tenant: Tenant | None) -> None:
        self._core = core
        self._leases = core.leases
        self._tenant = tenant
        by_transaction = core.pooler == "transaction"
        self._session = None if by_transaction else tenant
        """What the sessions of this executor carry."""
        self._local = local_settings(tenant, core.tenant_settings) if by_transaction else None
        """What its transactions begin with, where sessions can carry nothing."""

    @asynccontextmanager
    async def _borrow(self, use: Use, *, read_only: bool = False) -> AsyncIterator[Lease]:
        """Take a connection for as long as a block; ``read_only``: writes are refused because the block has
        asked for that.
        """
        lease = await self._lease()
        holder = self._core.holders.add(use)
        try:
            yield lease
        except BaseException as raised:
            error = as_lost(raised, lease.connection)
            self._note_refusal(error, lease, read_only=read_only)
            if isinstance(error, Exception) and not is_lost(error) and not isinstance(error, TimeoutError):
                self._leases.give_back_changed(lease)
            else:  # it may be in the middle of something
                self._leases.retire(lease)
            if error is raised:
                raise
            raise error from raised
        else:
            self._leases.give_back_changed(lease)
        finally:
            self._core.holders.remove(holder)
            # Ends what was made on the connection: statements, cursors, transactions.
            lease.connection._pool_release_ctr += 1

    @asynccontextmanager
    async def _acquire(self, use: Use = "acquire") -> AsyncIterator[Any]:
        async with self._borrow(use) as lease:
            yield lease.connection

    @asynccontextmanager
    async def _hand_out(self) -> AsyncIterator[Any]:
        """Take a connection for the user, which is the user's until the end of the block."""
        async with self._borrow("acquire") as lease:

            def explain(raised: BaseException) -> BaseException:
                error = as_lost(raised, lease.connection)
                self._note_refusal(error, lease)
                if isinstance(error, ConnectionLostError) and (note := note_of_statement(error)) is not None:
                    add_note(error, note)
                return error

            connection = BorrowedConnection(lease.connection, explain)
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
        with Ending() as ending:
            async with self._acquire(use) as connection:
                if call is not None:
                    call.lease_wait = perf_counter() - call.began
                async with block(connection, ending):
                    if self._local is not None:
                        await connection.execute(self._local)
                    yield connection

    @asynccontextmanager
    async def _open_transaction(
        self, isolation: Isolation | None, read_only: bool, deferrable: bool
    ) -> AsyncIterator[Transaction]:
        core = self._core
        admission = core.admission if self._tenant is None else None
        with Ending() as ending:
            async with self._borrow("transaction", read_only=read_only) as lease:

                def explain(raised: BaseException) -> BaseException:
                    error = as_lost(raised, lease.connection)
                    self._note_refusal(error, lease, read_only=read_only)  # also if the block handles it
                    return error

                terms = Terms(core.prefetch, core.on_call, admission, core.through, explain)
                async with begin(
                    lease.connection, terms, ending, isolation, read_only, deferrable, local=self._local
                ) as transaction:
                    yield transaction

    async def _admit(self, query: CompiledQuery[Any, Any]) -> None:
        """Refuse a query whose tables are closed to those who name no tenant."""
        if query.row_security is None or self._tenant is not None or self._core.admission.knows(query):
            return
        if self._local is None:
            async with self._acquire("check") as connection:
                await self._core.admission.check(connection, query)
        else:
            async with self._in_transaction(use="check") as connection:
                await self._core.admission.check(connection, query, lasting_setting=False)

    def _note_refusal(self, error: BaseException, lease: Lease, *, read_only: bool = False) -> bool:
        """Retire what leads to a read-only server if a write was refused there; return whether a new
        connection may lead to another.
        """
        if not is_refusal(error) or (read_only and isinstance(error, exceptions.ReadOnlySQLTransactionError)):
            return False
        replaced = self._core.read_only.refused(error, lease)
        explain_refusal(error, lease.connection, replaced=replaced)
        return replaced

    async def _lease(self, lease: Lease | None = None, *, proved: bool = False) -> Lease:
        """Take a connection whose session is this executor's tenant's, or nobody's.

        ``proved``: one that was just lost is not the only one, as a rule; each is asked for a sign of life.
        """
        leases = self._leases
        deadline = leases.deadline()
        losses = 0
        while True:
            if lease is None:
                lease = leases.take_now(self._session)
            if lease is None:
                try:
                    if losses == 0:
                        lease = await leases.take(self._session)
                    else:
                        async with asyncio.timeout_at(deadline):
                            lease = await leases.take(self._session)
                except PoolTimeoutError as error:
                    self._core.holders.explain(error)
                    raise
                except PlainsqlError:
                    raise
                except _OF_OPENING as error:
                    if losses and isinstance(error, TimeoutError):
                        raise leases.no_answer() from None
                    losses += 1
                    if isinstance(error, _LOST_ON_THE_WAY) and losses < 3:
                        continue  # it was lost while it was set up, and not refused
                    state: str | None = getattr(error, "sqlstate", None)
                    raise cannot_connect(self._core.name, error, state) from None
            if lease.tenant == self._session and not proved:
                return lease
            limit = leases.answer_timeout(deadline)
            try:
                if lease.tenant != self._session:
                    await set_session(lease.connection, lease.tenant, self._session, timeout=limit)
                    lease.tenant = self._session
                else:
                    await lease.connection.execute("select", timeout=limit)
                return lease
            except BaseException as raised:
                leases.retire(lease)  # whose it is now is not known
                silent = isinstance(raised, TimeoutError)
                losses += 1
                if (silent or is_lost(raised)) and losses <= leases.max_size:
                    if silent:
                        # What was open beside a connection that does not answer is as suspect.
                        leases.retire_before(monotonic())
                    if deadline is not None and asyncio.get_running_loop().time() >= deadline:
                        raise leases.no_answer() from None
                    lease = None
                    continue
                lost = as_lost(raised)
                if lost is raised:
                    raise
                add_note(lost, NOT_SENT)
                raise lost from raised

    async def _on_lease(
        self,
        work: Callable[[Any, CompiledQuery[Any, Any], QueryText, Any], Awaitable[T]],
        query: CompiledQuery[Any, Any],
        text: QueryText,
        values: Any,
        call: Call | None,
    ) -> T:
        """Run work on a connection of its own; a second time if its connection was lost, and it changes
        nothing or was not sent at all, or if it was refused by a server that only reads now.
        """
        read_only = query.read_only
        again = False
        while True:
            lease = self._leases.take_now(self._session)
            if lease is None or again or lease.tenant != self._session:
                lease = await self._lease(lease, proved=again)
            connection = lease.connection
            if call is not None:
                call.lease_wait = perf_counter() - call.began
            try:
                if self._local is not None:
                    await connection.execute(f"begin; {self._local}")
                result = await work(connection, query, text, values)
                if self._local is not None and not read_only:
                    await connection.execute("commit")
            except BaseException as raised:
                error = as_lost(raised)
                refused = self._note_refusal(error, lease)
                self._give_back_failed(lease, query, error)
                if not again and (refused or may_run_again(error, read_only=read_only)):
                    again = True
                    continue
                if (note := note_of_statement(error, read_only=read_only)) is not None:
                    add_note(error, note)
                if self._local is not None and isinstance(error, _OUTSIDE_OF_TRANSACTIONS):
                    add_note(error, _IS_A_TRANSACTION)
                if error is raised:
                    raise
                raise error from raised
            if not query.session_clean:
                self._give_back_unknown(lease, query)
            elif self._local is not None and read_only:
                self._leases.give_back_after(lease, "commit")  # the caller need not wait for it
            else:
                self._leases.give_back(lease)
            return result

    def _give_back_unknown(self, lease: Lease, query: CompiledQuery[Any, Any]) -> None:
        if may_alter_statements(query.sql):
            lease.connection.is_suspect = True
        self._leases.give_back_changed(lease)

    def _give_back_failed(self, lease: Lease, query: CompiledQuery[Any, Any], error: BaseException) -> None:
        if self._local is not None and not is_lost(error):
            # Where the statement was cancelled, the driver waits for its end first.
            self._leases.give_back_after(lease, "rollback")
        elif not isinstance(error, exceptions.PostgresError | PlainsqlError) or is_lost(error):
            # The server may still be at it: the pool waits for its answer, or closes the connection.
            self._leases.retire(lease)
        elif not query.session_clean:
            self._give_back_unknown(lease, query)
        else:
            self._leases.give_back(lease)
