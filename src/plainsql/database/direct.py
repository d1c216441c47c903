"""Calls on PostgreSQL itself: each on a connection of its own, or together with others of its kind."""

from __future__ import annotations

import asyncio
from _thread import get_ident
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from time import perf_counter
from typing import Any, TypeVar

from plainsql.database.borrowing import Borrower
from plainsql.database.driver import is_prepared
from plainsql.database.execution import execute, fetch
from plainsql.database.forms import Form, Forms
from plainsql.database.groups import ALONE, Began, Waiting
from plainsql.database.many import (
    divide,
    execute_many,
    pipelined_sql,
    read_together,
    run_batch,
    write_many,
    write_pipelined,
)
from plainsql.database.observing import Call
from plainsql.database.pipelined import is_one_piece
from plainsql.database.scheduler import Runner, Scheduler
from plainsql.query import Args, CompiledQuery, QueryText

__all__ = ["Direct"]

R = TypeVar("R")

_SCHEDULERS = 1000
"""About so many schedulers are kept, the oldest of those at rest go first: one is needed for each query and
tenant."""


class Direct(Borrower):
    """Runs queries of which nothing is stored, and sends concurrent reads together."""

    async def _run_direct(self, query: CompiledQuery[Any, R], args: Args, call: Call | None) -> R:
        text, values = query.text(args)
        if query.row_security is not None and self._tenant is None:
            await self._admit(query)
        if not query.read_only:
            return await self._on_lease(execute, query, text, values, call)
        if self._leases.loop._thread_id != get_ident():
            raise self._leases.not_here()  # before a scheduler counts or keeps the call
        scheduler = self._core.schedulers.get((self._tenant, id(text)))
        if scheduler is None:
            if not (query.autobatch and self._core.autobatch) or query.needs_columns:
                return query.result(await self._on_lease(fetch, query, text, values, call))
            scheduler = self._scheduler(query, text)
        if (scheduler.under_way or scheduler.crowded) and scheduler.takes():
            try:
                found = await scheduler.join(values, call)
            except asyncio.CancelledError:
                scheduler.abandoned()
                raise
            if found is not ALONE:
                return query.result(found)
        work = _measuring(scheduler) if scheduler.begin() else fetch
        try:
            records = await self._on_lease(work, query, text, values, call)
        finally:
            scheduler.end()
        return query.result(records)

    async def _batch_direct(
        self, query: CompiledQuery[Any, R], sets: Sequence[Args], call: Call | None
    ) -> list[R]:
        runs = divide(query, sets)
        if query.read_only and not query.needs_columns:
            results: list[R] = []
            for text, values in runs:
                results += await self._read_together(query, text, values, len(results) + 1, call)
            return results
        if query.session_clean and len(runs) == 1 and not query.needs_columns:
            text, values = runs[0]
            if len(values) == 1:
                return [await self._on_lease(execute, query, text, values[0], call)]
            sql = pipelined_sql(query, text)
            if sql is not None and is_one_piece(values):  # the pipeline is a transaction

                async def write(connection: Any, _: object, text: QueryText, values: Any) -> list[R]:
                    return await write_pipelined(connection, query, text, values, sql)

                return await self._on_lease(write, query, text, values, call)
        if not runs:
            return []
        async with self._in_transaction(call) as connection:
            return await run_batch(connection, query, sets, own=True)

    async def _many_direct(
        self, query: CompiledQuery[Any, Any], sets: Sequence[Args], call: Call | None
    ) -> None:
        runs = divide(query, sets)
        if query.session_clean and len(runs) == 1 and is_one_piece(runs[0][1]):
            await self._on_lease(write_many, query, *runs[0], call)
        elif runs:
            async with self._in_transaction(call) as connection:
                await execute_many(connection, query, sets, own=True)

    async def _read_together(
        self,
        query: CompiledQuery[Any, R],
        text: QueryText,
        values: Sequence[Any],
        first: int,
        call: Call | None,
    ) -> list[R]:
        forms = self._forms(query, text)

        async def read(connection: Any, _: object, text: QueryText, values: Any) -> list[R]:
            return await read_together(connection, query, text, values, forms, first)

        return await self._on_lease(read, query, text, values, call)

    def _forms(self, query: CompiledQuery[Any, Any], text: QueryText) -> Forms:
        forms = self._core.forms.get(id(text))
        if forms is None:
            joins = query.by_key and self._core.autobatch
            forms = self._core.forms[id(text)] = Forms(query, text, joins=joins, floor=self._core.floor)
        return forms

    def _scheduler(self, query: CompiledQuery[Any, Any], text: QueryText) -> Scheduler:
        schedulers = self._core.schedulers
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
                if self._core.on_call is not None:
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

            return self._on_lease(fetch_together, query, text, waiting, None)

        def alone(waiting: Waiting, began: Began | None) -> Awaitable[Sequence[Any]]:
            values, future, call = waiting

            async def fetch_alone(
                connection: Any, query: CompiledQuery[Any, Any], text: QueryText, values: Args
            ) -> list[Any]:
                if began is not None:
                    began[future] = perf_counter()
                return await fetch(connection, query, text, values)

            return self._on_lease(fetch_alone, query, text, values, call)

        leases = self._leases
        runner = Runner(leases.max_size, lambda: leases.in_use, together, alone)
        made = schedulers[self._tenant, id(text)] = Scheduler(self._forms(query, text), runner)
        return made


def _measuring(scheduler: Scheduler) -> Callable[..., Awaitable[list[Any]]]:
    """Make a ``fetch`` that tells the scheduler how long it took."""

    async def fetch_measured(
        connection: Any, query: CompiledQuery[Any, Any], text: QueryText, values: Args
    ) -> list[Any]:
        began, prepared = perf_counter(), is_prepared(connection, text.sql)
        records = await fetch(connection, query, text, values)
        scheduler.measured(perf_counter() - began, prepared=prepared)
        return records

    return fetch_measured
