"""The link of the cache: reads go through it, and writes invalidate what they change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

from asyncpg import exceptions

from plainsql.cache import CachedQuery
from plainsql.database.caching.cached_queries import CachedQueries
from plainsql.database.caching.write_set import ANYTHING, WriteSet, needs_returned_rows, tables_of
from plainsql.database.execution.link import CopyWork, Executes, Link
from plainsql.database.execution.own_settings import locally
from plainsql.database.execution.statement import fetch
from plainsql.database.pool.call import Call
from plainsql.database.pool.tenant_pool import AroundCommit, TenantPool
from plainsql.query import Args, CompiledQuery, QueryText
from plainsql.sqlstate_errors import is_own

__all__ = ["Cached"]

R = TypeVar("R")
T = TypeVar("T")


class Cached(Link):
    """Serves reads from the cache, and has it invalidate the rows of writes around their commit."""

    __slots__ = ("_without_tenant", "queries")

    def __init__(self, following: Executes, queries: CachedQueries, without_tenant: TenantPool) -> None:
        super().__init__(following)
        self.queries = queries
        self._without_tenant = without_tenant

    def run(
        self, query: CompiledQuery[Any, R], args: Args, pool: TenantPool, call: Call | None, /
    ) -> Coroutine[Any, Any, R]:
        if query.cache is not None:
            return self._read(query, args, pool, call)
        if query.changes:
            return self._write(query, args, pool, call)
        return self._next.run(query, args, pool, call)

    def fresh(
        self, query: CompiledQuery[Any, R], args: Args, pool: TenantPool, call: Call | None, /
    ) -> Coroutine[Any, Any, R]:
        if query.cache is not None:
            return self._next.fresh(query, args, pool, call)
        return self.run(query, args, pool, call)

    def stream(
        self,
        query: CompiledQuery[T, Any],
        args: Args,
        pool: TenantPool,
        call: Call | None,
        _: AroundCommit | None = None,
        /,
    ) -> AsyncIterator[T]:
        write_set = WriteSet(self.queries, query, [args]) if query.changes else None
        return self._next.stream(query, args, pool, call, write_set)

    async def batch(
        self, query: CompiledQuery[Any, R], sets: Sequence[Args], pool: TenantPool, call: Call | None, /
    ) -> list[R]:
        if not query.changes:
            return await self._next.batch(query, sets, pool, call)
        await pool.admit(query)
        async with WriteSet(self.queries, query, sets) as write_set:
            await write_set.before_commit()
            return await self._next.batch(query, sets, pool, call)

    async def execute_many(
        self, query: CompiledQuery[Any, Any], sets: Sequence[Args], pool: TenantPool, call: Call | None, /
    ) -> None:
        if not query.changes:
            await self._next.execute_many(query, sets, pool, call)
            return
        await pool.admit(query)
        async with WriteSet(self.queries, query, sets) as write_set:
            await write_set.before_commit()
            await self._next.execute_many(query, sets, pool, call)

    def copy_in(
        self, copy: CopyWork, pool: TenantPool, _: AroundCommit | None = None, /
    ) -> Coroutine[Any, Any, int]:
        write_set = WriteSet(self.queries)
        write_set.add(ANYTHING)  # the triggers of the table may write to any other
        return self._next.copy_in(copy, pool, write_set)

    def copy_rows(
        self,
        query: CompiledQuery[Any, Any],
        copy: CopyWork,
        pool: TenantPool,
        call: Call | None,
        _: AroundCommit | None = None,
        /,
    ) -> Coroutine[Any, Any, int]:
        write_set = WriteSet(self.queries)
        write_set.add(tables_of(query))
        return self._next.copy_rows(query, copy, pool, call, write_set)

    async def cached_query(self, query: CompiledQuery[Any, Any]) -> CachedQuery[Any] | None:
        """Return a query as the cache has it; None if its results cannot be stored, ever or now."""
        queries = self.queries
        if not queries.knows(query) and queries.may_identify:

            async def identify(connection: Any, *_: object) -> None:
                await queries.identify(connection, query)

            # In a session without a tenant: a tenant is part of the keys by itself.
            no_plan = cast("QueryText", None)
            try:
                await self._without_tenant.run_on_connection(identify, query, no_plan, (), None)
            except Exception as error:  # (the read itself may succeed without it)
                if is_own(error):
                    raise  # there is no connection, nor is there one for the read
                queries.identification_failed(error)
        return queries.cached_query(query)

    async def _read(self, query: CompiledQuery[Any, R], args: Args, pool: TenantPool, call: Call | None) -> R:
        queries = self.queries
        cached = queries.known.get(query)
        if cached is None:
            cached = await self.cached_query(query)
        if query.row_security is not None and pool.tenant is None:
            await pool.admit(query)
        if cached is None:
            return await self._next.run(query, args, pool, call)
        if call is not None:
            call.cached = True

        def load() -> Coroutine[Any, Any, R]:
            if call is not None:
                call.cached = False
            return self._next.run(query, args, pool, call)

        scope = (pool.tenant,) if query.cache is not None and query.cache.scoped else ()
        if not queries.by_transaction:
            return await queries.cache.read(cached, args, load, scope=scope)

        async def load_proved() -> tuple[R, bool]:
            if call is not None:
                call.cached = False
            return await self._run_proved(query, args, pool, call)

        return await queries.cache.read(cached, args, load, scope=scope, prove=load_proved)

    async def _run_proved(
        self, query: CompiledQuery[Any, R], args: Args, pool: TenantPool, call: Call | None
    ) -> tuple[R, bool]:
        """Run a read behind a pooler in transaction mode. Return its result, and whether it ran on the server
        that the result would be stored for.

        Both statements run in one transaction, which no pooler divides.
        """
        text, values = query.text(args)
        servers = self.queries.servers
        proof = servers.proof()

        async def work(
            connection: Any, query: CompiledQuery[Any, Any], text: QueryText, values: Args
        ) -> tuple[list[Any], bool]:
            if pool.local is not None or text.settings:  # the call is a transaction already
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

        records, proved = await pool.run_on_connection(work, query, text, values, call)
        if not proved:
            servers.doubt()
        return query.result(records), proved

    async def _write(
        self, query: CompiledQuery[Any, R], args: Args, pool: TenantPool, call: Call | None
    ) -> R:
        if query.row_security is not None and pool.tenant is None:
            await pool.admit(query)
        if self.queries.is_empty or not needs_returned_rows(query):
            async with WriteSet(self.queries, query, [args]) as write_set:
                await write_set.before_commit()
                return await self._next.run(query, args, pool, call)
        text, values = query.text(args)
        write_set = WriteSet(self.queries)
        async with (
            pool.in_transaction(call, around=write_set, query=query) as connection,
            locally(connection, query, text.settings),
        ):
            records = await write_set.fetch(connection, query, text, values)
        # After the commit, as without a cache: a row too many does not undo the write.
        return query.result(records)
