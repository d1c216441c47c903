"""Calls that wait to be sent, and those that were sent together."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from plainsql.database.execution.forms import Form
from plainsql.database.execution.pipelined_statement import Values
from plainsql.database.pool.call import Call

__all__ = ["ALONE", "Began", "Group", "Waiting", "fail", "without_repetitions"]

_EQUAL_IF_ALIKE: frozenset[type] = frozenset({int, str, bytes, bool, type(None), UUID})
"""Types whose equal values are the same argument for every parameter: not floats (0.0 and -0.0), decimals
(1.0 and 1.00) or times (of several zones).
"""

ALONE: Sequence[Any] = ["alone"]
"""What a call gets instead of records if it is to run alone, in its caller's own task."""

Waiting = tuple[Values, asyncio.Future[Sequence[Any]], Call | None]
"""A call's arguments, what brings its records, and what is told of it afterwards."""


Began = dict[asyncio.Future[Sequence[Any]], float]
"""When calls had a connection of their own, by the future that brings their records."""


class Group:
    """Calls that were sent together."""

    __slots__ = (
        "alone_since",
        "began",
        "calls",
        "counted",
        "form",
        "is_exact",
        "is_refused",
        "rescue",
        "rescue_at",
        "task",
    )

    def __init__(self, calls: list[Waiting], form: Form) -> None:
        self.calls = calls
        self.form = form
        self.began = 0.0
        """When it had a connection; 0 before."""
        self.counted = True
        """Whether it takes one of the places for statements under way."""
        self.is_exact = False
        """Whether what it takes is its statement alone, and no preparing."""
        self.is_refused = False
        """Whether PostgreSQL does not understand the text in this form, or one call's values."""
        self.task: asyncio.Task[object] | None = None
        self.rescue_at = 0.0
        """When its calls are to be run alone beside it; 0 for never."""
        self.rescue: asyncio.Task[object] | None = None
        """Runs its calls alone, beside it."""
        self.alone_since: Began = {}
        """When the calls began that run alone beside it."""

    @property
    def is_answered(self) -> bool:
        return all(future.done() for _, future, _ in self.calls)

    def part(self, calls: list[Waiting]) -> Group:
        """Make a group of some of its calls, which is no statement more under way."""
        part = Group(calls, self.form)
        part.counted = False
        return part


def without_repetitions(calls: list[Waiting], loop: asyncio.AbstractEventLoop) -> list[Waiting]:
    """Send what several callers ask alike once."""
    if len(calls) < 2:
        return calls
    try:
        if len({values for values, _, _ in calls}) == len(calls):
            return calls
    except TypeError:  # a list among them
        return calls
    alike: dict[Any, list[Waiting]] = {}
    for call in calls:
        kinds = tuple(map(type, call[0]))
        key = (call[0], kinds) if _EQUAL_IF_ALIKE.issuperset(kinds) else call[1]
        alike.setdefault(key, []).append(call)
    return [same[0] if len(same) == 1 else _shared(same, loop) for same in alike.values()]


def _shared(calls: list[Waiting], loop: asyncio.AbstractEventLoop) -> Waiting:
    """Make one call of several that are alike."""
    shared: asyncio.Future[Sequence[Any]] = loop.create_future()

    def hand_out(_: object) -> None:
        if (first := calls[0][2]) is not None:
            for _, _, call in calls:
                if call is not None:
                    call.joined, call.lease_wait = first.joined, first.lease_wait
        if shared.cancelled():
            for _, future, _ in calls:
                future.cancel()
        elif (error := shared.exception()) is not None:
            fail(calls, error)
        else:
            for _, future, _ in calls:
                if not future.done():
                    future.set_result(shared.result())

    def drop(_: object) -> None:
        if not shared.done() and all(future.done() for _, future, _ in calls):
            shared.cancel()

    shared.add_done_callback(hand_out)
    for _, future, _ in calls:
        future.add_done_callback(drop)
    return calls[0][0], shared, calls[0][2]


def fail(calls: list[Waiting], error: BaseException) -> None:
    """Give all callers the error, to each one of its own: a traceback and notes belong to one call."""
    for _, future, _ in calls:
        if future.done():
            continue
        if not isinstance(error, Exception):
            future.cancel()
        else:
            own = copy.copy(error)
            own.__cause__, own.__context__ = error.__cause__, error.__context__
            if notes := getattr(error, "__notes__", None):
                own.__notes__ = list(notes)
            future.set_exception(own)
