"""The faults of replicas: paused, late, restarted, crashed, promoted and copied again."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Final

from plainsql import embedded
from plainsql.embedded import EmbeddedServer
from plainsql.errors import EmbeddedServerError

__all__ = ["FAULTS", "ReplicaFaults", "kill_server", "processes_of", "start_again", "start_replica"]

_LATE_MS: Final = 400


def start_replica(primary: EmbeddedServer, folder: Path) -> EmbeddedServer:
    """Start a replica in a folder, which keeps its address."""
    return embedded.start(folder, replica_of=primary, settings={"fsync": "off"})


def start_again(primary: EmbeddedServer, replica: EmbeddedServer, *, is_new: bool = False) -> EmbeddedServer:
    """Start a replica that does not run any more, or whose data are its own: then as a new copy."""
    replica.stop()
    if is_new:
        shutil.rmtree(replica.folder)
    return start_replica(primary, replica.folder)


def processes_of(server: EmbeddedServer) -> list[int]:
    """Return the processes of a server, its postmaster first."""
    postmaster = server.pid
    assert postmaster is not None
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return [postmaster, *map(int, children)]


def kill_server(server: EmbeddedServer) -> None:
    """Kill all processes of a server, as the loss of its machine does."""
    for pid in processes_of(server):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class ReplicaFaults:
    """Makes a random fault of a random replica, one at a time."""

    def __init__(self, primary: EmbeddedServer, replicas: list[EmbeddedServer], seed: int) -> None:
        self._primary = primary
        self.replicas = replicas
        self._random = random.Random(seed)
        self.done: Counter[str] = Counter()

    async def run(self, pause: float, faults: list[str]) -> None:
        """Make faults until the task is cancelled, the first of each kind in turn."""
        coming = list(faults)
        while True:
            await asyncio.sleep(pause)
            kind = coming.pop(0) if coming else self._random.choice(faults)
            at = self._random.randrange(len(self.replicas))
            await FAULTS[kind](self, at)
            self.done[kind] += 1

    def stop_replicas(self) -> None:
        """Stop the replicas that there are now."""
        for replica in self.replicas:
            replica.stop()

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

    async def _promote(self, at: int) -> None:
        replica = self.replicas[at]
        await asyncio.to_thread(replica.promote)
        await asyncio.to_thread(replica.execute, "update counters.counters set n = 0", "soak")
        await asyncio.sleep(1.0)
        self.replicas[at] = await asyncio.to_thread(start_again, self._primary, replica, is_new=True)


FAULTS: Final = {
    "pause": ReplicaFaults._pause,
    "late": ReplicaFaults._late,
    "restart": ReplicaFaults._restart,
    "crash": ReplicaFaults._crash,
    "promote": ReplicaFaults._promote,
}
