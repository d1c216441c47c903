"""Streams, copies, pipelines and read-only transactions on a replica, also under faults; and databases
without one.
"""

# ruff: noqa: PT012 (a block raises)

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import pytest

import plainsql
from benchmarks.replica_soak import run_soak
from benchmarks.replica_soak.queries import counters
from plainsql import embedded
from plainsql.database.pool.lost_connection import ConnectionLostError
from plainsql.embedded import EmbeddedServer
from plainsql.outcome_notes import ON_REPLICA
from plainsql.query import Args
from plainsql.query.declare import many, one
from plainsql.replication import visibility
from plainsql.replication.positions import NEWEST
from tests.database.last_server import Seen
from tests.database.stepping import at_every_wait, settled

MIGRATION = Path(run_soak.__file__).parent / "migrations" / "0001_counters.sql"

READ: Any = {"read_only": True, "session_clean": True}


@one[str]("b.place", "b.sql", 1, "select current_setting('app.jwt_tenant', true) as tenant", **READ)
def tenant() -> Args:
    return ()


@many[str]("b.long", "b.sql", 1, "select repeat('x', 1000) as x from generate_series(1, 10000) as g", **READ)
def long_rows() -> Args:
    return ()


@many[int](
    "b.all", "b.sql", 1, "select c.n from counters.counters as c, generate_series(1, 3000) as g", **READ
)
def repeated() -> Args:
    return ()


@one[bool]("b.standby", "b.sql", 1, "select pg_is_in_recovery()", **READ)
def is_standby() -> Args:
    return ()


@one[int]("b.hole", "b.sql", 1, "select h.n from hole as h", **READ)
def hole() -> Args:
    return ()


class Pair(NamedTuple):
    primary: EmbeddedServer
    replica: EmbeddedServer
    url: str
    replica_url: str

    def conflict(self) -> None:
        """Have the replica end what has read the counters."""
        self.primary.execute("truncate counters.counters", "soak")

    def end_copies(self) -> None:
        self.replica.execute(
            "select pg_terminate_backend(a.pid) from pg_stat_activity as a where a.query like 'copy (%'"
        )


@pytest.fixture(scope="module")
def pair() -> Generator[Pair]:
    with embedded.start(scratch=True, settings={"synchronous_commit": "on"}) as primary:
        url = primary.create_database("soak")
        primary.execute(MIGRATION.read_text(), "soak")
        with embedded.start(replica_of=primary, settings={"max_standby_streaming_delay": "0"}) as replica:
            yield Pair(primary, replica, url, replica.url("soak"))


@pytest.fixture
async def paired(pair: Pair, seen: Seen) -> AsyncGenerator[plainsql.Database]:
    async with plainsql.connect(
        pair.url, replicas=[pair.replica_url], max_size=2, on_call=seen, acquire_timeout=0.5
    ) as db:
        await settled(lambda: db.stats().replicas[0].lag is not None)
        await put(db, 1)
        assert await counters.get(db.replica(max_wait=5), id=1) == 1
        assert seen.server != db.name
        yield db


async def put(executor: Any, n: int) -> None:
    await counters.put(executor, id=1, n=n)


async def test_streams_columns_copies_and_pipelines_run_on_a_replica(
    paired: plainsql.Database, seen: Seen, tmp_path: Path
) -> None:
    view = paired.replica(max_wait=5)
    there = paired.stats().replicas[0].name
    before = paired.stats().replicas[0].reads
    assert [row.n async for row in counters.list_all.stream(view)] == [1]
    assert seen.server == there
    assert (await counters.list_all.columns(view))["n"].to_numpy().tolist() == [1]
    assert seen.server == there
    assert [len(part) async for part in counters.list_all.stream_columns(view)] == [1]
    assert seen.server == there
    assert await view.copy_out(counters.list_all, tmp_path / "out.csv") == 1
    assert (tmp_path / "out.csv").read_text() == "id,n\n1,1\n"
    assert seen.server == there
    assert await paired.copy_out(counters.get_by_header, tmp_path / "out.csv", {"id": 1}) == 1
    assert seen.server == there, "the header's choice"
    async with view.pipeline() as pipeline:
        first, second = pipeline.add(is_standby), pipeline.add(counters.get, id=1)
    assert (first.result(), second.result(), seen.server) == (True, 1, there)
    async with view.pipeline() as pipeline:
        pipeline.add(counters.put, id=1, n=2)
        read = pipeline.add(is_standby)
    assert (read.result(), seen.server) == (False, paired.name)
    assert paired.stats().replicas[0].reads >= before + 6
    assert await paired.copy_out(counters.list_all, tmp_path / "out.csv") == 1
    assert seen.server == paired.name, "without a view"


