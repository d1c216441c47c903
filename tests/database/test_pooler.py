"""Behind PgBouncer, in both of its modes: the same answers, and a tenant's rows for that tenant alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid5

import asyncpg
import pytest
from asyncpg import exceptions

import plainsql
from plainsql.database.pool import connection_classes as session
from plainsql.embedded import EmbeddedServer
from plainsql.errors import ConnectError, PlainsqlError, SettingsError
from plainsql.query import Args, count, many, one
from plainsql.replication.positions import NEWEST, Position, read_position
from plainsql.speed.loaded import PROTOCOL
from tests.pgbouncer import PORT, PoolMode, pgbouncer, url_through
from tests.proxy import open_proxy

_ROLE = "plainsql_test_pooled"
TENANTS = [uuid5(UUID(int=1), str(n)) for n in range(8)]


@one[int]("t.plus", "t.sql", 1, "select :n::int + 1", read_only=True, session_clean=True)
def plus(*, n: int) -> Args:
    return (n,)


@one[int]("t.backend", "t.sql", 1, "select pg_backend_pid()", session_clean=True)
def backend() -> Args:
    return ()


@many[UUID](
    "t.whose", "t.sql", 1, "select tenant_id from paper order by n", read_only=True, session_clean=True
)
def whose() -> Args:
    return ()


@count("t.put", "t.sql", 1, "insert into paper (tenant_id, n) values (:tenant_id, :n)", session_clean=True)
def put(*, tenant_id: UUID, n: int) -> Args:
    return (tenant_id, n)


@one[str]("t.leave", "t.sql", 1, "select set_config('app.jwt_tenant', :tenant, false)")
def leave_behind(*, tenant: str) -> Args:
    return (tenant,)


@pytest.fixture(scope="module", params=["transaction", "session"])
def mode(request: pytest.FixtureRequest) -> PoolMode:
    mode: PoolMode = request.param
    return mode


@pytest.fixture(scope="module")
def folder(server: EmbeddedServer, mode: PoolMode) -> Generator[Path]:
    with pgbouncer(server, mode, users=[_ROLE], size=6) as folder:
        yield folder


@pytest.fixture
async def pooled_url(folder: Path, database_url: str) -> AsyncIterator[str]:
    """A database behind PgBouncer, which its application's role connects to."""
    owner = await asyncpg.connect(database_url)
    await owner.execute(
        """
        create table paper (tenant_id uuid not null, n int not null);
        alter table paper enable row level security;
        alter table paper force row level security;
        create policy own on paper using (
          tenant_id = (select nullif(current_setting('app.jwt_tenant', true), '')::uuid)
        );
        do $$ begin create role plainsql_test_pooled login nosuperuser nobypassrls;
        exception when duplicate_object or unique_violation then null; end $$;
        grant select, insert on paper to plainsql_test_pooled;
        """
    )
    await owner.executemany(
        "insert into paper values ($1, $2)", [(tenant, n) for tenant in TENANTS for n in range(3)]
    )
    name = database_url.partition("?")[0].rpartition("/")[2]
    yield url_through(folder, name)
    await owner.execute("drop table paper")
    await owner.close()


async def test_a_pooler_is_noticed_and_taken_for_one_in_transaction_mode(pooled_url: str) -> None:
    async with plainsql.connect(pooled_url, max_size=3) as db:
        assert db._state.pool.by_transaction


async def test_without_a_pooler_none_is_noticed(database_url: str) -> None:
    async with plainsql.connect(database_url) as db:
        assert not db._state.pool.by_transaction


async def test_all_ways_to_call_give_the_same_answers(pooled_url: str, mode: PoolMode) -> None:
    for pooler in (None, mode):
        async with plainsql.connect(pooled_url, max_size=3, pooler=pooler) as db:
            assert await asyncio.gather(*(plus(db, n=n) for n in range(60))) == [*range(1, 61)]
            assert await plus.batch(db, [{"n": 1}, {"n": 2}]) == [2, 3]
            async with db.transaction() as tx:
                assert await backend(tx) == await backend(tx)
                assert [row async for row in plus.stream(tx, n=4)] == [5]
            assert [row async for row in plus.stream(db, n=4)] == [5]
            async with db.lock("job") as held:
                assert held
            tenant = TENANTS[0]
            await put.execute_many(db.tenant(tenant), [{"tenant_id": tenant, "n": n} for n in (7, 8)])
            copied = await db.copy_in("paper", [(tenant, 9)], columns=["tenant_id", "n"])
            assert copied == 1


