"""The record of one call, which the pool and the executor fill in for the hook ``on_call``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from plainsql.query import CompiledQuery

__all__ = ["Call", "OnCall", "Operation"]

Operation = Literal["call", "stream", "batch", "execute_many", "copy_in", "copy_out"]


@dataclass(slots=True)
class Call:
    """One call of a query, as a hook gets it when it has ended. It holds no parameter's value."""

    query: CompiledQuery[Any, Any]
    """The query: its ``name``, ``file`` and ``sql``."""
    operation: Operation = "call"
    sets: int = 1
    """The number of sets of parameters."""
    in_transaction: bool = False
    started_ns: int = 0
    """The time of its beginning, in nanoseconds since 1970."""
    duration: float = 0.0
    """Seconds from the call to its result, all waiting included."""
    lease_wait: float = 0.0
    """The part of ``duration`` before there was a connection for it, or for the group it was sent with."""
    joined: int = 1
    """The number of calls that were sent together, in one round trip, this one included."""
    cached: bool = False
    """True if this call sent nothing to PostgreSQL: its result was stored, or another call's."""
    rows: int = 0
    """The number of rows that came back; of a query that returns a count, that count."""
    error: BaseException | None = None
    """The exception that it raised, ``CancelledError`` included."""
    server: str = ""
    """The URL, without its password, of the server that answered last; empty if there are no replicas."""
    began: float = 0.0
    """The time of its beginning, on the clock of ``time.perf_counter``."""


OnCall = Callable[[Call], object]
"""A hook. It is called in the event loop: it must not block."""
