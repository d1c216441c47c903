"""Pools with a fault of their own, as other libraries have had them: the soak must find each out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any
from unittest.mock import patch

from plainsql.database import executor
from plainsql.database.execution import driver, read_pipeline
from plainsql.database.execution.batched_statement import BatchedStatement
from plainsql.database.execution.pipelined_statement import PipelinedStatement
from plainsql.database.execution.read_pipeline import ReadPipeline
from plainsql.database.pool import tenant_pool
from plainsql.database.pool.connection_pool import ConnectionPool
from plainsql.database.pool.lost_connection import is_lost
from plainsql.database.pool.tenant_settings import ready_step, ready_steps
from plainsql.database.transaction import begin

__all__ = ["BROKEN", "broken"]


@contextmanager
def _answers_of_others() -> Iterator[None]:
    """Calls that go together now and then get each other's records."""
    fetch = BatchedStatement.fetch, PipelinedStatement.fetch

    async def joined(self: Any, connection: Any, calls: Any) -> Any:
        found = await fetch[0](self, connection, calls)
        return found and [*found[1:], found[0]]

    async def pipelined(self: Any, connection: Any, calls: Any) -> Any:
        found = await fetch[1](self, connection, calls)
        return found and [*found[1:], found[0]]

    send = ReadPipeline.send

    async def shared(self: Any, connection: Any) -> None:
        by_read: dict[Any, list[Any]] = {}
        for call in self.calls:
            by_read.setdefault(call.read, []).append(call)
        for calls in by_read.values():
            values = [call.values for call in calls]
            for call, of_another in zip(calls, [*values[1:], values[0]], strict=True):
                call.values = of_another
        await send(self, connection)

    with (
        patch.object(BatchedStatement, "fetch", joined),
        patch.object(PipelinedStatement, "fetch", pipelined),
        patch.object(ReadPipeline, "send", shared),
    ):
        yield


def _also_writes(error: BaseException, *, read_only: bool) -> bool:
    return is_lost(error)


@contextmanager
def _writes_again() -> Iterator[None]:
    """A write whose connection is lost is always run again."""
    with patch.object(tenant_pool, "may_run_again", _also_writes):
        yield


@contextmanager
def _tenants_mixed() -> Iterator[None]:
    """A connection is taken for a tenant's, and is not; or a call gets the settings of the last one."""
    last: Any = None

    async def nothing(*_: object, **__: object) -> None:
        """Set nothing."""

    def of_the_last(ready: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def ready_of_the_last(connection: Any, settings: Any) -> Any:
            nonlocal last
            last, used = settings, last or settings
            return ready(connection, used)

        return ready_of_the_last

    with (
        patch.object(tenant_pool, "set_session", nothing),
        patch.object(driver, "ready_steps", of_the_last(ready_steps)),
        patch.object(read_pipeline, "ready_step", of_the_last(ready_step)),
    ):
        yield


@contextmanager
def _places_lost() -> Iterator[None]:
    """A connection that a cancelled call had is never given back."""

    def forget(self: ConnectionPool, lease: Any) -> None:
        """Keep its place."""

    with patch.object(ConnectionPool, "discard", forget):
        yield


@contextmanager
def _commits_left_out() -> Iterator[None]:
    """One of twenty transactions is rolled back, and its block ends without an error."""
    count = 0

    @asynccontextmanager
    async def begin_unsafely(connection: Any, *arguments: Any, **options: Any) -> AsyncIterator[Any]:
        nonlocal count
        count += 1
        with suppress(_RolledBackError):
            async with begin(connection, *arguments, **options) as transaction:
                yield transaction
                if count % 20 == 0:
                    raise _RolledBackError

    with patch.object(executor, "begin", begin_unsafely):
        yield


class _RolledBackError(Exception):
    """Rolls a transaction back."""


BROKEN = {
    "answers-of-others": _answers_of_others,
    "writes-again": _writes_again,
    "tenants-mixed": _tenants_mixed,
    "places-lost": _places_lost,
    "commits-left-out": _commits_left_out,
}
"""The docstring of each names the part that it breaks."""


@contextmanager
def broken(name: str) -> Iterator[None]:
    """Break the pool while the block runs; an empty name breaks nothing."""
    if not name:
        yield
        return
    with BROKEN[name]():
        yield
