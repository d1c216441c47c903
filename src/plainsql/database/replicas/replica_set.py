"""The replicas of a database: it selects one for each read, and waits for one that is new enough."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from time import monotonic
from typing import Final

from plainsql.database.replicas.discovery import Discovery
from plainsql.database.replicas.primary_watch import PrimaryWatch
from plainsql.database.replicas.replica import Replica
from plainsql.replica_sources import Member
from plainsql.replication.demand import Demand
from plainsql.replication.read_scope import ReadScope

__all__ = ["ReplicaSet"]

_log = logging.getLogger("plainsql")

_FIRST_ANSWER_S: Final = 1.0
"""Seconds that ``connect`` waits for the first answers of the replicas."""
_POSITION_S: Final = 0.25
"""Seconds that the end of a session waits for the position of its last read."""
_NO_WAIT_S: Final = 1.0
"""Seconds without waiting, after a wait in which no replica became new enough."""


class ReplicaSet:
    """The replicas of a database, and the positions of its primary."""

    def __init__(self, primary: PrimaryWatch, replicas: Sequence[Replica] = ()) -> None:
        self.primary = primary
        self.replicas = tuple(replicas)
        self.discovery: Discovery | None = None
        """The task that finds them; None if they were named."""
        self._members: dict[tuple[str, int], Replica] = {}
        """The replicas that were found, by host and port."""
        self._leaving: dict[Replica, asyncio.Task[None]] = {}
        """The replicas that were removed, until their last read has ended."""
        self._no_wait_before = float("-inf")
        self._is_closed = False

    async def start(self) -> None:
        """Begin to poll the servers, and wait a moment for their first answers."""
        first = [self.primary.poller.news(), *(replica.poller.news() for replica in self.replicas)]
        self.primary.poller.start()
        for replica in self.replicas:
            replica.poller.start()
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_ANSWER_S):
                if self.discovery is not None:
                    found = self.discovery.poller.news()
                    self.discovery.poller.start()
                    await asyncio.wait([found])
                    first += [replica.poller.news() for replica in self.replicas]
                await asyncio.wait(first)

    def take(self, found: Sequence[Member], make: Callable[[Member], Replica]) -> None:
        """Add and remove replicas, so that they are those that were found now."""
        places = {(member.host, member.port) for member in found}
        for place in [place for place in self._members if place not in places]:
            self._remove(self._members.pop(place))
        for member in found:
            place = (member.host, member.port)
            if member.is_ready and place not in self._members:
                replica = self._members[place] = make(member)
                self.replicas = (*self.replicas, replica)
                replica.poller.start()
                _log.info("the replica %s was found", replica.name)

    def _remove(self, replica: Replica) -> None:
        """Let the reads on a replica end, and close its connections then."""
        _log.info("the replica %s is gone", replica.name)
        self.replicas = tuple(one for one in self.replicas if one is not replica)
        task = asyncio.get_running_loop().create_task(replica.leave())
        self._leaving[replica] = task
        task.add_done_callback(lambda _: self._leaving.pop(replica, None))

    async def close(self) -> None:
        """Stop polling, and close the connections to the replicas. Call it when no read is in progress."""
        self._is_closed = True  # reads that wait for a replica go on, on the primary
        if self.discovery is not None:
            await self.discovery.poller.stop()
        await self.primary.poller.stop()
        for replica in self.replicas:
            await replica.poller.stop()
        for replica in self.replicas:
            if replica.server is not None:
                await replica.server.pool.connections.close()
        await asyncio.gather(*self._leaving.values())

    def terminate(self) -> None:
        """End all connections to the replicas immediately."""
        for task in self._leaving.values():
            task.cancel()
        for replica in self._all():
            if replica.server is not None:
                replica.server.pool.connections.terminate()

    def abandon(self) -> None:
        """Close the connections without sending anything."""
        for replica in self._all():
            if replica.server is not None:
                replica.server.pool.connections.abandon()

    def _all(self) -> Iterator[Replica]:
        yield from self.replicas
        yield from self._leaving

    def select(self, scope: ReadScope, demand: Demand) -> Replica | None:
        """Return the replica on which a read is expected to end first, of those that are new enough."""
        now = monotonic()
        self.primary.poller.used()
        if self.discovery is not None:
            self.discovery.used(now)
        candidates: Sequence[Replica] = self.replicas
        if not scope.resolve(self.primary.last):
            home = scope.home
            if home is None:
                return None
            candidates = (home,)
        best: Replica | None = None
        for replica in candidates:
            if not (replica.is_well(now) and replica.covers(scope.floor)):
                continue
            behind = self.primary.behind(replica.position, now)
            if behind is None or behind > demand.max_lag:
                continue
            replica.poller.used()
            if best is None or replica.expected_wait < best.expected_wait:
                best = replica
        return best

    async def resolve(self, scope: ReadScope) -> None:
        """Wait a moment for a position of what a scope has seen."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_POSITION_S):
                while not self._is_closed and not scope.resolve(self.primary.last):
                    home = scope.home
                    await asyncio.wait([(self.primary if home is None else home).poller.news()])

    async def wait(self, scope: ReadScope, demand: Demand) -> Replica | None:
        """Wait until a replica is new enough, and return it; None if there is none in time."""
        now = monotonic()
        if demand.max_wait <= 0 or now < self._no_wait_before or not self._may_reach(scope):
            return None
        try:
            async with asyncio.timeout(demand.max_wait):
                while not self._is_closed and any(replica.may_get_well for replica in self.replicas):
                    news = [replica.poller.news() for replica in self.replicas if replica.may_get_well]
                    await asyncio.wait(
                        (self.primary.poller.news(), *news), return_when=asyncio.FIRST_COMPLETED
                    )
                    if (replica := self.select(scope, demand)) is not None:
                        return replica
                    if not self._may_reach(scope):
                        return None
        except TimeoutError:
            # Each read would wait in vain until they have caught up.
            self._no_wait_before = monotonic() + _NO_WAIT_S
        return None

    def _may_reach(self, scope: ReadScope) -> bool:
        """Return whether replicas may replay what a scope requires: not on another timeline."""
        last, floor = self.primary.last, scope.floor
        position = None if last is None else last.position
        return floor is None or position is None or floor.timeline == position.timeline
