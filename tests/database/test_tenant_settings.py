"""A tenant's settings: in the round trip of each call, and gone with it, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import asyncpg
import pytest

import plainsql
from plainsql.database.pool.lost_connection import ConnectionLostError
from plainsql.database.pool.tenant_settings import LocalSettings, prepare_settings, ready_step
from plainsql.errors import BindError, ContractError
from plainsql.query import Args, count, many, one
from plainsql.rows import Row
from plainsql.speed.loaded import PROTOCOL, STEP
from tests.database.stepping import at_every_wait, settled
from tests.proxy import Proxy

compiled = pytest.mark.skipif(PROTOCOL is None, reason="the compiled part does not run")

_ROLE = "plainsql_test_settings"
_POLICY = "create policy own on letter using (tenant = (select current_setting('app.jwt_tenant', true)))"
_NOW = "select coalesce(current_setting('app.jwt_tenant', true), '')"


class Letter(Row, frozen=True):
    tenant: str
    n: int


@one[str]("s.who", "s.sql", 1, _NOW, read_only=True, session_clean=True)
def who() -> Args:
    return ()


@many[Letter](
    "s.list", "s.sql", 1, "select tenant, n from letter order by n", read_only=True, session_clean=True
)
def letters() -> Args:
    return ()


@one[int]("s.div", "s.sql", 1, "select 60 / :n::int", read_only=True, session_clean=True)
def divide(*, n: int) -> Args:
    return (n,)


@one[str]("s.add", "s.sql", 1, "insert into letter (n) values (:n) returning tenant", session_clean=True)
def add(*, n: int) -> Args:
    return (n,)


@count("s.put", "s.sql", 1, "insert into letter (n) values (:n)", session_clean=True)
def put(*, n: int) -> Args:
    return (n,)


@one[str](
    "s.smuggle",
    "s.sql",
    1,
    "insert into letter (tenant, n) values (:tenant, 1) returning tenant",
    session_clean=True,
)
def smuggle(*, tenant: str) -> Args:
    return (tenant,)


@one[str](
    "s.conflict",
    "s.sql",
    1,
    "select current_setting('plpgsql.variable_conflict')",
    read_only=True,
    session_clean=True,
)
def conflict() -> Args:
    return ()


@count("s.vacuum", "s.sql", 1, "vacuum letter")
def vacuum() -> Args:
    return ()


@one[str]("s.call", "s.sql", 1, "call answer(null)")
def call_procedure() -> Args:
    return ()


@pytest.fixture
async def proxied(database_url: str, proxy: Proxy, outside: Any) -> AsyncIterator[plainsql.Database]:
    """One connection, through the proxy, of a role that row-level security restricts."""
    await outside.execute(
        f"""
        drop table if exists letter, heard;
        create table letter (tenant text not null default current_setting('app.jwt_tenant'), n int not null);
        create table heard (tenant text);
        alter table letter enable row level security;
        {_POLICY};
        create or replace function hear() returns trigger language plpgsql as $$
        begin
          insert into heard values (current_setting('app.jwt_tenant'));
          if new.n = 13 then raise check_violation using message = 'thirteen'; end if;
          return null;
        end $$;
        create constraint trigger hear after insert on letter
          deferrable initially deferred for each row execute function hear();
        create or replace procedure answer(inout now text) language plpgsql as $$
        begin
          insert into letter (n) values (7);
          commit;
          now := current_setting('app.jwt_tenant');
        end $$;
        do $$ begin create role {_ROLE} login nosuperuser nobypassrls;
        exception when duplicate_object or unique_violation then null; end $$;
        alter table letter owner to {_ROLE};
        alter table letter force row level security;
        grant insert on heard to {_ROLE};
        """
    )
    name = database_url.partition("?")[0].rpartition("/")[2]
    async with plainsql.connect(proxy.url(name, _ROLE), max_size=1, autobatch=False) as db:
        yield db


async def _check_clean(db: plainsql.Database) -> None:
    """Check that nothing of a tenant is left: in the session, and in what the pool knows of it."""
    await settled(lambda: db.stats().in_use == 0)
    pooled = db._connections.acquire_nowait()
    assert pooled is not None
    if PROTOCOL is not None:
        assert pooled.tenant is None
        assert await pooled.connection.fetchval(_NOW) == ""
    db._connections.release(pooled)


_Work = Callable[[Any, str], Coroutine[Any, Any, bool]]
_WORKS: dict[str, _Work] = {}


def _work(
    work: _Work,
) -> _Work:
    _WORKS[work.__name__] = work
    return work


@_work
async def reads_a_value(view: Any, tenant: str) -> bool:
    return bool(await who(view) == tenant)


@_work
async def reads_rows(view: Any, tenant: str) -> bool:
    return {letter.tenant for letter in await letters(view)} <= {tenant}


@_work
async def writes_a_row(view: Any, tenant: str) -> bool:
    return bool(await add(view, n=1) == tenant)


@_work
async def writes(view: Any, tenant: str) -> bool:
    return bool(await put(view, n=1) == len({tenant}))


@compiled
@pytest.mark.parametrize("kind", _WORKS)
async def test_a_call_of_another_tenant_each_time_is_one_round_trip(
    proxied: plainsql.Database, proxy: Proxy, kind: str
) -> None:
    work = _WORKS[kind]
    assert await work(proxied.tenant("first"), "first")
    for tenant in ("a", "b", "a"):
        await _check_clean(proxied)
        view = proxied.tenant(tenant)
        before = proxy.to_server.messages.copy()
        assert await work(view, tenant)
        # Bind and Execute of the settings and of the statement, and one Sync.
        assert proxy.to_server.messages - before == {"B": 2, "E": 2, "S": 1}


async def test_a_transaction_begins_with_its_tenants_settings(
    proxied: plainsql.Database, proxy: Proxy
) -> None:
    await who(proxied.tenant("b"))
    kinds: list[dict[str, Any]] = [{}, {"isolation": "repeatable read", "read_only": True}]
    for options in kinds:
        await _check_clean(proxied)
        before = proxy.to_server.messages.copy()
        async with proxied.tenant("b").transaction(**options) as tx:
            connection = tx.connection
            assert proxy.to_server.messages - before == {"Q": 1}
            assert await who(tx) == "b"
            assert await connection.fetchval("show transaction_isolation") == options.get(
                "isolation", "read committed"
            )
            assert await connection.fetchval("show transaction_read_only") == (
                "on" if "read_only" in options else "off"
            )
            async with tx.transaction() as savepoint:
                assert await who(savepoint) == "b"


@pytest.mark.parametrize("in_transaction", [False, True])
async def test_settings_that_the_server_refuses_are_no_error_of_the_query(
    database_url: str, in_transaction: bool
) -> None:
    """With a setting that the server knows, and whose values it checks."""

    async def call(view: plainsql.TenantDatabase) -> str:
        if not in_transaction:
            return await conflict(view)
        async with view.transaction() as tx:
            return await conflict(tx)

    name = "plpgsql.variable_conflict"
    async with plainsql.connect(database_url, max_size=1, tenant_setting=name) as db:
        async with db.acquire() as connection:
            await connection.execute("load 'plpgsql'")
        assert await call(db.tenant("use_column")) == "use_column"
        for _ in range(2):
            with pytest.raises(asyncpg.InvalidParameterValueError, match=name) as raised:
                await call(db.tenant("tenant a"))
            assert not any("s.conflict" in note for note in getattr(raised.value, "__notes__", ()))
            await settled(lambda: db.stats().in_use == 0)
            async with db.acquire() as connection:  # it may be another one
                await connection.execute("load 'plpgsql'")
            assert await call(db.tenant("use_variable")) == "use_variable"
            assert await conflict(db) == "error", "the default"


async def test_an_error_of_the_statement_leaves_nothing_of_the_tenant(proxied: plainsql.Database) -> None:
    view = proxied.tenant("a")
    assert await divide(view, n=2) == 30
    with pytest.raises(asyncpg.DivisionByZeroError) as raised:
        await divide(view, n=0)
    assert any("s.div" in note for note in raised.value.__notes__)
    await _check_clean(proxied)
    with pytest.raises(BindError, match=r"s\.div"):
        await divide(view, n="many")  # type: ignore[call-overload]
    await _check_clean(proxied)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await smuggle(view, tenant="b")
    await _check_clean(proxied)
    assert await who(proxied.tenant("b")) == "b"


async def test_a_deferred_constraint_has_the_tenant_and_its_error_is_the_calls(
    proxied: plainsql.Database, outside: Any
) -> None:
    view = proxied.tenant("a")
    for call in (add, put):
        await call(view, n=1)
        with pytest.raises(asyncpg.CheckViolationError, match="thirteen") as raised:
            await call(view, n=13)
        assert any(call.compiled.name in note for note in raised.value.__notes__)
        await _check_clean(proxied)
    assert [letter.n for letter in await letters(view)] == [1, 1]
    assert await outside.fetch("select distinct tenant from heard") == [("a",)]


async def test_a_statement_that_may_not_be_in_a_transaction_runs_for_a_tenant(
    proxied: plainsql.Database,
) -> None:
    await vacuum(proxied.tenant("a"))
    await _check_clean(proxied)
    assert await call_procedure(proxied.tenant("b")) == "b", "after a commit of its own"
    await _check_clean(proxied)
    assert await letters(proxied.tenant("b")) == [Letter("b", 7)]


@compiled
@pytest.mark.parametrize("kind", _WORKS)
async def test_a_cancellation_between_the_answers_leaves_nothing_of_the_tenant(
    proxied: plainsql.Database, proxy: Proxy, kind: str
) -> None:
    work = _WORKS[kind]
    await work(proxied.tenant("a"), "a")
    proxy.hold_after("C")
    task = asyncio.create_task(work(proxied.tenant("a"), "a"))
    await proxy.until(lambda: proxy.holds)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    next_call = asyncio.create_task(work(proxied.tenant("b"), "b"))
    proxy.resume()
    assert await next_call
    await _check_clean(proxied)


@compiled
async def test_a_connection_that_is_lost_between_the_two_answers(
    proxied: plainsql.Database, proxy: Proxy
) -> None:
    async def lose(work: Awaitable[Any]) -> Any:
        proxy.hold_after("C")
        task = asyncio.ensure_future(work)
        await proxy.until(lambda: proxy.holds)
        proxy.cut()
        proxy.resume()
        return await task

    view = proxied.tenant("a")
    await add(view, n=1)
    await letters(view)
    assert await lose(letters(view)) == [Letter("a", 1)], "a read is run again, for its tenant"
    await _check_clean(proxied)
    await put(view, n=2)
    with pytest.raises(ConnectionLostError):
        await lose(put(view, n=3))
    assert await letters(proxied.tenant("b")) == []
    await _check_clean(proxied)


async def test_a_plan_that_is_out_of_date_is_made_again_for_the_tenant(
    proxied: plainsql.Database, outside: Any
) -> None:
    for kind in ("varchar", "text"):
        for work in _WORKS.values():
            await work(proxied.tenant("a"), "a")
        await outside.execute(
            f"drop policy own on letter; alter table letter alter tenant type {kind}; {_POLICY}"
        )
        for work in _WORKS.values():
            assert await work(proxied.tenant("b"), "b")
        await _check_clean(proxied)
    assert {letter.tenant for letter in await letters(proxied.tenant("a"))} == {"a"}


@pytest.mark.parametrize("kind", _WORKS)
async def test_a_call_that_is_cancelled_at_any_wait_leaves_nothing_of_its_tenant(
    proxied: plainsql.Database, kind: str
) -> None:
    work = _WORKS[kind]

    async def check() -> None:
        await _check_clean(proxied)
        assert await work(proxied.tenant("b"), "b")

    assert await at_every_wait(lambda: work(proxied.tenant("a"), "a"), check) > 0


@compiled
async def test_settings_are_those_of_one_group_of_steps(proxied: plainsql.Database) -> None:
    pooled = proxied._connections.acquire_nowait()
    assert pooled is not None
    connection = pooled.connection
    statement = await connection._get_statement(_NOW, None)

    async def settings(tenant: str | None) -> Any:
        names = ("app.jwt_tenant",)
        own = LocalSettings.of(None if tenant is None else ((names[0], tenant),), names)
        await prepare_settings(connection, own, None)
        return ready_step(connection, own)

    steps = [
        await settings("a"),
        STEP(statement, (), synced=False),
        STEP(statement, ()),
        STEP(statement, ()),
        await settings("b"),
        STEP(statement, ()),
        await settings(None),
        STEP(statement, ()),
    ]
    await connection._protocol.exchange(tuple(steps), None)
    assert [step.rows for step in steps] == [
        [], [("a",)], [("a",)], [("",)], [], [("b",)], [], [("",)],
    ]  # fmt: skip
    assert repr(LocalSettings([("app.jwt_tenant", "secret")])) == "<LocalSettings app.jwt_tenant>"
    proxied._connections.release(pooled)


@compiled
async def test_a_batch_is_compared_again_if_its_table_changes_meanwhile(
    proxied: plainsql.Database, proxy: Proxy, outside: Any
) -> None:
    @many[Letter]("s.adds", "s.sql", 1, "insert into letter (n) values (:n) returning *", session_clean=True)
    def adds(*, n: int) -> Args:
        return (n,)

    async with proxied.tenant("acme").transaction() as tx:
        await adds(tx, n=1)  # prepares the statement, and not the settings
    await settled(lambda: proxied.stats().in_use == 0)
    connection = proxied._connections._idle[-1].connection
    proxy.hold_after("1")
    task = asyncio.create_task(adds.batch(proxied.tenant("acme"), [{"n": 2}, {"n": 3}]))
    async with asyncio.timeout(10):
        while not proxy.holds:  # noqa: ASYNC110 (in the proxy)
            await asyncio.sleep(0)
    await outside.execute("alter table letter add more int")
    connection._drop_local_statement_cache()  # as when another connection finds the changed table
    proxy.resume()
    with pytest.raises(ContractError, match="expected 2 columns, got 3"):
        await task
    assert await outside.fetchval("select count(*) from letter") == 1
