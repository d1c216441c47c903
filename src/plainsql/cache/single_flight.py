"""One read of a key at a time in the process, and who may have its result.

A result serves those who came before the store was asked for it. Who comes later must not have it: a write
may have been acknowledged in between. They wait in a group, and the group has the next flight, all together;
unless the store says after they came that nothing has changed, which a fill does: then they have this one.
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
    """Where there is no ``data``."""
    data: bytes | None
    """For each to decode, so that no two have the same object."""


class InFlight:
    """One read, under way or about to be."""

    __slots__ = ("future", "loader", "merged", "next_group", "sharing", "task", "waiters")

    def __init__(self) -> None:
        self.waiters = 0
        """How many wait for its result."""
        self.task: asyncio.Task[Any] | None = None
        self.loader: Loader | None = None
        self.future: asyncio.Future[Result] | None = None
        """What a group waits for."""
        self.merged: list[InFlight] = []
        """Groups that fly with this one."""
        self.next_group: InFlight | None = None
        """The next flight: of those who came since this one began."""
        self.sharing: InFlight | None = None
        """Those behind it who have this result, if the store says that it is current."""

    def all_waiters(self) -> int:
        """How many wait for its result, those of its companions included."""
        return self.waiters + sum(group.waiters for group in self.merged)

    def is_abandoned(self) -> bool:
        """Whether nobody waits for it, nor may come to have its result."""
        groups = (self, self.next_group, self.sharing)
        return not any(group.all_waiters() for group in groups if group is not None)

    def share(self) -> None:
        """Offer the result to all who are behind it now; the store is asked after this."""
        assert self.sharing is None
        self.sharing, self.next_group = self.next_group, None

    def end_sharing(self, result: Result | None) -> None:
        """Hand the result to those it was offered to, or nothing: then they stay behind."""
        group, self.sharing = self.sharing, None
        if group is None:
            return
        if result is not None:
            group.resolve(lambda future: future.set_result(result))
            return
        if self.next_group is not None:
            group.merged += [self.next_group, *self.next_group.merged]
            self.next_group.merged = []
        self.next_group = group

    def resolve(self, tell: Callable[[asyncio.Future[Result]], None]) -> None:
        """Tell all who wait."""
        for group in (self, *self.merged):
            assert group.future is not None
            if not group.future.done():
                tell(group.future)


Loader: TypeAlias = Callable[[InFlight], Coroutine[Any, Any, Result]]


class SingleFlight:
    """The flights of a process, by key."""

    def __init__(self) -> None:
        self._flights: dict[bytes, InFlight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def get(self, key: bytes) -> InFlight | None:
        """Return the flight under way."""
        return self._flights.get(key)

    def begin(self, key: bytes) -> InFlight:
        """Begin a flight where none is under way. ``end`` must follow, or ``hand_over``."""
        flight = self._flights[key] = InFlight()
        flight.waiters = 1
        return flight

    def end(self, key: bytes, flight: InFlight) -> None:
        """End a flight; the group behind it takes off."""
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
        """Let the rest of a flight be flown by a task, which does not end when one who waits does.

        ``cancelled`` is called where the task is, which may be before its first step.
        """

        def on_done(task: asyncio.Task[Result]) -> None:
            if task.cancelled():
                cancelled()
            self.end(key, flight)

        flight.task = asyncio.get_running_loop().create_task(rest)
        flight.task.add_done_callback(on_done)

    async def wait(self, flight: InFlight) -> Result:
        """Wait for the flight that oneself has handed over."""
        assert flight.task is not None
        try:
            result: Result = await asyncio.shield(flight.task)
        finally:
            self._remove_waiter(flight, flight)
        return result

    async def join(self, flight: InFlight, loader: Loader) -> Result:
        """Wait behind a flight for its result or the next one, which the first who joins flies for all."""
        group = flight.next_group
        if group is None:
            group = flight.next_group = InFlight()
            group.loader = loader
            group.future = asyncio.get_running_loop().create_future()
        assert group.future is not None
        group.waiters += 1
        try:
            return await asyncio.shield(group.future)
        except Exception as error:  # noqa: BLE001 (whatever the read raised)
            raise _own(error) from error.__cause__
        finally:
            self._remove_waiter(group, flight)

    async def drain(self, patience: float) -> None:
        """Wait until no flight is under way; after so many seconds, cancel what still is."""
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
    # Where nobody waits any more, nobody is to be told.
    future.exception()
