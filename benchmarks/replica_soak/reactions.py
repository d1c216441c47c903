"""The reactions to each fault of a replica: when the last read goes there, what reads take, when they return.

The replica is alone, behind a proxy and a name, so that its network can fail as well.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, Final, NamedTuple
from unittest import mock

import plainsql
from benchmarks.replica_soak.queries import counters
from benchmarks.replica_soak.servers import kill_server, processes_of, start_again, start_replica
from plainsql import embedded, migrate
from plainsql.database import Call
from plainsql.embedded import EmbeddedServer
from tests.proxy import Proxy, open_proxy

__all__ = ["LIMIT_S", "REACTIONS", "Reaction", "measure"]

LIMIT_S: Final = 1.0
"""The promise: no read goes to a replica that has been unwell for so long, and reads are back as soon."""
_HUNG_S: Final = 0.25
"""A read that takes so long was sent to the replica, wherever it ended."""
_FAULT_S: Final = 4.0
_MAX_LAG_S: Final = 0.5
_READERS: Final = 8
_WAIT_S: Final = 30.0
_NAME: Final = "replica-1.example"
_HERE: Final = Path(__file__).parent


class _Read(NamedTuple):
    started: float
    ended: float
    server: str


@dataclass(slots=True)
class Reaction:
    """The reaction to one fault, in seconds."""

    fault: str
    last_read: float
    """From the fault to the beginning of the last read that went to the replica."""
    slowest: float
    """The longest read, wherever it ended."""
    back: float
    """From the repair to the first read that the replica answers."""
    errors: int
    """Reads that failed."""

    @property
    def is_late(self) -> bool:
        return self.last_read > LIMIT_S or self.back > LIMIT_S or bool(self.errors)


class _Stage:
    """The servers, the network between, and the program that reads."""

    def __init__(self, primary: EmbeddedServer, replica: EmbeddedServer, proxy: Proxy) -> None:
        self.primary = primary
        self.replica = replica
        self.proxy = proxy
        self.is_named = True
        self.db: plainsql.Database
        self.reads: list[_Read] = []
        self.errors = 0
        self._server = ""

    def stop(self) -> None:
        """Stop the replica that there is now."""
        self.replica.stop()

    def server_of(self, call: Call) -> None:
        self._server = call.server

    def resolve(self, host: Any, port: Any, *rest: Any, **options: Any) -> Any:
        """Resolve a host as the system does, but the replica's name as long as it has one."""
        if host == _NAME:
            if not self.is_named:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            host = "127.0.0.1"
        return _getaddrinfo(host, port, *rest, **options)

    async def keep_reading(self) -> None:
        view = self.db.replica(max_lag=_MAX_LAG_S, own_writes=False)
        while True:
            started = monotonic()
            try:
                await counters.get(view, id=1)
            except Exception:  # noqa: BLE001 (counted)
                self.errors += 1
            else:
                self.reads.append(_Read(started, monotonic(), self._server))
            await asyncio.sleep(0.005)

    async def keep_writing(self) -> None:
        n = 0
        while True:
            n += 1
            await counters.put(self.db, id=1, n=n)
            await asyncio.sleep(0.01)

    async def first_read_after(self, moment: float) -> float:
        """Wait for a read that began after a moment and that the replica has answered; return its end."""
        async with asyncio.timeout(_WAIT_S):
            while True:
                for read in reversed(self.reads):
                    if read.started < moment:
                        break
                    if read.server != self.db.name:
                        return min(
                            one.ended
                            for one in self.reads
                            if one.started >= moment and one.server == read.server
                        )
                await asyncio.sleep(0.01)


Fault = Callable[[_Stage], Awaitable[Callable[[], Awaitable[object]]]]
"""Makes a fault, and returns what repairs it."""


async def _pause(stage: _Stage) -> Callable[[], Awaitable[object]]:
    await asyncio.to_thread(stage.replica.pause_replay)
    return lambda: asyncio.to_thread(stage.replica.resume_replay)


async def _lag(stage: _Stage) -> Callable[[], Awaitable[object]]:
    def delay(value: str) -> None:
        stage.replica.execute(
            f"alter system set recovery_min_apply_delay = {value};\nselect pg_reload_conf()"
        )

    await asyncio.to_thread(delay, "'1h'")
    return lambda: asyncio.to_thread(delay, "0")


async def _restart(stage: _Stage) -> Callable[[], Awaitable[object]]:
    # The server is stopped for as long as the other faults last.
    await asyncio.to_thread(stage.replica.stop)

    async def again() -> None:
        stage.replica = await asyncio.to_thread(start_replica, stage.primary, stage.replica.folder)

    return again


async def _kill(stage: _Stage) -> Callable[[], Awaitable[object]]:
    kill_server(stage.replica)

    async def again() -> None:
        stage.replica = await asyncio.to_thread(start_again, stage.primary, stage.replica)

    return again


