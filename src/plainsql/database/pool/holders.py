"""The tasks that hold connections for longer than a call, for the error when none is left."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Literal

from plainsql.errors import PoolTimeoutError

__all__ = ["Holder", "Holders", "Use"]

Use = Literal[
    "transaction", "lock", "stream", "copy", "batch", "acquire", "listen", "outbox", "check", "health"
]

Holder = tuple[asyncio.Task[Any] | None, Use]

_NAMES: dict[Use, str] = {
    "transaction": "a transaction",
    "lock": "a lock",
    "stream": "a stream",
    "copy": "a copy",
    "batch": "a batch",
    "acquire": "an 'acquire' block",
    "listen": "a listener",
    "outbox": "the cache's outbox",
    "check": "a check of row-level security",
    "health": "a health check",
}

_MANY: dict[Use, str] = {
    "transaction": "transactions",
    "lock": "locks",
    "stream": "streams",
    "copy": "copies",
    "batch": "batches",
    "acquire": "'acquire' blocks",
    "listen": "listeners",
    "outbox": "the cache's outbox",
    "check": "checks of row-level security",
    "health": "health checks",
}

_ALONE: dict[Use, str] = {
    "transaction": "call on the transaction, or leave it first",
    "stream": "read the stream to its end or close it first, or raise max_size above the number of streams "
    "that are open at once",
    "lock": "a lock holds a connection until it is released: raise max_size above the number of locks that "
    "are held at once",
    "acquire": "run the statement on the connection that was acquired, or release that first",
    "listen": "raise max_size above the number of listeners",
}

_OF_MANY: dict[Use, str] = {
    "transaction": "raise max_size, or look for transactions that are held open for too long",
    "lock": "each lock that is held or waited for on the server holds a connection: raise max_size above "
    "their number, or hold fewer at once",
    "stream": "each open stream holds a connection: raise max_size above their number, or close them earlier",
    "acquire": "each 'acquire' block holds a connection: raise max_size above their number, or leave them "
    "earlier",
    "listen": "each listener holds a connection: raise max_size above their number",
}


class Holders:
    """The tasks that hold connections, and the use of each."""

    def __init__(self) -> None:
        self._held: Counter[Holder] = Counter()

    def add(self, use: Use) -> Holder:
        """Record that the current task holds a connection. Pass the result to ``remove``."""
        try:
            task = asyncio.current_task()
        except RuntimeError:  # a generator that is finalized outside of any task
            task = None
        holder = (task, use)
        self._held[holder] += 1
        return holder

    def remove(self, holder: Holder) -> None:
        """Remove one connection of a holder."""
        self._held[holder] -= 1
        if not self._held[holder]:
            del self._held[holder]

    def __len__(self) -> int:
        return self._held.total()

    def explain(self, error: PoolTimeoutError) -> None:
        """Add to an error which uses hold the connections, and what to do about it."""
        by_use: Counter[Use] = Counter()
        for (_, use), number in self._held.items():
            by_use[use] += number
        if not by_use:
            return
        held = ", ".join(
            f"{number} by {_MANY[use] if number > 1 else _NAMES[use]}" for use, number in by_use.most_common()
        )
        error.detail = f"{error.detail}: {held}" if error.detail else f"connections are held: {held}"
        own = asyncio.current_task()
        mine: list[Use] = [use for use in _NAMES if (own, use) in self._held]
        if mine:
            error.hint = (
                f"this task is inside of {_NAMES[mine[0]]} of this database and holds its connection: "
                + (_ALONE.get(mine[0], "leave it first, or raise max_size"))
            )
        else:
            [(use, _)] = by_use.most_common(1)
            error.hint = _OF_MANY.get(use, "raise max_size, or send less at a time")
