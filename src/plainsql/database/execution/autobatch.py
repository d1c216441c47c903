"""Calls on PostgreSQL itself: each on a connection of its own, or together with others of its kind."""

from __future__ import annotations

import asyncio
from _thread import get_ident
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from time import perf_counter
from typing import Any, TypeVar

from plainsql.database.execution.batch import (
    divide,
    execute_many,
    pipelined_sql,
    read_many,
    run_batch,
    write_many,
    write_pipelined,
)
from plainsql.database.execution.driver import is_prepared
from plainsql.database.execution.forms import Form, Forms
from plainsql.database.execution.groups import ALONE, Began, Waiting
from plainsql.database.execution.pipelined_statement import is_one_piece
from plainsql.database.execution.scheduler import Runner, Scheduler
from plainsql.database.execution.statement import execute, fetch
from plainsql.database.hooks import Call
from plainsql.database.pool.tenant_pool import TenantPool
from plainsql.query import Args, Plan, Query

__all__ = ["Autobatch"]

R = TypeVar("R")

_SCHEDULERS = 1000
"""About so many schedulers are kept, the oldest of those at rest go first: one is needed for each query and
tenant."""


class Autobatch(TenantPool):
    """Runs queries of which nothing is stored, and sends concurrent reads together."""

    async def _run_direct(self, query: Query[..., Any, R], args: Args, call: Call | None) -> R:
        plan, values = query.plan(args)
        if query.row_security is not None and self._tenant is None:
            await self._admit(query)
        if query.effect != "reads":
            return await self._on_connection(execute, query, plan, values, call)
        if self._pool.loop._thread_id != get_ident():
            raise self._pool.wrong_loop()  # before a scheduler counts or keeps the call
        scheduler = self._state.schedulers.get((self._tenant, id(plan)))
        if scheduler is None:
            if not (query.pipelines and self._state.joins) or query.needs_columns:
                return query.result(await self._on_connection(fetch, query, plan, values, call))
            scheduler = self._scheduler(query, plan)
        if (scheduler.in_progress or scheduler.crowded) and scheduler.accepts():
            try:
                found = await scheduler.join(values, call)
            except asyncio.CancelledError:
                scheduler.abandoned()
                raise
            if found is not ALONE:
                return query.result(found)
        work = _measuring(scheduler) if scheduler.begin() else fetch
        try:
            records = await self._on_connection(work, query, plan, values, call)
        finally:
            scheduler.end()
        return query.result(records)

    async def _batch_direct(
        self, query: Query[..., Any, R], sets: Sequence[Args], call: Call | None
    ) -> list[R]:
        runs = divide(query, sets)
        if query.effect == "reads" and not query.needs_columns:
            results: list[R] = []
            for plan, values in runs:
                results += await self._read_together(query, plan, values, len(results) + 1, call)
            return results
        if query.effect == "writes" and len(runs) == 1 and not query.needs_columns:
            plan, values = runs[0]
            if len(values) == 1:
                return [await self._on_connection(execute, query, plan, values[0], call)]
            sql = pipelined_sql(query, plan)
            if sql is not None and is_one_piece(values):  # the pipeline is a transaction

                async def write(connection: Any, _: object, plan: Plan, values: Any) -> list[R]:
                    return await write_pipelined(connection, query, plan, values, sql)

                return await self._on_connection(write, query, plan, values, call)
        if not runs:
            return []
        async with self._in_transaction(call) as connection:
            return await run_batch(connection, query, sets, own=True)

    async def _many_direct(
        self, query: Query[..., Any, Any], sets: Sequence[Args], call: Call | None
    ) -> None:
        runs = divide(query, sets)
        if query.effect != "unknown" and len(runs) == 1 and is_one_piece(runs[0][1]):
            await self._on_connection(write_many, query, *runs[0], call)
        elif runs:
            async with self._in_transaction(call) as connection:
                await execute_many(connection, query, sets, own=True)

    async def _read_together(
        self, query: Query[..., Any, R], plan: Plan, values: Sequence[Any], first: int, call: Call | None
    ) -> list[R]:
        forms = self._forms(query, plan)

        async def read(connection: Any, _: object, plan: Plan, values: Any) -> list[R]:
            return await read_many(connection, query, plan, values, forms, first)

        return await self._on_connection(read, query, plan, values, call)

    def _forms(self, query: Query[..., Any, Any], plan: Plan) -> Forms:
        forms = self._state.forms.get(id(plan))
        if forms is None:
            joins = query.joins and self._state.joins
            forms = self._state.forms[id(plan)] = Forms(
                query, plan, joins=joins, round_trip=self._state.round_trip
            )
        return forms

    def _scheduler(self, query: Query[..., Any, Any], plan: Plan) -> Scheduler:
        schedulers = self._state.schedulers
        if len(schedulers) >= _SCHEDULERS:  # there may be many tenants
            for key in [*islice(schedulers, 16)]:
                if schedulers[key].at_rest:
                    del schedulers[key]

        def together(
            form: Form, waiting: list[Waiting], begin: Callable[[bool], None]
        ) -> Awaitable[list[list[Any]] | None]:
            async def fetch_together(
                connection: Any, _: object, __: object, waiting: list[Waiting]
            ) -> list[list[Any]] | None:
                if self._state.on_call is not None:
                    now = perf_counter()
                    for _values, _future, call in waiting:
                        if call is not None:
                            call.joined, call.lease_wait = len(waiting), now - call.began
                begin(is_prepared(connection, form.sql))
                try:
                    return await form.fetch(connection, [values for values, _, _ in waiting])
                except TimeoutError as error:
                    error.add_note(query.note(plan, None))
                    raise

            return self._on_connection(fetch_together, query, plan, waiting, None)

        def alone(waiting: Waiting, began: Began | None) -> Awaitable[Sequence[Any]]:
            values, future, call = waiting

            async def fetch_alone(
                connection: Any, query: Query[..., Any, Any], plan: Plan, values: Args
            ) -> list[Any]:
                if began is not None:
                    began[future] = perf_counter()
                return await fetch(connection, query, plan, values)

            return self._on_connection(fetch_alone, query, plan, values, call)

        pool = self._pool
        runner = Runner(pool.max_size, lambda: pool.in_use, together, alone)
        made = schedulers[self._tenant, id(plan)] = Scheduler(self._forms(query, plan), runner)
        return made


def _measuring(scheduler: Scheduler) -> Callable[..., Awaitable[list[Any]]]:
    """Make a ``fetch`` that tells the scheduler how long it took."""

    async def fetch_measured(
        connection: Any, query: Query[..., Any, Any], plan: Plan, values: Args
    ) -> list[Any]:
        began, prepared = perf_counter(), is_prepared(connection, plan.sql)
        records = await fetch(connection, query, plan, values)
        scheduler.measured(perf_counter() - began, prepared=prepared)
        return records

    return fetch_measured
