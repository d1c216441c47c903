"""A tenant's view sees the tenant's rows and nothing else, whatever happens to the calls around it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid5

import asyncpg
import pytest
from asyncpg import exceptions

import plainsql
from plainsql.database.pool.lost_connection import ConnectionLostError
from plainsql.errors import BindError
from plainsql.query import Args, count, many, one, optional
from plainsql.rows import Row
from plainsql.speed.loaded import PROTOCOL
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


@one[Note](
    "n.touch_row",
    "n.sql",
    1,
    "update note set text = text where id = :id returning tenant_id, id, text",
    session_clean=True,
)
def touch_row(*, id: int) -> Args:
    return (id,)


@count("n.give", "n.sql", 1, "update note set tenant_id = :other where id = :id", session_clean=True)
def give(*, other: UUID, id: int) -> Args:
    return (other, id)


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


@pytest.mark.parametrize("calls", [100, pytest.param(4000, marks=pytest.mark.soak)])
async def test_no_row_of_another_tenant_is_ever_seen(
    notes_db: plainsql.Database, outside: Any, calls: int
) -> None:
    """Calls of every kind, of 50 tenants concurrently, with errors, cancellations, plans that are out of date
    and connections that are lost; 200,000 as a soak."""
    mix = _Mix(notes_db, outside)
    await asyncio.gather(*(mix.work(tenant, calls) for tenant in TENANTS))
    assert mix.seen >= calls * len(TENANTS) * 0.8
    assert mix.kinds.keys() == {kind for kind, _ in mix.weights}, "of every kind"
    await settled(lambda: notes_db.stats().in_use == 0)
    # First all, then the checks: one that was checked is soon idle again.
    connections = [*iter(notes_db._connections.acquire_nowait, None)]
    for connection in connections:
        await mix.check_clean(connection)


class _Mix:
    """Calls of all kinds, and the check of what each returns."""

    def __init__(self, db: plainsql.Database, outside: Any) -> None:
        self.db = db
        self.outside = outside
        self.chance = random.Random(20)
        self.seen = 0
        self.kinds: Counter[str] = Counter()
        self.disturbing = asyncio.Lock()
        self.weights: list[tuple[str, float]] = [
            ("together", 6),
            ("read", 8),
            ("rows", 8),
            ("write", 6),
            ("batch_of_reads", 4),
            ("batch_of_writes", 4),
            ("stream", 2),
            ("transaction", 4),
            ("savepoint", 2),
            ("without_tenant", 6),
            ("failing", 6),
            ("unfit", 4),
            ("smuggling", 6),
            ("cancelled", 10),
            ("change_of_session", 3),
            ("inspection", 6),
            ("stale_plan", 0.6),
            ("lost_connection", 0.6),
        ]

    async def work(self, tenant: UUID, calls: int) -> None:
        names, weights = zip(*self.weights, strict=True)
        view = self.db.tenant(tenant, user_id=self.chance.randrange(3))
        done = 0
        while done < calls:
            [kind] = self.chance.choices(names, weights)
            self.kinds[kind] += 1
            try:
                done += await getattr(self, kind)(tenant, view) or 1
            except (ConnectionLostError, asyncpg.InvalidCachedStatementError):
                # Of a write, or of a read that was lost twice; and of a transaction.
                assert self.kinds["lost_connection"] or self.kinds["stale_plan"]

    def check(self, tenant: UUID, notes: list[Note]) -> None:
        for note in notes:
            assert note.tenant_id == tenant, "a row of another tenant"
        self.seen += len(notes)

    async def check_clean(self, idle: Any) -> None:
        if PROTOCOL is not None:
            assert idle.tenant is None
            settings = "current_setting('app.jwt_tenant', true) || current_setting('app.jwt_user', true)"
            try:
                left = await idle.connection.fetchval(f"select coalesce({settings}, '')")
            except (exceptions.InterfaceError, exceptions.PostgresError, OSError):
                assert self.kinds["lost_connection"]
            else:
                assert left == "", "settings of a tenant that were left in a session"
        self.db._connections.discard(idle)

    async def one(self, tenant: UUID, view: Any) -> None:
        note = await get(view, id=self.chance.randrange(5))
        assert note is not None, "its own rows are there"
        self.check(tenant, [note])

    async def together(self, tenant: UUID, view: Any) -> int:
        await asyncio.gather(*(self.one(tenant, view) for _ in range(60)))
        return 60

    async def read(self, tenant: UUID, view: Any) -> None:
        await self.one(tenant, view)

    async def rows(self, tenant: UUID, view: Any) -> None:
        notes = await everything(view)
        assert len(notes) == 5
        self.check(tenant, notes)

    async def write(self, tenant: UUID, view: Any) -> None:
        if self.chance.random() < 0.5:
            assert await touch(view, id=self.chance.randrange(5)) == 1
        else:
            self.check(tenant, [await touch_row(view, id=self.chance.randrange(5))])

    async def batch_of_reads(self, tenant: UUID, view: Any) -> int:
        notes = await get.batch(view, [{"id": n % 5} for n in range(20)])
        self.check(tenant, [note for note in notes if note is not None])
        assert None not in notes
        return 20

    async def batch_of_writes(self, tenant: UUID, view: Any) -> int:
        self.check(tenant, await touch_row.batch(view, [{"id": n} for n in range(5)]))
        await touch.execute_many(view, [{"id": n} for n in range(5)])
        return 10

    async def stream(self, tenant: UUID, view: Any) -> None:
        self.check(tenant, [note async for note in everything.stream(view)])

    async def transaction(self, tenant: UUID, view: Any) -> None:
        async with view.transaction() as tx:
            self.check(tenant, await everything(tx))
            assert await touch(tx, id=1) == 1

    async def savepoint(self, tenant: UUID, view: Any) -> None:
        async with view.transaction() as tx:
            with pytest.raises(asyncpg.DivisionByZeroError):
                async with tx.transaction() as savepoint:
                    await fail(savepoint)
            self.check(tenant, await everything(tx))

    async def without_tenant(self, _: UUID, __: Any) -> None:
        assert await everything(self.db) == [], "no tenant, no rows"
        assert await get(self.db, id=1) is None
        assert await touch(self.db, id=1) == 0

    async def failing(self, _: UUID, view: Any) -> None:
        with pytest.raises(asyncpg.DivisionByZeroError):
            await fail(view)

    async def unfit(self, _: UUID, view: Any) -> None:
        with pytest.raises(BindError):
            await touch_row(view, id="one")  # type: ignore[call-overload]
        with pytest.raises(BindError):
            await touch_row.batch(view, [{"id": 1}, {"id": "two"}])

    async def smuggling(self, tenant: UUID, view: Any) -> None:
        other = self.chance.choice([one for one in TENANTS if one != tenant])
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await give(view, other=other, id=1)

    async def cancelled(self, tenant: UUID, view: Any) -> None:
        kinds = [self.one, self.rows, self.write, self.batch_of_writes, self.transaction, self.stream]
        task = asyncio.create_task(self.chance.choice(kinds)(tenant, view))
        for _ in range(self.chance.randrange(8)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled() and task.exception() is not None:
            raise task.exception() or AssertionError

    async def change_of_session(self, _: UUID, view: Any) -> None:
        await change_the_session(view, other=str(self.chance.choice(TENANTS)))

    async def inspection(self, _: UUID, __: Any) -> None:
        if (idle := self.db._connections.acquire_nowait()) is not None:
            await self.check_clean(idle)

    async def stale_plan(self, _: UUID, __: Any) -> None:
        kind = self.chance.choice(["varchar", "text"])
        async with self.disturbing:
            with suppress(asyncpg.LockNotAvailableError):
                await self.outside.execute(
                    f"set lock_timeout = '20ms'; alter table note alter text type {kind}"
                )

    async def lost_connection(self, _: UUID, __: Any) -> None:
        async with self.disturbing:
            await self.outside.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
                " and usename = 'plainsql_test_app' order by random() limit 1"
            )
