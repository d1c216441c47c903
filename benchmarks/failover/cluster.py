"""A cluster on this machine: three servers of the embedded binaries, each under a Patroni, and one etcd.

All that the nodes send one another, and to etcd, goes through proxies, and so do the clients: a node can be
cut off from all of them, or from its peers alone, as by a network that is split.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
from asyncpg import exceptions

from plainsql.embedded.binaries import find_binaries, program_environment
from plainsql.embedded.privileges import Identity, choose_identity
from tests.proxy import Proxy, open_proxy

__all__ = ["Cluster", "Node", "ProgramMissingError", "open_cluster"]

ROOT = Path(__file__).parents[2]
NAMES = ("n1", "n2", "n3")
DATABASE = "postgres"
_WAIT_S = 120.0
_LEASE_S = 20
"""Patroni's ``ttl``, and the least that it takes: a leader that is gone is replaced after this time."""
_DYNAMIC = {
    "ttl": _LEASE_S,
    "loop_wait": 1,
    "retry_timeout": 3,
    "maximum_lag_on_failover": 1048576,
    "postgresql": {
        "use_pg_rewind": True,
        "use_slots": True,
        "parameters": {
            "wal_log_hints": "on",
            "hot_standby": "on",
            "shared_buffers": "16MB",
            "max_connections": 60,
            "wal_retrieve_retry_interval": "100ms",
            "fsync": "off",
        },
    },
}


class ProgramMissingError(Exception):
    """A program of the cluster is not installed."""


def find_program(name: str, variable: str, hint: str) -> Path:
    """Return the path of a program: that of a variable, of this checkout, or of the ``PATH``."""
    own = ROOT / ".venv-patroni" / "bin" / name
    given = os.environ.get(variable) or (str(own) if own.is_file() else shutil.which(name))
    if given is None or not Path(given).is_file():
        raise ProgramMissingError(f"no program {name!r}\nHINT: {hint}, or name the program in {variable}")
    return Path(given)


