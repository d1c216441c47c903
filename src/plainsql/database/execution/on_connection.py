"""The last link of the chain: each call runs on a connection of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Sequence
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
from plainsql.database.execution.forms import FormsByText
from plainsql.database.execution.link import CopyWork
from plainsql.database.execution.pipelined_statement import is_one_piece
from plainsql.database.execution.row_blocks import RowBlocks
from plainsql.database.execution.statement import execute
from plainsql.database.pool.call import Call
from plainsql.database.pool.tenant_pool import AroundCommit, TenantPool
from plainsql.database.pool.tenant_settings import LocalSettings
from plainsql.query import Args, CompiledQuery, QueryText

__all__ = ["OnConnection"]

R = TypeVar("R")
T = TypeVar("T")


class OnConnection:
    """Runs each call on a connection of its tenant's pool."""

    __slots__ = ("_forms", "_prefetch")

    def __init__(self, forms: FormsByText, prefetch: int) -> None:
        self._forms = forms
        self._prefetch = prefetch

    async def run(
        self, query: CompiledQuery[Any, R], args: Args, pool: TenantPool, call: Call | None, /
    ) -> R:
        """Run a query on a connection.

        A read that is proved to change nothing is run a second time if its connection was lost.
        """
        text, values = query.text(args)
        if query.row_security is not None and pool.tenant is None:
            await pool.admit(query)
        return await pool.run_on_connection(execute, query, text, values, call, sends_settings=True)

    def fresh(
        self, query: CompiledQuery[Any, R], args: Args, pool: TenantPool, call: Call | None, /
    ) -> Coroutine[Any, Any, R]:
        """Run a query; without a cache every result is fresh."""
        return self.run(query, args, pool, call)

    async def stream(
        self,
        query: CompiledQuery[T, Any],
        args: Args,
        pool: TenantPool,
        call: Call | None,
        around: AroundCommit | None = None,
        /,
    ) -> AsyncIterator[T]:
        """Iterate over the rows of a query through a cursor, in a transaction."""
        await pool.admit(query)
        async with pool.in_transaction(call, "stream", around, query) as connection:
            blocks = RowBlocks(connection, query, args, self._prefetch, exclusive=True)
            try:
                while (rows := await blocks.next()) is not None:
                    for row in rows:
                        yield row
            finally:
                await blocks.close()

    async def batch(
        self, query: CompiledQuery[Any, R], sets: Sequence[Args], pool: TenantPool, call: Call | None, /
    ) -> list[R]:
        """Run a query for each set of arguments: in one round trip if possible, else in a transaction."""
        await pool.admit(query)
        runs = divide(query, sets)
        if query.read_only and not query.needs_columns:
            results: list[R] = []
            for text, values in runs:
                results += await self._read_many(query, text, values, len(results) + 1, pool, call)
            return results
        if query.session_clean and len(runs) == 1 and not query.needs_columns:
            text, values = runs[0]
            if len(values) == 1:
                one = pool.run_on_connection(execute, query, text, values[0], call, sends_settings=True)
                return [await one]
            sql = pipelined_sql(query, text, steps=pool.takes_steps)
            if sql is not None and is_one_piece(values):  # the pipeline is a transaction

                async def write(
                    connection: Any, _: object, text: QueryText, values: Any, settings: LocalSettings | None
                ) -> list[R]:
                    return await write_pipelined(connection, query, text, values, sql, settings=settings)

                return await pool.run_on_connection(write, query, text, values, call, sends_settings=True)
        if not runs:
            return []
        async with pool.in_transaction(call, query=query) as connection:
            return await run_batch(connection, query, sets, own=True)

    async def execute_many(
        self, query: CompiledQuery[Any, Any], sets: Sequence[Args], pool: TenantPool, call: Call | None, /
    ) -> None:
        """Run a query for each set of arguments as a pipeline, and drop the results."""
        await pool.admit(query)
        runs = divide(query, sets)
        if query.session_clean and len(runs) == 1 and is_one_piece(runs[0][1]):

            async def write(
                connection: Any, _: object, text: QueryText, values: Any, settings: LocalSettings | None
            ) -> None:
                await write_many(connection, query, text, values, settings=settings)

            await pool.run_on_connection(write, query, *runs[0], call, sends_settings=True)
        elif runs:
            async with pool.in_transaction(call, query=query) as connection:
                await execute_many(connection, query, sets, own=True)

    async def copy_in(self, copy: CopyWork, pool: TenantPool, around: AroundCommit | None = None, /) -> int:
        """Copy rows into a table, in a transaction."""
        async with pool.in_transaction(None, "copy", around) as connection:
            return await copy(connection)

    async def copy_rows(
        self,
        query: CompiledQuery[Any, Any],
        copy: CopyWork,
        pool: TenantPool,
        call: Call | None,
        around: AroundCommit | None = None,
        /,
    ) -> int:
        """Copy rows into the table of a query, in a transaction."""
        await pool.admit(query)
        async with pool.in_transaction(call, "copy", around, query) as connection:
            return await copy(connection)

    async def copy_out(
        self, query: CompiledQuery[Any, Any], copy: CopyWork, pool: TenantPool, call: Call | None, /
    ) -> int:
        """Copy the rows of a query out, in a transaction."""
        await pool.admit(query)
        async with pool.in_transaction(call, "copy", query=query) as connection:
            return await copy(connection)

    async def _read_many(
        self,
        query: CompiledQuery[Any, R],
        text: QueryText,
        values: Sequence[Any],
        first: int,
        pool: TenantPool,
        call: Call | None,
    ) -> list[R]:
        forms = self._forms.of(query, text)

        async def read(
            connection: Any, _: object, text: QueryText, values: Any, settings: LocalSettings | None
        ) -> list[R]:
            return await read_many(connection, query, text, values, forms, first, settings)

        return await pool.run_on_connection(read, query, text, values, call, sends_settings=True)
