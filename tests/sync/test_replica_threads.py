"""Reads on two replicas from threads: which ones go there, what they see, and what happens in faults."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from time import monotonic, sleep
from typing import Any

import psycopg
import pytest

import plainsql
from benchmarks.replica_soak.queries import counters
from plainsql.errors import NoRowError, TransactionError
from plainsql.query import Args
from plainsql.query.declare import one
from plainsql.replication import visibility
from plainsql.replication.positions import NEWEST, NOTHING
from plainsql.sync.replicas.log_questions import ask_replica
from plainsql.sync.replicas.replica_connections import ReplicaConnections
from tests.database.test_replica_reads import Servers, scratch, slow, volatile


@one[int]("tests.unproved", "tests/unproved.sql", 1, "select c.n from counters.counters as c where c.id = 2")
def unproved() -> Args:
    return ()


@pytest.fixture(scope="module")
def servers() -> Generator[Servers]:
    found = Servers()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def pool(servers: Servers) -> Generator[plainsql.sync.Pool]:
    with plainsql.sync.Pool(servers.url, replicas=servers.urls, max_size=4) as db:
        yield db


@pytest.fixture
def replicated(pool: plainsql.sync.Pool) -> plainsql.sync.Pool:
    """The pool, with replicas that reads may go to."""
    wait_until(lambda: counters.get(pool.replica(), id=404) is None and is_well(pool))
    return pool


@one[str](
    "tests.place",
    "tests/place.sql",
    1,
    "select concat(current_setting('app.jwt_tenant', true), '/', pg_is_in_recovery())",
    read_only=True,
    session_clean=True,
)
def place() -> Args:
    return ()


@one[int](
    "tests.no_row",
    "tests/no_row.sql",
    1,
    "select c.n from counters.counters as c where c.id = -1",
    read_only=True,
    session_clean=True,
)
def no_row() -> Args:
    return ()


def wait_until(condition: Any) -> None:
    ends = monotonic() + 10
    while not condition():
        assert monotonic() < ends
        sleep(0.005)


def replicas_of(db: plainsql.sync.Pool) -> Sequence[ReplicaConnections]:
    assert db._route is not None
    assert db._route.replicas is not None
    return db._route.replicas.replicas


def is_well(db: plainsql.sync.Pool) -> bool:
    """Poll each replica, and return whether reads may go there."""
    for replica in replicas_of(db):
        with replica.borrow() as shared:
            if shared is None or replica.ask(shared) is None or not replica.is_well():
                return False
    return True


def reads(db: plainsql.sync.Pool) -> int:
    return sum(one.reads for one in db.stats().replicas)


@contextmanager
def reading_there(db: plainsql.sync.Pool, expected: int = 1) -> Iterator[None]:
    """Expect so many reads of a block on replicas."""
    before = reads(db)
    yield
    assert reads(db) - before == expected


def set_on(servers: Servers, setting: str, value: str) -> None:
    for replica in servers.replicas:
        replica.execute(f"alter system set {setting} = {value};\nselect pg_reload_conf()")


def put(executor: Any, n: int, key: int = 1) -> None:
    assert counters.put(executor, id=key, n=n) == 1


def put_until_late(db: plainsql.sync.Pool) -> int:
    """Write until the replicas show something older, and return what was written last."""
    view = db.replica(max_lag=60, max_wait=0, own_writes=False)
    for n in range(1000, 2000):
        put(db, n)
        if {counters.get(view, id=1) for _ in range(8)} <= {*range(n)}:
            return n
    raise AssertionError("the replicas are not late")


def test_only_proved_reads_of_a_view_or_a_header_go_to_replicas(replicated: plainsql.sync.Pool) -> None:
    view = replicated.replica(max_wait=5)
    with reading_there(replicated, 0):
        put(view, 1)
        assert counters.get(replicated, id=1) == 1
        assert volatile(view) == 1
        with view.transaction() as tx:
            assert counters.get(tx, id=1) == 1
            assert place(tx) == "/f"
    with reading_there(replicated, 6):
        assert counters.get(view, id=1) == 1
        assert [row.n for row in counters.list_all.stream(view)] == [1]
        assert counters.get.batch(view, [{"id": 1}, {"id": 9}]) == [1, None]
        assert counters.get_by_header(replicated, id=1) == 1
        assert counters.get_cached(view, id=1) == 1, "nothing is stored on this side"
        with pytest.raises(NoRowError):
            no_row(view)
        assert place(view) == "/t"


def test_a_session_sees_its_writes_while_the_replicas_are_paused(
    replicated: plainsql.sync.Pool, servers: Servers
) -> None:
    put(replicated, 10)
    for replica in servers.replicas:
        replica.pause_replay()
    try:
        with replicated.causal(max_wait=0.01) as session, reading_there(replicated, 0):
            put(session, 11)
            assert counters.get(session, id=1) == 11
            put(replicated, 12)
            assert counters.get(replicated.replica(), id=1) == 12
            assert counters.get(replicated.replica(max_lag=60, own_writes=False), id=1) == 12
        assert {one.state for one in replicated.stats().replicas} == {"its replay is paused"}
        with replicated.causal(session.token, max_wait=0.01) as later:
            assert counters.get(later, id=1) == 12, "it was there at the end"
    finally:
        for replica in servers.replicas:
            replica.resume_replay()
    assert session.token not in (NEWEST, NOTHING)
    wait_until(lambda: is_well(replicated))
    with replicated.causal(session.token, max_wait=5) as last, reading_there(replicated):
        assert counters.get(last, id=1) == 12


async def test_tokens_of_both_sides_continue_each_other(
    replicated: plainsql.sync.Pool, servers: Servers
) -> None:
    async with plainsql.connect(servers.url, replicas=servers.urls) as other:
        async with other.causal() as written:
            assert await counters.put(written, id=2, n=21) == 1
        with replicated.causal(written.token, max_wait=5) as session, reading_there(replicated):
            assert counters.get(session, id=2) == 21
        with replicated.causal(session.token) as session:
            put(session, 22, key=2)
        async with other.causal(session.token, max_wait=5) as again:
            assert await counters.get(again, id=2) == 22


def test_a_session_never_goes_back_on_replicas_that_are_late(
    replicated: plainsql.sync.Pool, servers: Servers
) -> None:
    put(replicated, 13)
    assert counters.get(replicated.replica(max_wait=5), id=1) == 13
    for replica in servers.replicas:
        replica.wait_for_replay()
    set_on(servers, "recovery_min_apply_delay", "'1h'")
    try:
        newest = put_until_late(replicated)
        with replicated.causal(max_wait=0) as session:
            with reading_there(replicated):
                assert (counters.get(session, id=1) or 0) < newest
            with session.transaction(read_only=True) as tx:
                assert counters.get(tx, id=1) == newest
                assert counters.get(session, id=1) == newest, "what its block has seen"
                assert session.token == NEWEST
            with reading_there(replicated, 0):
                assert counters.get(session, id=1) == newest, "what it has seen on the primary"
        with replicated.causal(session.token, max_wait=0) as session:
            assert counters.get(session, id=1) == newest, "what it has seen before"
        # A replica that is replaying may show one commit more than it reports.
        with replicas_of(replicated)[0].borrow() as shared:
            assert shared is not None
            report = ask_replica(shared, 5)
            assert report.position is not None
            assert report.seen == report.position.next()
    finally:
        set_on(servers, "recovery_min_apply_delay", "0")
    with replicated.causal(session.token, max_wait=5) as session, reading_there(replicated):
        assert counters.get(session, id=1) == newest


def test_a_session_sees_on_the_primary_what_a_replica_has_shown(
    replicated: plainsql.sync.Pool, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visibility, "VISIBLE_S", 60.0)
    configured = "alter system {} synchronous_standby_names{};\nselect pg_reload_conf()"
    counters.put(replicated, id=2, n=100)
    # Its commit is in the log, and replayed, and the primary shows it only when the missing standby has it.
    servers.primary.execute(configured.format("set", " = 'missing'"))
    with ThreadPoolExecutor() as threads, psycopg.connect(servers.url, autocommit=True) as other:
        try:
            writing = threads.submit(other.execute, "update counters.counters set n = 101 where id = 2")
            with replicated.causal(max_wait=5) as session:
                while counters.get(session, id=2) != 101:
                    pass
                assert counters.get(replicated, id=2) == 100
                reading = threads.submit(unproved, session)
        finally:
            servers.primary.execute(configured.format("reset", ""))
        assert reading.result() == 101
        writing.result()


def test_a_lag_is_the_time_since_the_primary_had_no_more(
    replicated: plainsql.sync.Pool, servers: Servers
) -> None:
    set_on(servers, "recovery_min_apply_delay", "'1h'")
    try:
        newest = put_until_late(replicated)
        view = replicated.replica(max_lag=0.3, max_wait=0, own_writes=False)
        wait_until(lambda: counters.get(view, id=1) == newest)
        with reading_there(replicated):
            assert (counters.get(replicated.replica(max_lag=60, own_writes=False), id=1) or 0) < newest
    finally:
        set_on(servers, "recovery_min_apply_delay", "0")


def test_a_tenants_settings_are_those_of_its_reads_on_a_replica(replicated: plainsql.sync.Pool) -> None:
    with ThreadPoolExecutor(8) as threads:
        for name in ("a", "b"):
            view = replicated.tenant(name).replica(max_wait=5)
            assert list(threads.map(lambda _: place(view), range(8))) == [f"{name}/t"] * 8  # noqa: B023
    with replicated.tenant("c").causal(max_wait=5) as session:
        assert place(session) == "c/t"
        put(session, 17)
        assert counters.get(session, id=1) == 17
        assert [row.n for row in counters.list_all.stream(session) if row.id == 1] == [17]


def test_one_connection_has_replicas_of_its_own(servers: Servers) -> None:
    with plainsql.sync.connect(servers.url, replicas=servers.urls) as replicated:
        view = replicated.replica(max_wait=5)
        assert place(view) == "/t"
        put(replicated, 18)
        assert counters.get(view, id=1) == 18
        with replicated.transaction() as tx:
            put(tx, 19)
            with pytest.raises(TransactionError, match="held by a transaction"):
                counters.get(view, id=1)
        assert counters.get(view, id=1) == 19
        with replicated.causal() as session:
            put(session, 20)
            assert counters.get(session, id=1) == 20
        # What is written on the driver's connection counts, although no call says when.
        connection = replicated.connection
        for n in range(100, 120):
            connection.execute("update counters.counters set n = %s where id = 1", (n,))
            assert counters.get(view, id=1) == n
    with plainsql.sync.connect(servers.url) as alone, alone.causal() as session:
        assert session.token == NOTHING
        put(session, 21)
        assert session.token not in (NEWEST, NOTHING)
        assert counters.get(alone.replica(), id=1) == 21


def test_a_write_on_an_acquired_connection_is_the_programs_own(replicated: plainsql.sync.Pool) -> None:
    view = replicated.replica(max_wait=5)
    for n in range(200, 220):
        with replicated.acquire() as connection:
            connection.execute("update counters.counters set n = %s where id = 1", (n,))
            assert counters.get(view, id=1) == n
            connection.execute("update counters.counters set n = %s where id = 1", (n + 1,))
        assert counters.get(view, id=1) == n + 1


def test_a_read_that_a_replica_refuses_runs_on_the_primary(
    replicated: plainsql.sync.Pool, servers: Servers
) -> None:
    servers.primary.execute("create unlogged table scratch as select 5 as n", "soak")
    view = replicated.replica(max_wait=5)
    assert scratch(view) == 5
    assert sum(one.failed for one in replicated.stats().replicas) >= 1
    servers.primary.execute("drop table scratch", "soak")
    with pytest.raises(psycopg.errors.UndefinedTable) as raised:
        scratch(view)
    assert any("tests.scratch" in note for note in raised.value.__notes__)


def test_a_read_in_conflict_with_recovery_runs_on_the_primary(
    replicated: plainsql.sync.Pool, servers: Servers
) -> None:
    put(replicated, 30)
    set_on(servers, "max_standby_streaming_delay", "0")
    view = replicated.replica(max_wait=5)
    failed = sum(one.failed for one in replicated.stats().replicas)
    with ThreadPoolExecutor() as threads:
        reading = threads.submit(slow, view)
        wait_until(lambda: any(one.in_use for one in replicated.stats().replicas))
        servers.primary.execute("truncate counters.counters", "soak")
        assert reading.result() == []
    assert sum(one.failed for one in replicated.stats().replicas) == failed + 1


def test_reads_survive_a_crash_of_their_replica(replicated: plainsql.sync.Pool, servers: Servers) -> None:
    put(replicated, 31)
    view = replicated.replica(max_wait=5)
    is_over = Event()

    def keep_reading() -> int:
        count = 0
        while not is_over.is_set():
            assert counters.get(view, id=1) == 31
            count += 1
        return count

    with ThreadPoolExecutor() as threads:
        readers = [threads.submit(keep_reading) for _ in range(3)]
        try:
            before = reads(replicated)
            wait_until(lambda: reads(replicated) > before + 20)
            pids = servers.replicas[0].execute(
                "select string_agg(a.pid::text, ' ') from pg_stat_activity as a"
                " where a.backend_type = 'client backend' and a.pid <> pg_backend_pid()"
            )
            os.kill(int(pids.split()[0]), signal.SIGKILL)
            before = replicated.stats().replicas[0].reads
            wait_until(lambda: replicated.stats().replicas[0].reads > before + 20)
        finally:
            is_over.set()
        assert all(reader.result() for reader in readers)


def test_a_missing_replica_is_named_once_and_never_with_its_password(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    missing = "postgresql://reader:secret@127.0.0.1:1/soak"
    with (
        caplog.at_level(logging.WARNING),
        plainsql.sync.Pool(servers.url, replicas=[missing, servers.url]) as replicated,
    ):
        assert counters.get(replicated.replica(), id=404) is None
        first, second = replicated.stats().replicas
        assert first.state == "no server answers there"
        assert second.state.startswith("it is no standby")
        assert reads(replicated) == 0
    assert len([one for one in caplog.records if "127.0.0.1" in one.getMessage()]) == 1
    assert "secret" not in caplog.text + repr(first) + repr(replicated)


def test_a_forked_child_is_refused_the_replicas(replicated: plainsql.sync.Pool) -> None:
    view = replicated.replica()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            counters.get(view, id=1)
        except plainsql.PlainsqlError as error:
            code = 0 if "before this process was forked" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    with reading_there(replicated):
        counters.get(view, id=1)


def test_no_read_goes_to_a_replica_that_was_promoted(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING, "plainsql"),
        plainsql.sync.Pool(servers.url, replicas=servers.urls) as replicated,
    ):
        put(replicated, 40)
        view = replicated.replica(max_wait=5)
        wait_until(lambda: is_well(replicated))
        servers.replicas[0].promote()
        servers.replicas[0].execute("update counters.counters set n = 0", "soak")
        for _ in range(50):
            assert counters.get(view, id=1) == 40
        wait_until(lambda: counters.get(view, id=1) == 40 and not is_well(replicated))
        assert replicated.stats().replicas[0].state.startswith("it is no standby")
    assert len([one for one in caplog.records if "it was promoted" in one.getMessage()]) == 1
