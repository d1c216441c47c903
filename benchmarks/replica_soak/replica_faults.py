"""The faults of replicas: paused, late, restarted, crashed, promoted and copied again."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Final

from benchmarks.replica_soak.failovers import FAILOVERS
from benchmarks.replica_soak.servers import Addresses, start_again
from plainsql.embedded import EmbeddedServer
from plainsql.errors import EmbeddedServerError

__all__ = ["FAULTS", "ReplicaFaults"]

_LATE_MS: Final = 400
_OF_ITS_OWN: Final = """
set synchronous_commit = local;
update counters.counters set n = 0
"""
"""Writes of a promoted replica, without waiting for a replica of its own."""


class ReplicaFaults:
    """Makes a random fault of a random replica, one at a time."""

    def __init__(
        self, primary: EmbeddedServer, replicas: list[EmbeddedServer], addresses: Addresses, seed: int
    ) -> None:
        self.primary = primary
        self.replicas = replicas
        self._addresses = addresses
        self._random = random.Random(seed)
        self.done: Counter[str] = Counter()

    async def run(self, pause: float, faults: list[str], is_over: Callable[[], bool]) -> None:
        """Make faults until the time is up, the first of each kind in turn."""
        coming = list(faults)
        while not is_over():
            await asyncio.sleep(pause)
            kind = coming.pop(0) if coming else self._random.choice(faults)
            if kind in FAILOVERS:
                await FAILOVERS[kind](self)
            else:
                await FAULTS[kind](self, self._random.randrange(len(self.replicas)))
            self.done[kind] += 1

    def stop_servers(self) -> None:
        """Stop the servers that there are now."""
        for server in (*self.replicas, self.primary):
            server.stop()

    def unreachable(self, server: EmbeddedServer) -> AbstractContextManager[None]:
        """Take the address of a server away for a block."""
        return self._addresses.without(server)

    async def _pause(self, at: int) -> None:
        replica = self.replicas[at]
        await asyncio.to_thread(replica.pause_replay)
        await asyncio.sleep(self._random.uniform(0.3, 1.5))
        await asyncio.to_thread(replica.resume_replay)

    async def _late(self, at: int) -> None:
        replica = self.replicas[at]
        for value in (f"'{_LATE_MS}ms'", "0"):
            await asyncio.to_thread(
                replica.execute,
                f"alter system set recovery_min_apply_delay = {value};\nselect pg_reload_conf()",
            )
            await asyncio.sleep(self._random.uniform(0.5, 2.0))

    async def _restart(self, at: int) -> None:
        await asyncio.to_thread(self.replicas[at].restart)

    async def _crash(self, at: int) -> None:
        """Kill a session: the server ends all others, and recovers without a new start of its own."""
        with suppress(EmbeddedServerError):
            await asyncio.to_thread(self._kill_session, self.replicas[at])

    def _kill_session(self, replica: EmbeddedServer) -> None:
        pid = replica.execute(
            "select a.pid from pg_stat_activity as a"
            " where a.backend_type = 'client backend' and a.pid <> pg_backend_pid() limit 1"
        )
        if pid:
            os.kill(int(pid), signal.SIGKILL)

    async def _switch(self, at: int) -> None:
        """Lead the address of a replica to the other one and back, as a balancer does; cut what is open."""
        replica, other = self.replicas[at], self.replicas[at - 1]
        for target in (other, replica):
            self._addresses.lead(replica, target)
            with suppress(EmbeddedServerError):
                await asyncio.to_thread(self._kill_connection, replica)
            await asyncio.sleep(self._random.uniform(0.2, 1.0))

    def _kill_connection(self, replica: EmbeddedServer) -> None:
        replica.execute(
            "select pg_terminate_backend(a.pid) from pg_stat_activity as a"
            " where a.datname = 'soak' order by random() limit 1"
        )

    async def _promote(self, at: int) -> None:
        replica = self.replicas[at]
        await asyncio.to_thread(replica.promote)
        await asyncio.to_thread(replica.execute, _OF_ITS_OWN, "soak")
        await asyncio.sleep(1.0)
        self.replicas[at] = await asyncio.to_thread(start_again, self.primary, replica, is_new=True)


FAULTS: Final = {
    "pause": ReplicaFaults._pause,
    "late": ReplicaFaults._late,
    "restart": ReplicaFaults._restart,
    "crash": ReplicaFaults._crash,
    "promote": ReplicaFaults._promote,
    "switch": ReplicaFaults._switch,
}