async def test_a_tenant_sees_its_own_rows_whatever_runs_beside_it(pooled_url: str) -> None:
    """Many tenants on three connections: calls, transactions, failures and cancellations mixed."""
    picks = random.Random(5)
    async with plainsql.connect(_as_role(pooled_url), max_size=3, acquire_timeout=60) as db:

        async def work(tenant: UUID) -> None:
            view = db.tenant(tenant, user_id=picks.randrange(100))
            for _ in range(40):
                match picks.randrange(6):
                    case 0:
                        async with view.transaction() as tx:
                            assert set(await whose(tx)) == {tenant}
                    case 1:
                        with pytest.raises(exceptions.InsufficientPrivilegeError):
                            await put(view, tenant_id=UUID(int=9), n=0)
                    case 2:
                        task = asyncio.create_task(whose(view))
                        await asyncio.sleep(0)
                        task.cancel()
                        await asyncio.wait([task])
                    case _:
                        assert set(await whose(view)) == {tenant}

        await asyncio.gather(*(work(tenant) for tenant in TENANTS))
        assert await whose(db) == [], "nothing is left behind for those who name no tenant"


async def test_what_a_call_leaves_in_the_session_is_no_tenants(pooled_url: str) -> None:
    """In transaction mode nothing resets a server's session: a tenant set by hand must not be trusted."""
    async with plainsql.connect(_as_role(pooled_url), max_size=3) as db:
        mine, other = TENANTS[0], TENANTS[1]
        for _ in range(5):
            await leave_behind(db.tenant(mine), tenant=str(other))
            assert set(await whose(db.tenant(mine))) == {mine}


async def test_round_trips_of_a_tenants_read_if_the_pooler_keeps_statements(
    folder: Path, pooled_url: str, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One with the compiled part, two without. A stand-in for PgBouncer 1.21: the server itself is a pooler
    that keeps each client's statements."""

    async def keeps(_: Any) -> bool:
        return True

    monkeypatch.setattr(session, "keeps_statements", keeps)
    name = pooled_url.partition("?")[0].rpartition("/")[2]
    async with (
        open_proxy(server.socket) as proxy,
        plainsql.connect(proxy.url(name, _ROLE), max_size=1, pooler="transaction") as db,
    ):
        view = db.tenant(TENANTS[2])
        for _ in range(2):
            await whose(view)
        await _quiet(db)
        before = proxy.to_server.messages.copy()
        assert set(await whose(view)) == {TENANTS[2]}
        await _quiet(db)
        sent = proxy.to_server.messages - before
        # Without the compiled part: `begin` with the settings; the statement; and `commit`, which the caller
        # does not wait for.
        assert sent["Q"] == (0 if PROTOCOL else 2)
        assert sent["S"] == 1
        assert not sent["P"]


async def test_a_tenants_read_behind_this_pooler(folder: Path, pooled_url: str, mode: PoolMode) -> None:
    """One round trip from PgBouncer 1.21 on, two without the compiled part, and three before: its behaviour
    decides, not its version."""
    if mode == "session":
        pytest.skip("for PgBouncer in transaction mode")
    name = pooled_url.partition("?")[0].rpartition("/")[2]
    async with (
        open_proxy(folder / f".s.PGSQL.{PORT}") as proxy,
        plainsql.connect(proxy.url(name, _ROLE), max_size=1) as db,
    ):
        async with db.acquire() as connection:
            keeps = await session.keeps_statements(connection)
        view = db.tenant(TENANTS[2])
        for _ in range(2):
            await whose(view)
        await _quiet(db)
        before = proxy.to_server.messages.copy()
        assert set(await whose(view)) == {TENANTS[2]}
        await _quiet(db)
        sent = proxy.to_server.messages - before
        assert sent["Q"] == (0 if keeps and PROTOCOL else 2)
        # Where it forgets statements, the driver describes each before it sends it.
        assert sent["D"] == sent["H"] == (0 if keeps else 1)
        assert sent["S"] == 1


@one[Any]("t.first", "t.sql", 1, "select min(n) from paper", read_only=True, session_clean=True)
def first() -> Args:
    return ()


async def test_a_changed_column_is_read_behind_any_pooler(pooled_url: str, database_url: str) -> None:
    """A pooler that keeps statements prepares each text once, and the server refuses it after the change."""
    async with (
        plainsql.connect(pooled_url, max_size=2) as db,
        plainsql.connect(pooled_url, max_size=2) as other,
        plainsql.connect(database_url, max_size=1) as owner,
    ):
        assert await first(db) == await first(other) == 0
        for kind in ("bigint", "numeric", "integer"):
            async with owner.acquire() as connection:
                await connection.execute(f"alter table paper alter n type {kind}")
            assert {await first(each) for each in (db, other) for _ in range(3)} == {0}
            assert await plus(db, n=1) == 2


async def test_what_needs_a_session_is_refused_with_what_to_do(pooled_url: str) -> None:
    async with plainsql.connect(pooled_url, max_size=2) as db:
        with pytest.raises(PlainsqlError, match="no connection stays ours"):
            db.listen("news")
        with pytest.raises(PlainsqlError, match="no connection can carry a tenant"):
            async with db.tenant("1").acquire():
                pass


async def test_session_mode_is_as_without_a_pooler(folder: Path, pooled_url: str, mode: PoolMode) -> None:
    if mode != "session":
        pytest.skip("for PgBouncer in session mode")
    async with plainsql.connect(pooled_url, max_size=2, pooler="session") as db:
        async with db.listen("news") as notifications:
            async with db.acquire() as connection:
                await connection.execute("notify news, 'hello'")
            assert (await anext(notifications)).payload == "hello"
        async with db.acquire() as connection:
            assert await connection.fetchval("show hnsw.iterative_scan") == "strict_order"


def test_a_pooler_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SettingsError, match="expected 'transaction', 'session' or None"):
        plainsql.connect("postgresql://localhost/x", pooler="statement")  # type: ignore[arg-type]


