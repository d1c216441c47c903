"""One process of the soak: readers through the cache, or writers."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from functools import partial

import asyncpg
import msgspec

from benchmarks.cache_soak.broken import STORES
from benchmarks.cache_soak.history import READ, READ_TOO, WRITE, Event, pack
from plainsql.cache import Cache, CachedQuery, merge, touched_rows
from plainsql.dependencies import CachedRead, Dependency
from plainsql.errors import CacheError
from plainsql.redis_majority import Nodes

__all__ = ["Orders", "command"]

_PARTS = 8
"""To the cache, the registers are this many tables: that one of them is lost is to be nothing rare."""

_monotonic_ns = time.monotonic_ns


def _table(register: int) -> str:
    return f"soak.registers_{register % _PARTS}"


_ONE = [
    CachedQuery[int](
        "soak.version_of", CachedRead(60.0, (Dependency(_table(part), "id", "id"),)), ("id",), int
    )
    for part in range(_PARTS)
]
_ALL = CachedQuery[list[tuple[int, int]]](
    "soak.all",
    CachedRead(60.0, tuple(Dependency(_table(part)) for part in range(_PARTS))),
    (),
    list[tuple[int, int]],
)


class Orders(msgspec.Struct):
    """The instructions of one process."""

    role: str
    """``reader`` or ``writer``."""
    database: str
    redis: str
    history: str
    seconds: float
    seed: int
    registers: int
    broken: str = ""
    clock_shift: float = 0.0
    """The error of this process's wall clock, in seconds."""
    deaths: float = 0.0
    """The share of a writer's commits after which the process dies immediately."""
    quarantine: float = 0.3
    second: dict[int, int] = {}
    """The ports by which this process reaches servers, by the ports by which all others know them."""
    lost: float = 0.0
    """The part of them after which it goes on, but has forgotten that it wrote."""


def command(orders: Orders) -> list[str]:
    """Return the command of a process that does as ordered."""
    return [sys.executable, "-m", "benchmarks.cache_soak.worker", msgspec.json.encode(orders).decode()]


class Worker:
    """The common part of readers and writers."""

    def __init__(self, orders: Orders, pool: asyncpg.Pool, cache: Cache) -> None:
        self.orders, self.pool, self.cache = orders, pool, cache
        self.random = random.Random(orders.seed)
        self._file = os.open(orders.history, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._buffer: list[bytes] = []
        self._end = time.monotonic() + orders.seconds

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self._end

    def record(self, kind: int, register: int, version: int, began: int, ended: int) -> None:
        self._buffer.append(pack(Event(kind, register, version, began, ended)))
        if kind == WRITE or len(self._buffer) > 500:
            self.flush()

    def flush(self) -> None:
        os.write(self._file, b"".join(self._buffer))
        self._buffer.clear()

    async def read(self, part: int | None = None) -> None:
        """Read one register, seldom all of them, until the end. ``part``: only those of one table."""
        highest = self.orders.registers
        while self.goes_on:
            began = _monotonic_ns()
            if part is None and self.random.random() < 0.02:
                rows = await self.cache.read(_ALL, (), self._load_all)
                ended = _monotonic_ns()
                for number, (register, version) in enumerate(rows):
                    self.record(READ_TOO if number else READ, register, version, began, ended)
            else:
                register = min(int(self.random.expovariate(8.0 / highest)), highest - 1)
                if part is not None:
                    register = (register - register % _PARTS + part) % highest
                load = partial(self._load_one, register)
                version = await self.cache.read(_ONE[register % _PARTS], (register,), load)
                self.record(READ, register, version, began, _monotonic_ns())
            await asyncio.sleep(0)

    async def _load_one(self, register: int) -> int:
        return int(await self.pool.fetchval("select version from soak.registers where id = $1", register))

    async def _load_all(self) -> list[tuple[int, int]]:
        rows = await self.pool.fetch("select id, version from soak.registers order by id")
        return [(row["id"], row["version"]) for row in rows]

    async def write(self) -> None:
        """Write one register or some, until the end."""
        highest = self.orders.registers
        while self.goes_on:
            await asyncio.sleep(self.random.uniform(0.0, 0.02))
            one = min(int(self.random.expovariate(8.0 / highest)), highest - 1)
            registers = sorted({one, *self.random.sample(range(highest), self.random.choice((0, 0, 0, 3)))})
            known = self.random.random() > 0.02
            touched = merge(touched_rows(_table(one), {"id": one} if known else {}) for one in registers)
            began = _monotonic_ns()
            async with self.pool.acquire() as connection:
                transaction = connection.transaction()
                await transaction.start()
                await connection.execute(
                    "select id from soak.registers where id = any($1) order by id for update", registers
                )
                rows = await connection.fetch(
                    "update soak.registers set version = version + 1 where id = any($1) "
                    "returning id, version",
                    registers,
                )
                try:
                    mark = await self.cache.begin(touched)
                except CacheError:
                    await transaction.rollback()
                    continue
                await transaction.commit()
            # The death of a writer of unknown rows would keep all readers from the cache for a while.
            fate = self.random.random() if known else 1.0
            survives = fate > self.orders.deaths + self.orders.lost
            if survives:
                await self.cache.publish(mark)
            ended = _monotonic_ns()
            for row in rows:
                self.record(WRITE, row["id"], row["version"], began, ended)
            if fate < self.orders.deaths:
                os.kill(os.getpid(), signal.SIGKILL)
            elif not survives and mark.renewal is not None:
                mark.renewal.cancel()


def _take_other_ways(ports: dict[int, int]) -> None:
    """Reach servers although others do not: Sentinels and nodes name the ports of the others' proxies."""
    find = Nodes.at
    Nodes.at = lambda self, node: find(self, node._replace(port=ports.get(node.port, node.port)))  # type: ignore[method-assign]


async def main(orders: Orders) -> None:
    """Do as ordered, then say on standard output what the cache has counted."""
    if orders.clock_shift:
        wall = time.time
        time.time = lambda: wall() + orders.clock_shift
    if orders.second:
        _take_other_ways(orders.second)
    store = STORES[orders.broken](
        orders.redis, namespace="soak", deadline=0.5, write_deadline=1.0, quarantine=orders.quarantine
    )
    async with (
        asyncpg.create_pool(orders.database, min_size=1, max_size=6) as pool,
        Cache(store, on_failure="fail", marker_ttl=2.0, lease=2.0, lease_wait=0.3, audit_rate=0.001) as cache,
    ):
        worker = Worker(orders, pool, cache)
        if orders.role == "reader":
            # Half of them read one table each: they go on while the servers of other tables do not answer.
            parts = [*range(_PARTS), *range(_PARTS), *(None for _ in range(16))]
            await asyncio.gather(*map(worker.read, parts))
        else:
            await asyncio.gather(*(worker.write() for _ in range(3)))
        worker.flush()
        print(msgspec.json.encode(cache.stats()).decode())


if __name__ == "__main__":
    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=Orders)))
