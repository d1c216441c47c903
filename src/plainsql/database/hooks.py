"""The hook ``on_call``: it gets the record of each call when the call has ended.

Without a hook the chain has no `Observed`, and a call pays nothing for it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from time import perf_counter, time_ns
from typing import Any, TypeVar

from plainsql.database.execution.link import CopyWork, Executes, Link
from plainsql.database.pool.call import Call, OnCall
from plainsql.database.pool.tenant_pool import AroundCommit, TenantPool
from plainsql.query import Args, CompiledQuery

__all__ = ["Observed", "observe", "observe_rows", "observe_together"]

R = TypeVar("R")
T = TypeVar("T")

_log = logging.getLogger("plainsql")


class Observed(Link):
    """The first link if there is a hook: it makes the record of each call and gives it to the hook."""

    __slots__ = ("_on_call",)

    def __init__(self, following: Executes, on_call: OnCall) -> None:
        super().__init__(following)
        self._on_call = on_call

    def run(
        self, query: CompiledQuery[Any, R], args: Args, pool: TenantPool, _: Call | None, /
    ) -> Coroutine[Any, Any, R]:
        call = Call(query)
        return observe(self._on_call, call, self._next.run(query, args, pool, call))

    def fresh(
        self, query: CompiledQuery[Any, R], args: Args, pool: TenantPool, _: Call | None, /
    ) -> Coroutine[Any, Any, R]:
        call = Call(query)
        return observe(self._on_call, call, self._next.fresh(query, args, pool, call))

    def stream(
        self,
        query: CompiledQuery[T, Any],
        args: Args,
        pool: TenantPool,
        _: Call | None,
        around: AroundCommit | None = None,
        /,
    ) -> AsyncIterator[T]:
        call = Call(query, "stream")
        return observe_rows(self._on_call, call, self._next.stream(query, args, pool, call, around))

    def batch(
        self, query: CompiledQuery[Any, R], sets: Sequence[Args], pool: TenantPool, _: Call | None, /
    ) -> Coroutine[Any, Any, list[R]]:
        call = Call(query, "batch", len(sets))
        return observe(self._on_call, call, self._next.batch(query, sets, pool, call))

    def execute_many(
        self, query: CompiledQuery[Any, Any], sets: Sequence[Args], pool: TenantPool, _: Call | None, /
    ) -> Coroutine[Any, Any, None]:
        call = Call(query, "execute_many", len(sets))
        return observe(self._on_call, call, self._next.execute_many(query, sets, pool, call))

    def copy_rows(
        self,
        query: CompiledQuery[Any, Any],
        copy: CopyWork,
        pool: TenantPool,
        _: Call | None,
        around: AroundCommit | None = None,
        /,
    ) -> Coroutine[Any, Any, int]:
        call = Call(query, "copy_in")
        return observe(self._on_call, call, self._next.copy_rows(query, copy, pool, call, around))

    def copy_out(
        self, query: CompiledQuery[Any, Any], copy: CopyWork, pool: TenantPool, _: Call | None, /
    ) -> Coroutine[Any, Any, int]:
        call = Call(query, "copy_out")
        return observe(self._on_call, call, self._next.copy_out(query, copy, pool, call))


async def observe(on_call: OnCall, call: Call, work: Coroutine[Any, Any, R]) -> R:
    """Run the work of a call and give its record to the hook."""
    call.started_ns, call.began = time_ns(), perf_counter()
    try:
        result = await work
    except BaseException as error:
        call.error = error
        raise
    else:
        call.rows = _rows(call, result)
        return result
    finally:
        _report(on_call, call)


async def observe_together(
    on_call: OnCall, calls: Sequence[Call], work: Coroutine[Any, Any, list[Any]]
) -> list[Any]:
    """Run the work of several calls, which returns the result of each, and give their records to the hook."""
    for call in calls:
        call.started_ns, call.began = time_ns(), perf_counter()
    try:
        results = await work
    except BaseException as error:
        for call in calls:
            call.error = error
        raise
    else:
        for call, result in zip(calls, results, strict=True):
            call.rows = _rows(call, result)
        return results
    finally:
        for call in calls:
            _report(on_call, call)


async def observe_rows(on_call: OnCall, call: Call, rows: AsyncIterator[T]) -> AsyncIterator[T]:
    """Pass on the rows of a stream; give its record to the hook when it is exhausted, closed or broken."""
    call.started_ns, call.began = time_ns(), perf_counter()
    is_columnar = call.query.is_columnar
    try:
        async for row in rows:
            call.rows += len(row) if is_columnar else 1  # type: ignore[arg-type]
            yield row
    except BaseException as error:
        if not isinstance(error, GeneratorExit):  # closed early, which is no failure
            call.error = error
        raise
    finally:
        _report(on_call, call)


def _rows(call: Call, result: Any) -> int:
    if call.operation == "copy_out":
        return int(result)
    if result is None:
        return 0
    kind = call.query.kind
    results = result if call.operation == "batch" else [result]
    if kind == "count":
        return sum(results)
    return sum(len(one) if kind == "many" else one is not None for one in results)


def _report(on_call: OnCall, call: Call) -> None:
    call.duration = perf_counter() - call.began
    try:
        on_call(call)
    except Exception:  # noqa: BLE001 (a hook may raise anything)
        # The call has its result already: a hook that fails must not take it away.
        _log.exception("the hook of %s failed", call.query.name)
