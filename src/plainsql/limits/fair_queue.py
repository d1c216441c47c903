"""A fair queue for the tasks of a process that wait for the same limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

__all__ = ["FairQueue"]


@dataclass(slots=True)
class _Queue:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    tasks: int = 0


class FairQueue:
    """A first-come, first-served queue for each key, kept while a task waits in it."""

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}

    @asynccontextmanager
    async def turn(self, keys: Iterable[str], end: float | None) -> AsyncGenerator[bool]:
        """Wait for this task's turn for all keys and yield True, or False at ``end``, by the loop's clock."""
        async with AsyncExitStack() as turns:
            try:
                async with asyncio.timeout_at(end):
                    # Always in the same order: two tasks with the same keys never hold one key each.
                    for key in sorted(keys):
                        await turns.enter_async_context(self._turn(key))
                is_next = True
            except TimeoutError:
                is_next = False
            yield is_next

    @asynccontextmanager
    async def _turn(self, key: str) -> AsyncGenerator[None]:
        queue = self._queues.setdefault(key, _Queue())
        queue.tasks += 1
        try:
            async with queue.lock:
                yield
        finally:
            queue.tasks -= 1
            if not queue.tasks:
                del self._queues[key]
