"""Calls that stand alone: each on a connection of its own, or together with others of its kind.

A `Database` and a tenant's view of it are the same executor; the view's sessions carry the tenant's settings.
"""

from __future__ import annotations

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
from contextlib import suppress
from typing import Any, TypeVar, cast

from asyncpg import exceptions

from plainsql.cache import Mark, Reading
from plainsql.database.borrowing import Borrower
from plainsql.database.by_hand import CacheOf
from plainsql.database.contexts import asynccontextmanager
from plainsql.database.copying import Progress, copy_in
from plainsql.database.copying_out import CopyFormat, Output, arguments_of, copy_out
from plainsql.database.direct import Direct
from plainsql.database.execution import execute, fetch, iterate
from plainsql.database.holders import Use
from plainsql.database.observing import Call, observe, observe_rows
from plainsql.database.retrying import retry
from plainsql.database.through import (
    ANYTHING,
    Through,
    Traces,
    asks_what_it_returned,
)
from plainsql.database.transaction import Isolation, Transaction
from plainsql.errors import PlainsqlError
from plainsql.options import check
from plainsql.query import Args, CompiledQuery, Query, QueryText

__all__ = ["OneShot"]

R = TypeVar("R")
T = TypeVar("T")


class OneShot(Direct):
    """An executor that serves any number of tasks at once."""

    @property
    def cache(self) -> CacheOf:
        """The cache, by hand: forget, clear, touch, drain, stats."""
        through = self._core.through
        return CacheOf(through, (self._tenant,), self._reading, self._in_transaction)

    def run(self, query: CompiledQuery[Any, R], args: Args, /) -> Coroutine[Any, Any, R]:
        """Run a query on a connection of its own, or together with others of its kind.

        A read that is proved to change nothing is run once more where its connection turns out to be lost.
        """
        # No coroutine around another where that is for nothing: each costs.
        core = self._core
        if (on_call := core.on_call) is None:
            if core.through is None or (query.read_only and query.cache is None):
                return self._run_direct(query, args, None)
            return self._run(query, args, None)
        call = Call(query)
        return observe(on_call, call, self._run(query, args, call))

    def fresh(self, query: CompiledQuery[Any, R], args: Args, /) -> Coroutine[Any, Any, R]:
        """Run a query as ``run`` does, and pass by what is stored of it."""
        if query.cache is None:
            return self.run(query, args)
        if (on_call := self._core.on_call) is None:
            return self._run_direct(query, args, None)
        call = Call(query)
        return observe(on_call, call, self._run_direct(query, args, call))

    def stream(self, query: CompiledQuery[T, Any], args: Args, /) -> AsyncIterator[T]:
        """Iterate over a query's rows through a cursor, in a transaction and on a connection of its own."""
        if (on_call := self._core.on_call) is None:
            return self._stream(query, args, None)
        call = Call(query, "stream")
        return observe_rows(on_call, call, self._stream(query, args, call))

    def batch(self, query: CompiledQuery[Any, R], sets: Sequence[Args], /) -> Coroutine[Any, Any, list[R]]:
        """Run a query for each set of arguments, all or none; the results in the order of the sets."""
        if (on_call := self._core.on_call) is None:
            return self._run_batch(query, sets, None)
        call = Call(query, "batch", len(sets))
        return observe(on_call, call, self._run_batch(query, sets, call))

    def execute_many(
        self, query: CompiledQuery[Any, Any], sets: Sequence[Args], /
    ) -> Coroutine[Any, Any, None]:
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
        check("copy_in", table=table, rows=rows, columns=columns, progress=progress)
        async with self._in_traced_transaction(self._traces(None, ()), None, "copy") as connection:
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
                coroutine function that takes bytes.
            parameters: the query's, by name.
            format: ``csv``, ``text`` or ``binary``, as COPY has them.
            header: whether the columns' names come first; not in the binary format.
            progress: called with the number of bytes so far.
        """
        args = arguments_of(query, output, parameters, format, header, progress)
        compiled = query.compiled

        async def copy(call: Call | None) -> int:
            await self._admit(compiled)
            async with self._in_transaction(call, "copy") as connection:
                return await copy_out(connection, compiled, args, output, format, header, progress)

        if (on_call := self._core.on_call) is None:
            return await copy(None)
        call = Call(compiled, "copy_out")
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
        check("transaction", isolation=isolation, read_only=read_only, deferrable=deferrable)
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
        """Run ``work`` in a transaction, again if it failed by a serialization failure or a deadlock, by a
        change of the tables, or because the server only reads since a failover.

        Between attempts it waits a random time that grows, up to a second. ``on_retry`` is told the number of
        the attempt that failed and its error. The last error is raised with a note of how many attempts were
        made.
        """
        check("retry", work=work, attempts=attempts, isolation=isolation, on_retry=on_retry)
        return await retry(lambda: self.transaction(isolation=isolation), work, attempts, on_retry)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        """Take an asyncpg connection, for what queries cannot say. It is reset afterwards.

        It is yours inside the block only, with all that is made from it: afterwards it serves others, and
        every use raises ``asyncpg.InterfaceError``.
        """
        if self._local is not None and self._tenant is not None:
            raise PlainsqlError(
                "acquire(): behind a pooler in transaction mode no connection can carry a tenant",
                hint="use transaction() and its 'connection'",
            )
        async with self._hand_out() as connection:
            yield connection

    # --------------------------------------------------------------------------------------------------

    async def _run(self, query: CompiledQuery[Any, R], args: Args, call: Call | None) -> R:
        through = self._core.through
        if through is not None:
            if query.cache is not None:
                return await self._read_through(through, query, args, call)
            if query.changes:
                return await self._write_through(through, query, args, call)
        return await self._run_direct(query, args, call)

    async def _read_through(
        self, through: Through, query: CompiledQuery[Any, R], args: Args, call: Call | None
    ) -> R:
        reading = through.reading(query) if through.knows(query) else await self._reading(query)
        if query.row_security is not None and self._tenant is None:
            await self._admit(query)
        if reading is None:
            return await self._run_direct(query, args, call)
        if call is not None:
            call.cached = True

        def load() -> Coroutine[Any, Any, R]:
            if call is not None:
                call.cached = False
            return self._run_direct(query, args, call)

        scope = (self._tenant,) if query.cache is not None and query.cache.scoped else ()
        if not through.by_transaction:
            return await through.cache.read(reading, args, load, scope=scope)

        async def prove() -> tuple[R, bool]:
            if call is not None:
                call.cached = False
            return await self._run_proved(through, query, args, call)

        return await through.cache.read(reading, args, load, scope=scope, prove=prove)

    async def _run_proved(
        self, through: Through, query: CompiledQuery[Any, R], args: Args, call: Call | None
    ) -> tuple[R, bool]:
        """Run a read behind a pooler in transaction mode, and say whether it ran on the server that its
        result would be stored for: in one transaction, which no pooler divides.
        """
        text, values = query.text(args)
        proof = through.servers.proof()

        async def work(
            connection: Any, query: CompiledQuery[Any, Any], text: QueryText, values: Args
        ) -> tuple[list[Any], bool]:
            if self._local is not None:  # it is in a transaction already
                status = await connection.execute(proof)
                return await fetch(connection, query, text, values), status == "SELECT 1"
            status = await connection.execute(f"begin; {proof}")
            try:
                records = await fetch(connection, query, text, values)
            except Exception:
                if not connection.is_closed():
                    with suppress(exceptions.PostgresError, exceptions.InterfaceError, OSError):
                        await connection.execute("rollback")
                raise
            await connection.execute("commit")
            return records, status == "SELECT 1"

        records, proved = await self._on_lease(work, query, text, values, call)
        if not proved:
            through.servers.doubt()
        return query.result(records), proved

    async def _reading(self, query: CompiledQuery[Any, Any]) -> Reading[Any] | None:
        through = self._core.through
        if through is None:
            return None
        if not through.knows(query) and through.may_ask:

            async def ask(connection: Any, *_: object) -> None:
                await through.ask(connection, query)

            # On nobody's session: a tenant stands in the keys by itself.
            nobody, no_plan = Borrower(self._core, None), cast("QueryText", None)
            try:
                await nobody._on_lease(ask, query, no_plan, (), None)
            except PlainsqlError:
                raise  # there is no connection, for the read neither
            except Exception as error:  # noqa: BLE001 (whatever it is, the read itself may do without it)
                through.failed_to_ask(error)
        return through.reading(query)

    async def _write_through(
        self, through: Through, query: CompiledQuery[Any, R], args: Args, call: Call | None
    ) -> R:
        text, values = query.text(args)
        if query.row_security is not None and self._tenant is None:
            await self._admit(query)
        if through.quiet or not asks_what_it_returned(query):
            async with self._telling(query, [args]):
                return await self._on_lease(execute, query, text, values, call)
        traces = Traces(through)
        async with self._in_traced_transaction(traces, call) as connection:
            records = await traces.fetch(connection, query, text, values)
        # After the commit, as without a cache: a row too many does not undo what is written.
        return query.result(records)

    def _traces(self, query: CompiledQuery[Any, Any] | None, sets: Sequence[Args]) -> Traces | None:
        """What calls of a query write, or, without a query, anything; None where nothing is cached of it."""
        through = self._core.through
        if through is None or (query is not None and not query.changes):
            return None
        traces = Traces(through)
        if query is None:
            traces.add(ANYTHING)
        else:
            traces.add_sets(query, sets)
        return traces

    @asynccontextmanager
    async def _telling(self, query: CompiledQuery[Any, Any], sets: Sequence[Args]) -> AsyncIterator[None]:
        """Have the cache know what calls of a query write that commit by themselves."""
        traces = self._traces(query, sets)
        if traces is None:
            yield
            return
        mark = await traces.before_commit()
        try:
            yield
        except BaseException as error:
            await traces.after(mark, error)
            raise
        await traces.after(mark)

    @asynccontextmanager
    async def _in_traced_transaction(
        self, traces: Traces | None, call: Call | None, use: Use = "batch"
    ) -> AsyncIterator[Any]:
        """As ``_in_transaction``, and have the cache know what it wrote: marked at its end, however long it
        takes.
        """
        mark: Mark | None = None
        try:
            async with self._in_transaction(call, use) as connection:
                yield connection
                if traces is not None:
                    mark = await traces.before_commit()
        except BaseException as error:
            if traces is not None:
                await traces.after(mark, error)
            raise
        if traces is not None:
            await traces.after(mark)

    async def _stream(self, query: CompiledQuery[T, Any], args: Args, call: Call | None) -> AsyncIterator[T]:
        await self._admit(query)
        async with self._in_traced_transaction(self._traces(query, [args]), call, "stream") as connection:
            async for row in iterate(connection, query, args, self._core.prefetch):
                yield row

    async def _run_batch(
        self, query: CompiledQuery[Any, R], sets: Sequence[Args], call: Call | None
    ) -> list[R]:
        await self._admit(query)
        async with self._telling(query, sets):
            return await self._batch_direct(query, sets, call)

    async def _run_many(
        self, query: CompiledQuery[Any, Any], sets: Sequence[Args], call: Call | None
    ) -> None:
        await self._admit(query)
        async with self._telling(query, sets):
            await self._many_direct(query, sets, call)