async def test_a_read_only_transaction_is_on_one_replica(paired: plainsql.Database, seen: Seen) -> None:
    view = paired.tenant("a").replica(max_wait=5)
    there = paired.stats().replicas[0].name
    async with view.transaction(read_only=True, isolation="repeatable read") as tx:
        assert await counters.get(tx, id=1) == 1
        assert (await tenant(tx), await is_standby(tx), seen.server) == ("a", True, there)
        await put(paired, 2)
        assert await counters.get(paired.replica(max_wait=5), id=1) == 2
        assert seen.server == there
        async with tx.transaction() as savepoint:
            assert await counters.get(savepoint, id=1) == 1, "one snapshot"
        assert [row.n async for row in counters.list_all.stream(tx)] == [1]
    async with view.transaction(read_only=True) as tx:
        assert await counters.get(tx, id=1) == 2, "its own writes, through the tenant's view or not"
    options: Any
    for options in ({}, {"read_only": True, "isolation": "serializable"}):
        async with view.transaction(**options) as tx:
            assert not await is_standby(tx), options
            assert seen.server == paired.name
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError) as raised:
        async with view.transaction(read_only=True) as tx:
            await put(tx, 3)
    assert f"on the replica {there}" in raised.value.__notes__


async def test_a_transaction_in_conflict_with_recovery_may_run_again(
    paired: plainsql.Database, pair: Pair
) -> None:
    view = paired.replica(max_wait=5)
    with pytest.raises(ConnectionLostError) as raised:
        async with view.transaction(read_only=True, isolation="repeatable read") as tx:
            assert await counters.get(tx, id=1) == 1
            await asyncio.to_thread(pair.conflict)
            await asyncio.to_thread(pair.replica.wait_for_replay)
            await counters.get(tx, id=1)
    assert ON_REPLICA in raised.value.__notes__
    await put(paired, 5)
    standby: list[bool] = []

    async def work(tx: Any) -> int | None:
        standby.append(await is_standby(tx))
        value: int | None = await counters.get(tx, id=1)
        if len(standby) == 1:
            await asyncio.to_thread(pair.conflict)
            await asyncio.to_thread(pair.replica.wait_for_replay)
            await put(paired, 6)
            await counters.get(tx, id=1)
        return value

    assert await view.retry(work, isolation="repeatable read", read_only=True) == 6
    assert standby == [True, False], "the second attempt is on the primary"


async def test_a_stream_with_rows_is_not_run_again(paired: plainsql.Database, pair: Pair) -> None:
    view = paired.replica(max_wait=5)
    got = 0
    with pytest.raises(asyncpg.exceptions.PostgresError) as raised:
        async for _ in repeated.stream(view):
            got += 1
            if got == 1:
                await asyncio.to_thread(pair.conflict)
                await asyncio.to_thread(pair.replica.wait_for_replay)
    assert 0 < got < 3000
    assert ON_REPLICA in raised.value.__notes__


async def test_a_copy_begins_again_if_its_caller_has_nothing(
    paired: plainsql.Database, pair: Pair, seen: Seen, tmp_path: Path
) -> None:
    view = paired.replica(max_wait=5)
    ended = False

    def end(_: int) -> None:
        nonlocal ended
        if not ended:
            ended = True
            pair.end_copies()

    assert await view.copy_out(long_rows, tmp_path / "x", header=False, progress=end) == 10_000
    assert ended
    assert seen.server == paired.name
    assert (tmp_path / "x").stat().st_size == 10_000 * 1001
    assert await asyncio.to_thread(os.listdir, tmp_path) == ["x"]
    taken = 0

    async def take(data: bytes) -> None:
        nonlocal taken
        if not taken:
            await asyncio.to_thread(pair.end_copies)
        taken += len(data)

    await settled(lambda: paired.stats().replicas[0].state == "ok")
    with pytest.raises(ConnectionLostError) as raised:
        await view.copy_out(long_rows, take)
    assert ON_REPLICA in raised.value.__notes__
    assert seen.server != paired.name
    await settled(lambda: paired.stats().replicas[0].in_use == 0)

    def refuse(_: int) -> None:
        raise ConnectionResetError("of the caller's own")

    with pytest.raises(ConnectionResetError):
        await view.copy_out(long_rows, tmp_path / "x", progress=refuse)


async def test_what_a_block_of_a_session_sees_is_seen(
    paired: plainsql.Database, pair: Pair, seen: Seen
) -> None:
    there = paired.stats().replicas[0].name
    async with paired.causal(max_wait=5) as session:
        await counters.get(session, id=1)
        assert seen.server == there
        for read_only in (False, True):
            async with session.transaction(read_only=read_only) as tx:
                assert await counters.get(tx, id=1) == 1
                assert session.token == NEWEST
                await counters.get(session, id=1)
                assert seen.server == paired.name, "the block may see more at any time"
            assert await counters.get(session, id=1) == 1
            assert seen.server == there
    # A stream on the primary sees what the paused replica lacks, from its first row on.
    await asyncio.to_thread(pair.replica.pause_replay)
    try:
        await put(paired, 7)
        async with paired.causal(max_wait=0) as session:
            rows: Any = counters.list_all.stream(session)
            await settled(lambda: paired.stats().replicas[0].state != "ok")
            assert (await anext(rows)).n == 7
            await asyncio.to_thread(pair.replica.resume_replay)
            await settled(lambda: paired.stats().replicas[0].state == "ok")
            assert await counters.get(session, id=1) == 7
            assert seen.server == paired.name
            await rows.aclose()
    finally:
        await asyncio.to_thread(pair.replica.resume_replay)


