"""Replicas that are found: by the hosts of the URL, by the primary, and by Patroni."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import plainsql
from benchmarks.replica_soak import run_soak
from benchmarks.replica_soak.queries import counters
from plainsql import embedded
from plainsql.cli.db.doctor import _replicas
from plainsql.database import replica_opener
from plainsql.database.replicas import discovery
from plainsql.database.replicas.replica_set import ReplicaSet
from plainsql.embedded import EmbeddedServer
from plainsql.query import Args
from plainsql.query.declare import one
from plainsql.replication.replica_condition import IS_PRIMARY, PROMOTED
from tests.database.last_server import Seen
from tests.database.stepping import settled
from tests.patroni_answers import SETTLED, TAGGED, PatroniAnswers, serve, with_places
from tests.proxy import open_proxy

MIGRATION = Path(run_soak.__file__).parent / "migrations" / "0001_counters.sql"
LOCK = 7_202_611


class Pair:
    """A primary and its standby, which listen on 127.0.0.1."""

    def __init__(self) -> None:
        self.primary = embedded.start(scratch=True, tcp=True, settings={"synchronous_commit": "on"})
        self.primary.create_database("soak")
        self.primary.execute(MIGRATION.read_text(), "soak")
        self.standby = embedded.start(
            replica_of=self.primary.url(tcp=True), tcp=True, settings={"cluster_name": "localhost"}
        )
        self.url = self.primary.url("soak", tcp=True)
        self.password = str(self.primary.password)

    def hosts(self, *ports: int | None) -> str:
        """The URL of both, which are reached at some ports."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        return f"postgresql://postgres:{self.password}@{hosts}/soak?sslmode=disable&target_session_attrs=read-write"

    def shown(self, port: int | None) -> str:
        """The name of a server, as statistics have it."""
        return f"postgresql://postgres:***@127.0.0.1:{port}/soak?sslmode=disable"

    def answer(self, recorded: str = SETTLED, **ports: int | None) -> str:
        """An answer of Patroni in which n1 is the standby and n2 the primary."""
        own = {"n1": self.standby.port, "n2": self.primary.port} | ports
        return with_places(recorded, {name: port for name, port in own.items() if port is not None})


@pytest.fixture(autouse=True)
def no_pause_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "_PACE", discovery._PACE._replace(retry=0.02))


@pytest.fixture(scope="module")
def pair() -> Generator[Pair]:
    found = Pair()
    yield found
    found.standby.stop()
    found.primary.stop()


@one[int](
    "tests.waits",
    "tests/waits.sql",
    1,
    f"select 1 as n from (select pg_advisory_lock_shared({LOCK})) as held, pg_advisory_unlock_shared({LOCK})",
    read_only=True,
    session_clean=True,
)
def waits() -> Args:
    return ()


def held_lock(server: EmbeddedServer) -> psycopg.Connection[Any]:
    """Return a connection that holds the lock which `waits` waits for."""
    connection = psycopg.connect(server.url("soak"), autocommit=True)
    connection.execute(f"select pg_advisory_lock({LOCK})".encode())
    return connection


def states(db: plainsql.Database) -> dict[str, str]:
    return {replica.name: replica.state for replica in db.stats().replicas}


def replicas_of(db: plainsql.Database) -> ReplicaSet:
    assert db._state.replicas is not None
    return db._state.replicas


async def ask(db: plainsql.Database) -> None:
    """Have the replicas looked for now."""
    found = replicas_of(db).discovery
    assert found is not None
    await asyncio.wait([found.poller.news()])


async def reads_from(db: plainsql.Database, seen: Seen, name: str) -> None:
    """Wait until reads go to a server."""

    async with asyncio.timeout(20):
        while True:
            await counters.get(db.replica(max_wait=1, own_writes=False), id=1)
            if seen.server == name:
                return


def warnings(caplog: pytest.LogCaptureFixture, part: str) -> list[str]:
    """The warnings with a text: a poll that is late on a busy machine makes others."""
    texts = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    return [text for text in texts if part in text]


