"""Reads on two replicas: which ones go there, what they see, and what becomes of them under faults."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

import asyncpg
import pytest

import plainsql
from benchmarks.replica_soak import run_soak
from benchmarks.replica_soak.queries import counters
from benchmarks.replica_soak.run_soak import Plan, drive
from benchmarks.replica_soak.servers import Addresses
from plainsql import embedded
from plainsql.cli.db.doctor import _replicas
from plainsql.database.caching.server_identity import ServerIdentity
from plainsql.database.replicas.primary_watch import PrimaryWatch
from plainsql.database.replicas.replica import Replica
from plainsql.embedded import EmbeddedServer
from plainsql.errors import PlainsqlError
from plainsql.outcome_notes import ON_REPLICA
from plainsql.query import Args
from plainsql.query.declare import many, one, optional
from tests.database.last_server import Seen
from tests.database.stepping import at_every_wait, settled
from tests.pgbouncer import pgbouncer, url_through
from tests.proxy import open_proxy
from tests.test_otel import Collected

MIGRATION = Path(run_soak.__file__).parent / "migrations" / "0001_counters.sql"
PRIMARY = {"synchronous_commit": "on"}


class Servers:
    """A primary with a database, and two replicas."""

    def __init__(self) -> None:
        self.primary = embedded.start(scratch=True, settings=PRIMARY)
        self.url = self.primary.create_database("soak")
        self.primary.execute(MIGRATION.read_text(), "soak")
        with ThreadPoolExecutor() as threads:
            self.replicas = list(threads.map(self._start, range(2)))
        self.urls = [replica.url("soak") for replica in self.replicas]

    def _start(self, _: int) -> EmbeddedServer:
        return embedded.start(replica_of=self.primary)

    def stop(self) -> None:
        for server in (*self.replicas, self.primary):
            server.stop()


@pytest.fixture(scope="module")
def servers() -> Generator[Servers]:
    found = Servers()
    yield found
    found.stop()


@pytest.fixture
async def replicated(servers: Servers, seen: Seen) -> AsyncGenerator[plainsql.Database]:
    async with plainsql.connect(servers.url, replicas=servers.urls, max_size=3, on_call=seen) as db:
        await settled(lambda: all(one.lag is not None for one in db.stats().replicas))
        yield db


@one[int]("tests.volatile", "tests/volatile.sql", 1, "select 1 as n where random() >= 0", session_clean=True)
def volatile() -> Args:
    return ()


@many[int](
    "tests.slow",
    "tests/slow.sql",
    1,
    "select c.n from counters.counters as c, pg_sleep(0.3)",
    read_only=True,
    session_clean=True,
)
def slow() -> Args:
    return ()


@optional[int](
    "tests.scratch",
    "tests/scratch.sql",
    1,
    "select s.n from scratch as s",
    read_only=True,
    session_clean=True,
)
def scratch() -> Args:
    return ()


@one[str](
    "tests.tenant",
    "tests/tenant.sql",
    1,
    "select current_setting('app.jwt_tenant', true) || '/' || pg_is_in_recovery()",
    read_only=True,
    session_clean=True,
)
def tenant() -> Args:
    return ()


async def no_pool(*_: object) -> Any:
    raise AssertionError("nothing is opened")


async def put(executor: Any, n: int, key: int = 1) -> None:
    assert await counters.put(executor, id=key, n=n) == 1


async def test_only_proved_reads_of_a_view_or_a_header_go_to_replicas(
    replicated: plainsql.Database, seen: Seen
) -> None:
    view = replicated.replica(max_wait=5)
    await put(view, 1)
    assert seen.server == replicated.name
    assert await counters.get(view, id=1) == 1
    assert seen.server in {one.name for one in replicated.stats().replicas}
    assert await counters.get(replicated, id=1) == 1
    assert seen.server == replicated.name
    assert await volatile(view) == 1
    assert seen.server == replicated.name
    async with view.transaction() as tx:
        assert await counters.get(tx, id=1) == 1
        assert not await tx.connection.fetchval("select pg_is_in_recovery()")
    assert [row.n async for row in counters.list_all.stream(view)] == [1]
    assert seen.server != replicated.name
    assert await counters.get.batch(view, [{"id": 1}, {"id": 9}]) == [1, None]
    assert seen.server != replicated.name
    assert await counters.get_by_header(replicated.replica(max_wait=5), id=1) == 1
    assert seen.server != replicated.name
    await counters.get_cached(view, id=1)
    assert seen.server == replicated.name, "what a replica says is not stored"


async def test_a_session_sees_its_writes_while_the_replicas_are_paused(
    replicated: plainsql.Database, servers: Servers, seen: Seen
) -> None:
    await put(replicated, 10)
    for replica in servers.replicas:
        await asyncio.to_thread(replica.pause_replay)
    try:
        async with replicated.causal(max_wait=0.01) as session:
            await put(session, 11)
            token = session.token
            assert await counters.get(session, id=1) == 11
            assert seen.server == replicated.name
        # Within a second no read goes to a paused replica, also without demands.
        async with asyncio.timeout(1.0):
            await settled(
                lambda: {one.state for one in replicated.stats().replicas} == {"its replay is paused"}
            )
        await counters.get(replicated.replica(max_lag=60, own_writes=False), id=1)
        assert seen.server == replicated.name
    finally:
        for replica in servers.replicas:
            await asyncio.to_thread(replica.resume_replay)
    async with plainsql.connect(servers.url, replicas=servers.urls, on_call=seen) as other:
        async with other.causal(token, max_wait=5) as session:
            assert await counters.get(session, id=1) == 11
            assert seen.server != other.name
        assert len(session.token) == 8
        assert session.token not in (bytes(8), b"\xff" * 8)
    await settled(lambda: {one.state for one in replicated.stats().replicas} == {"ok"})


async def test_a_session_never_goes_back_on_replicas_that_are_late(
    replicated: plainsql.Database, servers: Servers, seen: Seen
) -> None:
    await put(replicated, 12)
    await settled(lambda: all((one.lag or 1) < 0.5 for one in replicated.stats().replicas))
    assert await counters.get(replicated.replica(max_wait=5), id=1) == 12
    set_delay = "alter system set recovery_min_apply_delay = {};\nselect pg_reload_conf()"
    for replica in servers.replicas:
        await asyncio.to_thread(replica.execute, set_delay.format("'1h'"))
    try:
        async with replicated.causal(max_wait=0) as session:
            await put(session, 13)
            assert await counters.get(session, id=1) == 13, "its own write"
        async with replicated.causal(max_wait=0) as session:
            assert await counters.get(session, id=1) == 12
            assert seen.server != replicated.name
            assert await counters.get.fresh(session, id=1) == 13
            assert await counters.get(session, id=1) == 13, "what it has seen on the primary"
            assert seen.server == replicated.name
        async with replicated.causal(session.token, max_wait=0) as session:
            assert await counters.get(session, id=1) == 13, "what it has seen before"
    finally:
        for replica in servers.replicas:
            await asyncio.to_thread(replica.execute, set_delay.format("0"))
    async with replicated.causal(session.token, max_wait=5) as session:
        assert await counters.get(session, id=1) == 13
        assert seen.server != replicated.name


async def test_a_tenants_settings_are_those_of_its_reads_on_a_replica(replicated: plainsql.Database) -> None:
    for name in ("a", "b"):
        view = replicated.tenant(name).replica(max_wait=5)
        assert await asyncio.gather(*(tenant(view) for _ in range(8))) == [f"{name}/true"] * 8
    async with replicated.tenant("c").causal(max_wait=5) as session:
        assert await tenant(session) == "c/true"


async def test_each_server_has_its_own_metrics(servers: Servers) -> None:
    collected = Collected()
    urls = [servers.urls[0], servers.url]
    async with plainsql.connect(servers.url, replicas=urls, on_call=collected.telemetry) as db:
        await settled(lambda: db.stats().replicas[0].lag is not None)
        await put(db, 1)
        await counters.get(db.replica(max_wait=5), id=1)
        metrics, name = collected.metrics(), "db.client.connection.pool.name"
        replica, primary = (one.name for one in db.stats().replicas)
    assert {point.attributes[name]: point.count for point in metrics["db.client.connection.wait_time"]} == {
        replica: 1,
        primary: 1,
    }
    assert {point.attributes[name]: point.value for point in metrics["plainsql.replica.up"]} == {
        replica: 1,
        primary: 0,
    }
    assert [point.attributes[name] for point in metrics["plainsql.replica.lag"]] == [replica]


async def test_reads_in_progress_are_divided_among_the_replicas(replicated: plainsql.Database) -> None:
    await put(replicated, 15)
    view = replicated.replica(max_wait=5)
    async with asyncio.timeout(10):
        while not all(one.reads for one in replicated.stats().replicas):
            assert await asyncio.gather(*(counters.get(view, id=1) for _ in range(20))) == [15] * 20
    # The latency of a replica counts as well: one that is slow gets its share of what is in progress alone.
    primary = PrimaryWatch(no_pool, ServerIdentity(lambda: None), by_transaction=False)
    fast, late = Replica("", no_pool, primary), Replica("", no_pool, primary)
    late.answered(1.0)
    fast.in_flight = 5
    assert fast.expected_wait < late.expected_wait


async def test_a_role_without_rights_on_statistics_reads_from_replicas(servers: Servers, seen: Seen) -> None:
    role = f"reader_{os.getpid()}"
    await asyncio.to_thread(
        servers.primary.execute,
        f"create role {role} login; grant usage on schema counters to {role};"
        f" grant select on counters.counters to {role}",
        "soak",
    )
    for replica in servers.replicas:
        await asyncio.to_thread(replica.wait_for_replay)
    urls = [replica.url("soak", role) for replica in servers.replicas]
    async with plainsql.connect(servers.primary.url("soak", role), replicas=urls, on_call=seen) as db:
        await settled(lambda: all(one.lag is not None for one in db.stats().replicas))
        async with db.causal(max_wait=5) as session:
            await counters.get(session, id=1)
            assert seen.server != db.name


async def test_a_read_that_a_replica_refuses_runs_on_the_primary(
    replicated: plainsql.Database, servers: Servers, seen: Seen
) -> None:
    await asyncio.to_thread(servers.primary.execute, "create unlogged table scratch as select 5 as n", "soak")
    view = replicated.replica(max_wait=5)
    assert await scratch(view) == 5
    assert seen.server == replicated.name
    assert sum(one.failed for one in replicated.stats().replicas) >= 1
    # A genuine error is the primary's.
    await asyncio.to_thread(servers.primary.execute, "drop table scratch", "soak")
    with pytest.raises(asyncpg.UndefinedTableError) as raised:
        await scratch(view)
    assert any("tests.scratch" in note for note in raised.value.__notes__)


async def test_a_replica_that_refuses_reads_gets_few(servers: Servers) -> None:
    role = f"refused_{os.getpid()}"
    await asyncio.to_thread(servers.primary.execute, f"create role {role} login", "soak")
    for replica in servers.replicas:
        await asyncio.to_thread(replica.wait_for_replay)
    urls = [servers.replicas[0].url("soak", role), servers.urls[1]]
    async with plainsql.connect(servers.url, replicas=urls) as db:
        await settled(lambda: all(one.lag is not None for one in db.stats().replicas))
        for _ in range(100):
            await counters.get(db.replica(), id=1)
        refusing, answering = db.stats().replicas
        assert refusing.failed <= 10
        assert refusing.failed + answering.reads == 100


async def test_a_read_in_conflict_with_recovery_runs_on_the_primary(
    replicated: plainsql.Database, servers: Servers, seen: Seen
) -> None:
    await put(replicated, 20)
    for replica in servers.replicas:
        await asyncio.to_thread(
            replica.execute, "alter system set max_standby_streaming_delay = 0;\nselect pg_reload_conf()"
        )
    view = replicated.replica(max_wait=5)
    reading = asyncio.create_task(slow(view))
    await settled(lambda: any(one.in_use for one in replicated.stats().replicas))
    await asyncio.to_thread(servers.primary.execute, "truncate counters.counters", "soak")
    assert await reading == []
    assert seen.server == replicated.name


async def test_reads_survive_a_crash_of_their_replica(
    replicated: plainsql.Database, servers: Servers
) -> None:
    await put(replicated, 30)
    view = replicated.replica(max_wait=5)
    read = 0

    async def keep_reading() -> None:
        nonlocal read
        while True:
            assert await counters.get(view, id=1) == 30
            read += 1

    readers = [asyncio.create_task(keep_reading()) for _ in range(4)]
    await settled(lambda: read > 50)
    pids = await asyncio.to_thread(
        servers.replicas[0].execute,
        "select string_agg(a.pid::text, ' ') from pg_stat_activity as a"
        " where a.backend_type = 'client backend' and a.pid <> pg_backend_pid()",
    )
    assert replicated._state.replicas is not None
    replica = replicated._state.replicas.replicas[0]
    opened = replica.generation
    os.kill(int(pids.split()[0]), signal.SIGKILL)
    await settled(lambda: replica.generation > opened)  # all of its connections are new
    at = read
    await settled(lambda: read > at + 50)
    await settled(lambda: replicated.stats().replicas[0].state == "ok")
    for reader in readers:
        reader.cancel()
    done, _ = await asyncio.wait(readers)
    assert all(reader.cancelled() for reader in done), "none of them has failed"


@pytest.mark.parametrize("fault", ["open connections", "all"])
async def test_reads_that_the_network_swallows_run_on_the_primary(
    servers: Servers, seen: Seen, fault: str
) -> None:
    async with (
        open_proxy(servers.replicas[0].socket, postgres=False) as proxy,
        plainsql.connect(servers.url, replicas=[proxy.url("soak")], max_size=2, on_call=seen) as db,
    ):
        await put(db, 50)
        view = db.replica(max_wait=5)
        assert await counters.get(view, id=1) == 50
        assert seen.server != db.name
        long = asyncio.create_task(slow(view))  # it has begun before, and its answer is lost
        await settled(lambda: db.stats().replicas[0].in_use == 1)
        proxy.silence()
        proxy.silence_new(0 if fault == "all" else None)
        async with asyncio.timeout(5):
            reads = asyncio.gather(*(counters.get(view, id=1) for _ in range(4)))
            assert await reads == [50] * 4
            assert await long
        proxy.silence_new(None)
        await settled(lambda: db.stats().replicas[0].state == "ok")
        assert await counters.get(view, id=1) == 50
        assert seen.server != db.name
        assert db.stats().replicas[0].in_use == 0


async def test_a_long_read_survives_a_poll_that_is_swallowed(servers: Servers, seen: Seen) -> None:
    async with (
        open_proxy(servers.replicas[0].socket, postgres=False) as proxy,
        plainsql.connect(servers.url, replicas=[proxy.url("soak")], max_size=2, on_call=seen) as db,
    ):
        await put(db, 51)
        view = db.replica(max_wait=5)
        assert await counters.get(view, id=1) == 51
        assert db._state.replicas is not None
        [replica] = db._state.replicas.replicas
        assert replica.server is not None
        [pooled] = replica.server.pool.connections._idle
        long = asyncio.create_task(slow(view))
        await settled(lambda: db.stats().replicas[0].in_use == 1)
        replica._poll_failed(TimeoutError())
        await replica.poller.news()
        await replica.poller.news()
        assert db.stats().replicas[0].state == "ok"
        assert await long
        assert seen.server != db.name, "the server still worked on it"
        await settled(pooled.connection.is_closed)


async def test_a_promotion_is_seen_on_a_connection_that_is_closed_after_its_read(
    servers: Servers, seen: Seen
) -> None:
    promoted = await asyncio.to_thread(embedded.start, replica_of=servers.primary)
    url = promoted.url("soak")
    try:
        async with plainsql.connect(
            servers.url, replicas=[url], max_size=1, max_lifetime=0.01, on_call=seen
        ) as db:
            await put(db, 60)
            assert db._state.replicas is not None
            [replica] = db._state.replicas.replicas
            await settled(lambda: replica.is_well(monotonic()))
            assert replica.server is not None
            await replica.poller.stop()  # as long as no poll finds it
            connections = replica.server.pool.connections
            pooled, epoch = await connections.acquire(), replica.epoch
            async with plainsql.connect(servers.url, replicas=[url]) as other:
                await settled(lambda: other.stats().replicas[0].lag is not None)
                with pytest.raises(plainsql.ConnectionLostError, match="promoted") as raised:  # noqa: PT012
                    async with other.replica(max_wait=5).transaction(read_only=True) as tx:
                        assert await counters.get(tx, id=1) == 60
                        await asyncio.to_thread(promoted.promote)
                        await counters.get(tx, id=1)
                assert ON_REPLICA in raised.value.__notes__
            await pooled.connection.fetchval("select 1")
            connections.release(pooled)
            await settled(pooled.connection.is_closed)
            assert replica.is_well(monotonic()) or not replica.is_fresh
            assert not replica.has_kept(epoch, None)
            assert not replica.has_kept(epoch, None), "for the other reads in progress as well"
            assert db.stats().replicas[0].state.startswith("it is no standby")
            assert await counters.get(db.replica(max_wait=0), id=1) == 60
            assert seen.server == db.name
            epoch = replica.epoch
            again = await asyncpg.connect(url)
            await replica.identify(again)
            await again.close()
            assert replica.epoch > epoch, "a read that waited for this connection runs elsewhere"
    finally:
        await asyncio.to_thread(promoted.stop)


async def test_a_pooler_that_leads_to_another_server_is_found_out(
    servers: Servers, seen: Seen, tmp_path: Path
) -> None:
    addresses = Addresses(tmp_path)
    addresses.add(servers.replicas[0])
    at = addresses.folder_of(servers.replicas[0])
    with pgbouncer(servers.replicas[0], "session", size=8, address=at) as folder:
        # PgBouncer passes the first report of a server on to all new clients.
        addresses.lead(servers.replicas[0], servers.primary)
        first = await asyncpg.connect(url_through(folder, "postgres"))
        await first.close()
        await asyncio.to_thread(
            servers.primary.execute,
            "select pg_terminate_backend(a.pid, 10000) from pg_stat_activity as a"
            " where a.datname = 'postgres' and a.pid <> pg_backend_pid()",
        )
        addresses.lead(servers.replicas[0], servers.replicas[0])
        async with plainsql.connect(
            servers.url, replicas=[url_through(folder, "postgres")], pooler="session"
        ) as db:
            await settled(lambda: "passes on those of the server before" in db.stats().replicas[0].state)
        async with plainsql.connect(
            servers.url, replicas=[url_through(folder, "soak")], pooler="session", on_call=seen
        ) as db:
            await put(db, 90)
            view = db.replica(max_wait=5)
            assert await counters.get(view, id=1) == 90
            assert seen.server != db.name
            addresses.lead(servers.replicas[0], servers.primary)
            await asyncio.to_thread(servers.replicas[0].disconnect, "soak")
            await settled(lambda: db.stats().replicas[0].state == "it is the primary")
            assert await counters.get(view, id=1) == 90
            assert seen.server == db.name
            addresses.lead(servers.replicas[0], servers.replicas[0])


@pytest.mark.parametrize("kind", ["view", "session", "write", "waiting"])
async def test_a_read_may_be_cancelled_wherever_it_waits(replicated: plainsql.Database, kind: str) -> None:
    await put(replicated, 70)
    value = 70

    async def work() -> None:
        nonlocal value
        if kind == "view":
            assert await counters.get(replicated.replica(max_wait=5), id=1) == value
        elif kind == "session":
            async with replicated.causal(max_wait=5) as session:
                assert await counters.get(session, id=1) == value
        elif kind == "write":
            async with replicated.causal(max_wait=5) as session:
                await counters.put(session, id=2, n=1)
                assert await counters.get(session, id=2) == 1
        else:
            async with replicated.causal(b"\xff" * 8, max_wait=5) as session:
                assert await counters.get(session, id=1) == value

    async def check() -> None:
        assert replicated._state.replicas is not None
        assert {one.in_flight for one in replicated._state.replicas.replicas} == {0}
        await settled(
            lambda: (
                {one.in_use + one.waiting for one in replicated.stats().replicas} == {0}
                and replicated.stats().in_use == 0
            )
        )
        assert await counters.get(replicated.replica(max_wait=5), id=1) == value

    assert await at_every_wait(work, check) > 0


async def test_another_event_loop_is_refused_also_while_no_replica_is_new_enough(
    replicated: plainsql.Database,
) -> None:
    assert replicated._state.replicas is not None

    async def read() -> None:
        async with asyncio.timeout(3), replicated.causal(b"\xff" * 8, max_wait=60) as session:
            await counters.get(session, id=1)

    for _ in range(3):  # at different moments of the polls
        await replicated._state.replicas.replicas[0].poller.news()
        with pytest.raises(PlainsqlError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, read())


async def test_closing_the_database_ends_reads_that_wait_for_a_replica(servers: Servers) -> None:
    set_delay = "alter system set recovery_min_apply_delay = {};\nselect pg_reload_conf()"
    for replica in servers.replicas:
        await asyncio.to_thread(replica.execute, set_delay.format("'1h'"))
    try:
        db = await plainsql.connect(servers.url, replicas=servers.urls)
        async with db.causal(max_wait=60) as session:
            await put(session, 80)
            reading = asyncio.create_task(counters.get(session, id=1))
            await settled(db._state.replicas.replicas[0].poller._hurry.is_set)  # type: ignore[union-attr]
            assert not reading.done()
            async with asyncio.timeout(5):
                await db.close()
                [result] = await asyncio.gather(reading, return_exceptions=True)
            assert result == 80 or "the database is closed" in str(result)
    finally:
        for replica in servers.replicas:
            await asyncio.to_thread(replica.execute, set_delay.format("0"))


async def test_the_health_checks_show_each_server(
    replicated: plainsql.Database, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(replicated, 35)
    health = await replicated.check(migrations=False)
    assert [health[f"replica {number}"].state for number in (1, 2)] == ["ok", "ok"]
    monkeypatch.setenv("DATABASE_URL", servers.url)
    monkeypatch.setenv("DATABASE_REPLICA_URLS", f" {servers.urls[0]}\n{servers.url} ")
    first, second = await asyncio.to_thread(lambda: list(_replicas()))
    assert (first.state, first.found["standby"], first.found["timeline"]) == ("ok", True, 1)
    assert first.text.startswith("18.")
    assert "behind" in first.text
    assert (second.state, second.found["standby"]) == ("ok", False)
    assert second.text.endswith(", the primary")
    async with plainsql.connect() as configured:
        assert [one.name for one in configured.stats().replicas] == servers.urls[:1] + [configured.name]
    async with plainsql.connect(servers.url) as alone:
        assert alone.stats().replicas == (), "the environment's replicas are those of its own database"


async def test_no_read_is_older_than_promised(servers: Servers) -> None:
    plan = Plan(seconds=1.0, chains=6, readers=2)
    report = await drive(servers.url, servers.urls, plan, None)
    assert report.verdict.violations == {}, report.verdict.examples
    assert report.verdict.on_replicas > 0
    assert not report.errors.keys() - {"stream: ConnectionLostError"}, "other than of a silent replica"


async def test_a_protocol_that_ignores_the_position_is_found_out(servers: Servers) -> None:
    for replica in servers.replicas:
        await asyncio.to_thread(
            replica.execute, "alter system set recovery_min_apply_delay = '20ms';\nselect pg_reload_conf()"
        )
    found = 0
    for seed in range(10):
        plan = Plan(seconds=0.5, chains=6, readers=1, broken="position", seed=seed)
        report = await drive(servers.url, servers.urls, plan, None)
        if found := report.verdict.violations["causal"]:
            break
    assert found > 0
