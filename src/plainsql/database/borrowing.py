"""Connections for the calls of one tenant, or of nobody's: taken, made the tenant's, given back.

A connection that carries a tenant serves nothing else before that is replaced. Behind a pooler that gives out
its connections by the transaction no connection carries anything: there a tenant's call is a transaction.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Literal, TypeVar

from asyncpg import exceptions

from plainsql.database.cost import Floor
from plainsql.database.failure import as_closed, is_lost
from plainsql.database.forms import Forms
from plainsql.database.leases import Lease, Leases, Tenant
from plainsql.database.observing import Call, OnCall
from plainsql.database.outcome import Ending, note_of_statement, was_not_sent
from plainsql.database.scheduler import Scheduler
from plainsql.database.tenancy import Admission, local_settings, set_session
from plainsql.database.through import Through
from plainsql.database.transaction import Isolation, Terms, Transaction, begin
from plainsql.diagnose import cannot_connect
from plainsql.errors import PlainsqlError, PoolTimeoutError
from plainsql.query import Effect, Plan, Query

__all__ = ["Borrower", "Core", "Pooler"]

T = TypeVar("T")

Pooler = Literal["transaction", "session"]
"""What stands between us and the server, and for how long it lends a connection."""


@dataclass(slots=True)
class Core:
    """What a database and all views of it share."""

    leases: Leases
    name: str
    """The URL without its password."""
    prefetch: int
    joins: bool
    pooler: Pooler | None
    on_call: OnCall | None
    admission: Admission
    through: Through | None
    """None where nothing is cached."""
    floor: Floor
    """What a round trip to the server takes."""
    in_transaction: Counter[asyncio.Task[Any] | None] = field(default_factory=Counter)
    """Tasks inside of transactions, and of how many."""
    forms: dict[int, Forms] = field(default_factory=dict)
    """By the identity of a query's plan, which each of them keeps alive."""
    schedulers: dict[tuple[Tenant | None, int], Scheduler] = field(default_factory=dict)


