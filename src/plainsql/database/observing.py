"""What is told of each call to whoever asked for it, and to nobody where nobody did.

Where there is no hook, a call pays for one comparison.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from time import perf_counter, time_ns
from typing import Any, Literal, TypeVar

from plainsql.query import CompiledQuery

__all__ = ["Call", "OnCall", "Operation", "observe", "observe_rows"]

R = TypeVar("R")
T = TypeVar("T")

Operation = Literal["call", "stream", "batch", "execute_many", "copy_out"]

_log = logging.getLogger("plainsql")


@dataclass(slots=True)
class Call:
    """One call of a query, as a hook is told of it when it has ended. It holds no parameter's value."""

    query: CompiledQuery[Any, Any]
    """What was called: its ``name``, ``file`` and ``sql``."""
    operation: Operation = "call"
    sets: int = 1
    """How many sets of parameters it was called with."""
    in_transaction: bool = False
    started_ns: int = 0
    """When it began, in nanoseconds since 1970."""
    duration: float = 0.0
    """Seconds from the call to its result, all waiting included."""
    lease_wait: float = 0.0
    """Of these, seconds before there was a connection for it, or for the calls that it was joined with."""
    joined: int = 1
    """How many calls were sent together, in one round trip, this one included."""
    cached: bool = False
    """Whether PostgreSQL was not asked by this call: its result was stored, or another call's."""
    rows: int = 0
    """Rows that came back; of a query that returns a count, that count."""
    error: BaseException | None = None
    """What it raised, ``CancelledError`` included."""
    began: float = 0.0
    """When it began, on the clock of ``time.perf_counter``."""


OnCall = Callable[[Call], object]
"""A hook. It is called in the event loop: it must not block."""


async def observe(on_call: OnCall, call: Call, work: Coroutine[Any, Any, R]) -> R:
    """Run a call's work and tell the hook how it went."""
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
        _tell(on_call, call)


async def observe_rows(on_call: OnCall, call: Call, rows: AsyncIterator[T]) -> AsyncIterator[T]:
    """Pass on the rows of a stream; tell the hook when it is exhausted, closed or broken."""
    call.started_ns, call.began = time_ns(), perf_counter()
    try:
        async for row in rows:
            call.rows += 1
            yield row
    except BaseException as error:
        if not isinstance(error, GeneratorExit):  # left early, which is no failure
            call.error = error
        raise
    finally:
        _tell(on_call, call)


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


def _tell(on_call: OnCall, call: Call) -> None:
    call.duration = perf_counter() - call.began
    try:
        on_call(call)
    except Exception:  # noqa: BLE001 (whatever it is)
        # The call has its result already: a hook that fails must not take it away.
        _log.exception("the hook of %s failed", call.query.name)