async def test_the_hosts_of_the_url_change_their_roles_without_a_warning(
    pair: Pair, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = ("127.0.0.1", pair.primary.port or 0), ("127.0.0.1", pair.standby.port or 0)
    async with open_proxy(one) as first, open_proxy(two) as second:
        url = pair.hosts(first.port, second.port)
        async with plainsql.connect(url, replicas="hosts", on_call=seen) as db:
            a, b = pair.shown(first.port), pair.shown(second.port)
            await reads_from(db, seen, b)
            await settled(lambda: states(db) == {a: IS_PRIMARY, b: "ok"})
            health = await db.check(migrations=False)
            assert health["replica 1"].state == "ok"
            assert health["replica 1"].text.endswith(f": {IS_PRIMARY}")
            assert warnings(caplog, PROMOTED) == []
            # The addresses change places, as those of a primary and a standby do in a failover.
            first.retarget(two)
            second.retarget(one)
            first.cut()
            second.cut()
            assert await counters.put(db, id=1, n=1) == 1
            await reads_from(db, seen, a)
            await settled(lambda: states(db) == {a: "ok", b: IS_PRIMARY})
            assert await counters.get(db.replica(max_wait=5), id=1) == 1
    assert pair.password not in caplog.text


async def test_the_primary_may_be_named_among_its_replicas(
    pair: Pair, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    standby = pair.standby.url("soak")
    async with plainsql.connect(pair.url, replicas=[pair.url, standby, standby], on_call=seen) as db:
        await reads_from(db, seen, standby)
        await settled(lambda: states(db) == {db.name: IS_PRIMARY, standby: "ok"})
    assert warnings(caplog, PROMOTED) == []


async def test_replicas_of_a_standby_say_why_no_read_goes_there(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    standby = pair.standby.url("soak")
    async with plainsql.connect(standby, replicas=[pair.url, pair.standby.url("soak")]) as db:
        await settled(lambda: len(warnings(caplog, "is a standby")) > 0)
        [warning] = warnings(caplog, "is a standby")
        await settled(lambda: states(db)[standby] == warning)
        assert await counters.get(db.replica(), id=404) is None


async def test_one_host_has_no_replicas(pair: Pair) -> None:
    async with plainsql.connect(pair.url, replicas="hosts") as db:
        assert db.stats().replicas == ()
        assert await counters.get(db.replica(), id=404) is None


async def test_the_primary_names_its_standbys(
    pair: Pair, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    port = pair.standby.port
    async with plainsql.connect(pair.url, replicas=f"primary:{port}", on_call=seen) as db:
        assert states(db).keys() == {pair.shown(port)}
        await reads_from(db, seen, pair.shown(port))
    by_name = f"primary://{{application_name}}:{port}"
    async with plainsql.connect(pair.url, replicas=by_name, on_call=seen) as db:
        await reads_from(db, seen, pair.shown(port).replace("127.0.0.1", "localhost"))
    assert warnings(caplog, PROMOTED) == []
    # Without a port it is the primary's own, where the primary itself is.
    async with plainsql.connect(pair.url, replicas="primary", on_call=seen) as db:
        await settled(lambda: states(db) == {db.name: IS_PRIMARY})


async def test_a_role_that_may_not_see_the_standbys_is_told_what_to_grant(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    role = f"reader_{os.getpid()}"
    await asyncio.to_thread(pair.primary.execute, f"create role {role} login", "soak")
    async with plainsql.connect(pair.primary.url("soak", role), replicas="primary:1") as db:
        assert db.stats().replicas == ()
        await ask(db)
        found = (await db.check(migrations=False))["replicas"]
    [warning] = warnings(caplog, "cannot be found")  # one for each outage
    assert (found.state, found.hint) == ("warning", warning.partition("HINT: ")[2].rstrip(")"))
    assert "grant pg_read_all_stats to the role" in str(found.hint)


@pytest.fixture
def patroni() -> Generator[PatroniAnswers]:
    with serve() as answers:
        yield answers


async def test_patroni_names_the_replicas_as_they_come_and_go(
    pair: Pair, patroni: PatroniAnswers, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    name = pair.shown(pair.standby.port)
    patroni.body = pair.answer(n1=None)
    async with plainsql.connect(pair.url, replicas=patroni.url, on_call=seen) as db:
        assert db.stats().replicas == ()
        patroni.body = pair.answer()
        await ask(db)
        await reads_from(db, seen, name)
        # Without an answer all stays.
        patroni.status = 503
        for _ in range(3):
            await ask(db)
        await reads_from(db, seen, name)
        assert "answers 503" in (await db.check(migrations=False))["replicas"].text
        patroni.status = 200
        await ask(db)
        assert "replicas" not in {check.name for check in (await db.check(migrations=False)).checks}
    assert len(warnings(caplog, "cannot be found: the Patroni at 127.0.0.1")) == 1


async def test_a_replica_that_is_removed_answers_its_reads_in_progress(
    pair: Pair, patroni: PatroniAnswers, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_opener, "_REPLICA_WAIT_S", 30.0)
    patroni.body = pair.answer()
    async with plainsql.connect(
        pair.url, replicas=patroni.url, max_size=1, autobatch=False, on_call=seen
    ) as db:
        name = pair.shown(pair.standby.port)
        await reads_from(db, seen, name)
        [replica] = replicas_of(db).replicas
        assert replica.server is not None
        connections = replica.server.pool.connections
        held = await asyncio.to_thread(held_lock, pair.standby)
        try:
            reading = [asyncio.create_task(waits(db.replica(max_wait=5))) for _ in range(2)]
            await settled(lambda: connections.waiting == 1)
            patroni.body = pair.answer(TAGGED)
            await ask(db)
            assert db.stats().replicas == ()
            await counters.get(db.replica(), id=1)
            assert seen.server == db.name
            assert not any(read.done() for read in reading)
        finally:
            await asyncio.to_thread(held.close)
        assert await asyncio.gather(*reading) == [1, 1]
        assert seen.server == name
        await settled(lambda: connections.in_use + connections.idle == 0)
        await settled(lambda: not replicas_of(db)._leaving)


async def test_the_doctor_finds_the_same_replicas(
    pair: Pair, patroni: PatroniAnswers, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, standby = pair.primary.port, pair.standby.port
    patroni.body = pair.answer()
    monkeypatch.setenv("DATABASE_URL", pair.hosts(primary, standby))
    for source, expected in {
        "hosts": [("ok", False), ("ok", True)],
        f"primary:{standby}": [("ok", True)],
        patroni.url: [("ok", True)],
        "patroni+http://127.0.0.1:1": [("warning", None)],
    }.items():
        monkeypatch.setenv("DATABASE_REPLICA_URLS", source)
        found = await asyncio.to_thread(lambda: list(_replicas()))
        assert [(check.state, (check.found or {}).get("standby")) for check in found] == expected, source
        assert pair.password not in str(found)
