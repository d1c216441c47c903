"""Calls that wait to be sent, and groups of calls that were sent together."""

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

_EXACT_EQUALITY: frozenset[type] = frozenset({int, str, bytes, bool, type(None), UUID})
"""The types whose equal values are the same argument for every parameter. Floats are not (0.0 and -0.0), nor
decimals (1.0 and 1.00) and times (of several zones).
"""

ALONE: Sequence[Any] = ["alone"]
"""The result of a call that is to run alone, in its caller's own task."""

Waiting = tuple[Values, asyncio.Future[Sequence[Any]], Call | None]
"""A call's arguments, the future of its records, and its record for the hook."""


Began = dict[asyncio.Future[Sequence[Any]], float]
"""The times at which calls got a connection of their own, by the future of their records."""


class Group:
    """A group of calls that were sent together."""

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
        """The time at which it got a connection; 0 before."""
        self.counted = True
        """True while it takes one of the places for statements in progress."""
        self.is_exact = False
        """True if its time is that of its statement alone, without preparing."""
        self.is_refused = False
        """True if PostgreSQL does not understand the text in this form, or one call's values."""
        self.task: asyncio.Task[object] | None = None
        self.rescue_at = 0.0
        """The time at which its calls are to be run alone as well; 0: never."""
        self.rescue: asyncio.Task[object] | None = None
        """The task that runs its calls alone, at the same time."""
        self.alone_since: Began = {}
        """The times at which the calls began that are also run alone."""

    @property
    def is_answered(self) -> bool:
        return all(future.done() for _, future, _ in self.calls)

    def part(self, calls: list[Waiting]) -> Group:
        """Return a group of some of its calls, which counts as no further statement in progress."""
        part = Group(calls, self.form)
        part.counted = False
        return part


def without_repetitions(calls: list[Waiting], loop: asyncio.AbstractEventLoop) -> list[Waiting]:
    """Send the calls of several callers with the same arguments once."""
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
        key = (call[0], kinds) if _EXACT_EQUALITY.issuperset(kinds) else call[1]
        alike.setdefault(key, []).append(call)
    return [same[0] if len(same) == 1 else _shared(same, loop) for same in alike.values()]


def _shared(calls: list[Waiting], loop: asyncio.AbstractEventLoop) -> Waiting:
    """Make one call of several with the same arguments."""
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
    """Fail all calls, each with a copy of the error: a traceback and notes belong to one call."""
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
