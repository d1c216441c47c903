"""The link of concurrent reads on connections with the compiled protocol: they share round trips."""

from __future__ import annotations

import asyncio
from _thread import get_ident
from collections.abc import Awaitable, Callable, Coroutine
from time import perf_counter
from typing import Any, TypeVar

from asyncpg import exceptions

from plainsql.database.execution.errors import is_lost
from plainsql.database.execution.link import Executes, Link
from plainsql.database.execution.prepared_statements import is_prepared
from plainsql.database.execution.read_costs import ReadCosts
from plainsql.database.execution.read_pipeline import ALONE, ReadPipeline, SharedCall
from plainsql.database.execution.read_scheduler import ReadScheduler
from plainsql.database.execution.statement import EXPLAINED, execute, explained
from plainsql.database.pool.call import Call
from plainsql.database.pool.commit_outcome import may_run_again
from plainsql.database.pool.read_only_servers import is_refusal
from plainsql.database.pool.round_trip import RoundTrip
from plainsql.database.pool.tenant_pool import DatabasePool, TenantPool
from plainsql.database.pool.tenant_settings import LocalSettings, is_of_settings
from plainsql.query import Args, CompiledQuery, QueryText

__all__ = ["SharedReads"]

R = TypeVar("R")


class SharedReads(Link):
    """Runs reads, alone or in a pipeline with others, and passes everything else on."""

    __slots__ = ("_connections", "_pool", "_reads", "_round_trip", "scheduler")

    def __init__(self, following: Executes, pool: DatabasePool, round_trip: RoundTrip) -> None:
        super().__init__(following)
        self._pool = TenantPool(pool, None)
        self._connections = pool.connections
        self._round_trip = round_trip
        self._reads: dict[int, ReadCosts] = {}
        """By the identity of a text's variant, which they keep alive."""
        self.scheduler = ReadScheduler(pool.connections.max_size, round_trip, self._send)

    async def run(
        self, query: CompiledQuery[Any, R], args: Args, pool: TenantPool, call: Call | None, /
    ) -> R:
        """Run a query. A read may share a round trip with concurrent calls of any reads."""
        if not query.read_only or query.is_columnar:
            return await self._next.run(query, args, pool, call)
        text, values = query.texts.select(args)  # `query.text`, in a form that costs less
        if query.row_security is not None and pool.tenant is None:
            await pool.admit(query)
        connections = self._connections
        if connections.loop._thread_id != get_ident():
            raise connections.wrong_loop()  # before a scheduler counts or keeps the call
        read = self._reads.get(id(text.variant))
        if read is None:
            can_share = query.autobatch and not query.needs_columns
            plain = text._replace(settings=())  # each call has settings of its own
            read = ReadCosts(query, plain, self._round_trip, can_share=can_share)
            self._reads[id(text.variant)] = read
        scheduler = self.scheduler
        shares = read.shares
        # Alone if nothing else is going on.
        if shares and (scheduler.sent or scheduler.alone or scheduler.waiting):
            shared = scheduler.join(read, values, pool.settings_of(text), call)
            try:
                rows = await shared.future
            except asyncio.CancelledError:
                scheduler.abandon(shared)
                raise
            except Exception as error:
                if not _runs_alone(error):
                    said = await _explained(error, shared)
                    if said is error:
                        raise
                    raise said from None
            else:
                if rows is not ALONE:
                    if not shared.is_built:
                        return query.result(rows)
                    finish = query.plan.finish
                    return query.result_of(rows if finish is None else finish(rows))
        work = self._measuring(read) if read.is_measured() else execute
        scheduler.alone += shares
        try:
            return await pool.run_on_connection(work, query, text, values, call, sends_settings=True)
        finally:
            scheduler.alone -= shares

    def fresh(
        self, query: CompiledQuery[Any, R], args: Args, pool: TenantPool, call: Call | None, /
    ) -> Coroutine[Any, Any, R]:
        """Run a query; without a cache every result is fresh."""
        return self.run(query, args, pool, call)

    def _measuring(self, read: ReadCosts) -> Callable[..., Awaitable[Any]]:
        """Make an ``execute`` that records how long it took."""
        connections = self._connections

        async def execute_measured(
            connection: Any,
            query: CompiledQuery[Any, R],
            text: QueryText,
            values: Args,
            settings: LocalSettings | None,
        ) -> R:
            began, is_exact = perf_counter(), is_prepared(connection, text.sql)
            result = await execute(connection, query, text, values, settings)
            if is_exact:
                read.record_alone(perf_counter() - began, connections.in_use)
            return result

        return execute_measured

    async def _send(self, pipeline: ReadPipeline) -> None:
        first = pipeline.calls[0].read
        await self._pool.run_on_connection(
            _send, first.query, first.text, pipeline, None, sends_settings=True, is_pipeline=True
        )


async def _send(
    connection: Any, _query: object, _text: object, pipeline: ReadPipeline, _settings: object
) -> None:
    await pipeline.send(connection)


def _runs_alone(error: Exception) -> bool:
    """Return whether a call that failed in a pipeline is to run alone, which costs a second execution only if
    the connection was lost.
    """
    if isinstance(error, exceptions.DataError) and error.severity is None:  # type: ignore[attr-defined]
        return True  # an argument that does not fit: nothing was sent
    if isinstance(error, exceptions.InvalidCachedStatementError | exceptions.OutdatedSchemaCacheError):
        return True
    return (
        is_lost(error) or may_run_again(error, read_only=True) or is_refusal(error) or is_of_settings(error)
    )


async def _explained(error: Exception, shared: SharedCall) -> BaseException:
    read = shared.read
    if shared.pipeline is not None and isinstance(error, EXPLAINED):
        return await explained(error, shared.pipeline.connection, read.query, read.text, shared.values)
    return error
