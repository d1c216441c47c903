"""The position of a session's write: read in the round trip of its commit, and missing if that fails."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import Any

import asyncpg
import pytest

import plainsql
from plainsql.database.pool.lost_connection import ConnectionLostError
from plainsql.query import Args, count, one
from plainsql.replication.positions import NEWEST, NOTHING, POSITION_SQL, Position, position_of
from plainsql.speed.loaded import PROTOCOL
from tests.database.stepping import at_every_wait, settled
from tests.proxy import Proxy

compiled = pytest.mark.skipif(PROTOCOL is None, reason="the compiled part does not run")

CLEAN: Any = {"session_clean": True}


@count("m.put", "m.sql", 1, "insert into mark (n) values (:n)", **CLEAN)
def put(*, n: int) -> Args:
    return (n,)


@one[int]("m.add", "m.sql", 1, "insert into mark (n) values (:n) returning n", **CLEAN)
def add(*, n: int) -> Args:
    return (n,)


@count("m.unproved", "m.sql", 1, "insert into mark (n) values (:n)")
def put_unproved(*, n: int) -> Args:
    return (n,)


async def _transaction(session: Any, n: int) -> None:
    async with session.transaction() as tx:
        await put(tx, n=n)


async def _copy(session: Any, n: int) -> None:
    assert await session.copy_in("mark", [(n,)], columns=["n"]) == 1


Write = Callable[[Any, int], Coroutine[Any, Any, object]]

WRITES: dict[str, Write] = {
    "count": lambda session, n: put(session, n=n),
    "row": lambda session, n: add(session, n=n),
    "batch": lambda session, n: put.batch(session, [{"n": n}, {"n": -n}]),
    "counted batch": lambda session, n: add.batch(session, [{"n": n}, {"n": -n}]),
    "many": lambda session, n: put.execute_many(session, [{"n": n}, {"n": -n}]),
    "transaction": _transaction,
    "copy": _copy,
}
SENT = {
    "count": {"B": 2, "E": 2, "S": 2},
    "row": {"B": 2, "E": 2, "S": 2},
    "batch": {"B": 3, "E": 3, "S": 2},
    "counted batch": {"B": 3, "E": 3, "S": 2},
    "many": {"B": 3, "E": 3, "S": 2},
}


@pytest.fixture
async def marks_db(database_url: str, outside: Any, proxy: Proxy) -> AsyncIterator[plainsql.Database]:
    await outside.execute("drop table if exists mark; create table mark (n int primary key)")
    name = database_url.partition("?")[0].rpartition("/")[2]
    async with plainsql.connect(proxy.url(name), max_size=1, cache=False) as db:
        yield db


async def _position(outside: Any) -> Position:
    return position_of(await outside.fetchrow(POSITION_SQL))


def _has_syncs(proxy: Proxy, count: int) -> bool:
    return proxy.to_server.messages["S"] == count


async def _written(outside: Any, n: int) -> bool:
    return bool(await outside.fetchval("select exists (select from mark where n = $1)", n))


async def _warmed(marks_db: plainsql.Database, write: Write) -> None:
    """Make two writes: each connection prepares the statements once."""
    async with marks_db.causal() as session:
        for n in (1, 2):
            await write(session, n)
    await settled(lambda: marks_db.stats().idle == 1)  # a block is reset after it


@pytest.mark.parametrize("form", ["plain", "tenant"])
async def test_the_position_of_a_write_is_behind_its_commit(
    marks_db: plainsql.Database, outside: Any, proxy: Proxy, form: str
) -> None:
    on: Any = marks_db.tenant("a") if form == "tenant" else marks_db
    settings = Counter({"B": 1, "E": 1} if form == "tenant" else {})
    for kind, write in WRITES.items():
        await _warmed(on if form == "plain" else marks_db, write)
        async with on.causal() as session:
            await write(session, 3)
            before, sent = await _position(outside), proxy.to_server.messages.copy()
            in_one = PROTOCOL is not None and kind in SENT
            if in_one:
                proxy.pause()
            writing = asyncio.create_task(write(session, 4))
            if in_one:  # all of it is sent before an answer comes
                await proxy.until(partial(_has_syncs, proxy, sent["S"] + 2))
                assert proxy.to_server.messages - sent == Counter(SENT[kind]) + settings, kind
                proxy.resume()
            await writing
            token = session.token
        assert token not in (NOTHING, NEWEST), kind
        assert before < Position.of_token(token) <= await _position(outside), kind
        assert await _written(outside, 4)
        await outside.execute("truncate mark")


@compiled
async def test_a_commit_and_its_position_are_one_round_trip(
    marks_db: plainsql.Database, proxy: Proxy
) -> None:
    await _warmed(marks_db, _transaction)
    async with marks_db.causal() as session:
        block = session.transaction()
        await put(await block.__aenter__(), n=3)
        proxy.pause()
        sent = proxy.to_server.messages.copy()
        ending = asyncio.create_task(block.__aexit__(None, None, None))
        await proxy.until(partial(_has_syncs, proxy, sent["S"] + 2))
        assert session.token == NEWEST
        proxy.resume()
        await ending
        assert session.token not in (NOTHING, NEWEST)


@compiled
@pytest.mark.parametrize("fault", ["cut", "silent", "cancelled"])
async def test_a_fault_behind_the_commit_costs_the_position_alone(
    marks_db: plainsql.Database, outside: Any, proxy: Proxy, fault: str
) -> None:
    for kind in ("count", "row", "batch", "counted batch", "many", "transaction"):
        write = WRITES[kind]
        await _warmed(marks_db, write)
        for connection in list(marks_db._connections._connections):
            connection.control_timeout_s = 0.05
        async with marks_db.causal() as session:
            answers = 3 if kind == "transaction" else 1  # those of `begin` and of the statement come before
            writing = None
            for _ in range(answers):
                proxy.hold_after("Z")
                if writing is None:
                    writing = asyncio.create_task(write(session, 4))
                else:
                    proxy.resume()
                await proxy.until(lambda: proxy.holds)
            assert writing is not None
            if fault == "cancelled":
                writing.cancel()
                await asyncio.wait([writing])
                assert writing.cancelled()
            else:
                if fault == "cut":
                    proxy.cut()
                await writing
            assert session.token == NEWEST, kind
            assert await _written(outside, 4), kind
            proxy.resume()
            await write(session, 5)
            assert session.token != NEWEST, kind
        await settled(lambda: marks_db.stats().idle == 1)
        await outside.execute("truncate mark")


async def test_a_write_that_fails_leaves_no_position(marks_db: plainsql.Database, outside: Any) -> None:
    for write in WRITES.values():
        await _warmed(marks_db, write)
        async with marks_db.causal() as session:
            with pytest.raises(asyncpg.UniqueViolationError):
                await write(session, 2)
            assert session.token == NEWEST
            await write(session, 3)
            assert session.token != NEWEST
            assert Position.of_token(session.token) <= await _position(outside)
        await outside.execute("truncate mark")


async def test_a_deferred_constraint_fails_the_commit(marks_db: plainsql.Database, outside: Any) -> None:
    await outside.execute(
        "alter table mark add constraint other_mark unique (n) deferrable initially deferred;"
        " alter table mark drop constraint mark_pkey"
    )
    async with marks_db.causal() as session:
        await _transaction(session, 1)
        await _transaction(session, 2)
        with pytest.raises(asyncpg.UniqueViolationError):
            await _transaction(session, 2)
        assert session.token == NEWEST
        await _transaction(session, 3)
        assert session.token != NEWEST


async def test_a_position_that_is_refused_fails_no_write(
    marks_db: plainsql.Database, outside: Any, proxy: Proxy
) -> None:
    # Functions belong to one database, and this one is the module's.
    reader = f"marker_{proxy.port}_{random.getrandbits(32)}"
    await outside.execute(
        f"create role {reader} login; grant all on mark to {reader};"
        " revoke execute on function pg_current_wal_insert_lsn() from public"
    )
    try:
        name = marks_db.name.rpartition("/")[2].partition("?")[0]
        async with plainsql.connect(proxy.url(name, reader), max_size=1, cache=False) as db:
            for kind, write in WRITES.items():
                async with db.causal() as session:
                    for n in (1, 2):
                        await write(session, n)
                        assert session.token == NEWEST, kind
                        assert await _written(outside, n)
                await outside.execute("truncate mark")
    finally:
        await outside.execute(
            f"grant execute on function pg_current_wal_insert_lsn() to public;"
            f" drop owned by {reader}; drop role {reader}"
        )


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_a_cancelled_write_leaves_no_position(
    marks_db: plainsql.Database, outside: Any, kind: str
) -> None:
    write = WRITES[kind]
    n = 0
    sessions: list[Any] = []

    async def run() -> None:
        nonlocal n
        n += 1
        sessions.append(marks_db.causal())
        await write(sessions[-1], n)

    async def check() -> None:
        token = sessions[-1].token
        assert token == NEWEST or await _written(outside, n)
        async with marks_db.causal() as session:
            await put(session, n=-2_000_000 - n)
            assert session.token != NEWEST

    async with marks_db.causal() as session:
        await write(session, 1_000_000)
        await write(session, 1_000_001)
    assert await at_every_wait(run, check) >= 1


async def test_an_unproved_write_learns_its_position_too(marks_db: plainsql.Database, outside: Any) -> None:
    async with marks_db.causal() as session:
        before = await _position(outside)
        await put_unproved(session, n=1)
        assert before < Position.of_token(session.token) <= await _position(outside)


async def test_a_write_that_is_lost_before_its_commit_is_unknown(
    marks_db: plainsql.Database, proxy: Proxy
) -> None:
    async with marks_db.causal() as session:
        await put(session, n=1)
        await put(session, n=2)
        proxy.after(1, proxy.cut)
        with pytest.raises(ConnectionLostError) as raised:
            await put(session, n=3)
        assert any("may have been executed" in note for note in raised.value.__notes__)
        assert session.token == NEWEST
