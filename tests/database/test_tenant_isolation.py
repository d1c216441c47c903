"""A tenant's view sees the tenant's rows and nothing else, whatever happens to the calls around it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from uuid import UUID, uuid5

import asyncpg
import pytest

import plainsql
from plainsql.database import TenantDatabase
from plainsql.query import Args, count, many, one, optional
from plainsql.rows import Row
from tests.database.stepping import settled

TENANTS = [uuid5(UUID(int=0), str(n)) for n in range(50)]


class Note(Row, frozen=True):
    tenant_id: UUID
    id: int
    text: str


@optional[Note](
    "n.get",
    "n.sql",
    1,
    "select tenant_id, id, text from note where id = :id",
    read_only=True,
    session_clean=True,
)
def get(*, id: int) -> Args:
    return (id,)


@many[Note](
    "n.all",
    "n.sql",
    1,
    "select tenant_id, id, text from note order by id",
    read_only=True,
    session_clean=True,
)
def everything() -> Args:
    return ()


@count("n.touch", "n.sql", 1, "update note set text = text where id = :id", session_clean=True)
def touch(*, id: int) -> Args:
    return (id,)


@one[str]("n.who", "n.sql", 1, "select current_setting('app.jwt_user', true)", session_clean=True)
def who() -> Args:
    return ()


@one[str]("n.break", "n.sql", 1, "select set_config('app.jwt_tenant', :other, false)")
def change_the_session(*, other: str) -> Args:
    return (other,)


@one[int](
    "n.fail",
    "n.sql",
    1,
    "select 1 / (count(*) - count(*))::int from note",
    read_only=True,
    session_clean=True,
)
def fail() -> Args:
    return ()


@pytest.fixture
async def notes_db(database_url: str) -> AsyncIterator[plainsql.Database]:
    owner = await asyncpg.connect(database_url)
    await owner.execute(
        """
        drop table if exists note;
        create table note (
          tenant_id uuid not null, id int not null, text text not null, primary key (tenant_id, id)
        );
        alter table note enable row level security;
        alter table note force row level security;
        create policy own on note using (
          tenant_id = (select nullif(current_setting('app.jwt_tenant', true), '')::uuid)
        );
        do $$ begin create role plainsql_test_app login nosuperuser nobypassrls;
        exception when duplicate_object then null; end $$;
        grant select, insert, update, delete on note to plainsql_test_app;
        """
    )
    await owner.executemany(
        "insert into note values ($1, $2, $3)",
        [(tenant, n, f"{tenant} {n}") for tenant in TENANTS for n in range(5)],
    )
    await owner.close()
    url = database_url.replace("user=postgres", "user=plainsql_test_app").replace(
        "//postgres@", "//plainsql_test_app@"
    )
    async with plainsql.connect(url, max_size=6) as db:
        yield db


async def test_without_a_tenant_nothing_is_seen(notes_db: plainsql.Database) -> None:
    assert await everything(notes_db) == []
    await everything(notes_db.tenant(TENANTS[0]))
    assert await everything(notes_db) == []


async def test_a_second_read_on_the_same_connection_is_one_round_trip(
    notes_db: plainsql.Database,
) -> None:
    view = notes_db.tenant(TENANTS[0])
    await get(view, id=1)
    sent: list[str] = []
    notes_db._connections._idle[-1].connection.add_query_logger(lambda logged: sent.append(logged.query))
    await get(view, id=2)
    await settled(lambda: bool(sent))
    # Setting the tenant would come first.
    assert len(sent) == 1
    assert "set_config" not in sent[0]


async def test_a_user_of_a_former_call_does_not_stay(notes_db: plainsql.Database) -> None:
    assert await who(notes_db.tenant(TENANTS[0], user_id=7)) == "7"
    assert await who(notes_db.tenant(TENANTS[0])) == ""
    assert await who(notes_db.tenant(TENANTS[1])) == ""


async def test_a_statement_that_changes_the_session_changes_it_for_nobody_else(
    notes_db: plainsql.Database,
) -> None:
    for _ in range(20):
        await change_the_session(notes_db.tenant(TENANTS[0]), other=str(TENANTS[1]))
        assert {note.tenant_id for note in await everything(notes_db.tenant(TENANTS[0]))} == {TENANTS[0]}
        assert await everything(notes_db) == []


async def test_a_tenant_needs_an_id(notes_db: plainsql.Database) -> None:
    for nothing in (None, ""):
        with pytest.raises(plainsql.PlainsqlError, match="expected a tenant's id"):
            notes_db.tenant(nothing)


async def test_no_row_of_another_tenant_is_ever_seen(notes_db: plainsql.Database) -> None:
    """200,000 calls: one-shot, joined, in transactions, cancelled and failing, of 50 tenants concurrently."""
    chance = random.Random(20)
    seen = 0

    def check(tenant: UUID, notes: list[Note]) -> None:
        nonlocal seen
        for note in notes:
            assert note.tenant_id == tenant, "a row of another tenant"
            seen += 1

    async def read(tenant: UUID, view: TenantDatabase) -> None:
        note = await get(view, id=chance.randrange(5))
        assert note is not None, "its own rows are there"
        check(tenant, [note])

    async def work(tenant: UUID, calls: int) -> None:
        view = notes_db.tenant(tenant, user_id=chance.randrange(3))
        while calls > 0:
            kind = chance.random()
            if kind < 0.93:  # sixty concurrent ones: joined
                await asyncio.gather(*(read(tenant, view) for _ in range(60)))
                calls -= 60
            elif kind < 0.95:
                check(tenant, await everything(view))
                calls -= 1
            elif kind < 0.96:
                async with view.transaction() as tx:
                    check(tenant, await everything(tx))
                    assert await touch(tx, id=1) == 1
                calls -= 2
            elif kind < 0.97:
                assert await everything(notes_db) == [], "no tenant, no rows"
                calls -= 1
            elif kind < 0.98:
                with pytest.raises(asyncpg.DivisionByZeroError):
                    await fail(view)
                calls -= 1
            elif kind < 0.99:
                task = asyncio.create_task(read(tenant, view))
                for _ in range(chance.randrange(6)):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                if not task.cancelled() and task.exception() is not None:
                    raise task.exception() or AssertionError
                calls -= 1
            else:
                await change_the_session(view, other=str(chance.choice(TENANTS)))
                calls -= 1

    await asyncio.gather(*(work(tenant, 4000) for tenant in TENANTS))
    assert seen >= 190_000