class Borrower:
    """Takes and gives back connections whose session is one tenant's, or nobody's."""

    def __init__(self, core: Core, tenant: Tenant | None) -> None:
        self._core = core
        self._leases = core.leases
        self._tenant = tenant
        by_transaction = tenant is not None and core.pooler == "transaction"
        self._session = None if by_transaction else tenant
        """What the sessions of this executor carry."""
        self._local = local_settings(tenant) if tenant is not None and by_transaction else None
        """What its transactions begin with, where sessions can carry nothing."""

    @asynccontextmanager
    async def _acquire(self) -> AsyncIterator[Any]:
        lease = await self._lease()
        try:
            yield lease.connection
        except BaseException as error:
            if isinstance(error, Exception) and not is_lost(error) and not isinstance(error, TimeoutError):
                self._leases.give_back_changed(lease)
            else:  # it may be in the middle of something
                self._leases.retire(lease)
            raise
        else:
            self._leases.give_back_changed(lease)

    @asynccontextmanager
    async def _in_transaction(self, call: Call | None = None) -> AsyncIterator[Any]:
        """Take a connection that is in a transaction of this executor's tenant."""
        with Ending() as ending:
            async with self._acquire() as connection:
                # Not `async with`: where the connection is gone, its end hides the error that tells so.
                if call is not None:
                    call.lease_wait = perf_counter() - call.began
                transaction = connection.transaction()
                await transaction.start()
                try:
                    if self._local is not None:
                        await connection.execute(self._local)
                    yield connection
                except BaseException:
                    if not connection.is_closed():
                        with suppress(exceptions.PostgresError, exceptions.InterfaceError, OSError):
                            await transaction.rollback()
                    raise
                ending.begun = True
                await transaction.commit()

    @asynccontextmanager
    async def _open_transaction(
        self, isolation: Isolation | None, read_only: bool, deferrable: bool
    ) -> AsyncIterator[Transaction]:
        core = self._core
        admission = core.admission if self._tenant is None else None
        terms = Terms(core.prefetch, core.on_call, admission, core.through)
        with Ending() as ending:
            async with (
                self._acquire() as connection,
                begin(connection, terms, isolation, read_only, deferrable) as transaction,
            ):
                if self._local is not None:
                    await connection.execute(self._local)
                task = asyncio.current_task()
                core.in_transaction[task] += 1
                try:
                    yield transaction
                finally:
                    core.in_transaction[task] -= 1
                    if not core.in_transaction[task]:
                        del core.in_transaction[task]
                ending.begun = True

    async def _admit(self, query: Query[..., Any, Any]) -> None:
        """Refuse a query whose tables are closed to those who name no tenant."""
        if query.row_security is None or self._tenant is not None or self._core.admission.knows(query):
            return
        async with self._acquire() as connection:
            await self._core.admission.check(
                connection, query, lasting_setting=self._core.pooler != "transaction"
            )

    async def _lease(self, lease: Lease | None = None, *, proved: bool = False) -> Lease:
        """Take a connection whose session is this executor's tenant's, or nobody's.

        ``proved``: one that was just lost is not the only one, as a rule; each is asked for a sign of life.
        """
        losses = 0
        while True:
            if lease is None:
                lease = self._leases.take_now(self._session)
            if lease is None:
                try:
                    lease = await self._leases.take(self._session)
                except PoolTimeoutError as error:
                    if asyncio.current_task() in self._core.in_transaction:
                        error.hint = (
                            "this task is inside of a transaction of this database and holds its connection: "
                            "call on the transaction, or leave it first"
                        )
                    raise
                except PlainsqlError:
                    raise
                except (OSError, exceptions.PostgresError, exceptions.InterfaceError) as error:
                    losses += 1
                    if isinstance(error, exceptions.ConnectionDoesNotExistError) and losses < 3:
                        continue  # it was lost while it was set up, and not refused
                    state: str | None = getattr(error, "sqlstate", None)
                    raise cannot_connect(self._core.name, error, state) from None
            if lease.tenant == self._session and not proved:
                return lease
            try:
                if lease.tenant != self._session:
                    await set_session(lease.connection, lease.tenant, self._session)
                    lease.tenant = self._session
                else:
                    await lease.connection.execute("select")
                return lease
            except BaseException as error:
                self._leases.retire(lease)  # whose it is now is not known
                lease = None
                losses += 1
                if not is_lost(error) or losses > self._leases.max_size:
                    raise

    async def _on_lease(
        self,
        work: Callable[[Any, Query[..., Any, Any], Plan, Any], Awaitable[T]],
        query: Query[..., Any, Any],
        plan: Plan,
        values: Any,
        call: Call | None,
    ) -> T:
        """Run work on a connection of its own; a second time if its connection was lost, and it changes
        nothing or was not sent at all.
        """
        effect: Any = query.effect
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
                result = await work(connection, query, plan, values)
                if self._local is not None and effect != "reads":
                    await connection.execute("commit")
            except BaseException as raised:
                error = as_closed(raised)
                self._give_back_failed(lease, effect, error)
                if not again and is_lost(error) and (effect == "reads" or was_not_sent(error)):
                    again = True
                    continue
                if (note := note_of_statement(error, effect)) is not None:
                    error.add_note(note)
                if error is raised:
                    raise
                raise error from None
            if effect == "unknown":
                self._leases.give_back_changed(lease)
            elif self._local is not None and effect == "reads":
                self._leases.give_back_after(lease, "commit")  # the caller need not wait for it
            else:
                self._leases.give_back(lease)
            return result

    def _give_back_failed(self, lease: Lease, effect: Effect, error: BaseException) -> None:
        if self._local is not None and not is_lost(error):
            # Where the statement was cancelled, the driver waits for its end first.
            self._leases.give_back_after(lease, "rollback")
        elif not isinstance(error, exceptions.PostgresError | PlainsqlError) or is_lost(error):
            # The server may still be at it: the pool waits for its answer, or closes the connection.
            self._leases.retire(lease)
        elif effect == "unknown":
            self._leases.give_back_changed(lease)
        else:
            self._leases.give_back(lease)
