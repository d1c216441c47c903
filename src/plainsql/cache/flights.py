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

__all__ = ["Flight", "Flights", "Landed", "Pilot"]


class Landed(NamedTuple):
    """The result of a flight."""

    value: Any
    """Where there is no ``data``."""
    data: bytes | None
    """For each to decode, so that no two have the same object."""


class Flight:
    """One read, under way or about to be."""

    __slots__ = ("behind", "companions", "future", "passengers", "pilot", "sharing", "task")

    def __init__(self) -> None:
        self.passengers = 0
        """How many wait for its result."""
        self.task: asyncio.Task[Any] | None = None
        self.pilot: Pilot | None = None
        self.future: asyncio.Future[Landed] | None = None
        """What a group waits for."""
        self.companions: list[Flight] = []
        """Groups that fly with this one."""
        self.behind: Flight | None = None
        """The next flight: of those who came since this one began."""
        self.sharing: Flight | None = None
        """Those behind it who have this result, if the store says that it is current."""

    def everybody(self) -> int:
        """How many wait for its result, those of its companions included."""
        return self.passengers + sum(group.passengers for group in self.companions)

    def is_deserted(self) -> bool:
        """Whether nobody waits for it, nor may come to have its result."""
        groups = (self, self.behind, self.sharing)
        return not any(group.everybody() for group in groups if group is not None)

    def share(self) -> None:
        """Offer the result to all who are behind it now; the store is asked after this."""
        assert self.sharing is None
        self.sharing, self.behind = self.behind, None

    def end_sharing(self, landed: Landed | None) -> None:
        """Hand the result to those it was offered to, or nothing: then they stay behind."""
        group, self.sharing = self.sharing, None
        if group is None:
            return
        if landed is not None:
            group.land(lambda future: future.set_result(landed))
            return
        if self.behind is not None:
            group.companions += [self.behind, *self.behind.companions]
            self.behind.companions = []
        self.behind = group

    def land(self, tell: Callable[[asyncio.Future[Landed]], None]) -> None:
        """Tell all who wait."""
        for group in (self, *self.companions):
            assert group.future is not None
            if not group.future.done():
                tell(group.future)


Pilot: TypeAlias = Callable[[Flight], Coroutine[Any, Any, Landed]]


class Flights:
    """The flights of a process, by key."""

    def __init__(self) -> None:
        self._flights: dict[bytes, Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def get(self, key: bytes) -> Flight | None:
        """Return the flight under way."""
        return self._flights.get(key)

    def begin(self, key: bytes) -> Flight:
        """Begin a flight where none is under way. ``end`` must follow, or ``hand_over``."""
        flight = self._flights[key] = Flight()
        flight.passengers = 1
        return flight

    def end(self, key: bytes, flight: Flight) -> None:
        """End a flight; the group behind it takes off."""
        flight.end_sharing(None)
        group, flight.behind = flight.behind, None
        if group is None or not group.everybody():
            del self._flights[key]
            return
        self._flights[key] = group
        assert group.pilot is not None
        group.task = asyncio.get_running_loop().create_task(group.pilot(group))
        group.task.add_done_callback(lambda task: self._landed(key, group, task))

    def hand_over(
        self,
        key: bytes,
        flight: Flight,
        rest: Coroutine[Any, Any, Landed],
        cancelled: Callable[[], None],
    ) -> None:
        """Let the rest of a flight be flown by a task, which does not end when one who waits does.

        ``cancelled`` is called where the task is, which may be before its first step.
        """

        def landed(task: asyncio.Task[Landed]) -> None:
            if task.cancelled():
                cancelled()
            self.end(key, flight)

        flight.task = asyncio.get_running_loop().create_task(rest)
        flight.task.add_done_callback(landed)

    async def wait(self, flight: Flight) -> Landed:
        """Wait for the flight that oneself has handed over."""
        assert flight.task is not None
        try:
            landed: Landed = await asyncio.shield(flight.task)
        finally:
            self._leave(flight, flight)
        return landed

    async def join(self, flight: Flight, pilot: Pilot) -> Landed:
        """Wait behind a flight for its result or the next one, which the first who joins flies for all."""
        group = flight.behind
        if group is None:
            group = flight.behind = Flight()
            group.pilot = pilot
            group.future = asyncio.get_running_loop().create_future()
        assert group.future is not None
        group.passengers += 1
        try:
            return await asyncio.shield(group.future)
        except Exception as error:  # noqa: BLE001 (whatever the read raised)
            raise _own(error) from error.__cause__
        finally:
            self._leave(group, flight)

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

    def _landed(self, key: bytes, group: Flight, task: asyncio.Task[Landed]) -> None:
        if task.cancelled():
            group.land(_cancel)
        elif (error := task.exception()) is not None:
            group.land(lambda future: _fail(future, error))
        else:
            landed = task.result()
            group.land(lambda future: future.set_result(landed))
        self.end(key, group)

    @staticmethod
    def _leave(group: Flight, flight: Flight) -> None:
        group.passengers -= 1
        for one in {group, flight}:
            if one.task is not None and not one.task.done() and one.is_deserted():
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


def _cancel(future: asyncio.Future[Landed]) -> None:
    future.cancel()


def _fail(future: asyncio.Future[Landed], error: BaseException) -> None:
    future.set_exception(error)
    # Where nobody waits any more, nobody is to be told.
    future.exception()