class Node:
    """One server and its Patroni."""

    def __init__(self, name: str, folder: Path, identity: Identity) -> None:
        self.name = name
        self.folder = folder
        self.port, self.rest_port = _free_port(), _free_port()
        self.clients: Proxy
        self.peers: Proxy
        self.rest: Proxy
        self.etcd: Proxy
        self._identity = identity
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, patroni: Path) -> None:
        """Start its Patroni, which starts the server."""
        with (self.folder / "patroni.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._identity.prefix, patroni, self.folder / "patroni.json"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=program_environment(),
                user=self._identity.uid,
                group=self._identity.gid,
                extra_groups=None if self._identity.uid is None else [],
                start_new_session=True,
            )

    def kill(self) -> None:
        """Kill Patroni and the server together, as the loss of the machine does."""
        pids = [int(text) for text in (self.folder / "data" / "postmaster.pid").read_text().split()[:1]]
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def stop(self) -> None:
        """Let Patroni stop the server, and end."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._process.wait, 30)
        with suppress(FileNotFoundError):
            self.kill()

    def split(self, *, from_clients: bool) -> None:
        """Cut the node off from its peers and from etcd: connections stay, and nothing comes through."""
        for proxy in (self.peers, self.rest, self.etcd, *([self.clients] if from_clients else [])):
            proxy.pause()

    def heal(self) -> None:
        """Let all pass again; what was on its way is lost, as after a split that lasts."""
        for proxy in (self.peers, self.rest, self.etcd, self.clients):
            proxy.silence()
            proxy.resume()
            proxy.cut()

    def log_tail(self) -> str:
        """Return the end of what Patroni and the server wrote."""
        with suppress(FileNotFoundError):
            return (self.folder / "patroni.log").read_text("utf-8", "replace")[-3000:]
        return ""


class Cluster:
    """Three nodes and etcd."""

    def __init__(
        self, folder: Path, nodes: Sequence[Node], password: str, patroni: Path, *, synchronous: bool
    ) -> None:
        self.folder = folder
        self.nodes = {node.name: node for node in nodes}
        self.patroni = patroni
        self._password = password
        self._synchronous = synchronous

    def url(self) -> str:
        """Return the URL of the cluster, through the proxies of the clients."""
        hosts = ",".join(f"127.0.0.1:{node.clients.port}" for node in self.nodes.values())
        return (
            f"postgresql://postgres:{self._password}@{hosts}/{DATABASE}"
            "?target_session_attrs=read-write&sslmode=disable&connect_timeout=2"
        )

    def patroni_url(self) -> str:
        """Return Patroni as the source of the replicas, through the proxies of its REST API."""
        return "patroni+http://" + ",".join(f"127.0.0.1:{node.rest.port}" for node in self.nodes.values())

    def direct_url(self, node: Node) -> str:
        """Return the URL of one server, past the proxies."""
        return f"postgresql://postgres:{self._password}@127.0.0.1:{node.port}/{DATABASE}?sslmode=disable"

    async def status(self, node: Node) -> dict[str, Any]:
        """Return what the Patroni of a node says of it, an empty mapping without an answer."""
        try:
            async with asyncio.timeout(2):
                reader, writer = await asyncio.open_connection("127.0.0.1", node.rest_port)
                try:
                    writer.write(b"GET /patroni HTTP/1.0\r\n\r\n")
                    answer = await reader.read()
                finally:
                    writer.close()
            found: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
        except (OSError, ValueError, TimeoutError):
            return {}
        return found

    async def leader(self) -> Node | None:
        """Return the primary, None if there is none or more than one."""
        found = [
            node
            for node in self.nodes.values()
            if (status := await self.status(node)).get("role") in ("primary", "master", "leader")
            and status.get("state") == "running"
        ]
        return found[0] if len(found) == 1 else None

    async def settled(self) -> Node:
        """Wait until there is a primary with two replicas that stream, one of them synchronously."""

        async def ready() -> Node | None:
            leader = await self.leader()
            if leader is None:
                return None
            replication = (await self.status(leader)).get("replication", [])
            streams = [one for one in replication if one.get("state") == "streaming"]
            synchronous = [one for one in streams if one.get("sync_state") in ("sync", "quorum")]
            whole = len(streams) == len(self.nodes) - 1 and (synchronous or not self._synchronous)
            return leader if whole else None

        return await self._until(ready, "a primary with two replicas")

    async def _until(self, ready: Callable[[], Awaitable[Node | None]], what: str) -> Node:
        ends = time.monotonic() + _WAIT_S
        while time.monotonic() < ends:
            if (found := await ready()) is not None:
                return found
            await asyncio.sleep(0.1)
        logs = "\n".join(f"--- {node.name}\n{node.log_tail()}" for node in self.nodes.values())
        raise TimeoutError(f"no {what} after {_WAIT_S:g} s\n{logs}")

    async def switch_over(self, leader: Node) -> None:
        """Have Patroni replace the primary as planned, and return when that is done."""
        body = json.dumps({"leader": leader.name}).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", leader.rest_port)
        try:
            writer.write(
                b"POST /switchover HTTP/1.0\r\nContent-Type: application/json\r\n"
                + f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            answer = await reader.read()
        finally:
            writer.close()
        if b" 200 " not in answer.partition(b"\r\n")[0]:
            raise RuntimeError(f"Patroni refuses the switchover: {answer.decode(errors='replace')[-300:]}")

    async def promotion(self, old: Node) -> tuple[Node, float]:
        """Wait until another server than ``old`` is a primary; return it, and the time, by ``monotonic``."""

        async def watch(node: Node) -> tuple[Node, float]:
            while True:
                with suppress(OSError, exceptions.PostgresError, exceptions.InterfaceError):
                    connection = await asyncpg.connect(self.direct_url(node))
                    try:
                        while await connection.fetchval("select pg_is_in_recovery()"):  # noqa: ASYNC110
                            await asyncio.sleep(0.01)
                        return node, time.monotonic()
                    finally:
                        connection.terminate()
                await asyncio.sleep(0.05)

        others = [asyncio.ensure_future(watch(node)) for node in self.nodes.values() if node is not old]
        try:
            done, _ = await asyncio.wait(others, timeout=_WAIT_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in others:
                task.cancel()
        if not done:
            raise TimeoutError(f"no server was promoted within {_WAIT_S:g} s")
        return done.pop().result()


@asynccontextmanager
async def open_cluster(*, synchronous: bool) -> AsyncIterator[Cluster]:
    """Start etcd and the three nodes, and remove them afterwards.

    ``synchronous``: a commit waits for one of the two replicas.

    Raises ``ProgramMissingError`` if etcd or Patroni is not installed.
    """
    etcd = find_program("etcd", "ETCD", "install etcd (Debian: etcd-server)")
    patroni = find_program("patroni", "PATRONI", "run 'make failover'")
    binaries = find_binaries()
    folder = _new_folder()
    password = secrets.token_urlsafe(18)
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        nodes = []
        client_port = _free_port()
        process = _start_etcd(etcd, folder, client_port)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        for name in NAMES:
            (folder / name).mkdir(mode=0o700)
            identity = choose_identity(
                folder / name, folder / name / "data", binaries.path("postgres"), scratch=True
            )
            node = Node(name, folder / name, identity)
            node.clients = await stack.enter_async_context(_network(node.port))
            node.peers = await stack.enter_async_context(_network(node.port))
            node.rest = await stack.enter_async_context(_network(node.rest_port))
            node.etcd = await stack.enter_async_context(_network(client_port))
            _write_configuration(node, password, binaries.folder, synchronous=synchronous)
            identity.give(node.folder)
            nodes.append(node)
        cluster = Cluster(folder, nodes, password, patroni, synchronous=synchronous)
        stack.push_async_callback(_stop_all, nodes)
        for node in nodes:
            node.start(patroni)
        await cluster.settled()
        yield cluster


def _network(port: int) -> Any:
    return open_proxy(("127.0.0.1", port), postgres=False)


async def _stop_all(nodes: Sequence[Node]) -> None:
    for node in nodes:
        node.heal()
    await asyncio.gather(*(node.stop() for node in nodes))


def _write_configuration(node: Node, password: str, programs: Path, *, synchronous: bool) -> None:
    def login(user: str) -> dict[str, str]:
        return {"username": user, "password": password}

    configuration = {
        "scope": "plainsql",
        "name": node.name,
        "restapi": {
            "listen": f"127.0.0.1:{node.rest_port}",
            "connect_address": f"127.0.0.1:{node.rest.port}",
        },
        # The addresses that etcd knows are not those of the proxy.
        "etcd3": {"hosts": [f"127.0.0.1:{node.etcd.port}"], "use_proxies": True},
        "bootstrap": {
            "dcs": _DYNAMIC | {"synchronous_mode": synchronous},
            "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, {"auth": "scram-sha-256"}, "data-checksums"],
        },
        "postgresql": {
            "listen": f"127.0.0.1:{node.port}",
            "connect_address": f"127.0.0.1:{node.peers.port}",
            "data_dir": str(node.folder / "data"),
            "bin_dir": str(programs),
            "pgpass": str(node.folder / "pgpass"),
            "parameters": {"unix_socket_directories": ""},
            "pg_hba": [
                "host all all 127.0.0.1/32 scram-sha-256",
                "host replication all 127.0.0.1/32 scram-sha-256",
            ],
            "authentication": {
                "superuser": login("postgres"),
                "replication": login("replicator"),
                "rewind": login("rewinder"),
            },
        },
    }
    path = node.folder / "patroni.json"
    path.write_text(json.dumps(configuration), "utf-8")
    path.chmod(0o600)


def _new_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="plainsql-failover-"))
    folder.chmod(0o711)  # an unprivileged user passes through
    return folder


def _start_etcd(etcd: Path, folder: Path, port: int) -> subprocess.Popen[bytes]:
    peers = f"http://127.0.0.1:{_free_port()}"
    clients = f"http://127.0.0.1:{port}"
    with (folder / "etcd.log").open("wb") as log:
        return subprocess.Popen(
            [
                *(etcd, "--name", "etcd", "--data-dir", folder / "etcd", "--unsafe-no-fsync"),
                *("--listen-client-urls", clients, "--advertise-client-urls", clients),
                *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
                *("--initial-cluster", f"etcd={peers}"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=program_environment(),
            start_new_session=True,
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
