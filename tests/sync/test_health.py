"""``db.check()`` on one connection and on a pool: the results of the asynchronous one."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psycopg
import pytest

import plainsql
from plainsql import migrate
from plainsql.embedded import EmbeddedServer
from plainsql.errors import OptionError, SettingsError
from plainsql.health.speed_check import check_speed
from plainsql.sync import Database, Pool
from tests.database.ask import SELECT_1
from tests.pgbouncer import pgbouncer, url_through
from tests.proxy import Proxy
from tests.redis_server import free_port

MIGRATIONS = Path(__file__).parents[2] / "migrations"
SECRET = "hunter2"
Connect = Callable[..., AbstractContextManager[Database | Pool]]


@pytest.fixture(params=[plainsql.sync.connect, Pool], ids=["connect", "Pool"])
def connect(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Connect:
    for name in ("REDIS_URL", "REDIS_HOST"):
        monkeypatch.delenv(name, raising=False)
    connect: Connect = request.param
    return connect


def states(health: plainsql.Health) -> dict[str, str]:
    return {check.name: check.state for check in health.checks}


async def test_it_has_the_results_of_the_async_one(database_url: str, connect: Connect) -> None:
    async with plainsql.connect(database_url) as other:
        expected = await other.check(migrations=False)
    with connect(database_url) as db:
        health = db.check(migrations=False)
        with pytest.raises(OptionError, match="timeout"):
            db.check(timeout=0)
        with pytest.raises(SettingsError, match="there is no layer 'realti'"):
            db.check(layer="realti")
    assert states(health) == states(expected)
    assert (health.ok, health["compiled part"]) == (True, check_speed())
    for name in ("role", "tls", "pgvector"):
        assert health[name] == expected[name]
    found = [{**each["postgresql"].found, "latency_ms": 0} for each in (health, expected)]
    assert found[0] == found[1]
    assert not db.check(migrations=False)["postgresql"].ok


@pytest.fixture
def stranger(fresh_database_url: str) -> Iterator[str]:
    """A role that may read and write one table of realty, and a database with the layer's migrations."""
    role = f"stranger_{secrets.token_hex(6)}"
    migrate.apply(fresh_database_url, MIGRATIONS, layers=["realty"])
    with psycopg.connect(fresh_database_url, autocommit=True) as admin:
        admin.execute(f"create role {role} login; grant usage on schema realty to {role}".encode())
        admin.execute(f"grant all on realty.leads to {role}".encode())
        try:
            yield role
        finally:
            admin.execute(f"drop owned by {role}; drop role {role}".encode())


async def test_a_pooler_lends_each_step_a_session(
    server: EmbeddedServer, fresh_database_url: str, stranger: str
) -> None:
    """A query that is refused does not end the checks of the others."""
    with pgbouncer(server, "transaction", users=[stranger]) as folder:
        database = fresh_database_url.partition("?")[0].rpartition("/")[2]
        url = url_through(folder, database).replace("//postgres@", f"//{stranger}@")
        async with plainsql.connect(url) as other:
            healths = [await other.check(layer="realty", timeout=60)]
        for connect in (plainsql.sync.connect, Pool):
            with connect(url) as db:
                healths.append(db.check(layer="realty", timeout=60))
    for health in healths:
        rights = health["rights of realty"]
        assert rights.text.startswith(f"{stranger} cannot run ")
        assert "permission denied for table properties" in rights.text
        assert all(each.startswith("permission denied for ") for each in rights.found["refused"].values())
        assert 0 < len(rights.found["refused"]) < rights.found["queries"]
        assert rights.found["broken"] == {}


async def test_a_silent_server_fails_in_time(proxy: Proxy, connect: Connect) -> None:
    def check(db: Database | Pool, timeout: float) -> plainsql.Health:
        return db.check(migrations=False, timeout=timeout)

    # The proxy runs in this thread.
    db: Any = await asyncio.to_thread(connect, proxy.url(), connect_timeout=2)
    try:
        proxy.silence()
        health = await asyncio.to_thread(check, db, 0.2)
        assert [*states(health).items()][:2] == [("postgresql", "failed"), ("redis", "skipped")]
        assert health["postgresql"].text == "no answer within 0.2 s"
        # The connection that did not answer is replaced.
        assert (await asyncio.to_thread(check, db, 20)).ok
    finally:
        await asyncio.to_thread(db.close)


def test_redis_that_does_not_answer_is_a_failed_check(database_url: str, connect: Connect) -> None:
    url = f"redis://:{SECRET}@127.0.0.1:{free_port()}"
    with connect(database_url, redis=url) as db:
        health = db.check(migrations=False)
    assert (health["redis"].state, health["postgresql"].state) == ("failed", "ok")
    assert SECRET not in repr(health)


def test_a_connection_in_use_is_a_failed_check(database_url: str) -> None:
    with plainsql.sync.connect(database_url) as db:
        with db.transaction():
            held = db.check(migrations=False)["postgresql"]
        assert held.text == "the database's one connection is held by a transaction"
        begun, ended = threading.Event(), threading.Event()

        def hold() -> None:
            with db._shared.lock:
                begun.set()
                ended.wait(20)

        thread = threading.Thread(target=hold)
        thread.start()
        assert begun.wait(20)
        held = db.check(migrations=False, timeout=0.1)["postgresql"]
        assert held.text == "another thread had the database's one connection for 0.1 s"
        ended.set()
        thread.join()
        assert db.check(migrations=False).ok
    with Pool(database_url, max_size=1) as pool:
        with pool.acquire():
            held = pool.check(migrations=False, timeout=0.1)["postgresql"]
        assert held.text == "no connection became free within 0.1 s; max_size is 1"
        assert pool.check(migrations=False).ok


def test_a_check_prepares_nothing(database_url: str) -> None:
    with plainsql.sync.connect(database_url) as db:
        db.check()
        assert SELECT_1(db) == 1
        [[prepared]] = db.connection.execute("select count(*) from pg_prepared_statements").fetchall()
        assert prepared <= 1
