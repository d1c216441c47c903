"""Several Redis servers of a test's own: a master with replicas and Sentinels, or a cluster."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import redis
from redis.exceptions import RedisError

from tests.redis_server import RedisServer, free_port, redis_server

SERVICE = "shop"


def until(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Wait for what other processes do, and have no event for."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(RedisError, OSError):
            if condition():
                return
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


async def until_async(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Wait as `until` does, while the event loop runs."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(RedisError, OSError):
            if condition():
                return
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.01)


class Group:
    """Servers, each on a port of 127.0.0.1."""

    def __init__(self, servers: list[RedisServer], password: str = "") -> None:
        self.servers = servers
        self.password = password
        self.announced: dict[int, int] = {}
        """The ports of proxies by which the servers are known, by their own ports."""
        self.by_tls: dict[int, int] = {}
        """The ports by which nodes reach one another, those of TLS if there are such."""

    def client(self, server: RedisServer) -> Any:
        """A client for one of the servers or Sentinels, which the caller closes."""
        password = self.password if server in self.servers and self.password else None
        return redis.Redis(unix_socket_path=str(server.socket), password=password, socket_timeout=5)

    def ask(self, server: RedisServer, *words: str | int) -> Any:
        """The reply of a server to a command."""
        with self.client(server) as client:
            return client.execute_command(*words)

    def keep_behind(self, master: RedisServer, replicas: list[RedisServer]) -> None:
        """Freeze replicas that get no more of their master: not even what is sent to a frozen one arrives."""
        for replica in replicas:
            replica.freeze()
        self.ask(master, "CLIENT", "KILL", "TYPE", "replica")

    def role(self, server: RedisServer) -> str:
        """``master`` or ``slave``."""
        with self.client(server) as client:
            return str(client.role()[0].decode())

    def by_port(self, port: int) -> RedisServer:
        """The server on a port."""
        return next(
            server
            for server in self.servers
            if port in (server.port, self.announced.get(server.port), self.by_tls.get(server.port))
        )


class SentinelGroup(Group):
    """A master, its replicas, and three Sentinels."""

    def __init__(self, servers: list[RedisServer], sentinels: list[RedisServer], password: str) -> None:
        super().__init__(servers, password)
        self.sentinels = sentinels

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        login = f":{self.password}@" if self.password else ""
        return f"redis+sentinel://{login}{hosts}/{SERVICE}"

    def named(self, sentinel: RedisServer) -> int:
        """The port of the master that a Sentinel names."""
        with self.client(sentinel) as client:
            return int(client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    @property
    def master(self) -> RedisServer:
        """The master that the first Sentinel names."""
        return self.by_port(self.named(self.sentinels[0]))

    def are_agreed(self) -> bool:
        """Return whether all Sentinels that run name one master, which is one."""
        ports = {self.named(sentinel) for sentinel in self.sentinels if sentinel.is_running}
        return len(ports) == 1 and self.role(self.by_port(ports.pop())) == "master"

    def is_whole(self) -> bool:
        """Return whether all replicas are in step, and all Sentinels see them and one another."""
        with self.client(self.master) as client:
            _, _, replicas = client.role()
        if len(replicas) != len(self.servers) - 1:
            return False
        for sentinel in self.sentinels:
            with self.client(sentinel) as client:
                seen = [*client.sentinel_sentinels(SERVICE), *client.sentinel_slaves(SERVICE)]
            if any(one["is_disconnected"] or one["is_sdown"] for one in seen):
                return False
        return True

    def fail_over(self) -> RedisServer:
        """Have a Sentinel promote a replica, and return the former master when all name the new one."""
        former = self.master
        with self.client(self.sentinels[0]) as client:
            until(
                lambda: bool(client.execute_command("SENTINEL", "FAILOVER", SERVICE)),
                "the Sentinel has begun a failover",
            )
        until(
            lambda: all(self.by_port(self.named(one)) is not former for one in self.sentinels),
            "the Sentinels name another master",
        )
        return former


@contextmanager
def sentinel_group(
    replicas: int = 1,
    down_after_ms: int = 1000,
    password: str = "",
    announce: Callable[[int], int] = int,
) -> Generator[SentinelGroup]:
    """Start a master, replicas and three Sentinels, and end them afterwards.

    ``announce`` returns the port of a proxy by which a server is known to the others, by its own.
    """
    with ExitStack() as stack:
        secret = ("--requirepass", password, "--masterauth", password) if password else ()
        servers: list[RedisServer] = []
        announced: dict[int, int] = {}
        for number in range(replicas + 1):
            port = free_port()
            announced[port] = announce(port)
            behind = ("--replicaof", "127.0.0.1", str(announced[servers[0].port])) if number else ()
            known = ("--replica-announce-port", str(announced[port]), "--repl-diskless-sync-delay", "0")
            server = stack.enter_context(redis_server(*secret, *known, *behind, port=port))
            server.start()
            servers.append(server)
        places = [(free_port(), secrets.token_hex(20)) for _ in range(3)]
        sentinels = []
        for port, id in places:
            folder = Path(tempfile.mkdtemp(prefix="plainsql-sentinel-"))
            stack.callback(shutil.rmtree, folder)
            lines = [
                f"sentinel myid {id}",
                f"sentinel monitor {SERVICE} 127.0.0.1 {announced[servers[0].port]} 2",
                f"sentinel down-after-milliseconds {SERVICE} {down_after_ms}",
                f"sentinel failover-timeout {SERVICE} 3000",
                # They would find one another and the replicas, in some seconds.
                *(
                    f"sentinel known-replica {SERVICE} 127.0.0.1 {announced[replica.port]}"
                    for replica in servers[1:]
                ),
                *(
                    f"sentinel known-sentinel {SERVICE} 127.0.0.1 {other} {other_id}"
                    for other, other_id in places
                    if other != port
                ),
            ]
            lines += [f"sentinel auth-pass {SERVICE} {password}"] if password else []
            (folder / "sentinel.conf").write_text("\n".join(lines) + "\n")
            sentinel = stack.enter_context(
                redis_server("--sentinel", port=port, config=folder / "sentinel.conf")
            )
            sentinel.start()
            sentinels.append(sentinel)
        group = SentinelGroup(servers, sentinels, password)
        group.announced = announced

        until(group.is_whole, "the Sentinels know the replicas and one another")
        yield group


class ClusterGroup(Group):
    """The nodes of a cluster."""

    @property
    def url(self) -> str:
        ports = [self.announced.get(server.port, server.port) for server in self.servers[:2]]
        return "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in ports)

    def masters_of(self, slot: int, views: list[RedisServer] | None = None) -> set[int]:
        """The ports of the masters of a slot in the views of all running nodes, or of some."""
        running = [server for server in (views or self.servers) if server.is_running]
        found = set()
        for server in running:
            with self.client(server) as client:
                for first, last, master, *_ in client.execute_command("CLUSTER", "SLOTS"):
                    if first <= slot <= last:
                        found.add(int(master[1]))
        return found

    def id_of(self, server: RedisServer) -> str:
        """The identity of a node."""
        with self.client(server) as client:
            return str(client.execute_command("CLUSTER", "MYID").decode())

    def are_agreed(self) -> bool:
        """Return whether all running nodes agree on the masters of all slots."""
        views = set()
        for server in self.servers:
            if server.is_running:
                with self.client(server) as client:
                    if client.cluster("info")["cluster_state"] != "ok":
                        return False
                    found = client.execute_command("CLUSTER", "SLOTS")
                    views.add(tuple(sorted((first, last, master[1]) for first, last, master, *_ in found)))
        return len(views) == 1

    def replica_of(self, master: RedisServer) -> RedisServer:
        """A running replica of a master, which may just have become one."""
        found: list[int] = []

        def find() -> bool:
            with self.client(master) as client:
                _, _, replicas = client.role()
            found[:] = [int(port) for _, port, _ in replicas]
            return bool(found)

        until(find, "the master has a replica")
        return self.by_port(found[0])


@contextmanager
def cluster_group(
    masters: int = 3,
    replicas: int = 1,
    timeout_ms: int = 1000,
    options: tuple[str, ...] = (),
    announce: Callable[[int, str], tuple[int, int]] | None = None,
    tls: tuple[str, ...] = (),
) -> Generator[ClusterGroup]:
    """Start a cluster with so many replicas of each master, and end it afterwards.

    ``tls``: the options of certificates for ``localhost``; nodes then use TLS, and programs may do without.
    ``announce`` returns the ports of proxies by which a node and its bus are known to the others, by its own
    port and the address that it connects from.
    """
    with ExitStack() as stack:
        servers: list[RedisServer] = []
        buses: dict[int, int] = {}
        by_tls: dict[int, int] = {}
        announced: dict[int, int] = {}
        common = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(timeout_ms))
        for number in range(masters * (1 + replicas)):
            port = free_port()
            known: tuple[str, ...] = ()
            by_tls[port] = free_port() if tls else port
            buses[port] = by_tls[port] + 10_000
            if tls:
                known = ("--tls-port", str(by_tls[port]), "--cluster-announce-hostname", "localhost", *tls)
                known += ("--tls-cluster", "yes", "--tls-replication", "yes")
            if announce is not None:
                source = f"127.0.1.{number + 1}"
                announced[port], buses[port] = announce(port, source)
                known = _known_by(announced[port], buses[port], source)
            server = stack.enter_context(
                redis_server(*common, *known, *options, "--repl-diskless-sync-delay", "0", port=port)
            )
            server.start()
            servers.append(server)
        group = ClusterGroup(servers)
        group.announced, group.by_tls = announced, by_tls
        for number, server in enumerate(servers[:masters]):
            begin, end = 16384 * number // masters, 16384 * (number + 1) // masters - 1
            group.ask(server, "CLUSTER", "ADDSLOTSRANGE", begin, end)
            group.ask(server, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        first = servers[0].port
        for server in servers[1:]:
            group.ask(
                server, "CLUSTER", "MEET", "127.0.0.1", announced.get(first, by_tls[first]), buses[first]
            )
        for number, server in enumerate(servers[masters:]):
            master = group.id_of(servers[number % masters])
            until(
                lambda server=server, master=master: bool(  # type: ignore[misc]
                    group.ask(server, "CLUSTER", "REPLICATE", master)
                ),
                "a replica knows its master",
            )
        until(lambda: _is_whole(group, masters, replicas), "the cluster is whole")
        yield group


def _known_by(port: int, bus: int, source: str) -> tuple[str, ...]:
    """Return the options of a node behind proxies, which see by ``source`` that a connection is its."""
    places = ("--cluster-announce-port", str(port), "--cluster-announce-bus-port", str(bus))
    return ("--cluster-announce-ip", "127.0.0.1", *places, "--bind-source-addr", source)


def _is_whole(group: ClusterGroup, masters: int, replicas: int) -> bool:
    if not group.are_agreed():
        return False
    for server in group.servers:
        with group.client(server) as client:
            if client.cluster("info")["cluster_known_nodes"] != str(len(group.servers)):
                return False
            role = client.role()
            if server in group.servers[:masters] and len(role[2]) != replicas:
                return False
    return True