async def test_a_replica_without_a_free_connection_leaves_it_to_the_primary(
    paired: plainsql.Database,
) -> None:
    view = paired.replica(max_wait=5)
    async with view.transaction(read_only=True) as one, view.transaction(read_only=True) as two:
        assert await is_standby(one)
        assert await is_standby(two)
        async with view.transaction(read_only=True) as three:
            assert not await is_standby(three)


async def test_a_transaction_may_be_cancelled_wherever_it_waits(paired: plainsql.Database) -> None:
    view = paired.replica(max_wait=5)

    async def run() -> None:
        async with view.transaction(read_only=True) as tx:
            await is_standby(tx)

    async def check() -> None:
        await settled(lambda: paired.stats().replicas[0].in_use == 0 == paired.stats().in_use)
        assert paired._state.replicas is not None
        assert paired._state.replicas.replicas[0].in_flight == 0

    assert await at_every_wait(run, check) > 2


async def test_a_replica_that_fails_each_read_is_left_out(
    pair: Pair, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    # No standby has the rows of an unlogged table. All polls are answered.
    await asyncio.to_thread(pair.primary.execute, "create unlogged table hole as select 5 as n", "soak")
    await asyncio.to_thread(pair.replica.wait_for_replay)
    with caplog.at_level("INFO", "plainsql"):
        async with plainsql.connect(pair.url, replicas=[pair.replica_url], on_call=seen) as db:
            await settled(lambda: db.stats().replicas[0].lag is not None)
            view = db.replica(max_wait=5)
            assert [await hole(view) for _ in range(20)] == [5] * 20
            [found] = db.stats().replicas
            assert (found.failed, found.reads) == (5, 0)
            assert "its last reads failed (FeatureNotSupported" in found.state
            assert len([one for one in caplog.records if "its last reads failed" in one.message]) == 1
            assert db._state.replicas is not None
            db._state.replicas.replicas[0]._failures._ends = 0.0  # its pause is over
            assert await is_standby(view)
            assert db.stats().replicas[0].state == "ok"
    assert [one for one in caplog.records if one.message.startswith("reads go to the replica")]


async def test_a_missing_replica_is_named_once_and_never_with_its_password(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    missing = "postgresql://reader:secret@127.0.0.1:1/soak"
    with caplog.at_level(logging.WARNING, "plainsql"):
        async with plainsql.connect(pair.url, replicas=[missing]) as db:
            assert await counters.get(db.replica(), id=404) is None
            [found] = db.stats().replicas
            assert found.state == "no server answers there"
            assert found.open == 0
    assert len([one for one in caplog.records if "no read goes to the replica" in one.message]) == 1
    assert "secret" not in caplog.text + repr(found) + repr(db)


async def test_sessions_and_tokens_work_without_replicas(pair: Pair) -> None:
    async with plainsql.connect(pair.url) as db, db.causal() as session:
        assert session.token == bytes(8)
        await put(session, 40)
        token = session.token
        assert token not in (bytes(8), b"\xff" * 8)
        assert await counters.get(session, id=1) == 40
        async with session.transaction() as tx:
            await put(tx, 41)
        assert session.token > token
        assert await counters.get(db.replica(), id=1) == 41
        assert db.stats().replicas == ()


@one[int]("b.now", "b.sql", 1, "select c.n from counters.counters as c where c.id = 1")
def on_primary() -> Args:
    return ()


@pytest.mark.parametrize("kind", ["read", "transaction", "next session"])
async def test_a_session_sees_on_the_primary_what_a_replica_has_shown(
    pair: Pair, paired: plainsql.Database, seen: Seen, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async def on_the_primary(session: Any) -> Any:
        if kind != "transaction":
            return await on_primary(session)
        async with session.transaction(read_only=True, isolation="serializable") as tx:
            return await on_primary(tx)

    monkeypatch.setattr(visibility, "VISIBLE_S", 60.0)
    configured = "alter system {} synchronous_standby_names{};\nselect pg_reload_conf()"
    await put(paired, 100)
    # Its commit is in the log, and replayed, and the primary shows it only when the missing standby has it.
    await asyncio.to_thread(pair.primary.execute, configured.format("set", " = 'missing'"))
    other = await asyncpg.connect(pair.url)
    try:
        writing = asyncio.create_task(other.execute("update counters.counters set n = 101 where id = 1"))
        async with paired.causal(max_wait=5) as session:
            while await counters.get(session, id=1) != 101:
                pass
            assert seen.server != paired.name
        assert await on_primary(paired) == 100
        if kind == "next session":
            session = paired.causal(session.token)
        reading = asyncio.create_task(on_the_primary(session))
        await asyncio.to_thread(pair.primary.execute, configured.format("reset", ""))
        assert await reading == 101
        assert seen.server == paired.name
        await writing
    finally:
        await asyncio.to_thread(pair.primary.execute, configured.format("reset", ""))
        await other.close()
