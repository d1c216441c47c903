"""Calls on PostgreSQL itself: each on a connection of its own, or together with others of its kind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from itertools import islice
from time import perf_counter
from typing import Any, TypeVar

from plainsql.database.borrowing import Borrower
from plainsql.database.execution import execute, fetch
from plainsql.database.joined import JoinedStatement
from plainsql.database.joining import Joiner, Reader, Waiting
from plainsql.database.many import (
    CHUNK,
    divide,
    execute_many,
    pipelined_sql,
    read_together,
    run_batch,
    write_many,
    write_pipelined,
)
from plainsql.database.observing import Call
from plainsql.query import Args, Plan, Query

__all__ = ["Direct"]

R = TypeVar("R")

_JOINERS = 1000
"""About so many joiners are kept, the oldest of those at rest go first: one is needed for each query and
tenant."""


class Direct(Borrower):
    """Runs queries where nothing is stored of them, and joins concurrent reads."""

    async def _run_direct(self, query: Query[..., Any, R], args: Args, call: Call | None) -> R:
        plan, values = query.plan(args)
        if query.row_security is not None and self._tenant is None:
            await self._admit(query)
        if query.effect != "reads":
            return await self._on_lease(execute, query, plan, values, call)
        joiner = self._core.joiners.get((self._tenant, plan.sql))
        if joiner is None:
            if not (query.joins and self._core.joins) or query.needs_columns:
                return query.result(await self._on_lease(fetch, query, plan, values, call))
            joiner = self._core.joiners[self._tenant, plan.sql] = self._joiner(query, plan)
        if (joiner.under_way or joiner.crowded) and joiner.takes():
            try:
                return query.result(await joiner.join(values, call))
            except asyncio.CancelledError:
                joiner.abandoned()
                raise
        joiner.under_way += 1
        # What a call costs matters where there are others.
        measured = joiner.statement if joiner.under_way > 1 else None
        try:
            records = await self._on_lease(fetch, query, plan, values, call, measured)
        finally:
            joiner.ended()
        return query.result(records)

    async def _batch_direct(
        self, query: Query[..., Any, R], sets: Sequence[Args], call: Call | None
    ) -> list[R]:
        runs = divide(query, sets)
        if query.effect == "reads" and not query.needs_columns:
            results: list[R] = []
            for plan, values in runs:
                if len(values) == 1:
                    results.append(await self._on_lease(execute, query, plan, values[0], call))
                    continue
                for start in range(0, len(values), CHUNK):
                    results += await self._read_chunk(query, plan, values[start : start + CHUNK], call)
            return results
        if query.effect == "writes" and len(runs) == 1 and not query.needs_columns:
            plan, values = runs[0]
            if len(values) == 1:
                return [await self._on_lease(execute, query, plan, values[0], call)]
            sql = pipelined_sql(query, plan)
            if sql is not None:  # the pipeline is a transaction

                async def write(connection: Any, _: object, plan: Plan, values: Any) -> list[R]:
                    return await write_pipelined(connection, query, plan, values, sql)

                return await self._on_lease(write, query, plan, values, call)
        if not runs:
            return []
        async with self._in_transaction(call) as connection:
            return await run_batch(connection, query, sets)

    async def _many_direct(
        self, query: Query[..., Any, Any], sets: Sequence[Args], call: Call | None
    ) -> None:
        runs = divide(query, sets)
        if query.effect != "unknown" and len(runs) == 1:
            await self._on_lease(write_many, query, *runs[0], call)
        elif runs:
            async with self._in_transaction(call) as connection:
                await execute_many(connection, query, sets)

    async def _read_chunk(
        self, query: Query[..., Any, R], plan: Plan, values: Sequence[Any], call: Call | None
    ) -> list[R]:
        statement = self._statement(plan)

        async def read(connection: Any, _: object, plan: Plan, values: Any) -> list[R]:
            return await read_together(connection, query, plan, values, statement)

        return await self._on_lease(read, query, plan, values, call)

    def _statement(self, plan: Plan) -> JoinedStatement:
        statement = self._core.joined.get(plan.sql)
        if statement is None:
            statement = self._core.joined[plan.sql] = JoinedStatement(plan)
        return statement

    def _joiner(self, query: Query[..., Any, Any], plan: Plan) -> Joiner:
        joiners = self._core.joiners
        if len(joiners) >= _JOINERS:  # there may be many tenants
            for key in [*islice(joiners, 16)]:
                if joiners[key].at_rest:
                    del joiners[key]
        statement = self._statement(plan)

        async def fetch_joined(
            connection: Any, _: object, __: object, waiting: list[Waiting]
        ) -> list[list[Any]] | None:
            if self._core.on_call is not None:
                now = perf_counter()
                for _values, _future, call in waiting:
                    if call is not None:
                        call.joined, call.lease_wait = len(waiting), now - call.began
            return await statement.fetch(connection, [values for values, _, _ in waiting])

        def together(waiting: list[Waiting]) -> Awaitable[list[list[Any]] | None]:
            return self._on_lease(fetch_joined, query, plan, waiting, None)

        def alone(waiting: Waiting) -> Awaitable[Sequence[Any]]:
            values, _, call = waiting
            return self._on_lease(fetch, query, plan, values, call, statement)

        return Joiner(statement, Reader(self._leases.max_size, together, alone))
