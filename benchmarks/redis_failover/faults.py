"""The faults of Redis servers with Sentinels, and of a cluster, while they are used."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from typing import TypeAlias

from redis.crc import key_slot
from redis.exceptions import RedisError

from benchmarks.redis_failover.proxies import Programs, Proxies
from tests.redis_groups import ClusterGroup, Group, SentinelGroup, until
from tests.redis_server import RedisServer

__all__ = ["ClusterFaults", "Faults", "SentinelFaults"]

Kind: TypeAlias = "tuple[str, Callable[[], None], int]"
"""A name, the fault, and its weight."""


class Faults:
    """Makes one fault after the other in a thread, and counts them."""

    def __init__(self, kinds: Iterable[Kind], seed: int, only: str) -> None:
        self._kinds = [kind for kind in kinds if not only or kind[0] == only]
        self.random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self._ended = threading.Event()

    @contextmanager
    def going_on(self, pause: float) -> Generator[None]:
        """Make faults, about ``pause`` seconds between them, until the end of the block.

        Each kind comes once before any comes again.
        """
        failures: list[BaseException] = []

        def run() -> None:
            weights = [weight for *_, weight in self._kinds]
            first = self.random.sample(self._kinds, len(self._kinds))
            while not self._ended.wait(self.random.uniform(0.5, 1.5) * pause):
                [(name, make, _)] = [first.pop()] if first else self.random.choices(self._kinds, weights)
                print(f"{time.monotonic():.3f}  {name}", file=sys.stderr)
                try:
                    make()
                except AssertionError:
                    # No replica was elected in time: the next fault finds the servers as they are.
                    self.counts[f"{name}, without a successor"] += 1
                except BaseException as error:  # noqa: BLE001 (raised at the end)
                    failures.append(error)
                    return
                else:
                    self.counts[name] += 1

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()
            if failures:
                raise failures[0]

    def wait(self, least: float, most: float) -> None:
        """Let the programs go on for a while."""
        time.sleep(self.random.uniform(least, most))

    @contextmanager
    def behind(self, group: Group, master: RedisServer, replicas: list[RedisServer]) -> Generator[None]:
        """Keep replicas from their master for some writes."""
        try:
            group.keep_behind(master, replicas)
            self.wait(0.1, 0.6)
            yield
        finally:
            for replica in replicas:
                replica.thaw()


class SentinelFaults(Faults):
    """Those of a master with replicas and Sentinels."""

    def __init__(self, group: SentinelGroup, proxies: Proxies, seed: int, only: str) -> None:
        kinds: list[Kind] = [
            ("switched", self._switch, 3),
            ("switched, replicas behind", self._switch_behind, 3),
            ("killed, replicas behind", self._kill, 3),
            ("paused", self._pause, 3),
            ("cut off", self._cut_off, 3),
            ("restarted", self._restart, 1),
        ]
        super().__init__(kinds, seed, only)
        self._group, self._proxies = group, proxies

    def _others(self, master: RedisServer) -> list[RedisServer]:
        return [server for server in self._group.servers if server is not master and server.is_running]

    def _until_left(self, master: RedisServer) -> None:
        def is_left() -> bool:
            return all(
                self._group.by_port(self._group.named(sentinel)) is not master
                for sentinel in self._group.sentinels
            )

        until(is_left, "the Sentinels name another master", 15)

    def _switch(self) -> None:
        """Have a Sentinel promote a replica. The former master takes calls for seconds."""
        self._group.fail_over()

    def _switch_behind(self) -> None:
        master = self._group.master
        with self.behind(self._group, master, self._others(master)):
            pass
        self._group.fail_over()

    def _kill(self) -> None:
        """Kill the master; the replica that is promoted lacks its last writes."""
        master = self._group.master
        with self.behind(self._group, master, self._others(master)):
            master.kill()
        try:
            self._until_left(master)
        finally:
            master.start()

    def _pause(self) -> None:
        """Stop the master until it has a successor; then it goes on as if nothing had happened."""
        master = self._group.master
        master.freeze()
        try:
            self._until_left(master)
            self.wait(0.0, 1.0)
        finally:
            master.thaw()

    def _cut_off(self) -> None:
        """Cut the master off from the others and from half of the programs; the other half reaches it."""
        master = self._group.master
        self._proxies.divide(master.port)
        try:
            self._until_left(master)
            self.wait(1.0, 4.0)
        finally:
            self._proxies.join()

    def _restart(self) -> None:
        """Restart the master, empty, before its death is noticed."""
        master = self._group.master
        master.kill()
        master.start()


class ClusterFaults(Faults):
    """Those of a cluster, in which the slots of the soak's tables also move."""

    def __init__(
        self, group: ClusterGroup, proxies: Proxies, keys: Iterable[str], seed: int, only: str
    ) -> None:
        """``keys``: that of the names of queries, and those of tables."""
        kinds: list[Kind] = [
            ("switched", self._switch, 2),
            ("taken over", self._take_over, 2),
            ("taken over, unknown to the master", self._take_over_unnoticed, 3),
            ("killed, replica behind", self._kill, 3),
            ("paused", self._pause, 3),
            ("cut off", self._cut_off, 3),
            ("slot moved", self._move, 4),
        ]
        super().__init__(kinds, seed, only)
        self._group, self._proxies = group, proxies
        self._names, *self._slots = [key_slot(key.encode()) for key in keys]

    def _master(self, slot: int | None = None) -> tuple[int, RedisServer, RedisServer]:
        """A slot, by default that of one of the tables, its master and a replica of it."""
        slot = self.random.choice(self._slots) if slot is None else slot
        found: list[RedisServer] = []

        def find() -> bool:
            ports = self._group.masters_of(slot)
            if len(ports) != 1:
                return False
            master = self._group.by_port(ports.pop())
            found[:] = [master, self._group.replica_of(master)]
            return master.is_running

        until(find, "the slot has one master, with a replica", 20)
        return slot, found[0], found[1]

    def _until_left(self, slot: int, master: RedisServer) -> None:
        others = [server for server in self._group.servers if server is not master]
        until(
            lambda: (
                len(found := self._group.masters_of(slot, others)) == 1
                and self._group.by_port(found.pop()) is not master
            ),
            "the nodes name another master",
            20,
        )

    def _switch(self) -> None:
        """Have a replica take the place of its master, which waits for it."""
        slot, master, replica = self._master()
        self._group.ask(replica, "CLUSTER", "FAILOVER")
        self._until_left(slot, master)

    def _take_over(self) -> None:
        """Have a replica that is behind take the place of its master, which runs and does not know of it."""
        slot, master, replica = self._master()
        with self.behind(self._group, master, [replica]):
            pass
        how = self.random.choice(("FORCE", "TAKEOVER"))
        self._group.ask(replica, "CLUSTER", "FAILOVER", how)
        self._until_left(slot, master)

    def _take_over_unnoticed(self) -> None:
        """Have a replica that is behind take the place of its master, which no node can inform.

        The former master serves the programs that use it, until its node timeout and reads after that too.
        Half of the programs may be cut off from the others, and learn of nothing either.
        """
        programs: Programs = self.random.choice(("none", "none", "second"))
        slot, master, replica = self._master(self._names if programs == "second" else None)
        try:
            with self.behind(self._group, master, [replica]):
                self._proxies.divide(master.port, programs)
            self._group.ask(replica, "CLUSTER", "FAILOVER", "TAKEOVER")
            self._until_left(slot, master)
            self.wait(0.5, 2.0)
        finally:
            self._proxies.join()

    def _cut_off(self) -> None:
        """Cut a master off from the other nodes and half of the programs; the other half reaches it alone.

        It has what each read needs, the names of queries, so its own tables could still be read there.
        """
        slot, master, _ = self._master(self._names)
        self._proxies.divide(master.port)
        try:
            self._until_left(slot, master)
            self.wait(3.0, 8.0)
        finally:
            self._proxies.join()

    def _kill(self) -> None:
        slot, master, replica = self._master()
        with self.behind(self._group, master, [replica]):
            master.kill()
        try:
            self._until_left(slot, master)
        finally:
            master.start()

    def _pause(self) -> None:
        slot, master, _ = self._master()
        master.freeze()
        try:
            self._until_left(slot, master)
            self.wait(0.0, 1.0)
        finally:
            master.thaw()

    def _move(self) -> None:
        """Move a slot to another master, key by key."""
        slot, source, _ = self._master()
        known = {port for other in self._slots for port in self._group.masters_of(other, [source])}
        masters = [each for port in sorted(known) if (each := self._group.by_port(port)) is not source]
        if not masters:
            return
        target = self.random.choice(masters)
        with suppress(RedisError, OSError):
            self._group.ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", self._group.id_of(source))
            self._group.ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", self._group.id_of(target))
            while keys := self._group.ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 20):
                assert isinstance(keys, list)
                self._group.ask(
                    source, "MIGRATE", "127.0.0.1", target.port, "", 0, 1000, "REPLACE", "KEYS", *keys
                )
            for server in (target, source):
                self._group.ask(server, "CLUSTER", "SETSLOT", slot, "NODE", self._group.id_of(target))