def _as_role(url: str) -> str:
    return url.replace("postgres@", f"{_ROLE}@")


async def _quiet(db: plainsql.Database) -> None:
    while db.stats().in_use:  # noqa: ASYNC110
        await asyncio.sleep(0)


async def test_a_setting_that_the_pooler_does_not_take_is_told(pooled_url: str) -> None:
    with pytest.raises(ConnectError, match="the pooler refuses the startup setting search_path") as raised:
        await plainsql.connect(pooled_url, server_settings={"search_path": "shop"})
    assert "unsupported startup parameter: search_path" in (raised.value.detail or "")
    assert "(alter role … set search_path = …)" in (raised.value.hint or "")


@pytest.mark.parametrize("kind", ["read-write", "any"])
async def test_several_poolers_are_hosts_of_one_url(
    server: EmbeddedServer, folder: Path, database_url: str, mode: PoolMode, kind: str
) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    with ExitStack() as stack:
        second = stack.enter_context(pgbouncer(server, mode))
        hosts = quote(f"{second},{folder}", safe="")
        url = f"postgresql://postgres@/{name}?host={hosts}&port={PORT}&target_session_attrs={kind}"
        pool = await asyncio.to_thread(plainsql.sync.Pool, url)
        async with plainsql.connect(url) as db:
            assert await plus(db, n=1) == plus(pool, n=1) == 2
            stack.close()  # the first one is gone
            assert await plus(db, n=1) == await asyncio.to_thread(lambda: plus(pool, n=1)) == 2
        pool.close()


async def test_a_sessions_token_covers_its_writes_through_a_pooler(
    pooled_url: str, mode: PoolMode, database_url: str
) -> None:
    observer = await asyncpg.connect(database_url)
    async with plainsql.connect(pooled_url, max_size=3, pooler=mode, cache=False) as db:

        async def write(tenant: UUID, n: int) -> bytes:
            async with db.tenant(tenant).causal() as session:
                await put(session, tenant_id=tenant, n=n)
                async with session.transaction() as tx:
                    await put(tx, tenant_id=tenant, n=n)
                return session.token

        for n in range(4):  # from the second one on, the positions are in the round trips of the writes
            before = await read_position(observer)
            tokens = await asyncio.gather(*(write(tenant, n) for tenant in TENANTS))
            after = await read_position(observer)
            for token in tokens:
                assert token != NEWEST
                assert before < Position.of_token(token) <= after
    await observer.close()
