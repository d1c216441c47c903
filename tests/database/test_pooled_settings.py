"""Behind a pooler in transaction mode nothing that a client leaves in a server's session decides whose rows
are seen: every call begins with its own settings, also one without a tenant.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import plainsql
from plainsql.embedded import EmbeddedServer
from plainsql.errors import TenantError
from plainsql.query import Args, count, many, one
from plainsql.speed.loaded import PROTOCOL
from tests.pgbouncer import pgbouncer, url_through

_ROLE = "plainsql_test_unsafe"
_SETTINGS = "current_setting('app.jwt_tenant', true) || '/' || current_setting('app.jwt_user', true)"


@many[str](
    "p.who",
    "p.sql",
    1,
    f"select {_SETTINGS} from generate_series(1, :n::int)",
    read_only=True,
    session_clean=True,
)
def who(*, n: int) -> Args:
    return (n,)


who_together = many[str](
    "p.who",
    "p.sql",
    1,
    f"select {_SETTINGS} where :n::int > 0",
    read_only=True,
    session_clean=True,
)(lambda *, n: (n,))


@one[str](
    "p.note", "p.sql", 1, f"insert into noted values ({_SETTINGS}, :n) returning who", session_clean=True
)
def note(*, n: int) -> Args:
    return (n,)


@count("p.note_many", "p.sql", 1, f"insert into noted values ({_SETTINGS}, :n)")
def note_unproved(*, n: int) -> Args:
    return (n,)


@count("p.forget", "p.sql", 1, "delete from noted", session_clean=True)
def forget() -> Args:
    return ()


@many[str]("p.noted", "p.sql", 1, "select distinct who from noted", read_only=True, session_clean=True)
def noted() -> Args:
    return ()


@many[int](
    "p.letters",
    "p.sql",
    1,
    "select n from private_letter",
    read_only=True,
    session_clean=True,
    row_security={"public.private_letter": ("app.jwt_tenant",)},
)
def letters() -> Args:
    return ()


@one[str]("p.hostile", "p.sql", 1, "select set_config('app.jwt_tenant', 'evil', false)")
def hostile() -> Args:
    return ()


@pytest.fixture(scope="module")
def folder(server: EmbeddedServer) -> Generator[Path]:
    """One server connection: whatever a client leaves in its session, the next one finds."""
    with pgbouncer(server, "transaction", users=[_ROLE], size=1) as folder:
        yield folder


@pytest.fixture
async def direct_url(database_url: str) -> AsyncIterator[str]:
    """The same database without a pooler."""
    owner = await asyncpg.connect(database_url)
    await owner.execute(
        f"""
        create table noted (who text, n int);
        create table private_letter (tenant_id text not null, n int not null);
        insert into private_letter values ('evil', 1), ('good', 2);
        alter table private_letter enable row level security;
        create policy own on private_letter using (
          tenant_id = (select nullif(current_setting('app.jwt_tenant', true), ''))
        );
        do $$ begin create role {_ROLE} login nosuperuser nobypassrls;
        exception when duplicate_object or unique_violation then null; end $$;
        grant select on private_letter to {_ROLE};
        grant select, insert, delete on noted to {_ROLE};
        """
    )
    yield database_url.replace("postgres@", f"{_ROLE}@").replace("user=postgres", f"user={_ROLE}")
    await owner.execute("drop table noted, private_letter")
    await owner.close()


@pytest.fixture
async def shared_session_url(folder: Path, database_url: str, direct_url: str) -> str:
    name = database_url.partition("?")[0].rpartition("/")[2]
    return url_through(folder, name).replace("postgres@", f"{_ROLE}@")


@pytest.fixture
async def evil(shared_session_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Another client, who has left its settings in the server's session."""
    connection: Any = await asyncpg.connect(shared_session_url, statement_cache_size=0)
    await connection.execute("set app.jwt_tenant = 'evil'; set app.jwt_user = 'mallory'")
    yield connection
    await connection.execute("reset all")
    await connection.close()


async def _copied(db: Any) -> list[str]:
    parts: list[bytes] = []

    async def take(data: bytes) -> None:
        parts.append(data)

    await db.copy_out(who, take, {"n": 1}, header=False)
    return b"".join(parts).decode().split()


async def _transaction(db: Any) -> list[str]:
    async with db.transaction() as tx:
        return [*await who(tx, n=1), *await _flat(who.batch(tx, [{"n": 1}])), await note(tx, n=1)]


async def _connection(db: Any) -> list[str]:
    async with db.transaction(isolation="serializable", read_only=True) as tx, tx.transaction() as savepoint:
        return [await savepoint.connection.fetchval(f"select {_SETTINGS}")]


async def _noted(db: Any, work: Awaitable[object]) -> list[str]:
    await work
    return list(await noted(db))


async def _together(db: Any) -> list[str]:
    found = await asyncio.gather(*(who_together(db, n=n) for n in range(1, 60)))
    return sorted({one for rows in found for one in rows})


async def _retry(db: Any) -> list[str]:
    return list(await db.retry(lambda tx: who(tx, n=1)))


async def _copy_in(db: Any) -> list[str]:
    await db.copy_in("noted", [("/", 1)], columns=["who", "n"])
    return list(await noted(db))


async def _columns(db: Any) -> list[str]:
    found: list[str] = (await who.columns(db, n=2))["?column?"].to_list()
    async for block in who.stream_columns(db, 1, n=2):
        found += block["?column?"].to_list()
    assert len(found) == 4
    return found


