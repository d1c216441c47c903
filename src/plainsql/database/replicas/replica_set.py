"""The replicas of a database: it selects one for each read, and waits for one that is new enough."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Final

from plainsql.database.replicas.primary_watch import PrimaryWatch
from plainsql.database.replicas.replica import Replica
from plainsql.replication.demand import Demand
from plainsql.replication.read_scope import ReadScope

__all__ = ["ReplicaSet"]

_FIRST_ANSWER_S: Final = 1.0
"""Seconds that ``connect`` waits for the first answers of the replicas."""
_POSITION_S: Final = 0.25
"""Seconds that the end of a session waits for the position of its last read."""
_NO_WAIT_S: Final = 1.0
"""Seconds without waiting, after a wait in which no replica became new enough."""


class ReplicaSet:
    """The replicas of a database, and the positions of its primary."""

    def __init__(self, primary: PrimaryWatch, replicas: Sequence[Replica]) -> None:
        self.primary = primary
        self.replicas = replicas
        self._no_wait_before = float("-inf")
        self._is_closed = False

    async def start(self) -> None:
        """Begin to poll the servers, and wait a moment for their first answers."""
        first = [self.primary.poller.news(), *(replica.poller.news() for replica in self.replicas)]
        self.primary.poller.start()
        for replica in self.replicas:
            replica.poller.start()
        await asyncio.wait(first, timeout=_FIRST_ANSWER_S)

    async def close(self) -> None:
        """Stop polling, and close the connections to the replicas. Call it when no read is in progress."""
        self._is_closed = True  # reads that wait for a replica go on, on the primary
        await self.primary.poller.stop()
        for replica in self.replicas:
            await replica.poller.stop()
        for replica in self.replicas:
            if replica.server is not None:
                await replica.server.pool.connections.close()

    def terminate(self) -> None:
        """End all connections to the replicas immediately."""
        for replica in self.replicas:
            if replica.server is not None:
                replica.server.pool.connections.terminate()

    def abandon(self) -> None:
        """Close the connections without sending anything."""
        for replica in self.replicas:
            if replica.server is not None:
                replica.server.pool.connections.abandon()

    def select(self, scope: ReadScope, demand: Demand) -> Replica | None:
        """Return the replica on which a read is expected to end first, of those that are new enough."""
        now = monotonic()
        self.primary.poller.used()
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
