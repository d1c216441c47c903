"""The faults of the network and of the servers while calls run."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

import psycopg

from benchmarks.fault_soak.network import Network
from tests.failover import Node

__all__ = ["Faults"]

_ROLE = "soak_app"


class Faults:
    """Makes one fault after the other, and counts them."""

    def __init__(self, network: Network, primary: Node, standby: Node, seed: int) -> None:
        self._network, self._standby = network, standby
        self.primary = primary
        self._random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.promotions = 0
        self._under_way: set[asyncio.Future[None]] = set()
        """Restarts and promotions, which are not left half done."""

    async def run(self, pause: float, promote_after: float) -> None:
        """Make faults until cancelled, about one every ``pause`` seconds, and once promote the standby.

        The network and the primary are well again afterwards.
        """
        kinds: list[tuple[str, Callable[[], Awaitable[None]], int]] = [
            ("one connection cut", self._cut_one, 4),
            ("all connections cut", self._cut, 2),
            ("answers lost", self._lose_answers, 3),
            ("silence", self._pause, 3),
            ("connections forgotten", self._forget, 1),
            ("new connections silent", self._silence_new, 1),
            ("connections refused", self._refuse, 2),
            ("connections limited", self._limit, 2),
            ("backends terminated", self._terminate, 3),
            ("statements cancelled", self._cancel, 3),
            ("server crashed", self._crash, 1),
        ]
        weights = [weight for *_, weight in kinds]
        loop = asyncio.get_running_loop()
        promotes_at = loop.time() + promote_after
        try:
            while True:
                await asyncio.sleep(self._random.uniform(0, 2 * pause))
                if loop.time() >= promotes_at and not self.promotions:
                    await self._promote()
                    self.counts["standby promoted"] += 1
                    continue
                [(name, make, _)] = self._random.choices(kinds, weights)
                with suppress(psycopg.OperationalError):
                    await make()
                    self.counts[name] += 1
        finally:
            self._network.let_answers_pass()
            self._network.silence_new(None)
            self._network.resume()
            await self._network.accept()
            if self._under_way:
                await asyncio.wait(self._under_way)

    async def heal(self) -> None:
        """End what a fault has left on the servers."""
        await asyncio.to_thread(self.primary.execute, f"alter role {_ROLE} connection limit -1")

    def _moment(self, most: float) -> float:
        return self._random.uniform(0.02, most)

    async def _cut_one(self) -> None:
        self._network.cut_one(self._random)

    async def _cut(self) -> None:
        self._network.cut()

    async def _lose_answers(self) -> None:
        self._network.hold_answers()
        await asyncio.sleep(self._moment(0.1))
        self._network.cut()
        self._network.let_answers_pass()

    async def _pause(self) -> None:
        self._network.pause()
        await asyncio.sleep(self._moment(2.0))
        self._network.resume()

    async def _forget(self) -> None:
        self._network.silence()

    async def _silence_new(self) -> None:
        self._network.silence_new(self._random.randrange(7))
        self._network.cut()
        await asyncio.sleep(self._moment(1.0))
        self._network.silence_new(None)

    async def _refuse(self) -> None:
        self._network.refuse()
        self._network.cut()
        await asyncio.sleep(self._moment(0.5))
        await self._network.accept()

    async def _limit(self) -> None:
        execute = self.primary.execute
        await asyncio.to_thread(execute, f"alter role {_ROLE} connection limit {self._random.randint(1, 4)}")
        self._network.cut()
        await asyncio.sleep(self._moment(1.0))
        await self.heal()

    async def _terminate(self) -> None:
        await self._signal("pg_terminate_backend")

    async def _cancel(self) -> None:
        await self._signal("pg_cancel_backend")

    async def _signal(self, function: str) -> None:
        await asyncio.to_thread(
            self.primary.execute,
            f"select {function}(pid) from pg_stat_activity where usename = '{_ROLE}' and random() < %s",
            self._random.choice((0.2, 1.0)),
        )

    async def _crash(self) -> None:
        def crash() -> None:
            self.primary.stop(immediately=True)
            self.primary.start()

        await self._to_its_end(crash)

    async def _promote(self) -> None:
        """Move the address from the primary to its standby, as failover scripts do.

        The old primary lives on and refuses writes; the connections to it stay open. No commit that it has
        acknowledged is missing on the new one.
        """
        old = self.primary

        def move() -> None:
            old.read_only()
            # A transaction that began before may still write.
            old.execute(
                "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
                " where usename = %s and xact_start is not null",
                _ROLE,
            )
            self._standby.wait_for(old)
            self._standby.promote()

        await self._to_its_end(move)
        self._network.retarget(self._standby.socket)
        self.primary = self._standby
        self.promotions += 1

    async def _to_its_end(self, work: Callable[[], None]) -> None:
        doing = asyncio.ensure_future(asyncio.to_thread(work))
        self._under_way.add(doing)
        doing.add_done_callback(self._under_way.discard)
        await asyncio.shield(doing)