async def _stop(stage: _Stage) -> Callable[[], Awaitable[object]]:
    pids = processes_of(stage.replica)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)

    async def go_on() -> None:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)

    return go_on


async def _swallow(stage: _Stage) -> Callable[[], Awaitable[object]]:
    stage.proxy.silence()
    stage.proxy.silence_new(0)

    async def let_pass() -> None:
        stage.proxy.silence_new(None)

    return let_pass


async def _forget(stage: _Stage) -> Callable[[], Awaitable[object]]:
    """Swallow what the open connections send, as a firewall that has forgotten them; new ones are well."""
    stage.proxy.silence()
    return _nothing


async def _reset(stage: _Stage) -> Callable[[], Awaitable[object]]:
    stage.proxy.refuse()
    stage.proxy.cut()
    return stage.proxy.accept


async def _promote(stage: _Stage) -> Callable[[], Awaitable[object]]:
    await asyncio.to_thread(stage.replica.promote)

    async def copy() -> None:
        stage.replica = await asyncio.to_thread(start_again, stage.primary, stage.replica, is_new=True)

    return copy


async def _unname(stage: _Stage) -> Callable[[], Awaitable[object]]:
    """Remove the name, and the server behind it."""
    stage.is_named = False
    stage.proxy.cut()

    async def name() -> None:
        stage.is_named = True

    return name


async def _nothing() -> None:
    pass


REACTIONS: Final[dict[str, Fault]] = {
    "lag": _lag,
    "pause": _pause,
    "restart": _restart,
    "kill": _kill,
    "stop": _stop,
    "swallow": _swallow,
    "forget": _forget,
    "reset": _reset,
    "promote": _promote,
    "unname": _unname,
}
"""Replay falls behind, or is paused; the server is stopped and started, killed, or hangs; the network
swallows all, or only what was open, or resets all; the server is promoted; its name is gone."""

_WHILE_STARTING: Final = {"restart", "kill", "promote"}
"""Faults whose repair ends when the server takes connections, not when it begins."""

_getaddrinfo: Final = socket.getaddrinfo


async def measure(faults: list[str], say: Callable[[str], object]) -> list[Reaction]:
    """Make the faults one after the other, and measure the reactions."""
    found = []
    async with _open_stage() as stage:
        tasks = [asyncio.create_task(stage.keep_reading()) for _ in range(_READERS)]
        tasks.append(asyncio.create_task(stage.keep_writing()))
        for fault in faults:
            found.append(await _measure(stage, fault))
            say(str(found[-1]))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return found


async def _measure(stage: _Stage, fault: str) -> Reaction:
    await stage.first_read_after(monotonic())
    await asyncio.sleep(1.0)
    stage.reads.clear()
    stage.errors = 0
    began = monotonic()
    repair = await REACTIONS[fault](stage)
    # A replica serves reads until it is as late as they allow.
    from_at = monotonic() + _MAX_LAG_S if fault == "lag" else began if fault != "pause" else monotonic()
    await asyncio.sleep(_FAULT_S)
    repairing = monotonic()
    await repair()
    repaired = monotonic() if fault in _WHILE_STARTING else repairing
    first = await stage.first_read_after(repairing)
    reads = [read for read in stage.reads if read.started >= began and read.started < repairing]
    there = [
        read.started for read in reads if read.server != stage.db.name or read.ended - read.started > _HUNG_S
    ]
    if fault == "forget":  # reads are back without a repair, and only those that hang are late
        there = [read.started for read in reads if read.ended - read.started > _HUNG_S]
        first = min((read.ended for read in reads if read.server != stage.db.name), default=repairing)
        repaired = began
    return Reaction(
        fault,
        round(max([0.0, *(at - from_at for at in there)]), 3),
        round(max(read.ended - read.started for read in stage.reads), 3),
        round(max(first - repaired, 0.0), 3),
        stage.errors,
    )


@asynccontextmanager
async def _open_stage() -> AsyncIterator[_Stage]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="plainsql-")))
        primary = await asyncio.to_thread(embedded.start, folder / "0", settings={"fsync": "off"})
        stack.callback(primary.stop)
        url = await asyncio.to_thread(primary.create_database, "soak")
        await asyncio.to_thread(migrate.apply, url, _HERE / "migrations")
        replica = await asyncio.to_thread(start_replica, primary, folder / "1")
        proxy = await stack.enter_async_context(open_proxy(replica.socket, postgres=False))
        stage = _Stage(primary, replica, proxy)
        stack.callback(stage.stop)
        stack.enter_context(mock.patch.object(socket, "getaddrinfo", stage.resolve))
        through = proxy.url("soak").replace("127.0.0.1", _NAME)
        stage.db = await stack.enter_async_context(
            plainsql.connect(url, replicas=[through], max_size=4, on_call=stage.server_of)
        )
        yield stage
