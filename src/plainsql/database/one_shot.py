"""Calls that stand alone: each on a connection of its own, or together with others of its kind.

A `Database` and a tenant's view of it are the same executor; the view's sessions carry the tenant's settings.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from itertools import islice
from time import perf_counter
from typing import Any, TypeVar

from plainsql.database.borrowing import Borrower
from plainsql.database.copying import CopyFormat, Output, Progress, copy_in, copy_out
from plainsql.database.execution import execute, fetch, iterate
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
from plainsql.database.observing import Call, observe, observe_rows
from plainsql.database.retrying import retry
from plainsql.database.transaction import Isolation, Transaction
from plainsql.errors import PlainsqlError
from plainsql.query import Args, Plan, Query

__all__ = ["OneShot"]

R = TypeVar("R")
T = TypeVar("T")

_JOINERS = 1000
"""About so many joiners are kept, the oldest of those at rest go first: one is needed for each query and
tenant."""


class OneShot(Borrower):
    """An executor that serves any number of tasks at once."""

    def run(self, query: Query[..., Any, R], args: Args, /) -> Coroutine[Any, Any, R]:
        """Run a query on a connection of its own, or together with others of its kind.

        A read that is proved to change nothing is run once more where its connection turns out to be lost.
        """
        # Not a coroutine around another: that costs where nobody looks.
        if (on_call := self._core.on_call) is None:
            return self._run(query, args, None)
        call = Call(query)
        return observe(on_call, call, self._run(query, args, call))

    def stream(self, query: Query[..., T, Any], args: Args, /) -> AsyncIterator[T]:
        """Iterate over a query's rows through a cursor, in a transaction and on a connection of its own."""
        if (on_call := self._core.on_call) is None:
            return self._stream(query, args, None)
        call = Call(query, "stream")
        return observe_rows(on_call, call, self._stream(query, args, call))

    def run_batch(self, query: Query[..., Any, R], sets: Sequence[Args], /) -> Coroutine[Any, Any, list[R]]:
        """Run a query for each set of arguments, all or none; the results in the order of the sets."""
        if (on_call := self._core.on_call) is None:
            return self._run_batch(query, sets, None)
        call = Call(query, "batch", len(sets))
        return observe(on_call, call, self._run_batch(query, sets, call))

    def run_many(self, query: Query[..., Any, Any], sets: Sequence[Args], /) -> Coroutine[Any, Any, None]:
        """Run a query for each set of arguments, pipelined, all or none; its results are dropped."""
        if (on_call := self._core.on_call) is None:
            return self._run_many(query, sets, None)
        call = Call(query, "execute_many", len(sets))
        return observe(on_call, call, self._run_many(query, sets, call))

    async def copy_in(
        self,
        table: str,
        rows: Iterable[Any] | AsyncIterable[Any],
        *,
        columns: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Copy rows into a table with COPY, all or none, and return how many there were.

        Args:
            table: ``realty.messages``.
            rows: structs, whose fields name the columns, or tuples.
            columns: the columns' names, where the rows are tuples.
            progress: called with the number of rows taken so far, every 1,000 and at the end.
        """
        async with self._in_transaction() as connection:
            return await copy_in(connection, table, rows, columns, progress)

    async def copy_out(
        self,
        query: Query[..., Any, Any],
        output: Output,
        parameters: Mapping[str, object] | None = None,
        *,
        format: CopyFormat = "csv",
        header: bool = True,
        progress: Progress | None = None,
    ) -> int:
        """Copy a query's rows to a file or to a function, with COPY, and return how many there were.

        For rows as structs there is ``query.stream``.

        Args:
            query: what to copy.
            output: the path of a file, which is there when it is whole; an object with ``write``; or a
            coroutine function
                that takes bytes.
            parameters: the query's, by name.
            format: ``csv``, ``text`` or ``binary``, as COPY has them.
            header: whether the columns' names come first; not in the binary format.
            progress: called with the number of bytes so far.
        """
        args = query.bind((), dict(parameters or {}))

        async def copy(call: Call | None) -> int:
            await self._admit(query)
            async with self._in_transaction(call) as connection:
                return await copy_out(connection, query, args, output, format, header, progress)

        if (on_call := self._core.on_call) is None:
            return await copy(None)
        call = Call(query, "copy_out")
        return await observe(on_call, call, copy(call))

    @asynccontextmanager
    async def transaction(
        self,
        *,
        isolation: Isolation | None = None,
        read_only: bool = False,
        deferrable: bool = False,
    ) -> AsyncIterator[Transaction]:
        """Open a transaction: ``async with db.transaction() as tx``.

        ``isolation`` is the server's default (read committed) where it is not given. ``deferrable`` counts
        only with ``isolation="serializable"`` and ``read_only``: it waits until it cannot fail.
        """
        async with self._open_transaction(isolation, read_only, deferrable) as transaction:
            yield transaction

    async def retry(
        self,
        work: Callable[[Transaction], Awaitable[R]],
        *,
        attempts: int = 5,
        isolation: Isolation | None = "serializable",
        on_retry: Callable[[int, BaseException], object] | None = None,
    ) -> R:
        """Run ``work`` in a transaction, again where it failed by a serialization failure or a deadlock.

        Between attempts it waits a random time that grows, up to a second. ``on_retry`` is told the number of
        the attempt that failed and its error. The last error is raised with a note of how many attempts were
        made.
        """
        return await retry(lambda: self.transaction(isolation=isolation), work, attempts, on_retry)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        """Take an asyncpg connection, for what queries cannot say. It is reset afterwards.

        It is yours inside the block only: afterwards it serves others.
        """
        if self._local is not None:
            raise PlainsqlError(
                "acquire(): behind a pooler in transaction mode no connection can carry a tenant",
                hint="use transaction() and its 'connection'",
            )
        async with self._acquire() as connection:
            yield connection

    # --------------------------------------------------------------------------------------------------

    async def _run(self, query: Query[..., Any, R], args: Args, call: Call | None) -> R:
        plan, values = query.plan(args)
        if query.row_security is not None:
            await self._admit(query)
        if query.effect != "reads":
            return await self._on_lease(execute, query, plan, values, call)
        if not (query.joins and self._core.joins) or query.needs_columns:
            return query.result(await self._on_lease(fetch, query, plan, values, call))
        joiners = self._core.joiners
        key = (self._tenant, plan.sql)
        joiner = joiners.get(key)
        if joiner is None:
            joiner = joiners[key] = self._joiner(query, plan)
        if joiner.under_way and joiner.takes():
            try:
                return query.result(await joiner.join(values, call))
            except asyncio.CancelledError:
                joiner.abandoned()
                raise
        joiner.under_way += 1
        try:
            records = await self._on_lease(fetch, query, plan, values, call, joiner.statement)
        finally:
            joiner.ended()
        return query.result(records)

    async def _stream(self, query: Query[..., T, Any], args: Args, call: Call | None) -> AsyncIterator[T]:
        await self._admit(query)
        async with self._in_transaction(call) as connection:
            async for row in iterate(connection, query, args, self._core.prefetch):
                yield row

    async def _run_batch(self, query: Query[..., Any, R], sets: Sequence[Args], call: Call | None) -> list[R]:
        await self._admit(query)
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

    async def _run_many(self, query: Query[..., Any, Any], sets: Sequence[Args], call: Call | None) -> None:
        await self._admit(query)
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
