"""Single flight: one read of a key at a time in the process, whose result is shared.

A result serves the callers that came before the store was read. A later caller must not have it: a write may
have been acknowledged in between. Later callers wait in a group, and the group has the next read. There is
one
exception: if the store confirms after they came that nothing has changed, as a fill does, they have this
result.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, TypeAlias

__all__ = ["InFlight", "Loader", "Result", "SingleFlight"]


class Result(NamedTuple):
    """The result of a flight."""

    value: Any
    """The value; used if there is no ``data``."""
    data: bytes | None
    """The encoded value, which each caller decodes, so that no two have the same object."""


class InFlight:
    """One read, in progress or about to begin."""

    # Attributes of the class, because most reads are hits, which need none of them.
    waiters: int = 1
    """The number of callers that wait for its result."""
    task: asyncio.Task[Any] | None = None
    loader: Loader | None = None
    future: asyncio.Future[Result] | None = None
    """The future of a group's result."""
    merged: tuple[InFlight, ...] = ()
    """Groups that share this read."""
    next_group: InFlight | None = None
    """The group of the callers that came since this read began, which has the next read."""
    sharing: InFlight | None = None
    """The group that gets this result too, if the store confirms it."""

    def all_waiters(self) -> int:
        """Return the number of callers that wait for its result, those of merged groups included."""
        return self.waiters + sum(group.waiters for group in self.merged)

    def is_abandoned(self) -> bool:
        """Return whether no caller waits for its result, or may get it."""
        groups = (self, self.next_group, self.sharing)
        return not any(group.all_waiters() for group in groups if group is not None)

    def share(self) -> None:
        """Offer the result to the callers that wait behind it. The store is read after this."""
        assert self.sharing is None
        self.sharing, self.next_group = self.next_group, None

    def end_sharing(self, result: Result | None) -> None:
        """Give the result to the callers that it was offered to; with None they wait for the next read."""
        group, self.sharing = self.sharing, None
        if group is None:
            return
        if result is not None:
            group.resolve(lambda future: future.set_result(result))
            return
        if self.next_group is not None:
            group.merged += (self.next_group, *self.next_group.merged)
            self.next_group.merged = ()
        self.next_group = group

    def resolve(self, tell: Callable[[asyncio.Future[Result]], None]) -> None:
        """Resolve the futures of all that wait."""
        for group in (self, *self.merged):
            assert group.future is not None
            if not group.future.done():
                tell(group.future)


Loader: TypeAlias = Callable[[InFlight], Coroutine[Any, Any, Result]]


class SingleFlight:
    """The reads of a process that are in progress, by key."""

    def __init__(self) -> None:
        self._flights: dict[bytes, InFlight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def get(self, key: bytes) -> InFlight | None:
        """Return the read in progress, if there is one."""
        return self._flights.get(key)

    def begin(self, key: bytes) -> InFlight:
        """Begin a read of a key that has none in progress. ``end`` or ``hand_over`` must follow."""
        flight = self._flights[key] = InFlight()
        return flight

    def end(self, key: bytes, flight: InFlight) -> None:
        """End a read. The group behind it begins its own."""
        flight.end_sharing(None)
        group, flight.next_group = flight.next_group, None
        if group is None or not group.all_waiters():
            del self._flights[key]
            return
        self._flights[key] = group
        assert group.loader is not None
        group.task = asyncio.get_running_loop().create_task(group.loader(group))
        group.task.add_done_callback(lambda task: self._on_done(key, group, task))

    def hand_over(
        self,
        key: bytes,
        flight: InFlight,
        rest: Coroutine[Any, Any, Result],
        cancelled: Callable[[], None],
    ) -> None:
        """Leave the rest of a read to a task, which does not end when one of its callers does.

        ``cancelled`` is called if the task is cancelled, which may be before its first step.
        """

        def on_done(task: asyncio.Task[Result]) -> None:
            if task.cancelled():
                cancelled()
            self.end(key, flight)

        flight.task = asyncio.get_running_loop().create_task(rest)
        flight.task.add_done_callback(on_done)

    async def wait(self, flight: InFlight) -> Result:
        """Wait for a read that the caller has handed over."""
        assert flight.task is not None
        try:
            result: Result = await asyncio.shield(flight.task)
        finally:
            self._remove_waiter(flight, flight)
        return result

    async def join(self, flight: InFlight, loader: Loader) -> Result:
        """Wait behind a read for its result, or for the next read, which ``loader`` of the first caller
        does.
        """
        group = flight.next_group
        if group is None:
            group = flight.next_group = InFlight()
            group.waiters = 0
            group.loader = loader
            group.future = asyncio.get_running_loop().create_future()
        assert group.future is not None
        group.waiters += 1
        try:
            return await asyncio.shield(group.future)
        except Exception as error:  # noqa: BLE001 (the read may raise anything)
            raise _own(error) from error.__cause__
        finally:
            self._remove_waiter(group, flight)

    async def drain(self, patience: float) -> None:
        """Wait until no read is in progress; cancel what still is after so many seconds."""
        try:
            async with asyncio.timeout(patience):
                while tasks := self._tasks():
                    await asyncio.wait(tasks)
        except TimeoutError:
            while tasks := self._tasks():
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)

    def _tasks(self) -> list[asyncio.Task[Any]]:
        tasks = (flight.task for flight in self._flights.values())
        return [task for task in tasks if task is not None]

    def _on_done(self, key: bytes, group: InFlight, task: asyncio.Task[Result]) -> None:
        if task.cancelled():
            group.resolve(_cancel)
        elif (error := task.exception()) is not None:
            group.resolve(lambda future: _fail(future, error))
        else:
            result = task.result()
            group.resolve(lambda future: future.set_result(result))
        self.end(key, group)

    @staticmethod
    def _remove_waiter(group: InFlight, flight: InFlight) -> None:
        group.waiters -= 1
        for one in {group, flight}:
            if one.task is not None and not one.task.done() and one.is_abandoned():
                one.task.cancel()


def _own(error: Exception) -> Exception:
    """Return a copy for one of several callers: a traceback and notes belong to one call."""
    try:
        own = copy.copy(error)
    except Exception:  # noqa: BLE001 (it cannot be copied)
        return error
    if notes := getattr(error, "__notes__", None):
        own.__notes__ = list(notes)
    return own.with_traceback(error.__traceback__)


def _cancel(future: asyncio.Future[Result]) -> None:
    future.cancel()


def _fail(future: asyncio.Future[Result], error: BaseException) -> None:
    future.set_exception(error)
    # If no caller waits any more, the exception counts as retrieved.
    future.exception()