KINDS: dict[str, Callable[[Any], Awaitable[list[str]]]] = {
    "read": lambda db: who(db, n=1),
    "reads together": _together,
    "batch of reads": lambda db: _flat(who.batch(db, [{"n": n} for n in range(1, 40)])),
    "write": lambda db: _noted(db, note(db, n=1)),
    "unproved write": lambda db: _noted(db, note_unproved(db, n=1)),
    "batch of writes": lambda db: _noted(db, note.batch(db, [{"n": n} for n in range(9)])),
    "execute_many": lambda db: _noted(db, note.execute_many(db, [{"n": n} for n in range(9)])),
    "unproved execute_many": lambda db: _noted(db, note_unproved.execute_many(db, [{"n": 1}, {"n": 2}])),
    "stream": lambda db: _all_of(who.stream(db, n=3)),
    "transaction": _transaction,
    "connection of a savepoint": _connection,
    "retry": _retry,
    "copy out": _copied,
    "copy in": _copy_in,
    "columns": _columns,
}


async def _flat(work: Awaitable[list[list[str]]]) -> list[str]:
    return [one for rows in await work for one in rows]


async def _all_of(rows: AsyncIterator[str]) -> list[str]:
    return [row async for row in rows]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_without_a_tenant_has_none_whatever_stands_in_the_session(
    shared_session_url: str, evil: Any, kind: str
) -> None:
    async with plainsql.connect(shared_session_url, max_size=1) as db:
        assert set(await KINDS[kind](db)) == {"/"}
        await settled(db)
        # Nothing of ours stays in it either.
        assert await evil.fetchval(f"select {_SETTINGS}") == "evil/mallory"


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"copy in"}))
async def test_a_tenants_call_has_the_tenant_whatever_stands_in_the_session(
    shared_session_url: str, evil: Any, kind: str
) -> None:
    async with plainsql.connect(shared_session_url, max_size=1) as db:
        assert set(await KINDS[kind](db.tenant("good", user_id=7))) == {"good/7"}
        await settled(db)
        assert await evil.fetchval(f"select {_SETTINGS}") == "evil/mallory"


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"copy in"}))
async def test_without_a_pooler_a_tenants_call_has_the_tenant_and_leaves_nothing(
    direct_url: str, kind: str
) -> None:
    async with plainsql.connect(direct_url, max_size=2) as db:
        for tenant in ("other", "good"):
            assert set(await KINDS[kind](db.tenant(tenant, user_id=7))) == {f"{tenant}/7"}
            await settled(db)
            if PROTOCOL is not None:
                await _check_clean(db)
            await forget(db.tenant(tenant))
        assert set(await who(db, n=1)) == {"/"}


async def _check_clean(db: Any) -> None:
    pooled = []
    while (one := db._connections.acquire_nowait()) is not None:
        assert one.tenant is None
        assert await one.connection.fetchval(f"select coalesce({_SETTINGS}, '/')") == "/"
        pooled.append(one)
    for one in pooled:
        db._connections.release(one)


async def test_a_lock_has_nobodys_settings(shared_session_url: str, evil: Any) -> None:
    async with plainsql.connect(shared_session_url, max_size=1) as db:
        async with db._locks._acquire() as connection:
            assert await connection.fetchval(f"select {_SETTINGS}") == "/"
        async with db.lock("job") as held:
            assert held


@pytest.mark.parametrize("through_own_call", [False, True])
async def test_nobody_is_served_a_tenants_rows(
    shared_session_url: str, evil: Any, through_own_call: bool
) -> None:
    async with plainsql.connect(shared_session_url, max_size=1) as db:
        if through_own_call:
            await hostile(db.tenant("good"))
            await hostile(db)
            async with db.transaction() as tx:
                await hostile(tx)
        for _ in range(2):
            with pytest.raises(TenantError):
                await letters(db)
        with pytest.raises(TenantError):
            _ = [row async for row in letters.stream(db)]
        with pytest.raises(TenantError):
            await letters.batch(db, [{}, {}])
        with pytest.raises(TenantError):
            async with db.transaction() as tx:
                await letters(tx)
        assert await letters(db.tenant("good")) == [2]


async def test_what_the_role_begins_with_counts_for_nobody(
    shared_session_url: str, database_url: str, evil: Any
) -> None:
    """A default of the role or the database is no other client's doing."""
    owner = await asyncpg.connect(database_url)
    name = database_url.partition("?")[0].rpartition("/")[2]
    await owner.execute(f"""alter role {_ROLE} in database "{name}" set app.jwt_tenant = 'good'""")
    try:
        await owner.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = $1"
            " and datname = current_database()",
            _ROLE,
        )
        async with plainsql.connect(shared_session_url, max_size=1) as db:
            async with db.acquire() as connection:
                await connection.execute("set app.jwt_tenant = 'evil'")
            assert await letters(db) == [2]
    finally:
        await owner.execute(f"""alter role {_ROLE} in database "{name}" reset all""")
        await owner.close()


async def test_a_statement_that_can_be_in_no_transaction_says_what_to_do(shared_session_url: str) -> None:
    @count("p.vacuum", "p.sql", 1, "vacuum noted")
    def vacuum() -> Args:
        return ()

    async with plainsql.connect(shared_session_url, max_size=1) as db:
        with pytest.raises(asyncpg.ActiveSQLTransactionError) as raised:
            await vacuum(db)
        assert any(
            "behind a pooler in transaction mode every call is a transaction" in note
            for note in raised.value.__notes__
        )
        async with db.acquire() as connection:
            await connection.execute("vacuum noted")


async def settled(db: plainsql.Database) -> None:
    while db.stats().in_use:  # noqa: ASYNC110
        await asyncio.sleep(0)
