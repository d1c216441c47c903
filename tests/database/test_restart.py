"""A server that restarts under load: calls end, errors say what became of a write, nothing leaks."""

from __future__ import annotations

import asyncio
import os
import signal
from itertools import count as counter
from pathlib import Path

import asyncpg
import pytest
from asyncpg import exceptions

import plainsql
from plainsql import embedded
from plainsql.errors import ConnectError
from plainsql.query import Args, count, one

_TASKS = 6
_DRIVERS = (exceptions.PostgresError, exceptions.InterfaceError, OSError)


@one[int](
    "t.total", "t.sql", 1, "select count(*) from entry where id <= :last", read_only=True, session_clean=True
)
def total(*, last: int) -> Args:
    return (last,)


@count("t.enter", "t.sql", 1, "insert into entry (id) values (:id)", session_clean=True)
def enter(*, id: int) -> Args:
    return (id,)


class Load:
    """Tasks that read and write without a pause, and what became of each write."""

    def __init__(self, db: plainsql.Database) -> None:
        self._db = db
        self._ids = counter(1)
        self._tasks = [
            *(asyncio.create_task(self._read()) for _ in range(_TASKS)),
            *(asyncio.create_task(self._write(in_transaction=n % 2 == 1)) for n in range(_TASKS)),
        ]
        self.entered: set[int] = set()
        self.perhaps: set[int] = set()
        self.not_entered: set[int] = set()
        self.reads = 0

    async def advances(self, by: int) -> None:
        """Wait until so many more reads and writes have succeeded."""
        reads, writes = self.reads + by, len(self.entered) + by
        while self.reads < reads or len(self.entered) < writes:
            for task in self._tasks:
                if task.done():
                    task.result()  # a call failed with what it must not fail with
            await asyncio.sleep(0.01)

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def _read(self) -> None:
        while True:
            try:
                await total(self._db, last=10)
                self.reads += 1
            except _DRIVERS as error:
                if not isinstance(error, ConnectError) and "nothing" not in " ".join(_notes(error)):
                    raise
                await asyncio.sleep(0.01)

    async def _write(self, *, in_transaction: bool) -> None:
        while True:
            id = next(self._ids)
            try:
                if in_transaction:
                    async with self._db.transaction() as tx:
                        await enter(tx, id=id)
                else:
                    await enter(self._db, id=id)
                self.entered.add(id)
            except asyncio.CancelledError:
                self.perhaps.add(id)
                raise
            except ConnectError:
                self.not_entered.add(id)
                await asyncio.sleep(0.01)
            except _DRIVERS as error:
                told = " ".join(_notes(error))
                if "not executed" in told or "not committed" in told:
                    self.not_entered.add(id)
                elif "may have been executed, or not" in told or "may be committed, or not" in told:
                    self.perhaps.add(id)
                else:
                    raise
                await asyncio.sleep(0.01)


def _notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
async def test_every_write_is_there_or_its_error_says_that_it_may_not_be(
    tmp_path: Path, how: signal.Signals
) -> None:
    server = await asyncio.to_thread(embedded.start, tmp_path / "pg")
    again: list[embedded.EmbeddedServer] = []
    try:
        owner = await asyncpg.connect(server.url())
        await owner.execute("create table entry (id int primary key)")
        await owner.close()
        async with plainsql.connect(server.url(), max_size=4, acquire_timeout=60) as db:
            load = Load(db)
            await load.advances(50)
            pid = server.pid
            assert pid is not None
            os.kill(pid, how)
            while server.pid is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            again.append(await asyncio.to_thread(embedded.start, tmp_path / "pg"))
            await load.advances(50)
            await load.end()
            while db.stats().in_use:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert db.stats().waiting == 0
            assert db.stats().open <= 4
        checking = await asyncpg.connect(server.url())
        there = {row[0] for row in await checking.fetch("select id from entry")}
        sessions = await checking.fetchval(
            "select count(*) from pg_stat_activity where application_name = 'plainsql'"
        )
        await checking.close()
    finally:
        for each in (server, *again):
            await asyncio.to_thread(each.stop)
    assert load.entered <= there, "a write that was acknowledged is there"
    assert not load.not_entered & there, "a write that was said not to be executed is not"
    assert there <= load.entered | load.perhaps
    assert sessions == 0
