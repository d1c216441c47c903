"""The link that sends concurrent calls of one read together, if that costs less than sending each alone."""

from __future__ import annotations

import asyncio
from _thread import get_ident
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from itertools import islice
from time import perf_counter
from typing import Any, TypeVar

from plainsql.database.execution.forms import Form, FormsByText
from plainsql.database.execution.groups import ALONE, Began, Waiting
from plainsql.database.execution.link import Executes, Link
from plainsql.database.execution.prepared_statements import is_prepared
from plainsql.database.execution.scheduler import Runner, Scheduler
from plainsql.database.execution.statement import execute, fetch
from plainsql.database.pool.call import Call
from plainsql.database.pool.connection_pool import ConnectionPool
from plainsql.database.pool.tenant_pool import TenantPool
from plainsql.query import Args, CompiledQuery, QueryText
from plainsql.tenancy import Tenant

__all__ = ["Autobatch"]

R = TypeVar("R")

_MAX_SCHEDULERS = 1000
"""About so many schedulers are kept, one for each query and tenant. The oldest idle ones are dropped."""

_DROPPED_AT_ONCE = 16
"""So many of the oldest schedulers are examined when there are too many."""


class Autobatch(Link):
    """Runs reads, alone or together with others of their kind, and passes everything else on."""

    __slots__ = ("_connections", "_forms", "schedulers")

    def __init__(self, following: Executes, connections: ConnectionPool, forms: FormsByText) -> None:
        super().__init__(following)
        self._connections = connections
        self._forms = forms
        self.schedulers: dict[tuple[Tenant | None, int], Scheduler] = {}
        """By the tenant and the identity of the query's text, which the forms keep alive."""

    async def run(
        self, query: CompiledQuery[Any, R], args: Args, pool: TenantPool, call: Call | None, /
    ) -> R:
        """Run a query. A read may share a round trip with concurrent calls of the same read."""
        if not query.read_only or query.is_columnar:
            return await self._next.run(query, args, pool, call)
        text, values = query.texts.select(args)  # `query.text`, in a form that costs less
        if query.row_security is not None and pool.tenant is None:
            await pool.admit(query)
        connections = self._connections
        if connections.loop._thread_id != get_ident():
            raise connections.wrong_loop()  # before a scheduler counts or keeps the call
        scheduler = self.schedulers.get((pool.tenant, id(text)))
        if scheduler is None:
            if query.needs_columns or not query.autobatch or query.has_settings:
                return await self._next.run(query, args, pool, call)
            scheduler = self._add_scheduler(query, text, pool)
        if (scheduler.in_progress or scheduler.crowded) and scheduler.accepts():
            try:
                found = await scheduler.join(values, call)
            except asyncio.CancelledError:
                scheduler.abandoned()
                raise
            if found is not ALONE:
                return query.result(found)
        work = _measuring(scheduler) if scheduler.begin() else execute
        try:
            return await pool.run_on_connection(work, query, text, values, call)
        finally:
            scheduler.end()

    def fresh(
        self, query: CompiledQuery[Any, R], args: Args, pool: TenantPool, call: Call | None, /
    ) -> Coroutine[Any, Any, R]:
        """Run a query; without a cache every result is fresh."""
        return self.run(query, args, pool, call)

    def _add_scheduler(self, query: CompiledQuery[Any, Any], text: QueryText, pool: TenantPool) -> Scheduler:
        schedulers = self.schedulers
        if len(schedulers) >= _MAX_SCHEDULERS:  # there may be many tenants
            for key in [*islice(schedulers, _DROPPED_AT_ONCE)]:
                if schedulers[key].at_rest:
                    del schedulers[key]

        def together(
            form: Form, waiting: list[Waiting], begin: Callable[[bool], None]
        ) -> Awaitable[list[list[Any]] | None]:
            async def fetch_together(
                connection: Any, _: object, __: object, waiting: list[Waiting]
            ) -> list[list[Any]] | None:
                if waiting[0][2] is not None:  # there is a hook, so every call has a record
                    now = perf_counter()
                    for _values, _future, call in waiting:
                        if call is not None:
                            call.joined, call.lease_wait = len(waiting), now - call.began
                begin(is_prepared(connection, form.sql))
                try:
                    return await form.fetch(connection, [values for values, _, _ in waiting])
                except TimeoutError as error:
                    error.add_note(query.error_note(text, None))
                    raise

            return pool.run_on_connection(fetch_together, query, text, waiting, None)

        def alone(waiting: Waiting, began: Began | None) -> Awaitable[Sequence[Any]]:
            values, future, call = waiting

            async def fetch_alone(
                connection: Any, query: CompiledQuery[Any, Any], text: QueryText, values: Args
            ) -> list[Any]:
                if began is not None:
                    began[future] = perf_counter()
                return await fetch(connection, query, text, values)

            return pool.run_on_connection(fetch_alone, query, text, values, call)

        connections = self._connections
        runner = Runner(connections.max_size, lambda: connections.in_use, together, alone)
        made = schedulers[pool.tenant, id(text)] = Scheduler(self._forms.of(query, text), runner)
        return made


def _measuring(scheduler: Scheduler) -> Callable[..., Awaitable[Any]]:
    """Make an ``execute`` that reports to the scheduler how long it took."""

    async def execute_measured(
        connection: Any, query: CompiledQuery[Any, R], text: QueryText, values: Args
    ) -> R:
        began, prepared = perf_counter(), is_prepared(connection, text.sql)
        result = await execute(connection, query, text, values)
        scheduler.record(perf_counter() - began, prepared=prepared)
        return result

    return execute_measured
