"""The settings of a query: those of its statement alone, wherever that runs."""

# ruff: noqa: PT012 (the end of a block raises)

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

import plainsql
from plainsql.columns.arrow_rows import rows_of_arrow
from plainsql.errors import BindError, ContractError, NoRowError
from plainsql.query import Args, count, many, one
from plainsql.rows import Row

_SEEN = "select current_setting('work_mem') as mem, current_setting('plan_cache_mode') as mode"
_SET: Any = {
    "settings": {"plan_cache_mode": "force_custom_plan"},
    "setting_parameters": {"work_mem": "mem"},
}
_READ: Any = {"read_only": True, "session_clean": True}
PLAIN = ("4MB", "auto")


class Seen(Row, frozen=True):
    mem: str
    mode: str


@one[Seen]("o.seen", "o.sql", 1, _SEEN, **_READ, **_SET)
def seen(*, mem: int | str | None) -> Args:
    return (mem,)


@one[Seen]("o.plain", "o.sql", 1, _SEEN, **_READ)
def plain() -> Args:
    return ()


@many[Seen]("o.rows", "o.sql", 1, _SEEN + " from generate_series(1, :n::int)", **_READ, **_SET)
def rows(*, n: int, mem: int) -> Args:
    return (n, mem)


@one[str]("o.divide", "o.sql", 1, "select (60 / :n::int)::text", **_READ, **_SET)
def divide(*, n: int, mem: int) -> Args:
    return (n, mem)


@one[Seen]("o.none", "o.sql", 1, _SEEN + " where false", **_READ, **_SET)
def none(*, mem: int) -> Args:
    return (mem,)


@one[str](
    "o.note",
    "o.sql",
    1,
    "insert into noted (mem, who) values (current_setting('work_mem'), :who) returning mem",
    session_clean=True,
    **_SET,
)
def note(*, who: str, mem: int) -> Args:
    return (who, mem)


@count("o.put", "o.sql", 1, "insert into noted (mem, who) values (current_setting('work_mem'), :who)", **_SET)
def put(*, who: str, mem: int) -> Args:
    return (who, mem)


@one[str](
    "o.tenant",
    "o.sql",
    1,
    "select current_setting('app.jwt_tenant', true) || current_setting('work_mem')",
    **_READ,
    settings={"work_mem": "9MB", "app.jwt_tenant": "another"},
)
def tenant() -> Args:
    return ()


@pytest.fixture
async def lone(shop_url: str, request: pytest.FixtureRequest) -> AsyncIterator[plainsql.Database]:
    """The shop on one connection; ``direct`` or as behind a pooler in transaction mode."""
    async with plainsql.connect(shop_url, max_size=1, pooler=getattr(request, "param", None)) as db:
        await db.sql("create table if not exists noted (mem text, who text)")
        yield db
        assert (await plain(db)).mem == PLAIN[0]
        await db.sql("truncate noted")


def _first(columns: Any) -> list[Any]:
    """Return the values of the first of a result's columns."""
    return [row[0] for row in rows_of_arrow("t", columns, None)[0]]


async def check_plain(db: Any) -> None:
    found = await plain(db)
    assert (found.mem, found.mode) == PLAIN


both = pytest.mark.parametrize("lone", [None, "transaction"], indirect=True)


@both
async def test_settings_end_with_the_call(lone: plainsql.Database) -> None:
    """A read and a write run with theirs, and the session has none afterwards."""
    assert await seen(lone, mem="7MB") == Seen("7MB", "force_custom_plan")
    await check_plain(lone)
    assert await note(lone, who="a", mem=1024) == "1MB"
    assert await put(lone, who="a", mem=2048) == 1
    await check_plain(lone)
    assert (await seen(lone, mem=None)).mem == "4MB"
    with pytest.raises(asyncpg.DivisionByZeroError):
        await divide(lone, n=0, mem=1024)
    await check_plain(lone)
    stored = await lone.sql("select who || mem as t from noted order by mem", type=str)
    assert stored == ["a1MB", "a2MB"]


@both
async def test_concurrent_calls_have_their_own(lone: plainsql.Database) -> None:
    """Calls that share round trips do not share settings."""
    for _ in range(3):
        calls = [seen(lone, mem=f"{n}MB") for n in range(1, 21)] + [plain(lone) for _ in range(5)]
        found = [each.mem for each in await asyncio.gather(*calls)]
        assert found == [f"{n}MB" for n in range(1, 21)] + ["4MB"] * 5


@both
async def test_the_tenant_wins(lone: plainsql.Database) -> None:
    """A query's settings go with the tenant's, and cannot replace them."""
    acme = lone.tenant("acme")
    assert await tenant(acme) == "acme9MB"
    async with acme.transaction() as tx:
        assert (await seen(tx, mem="2MB")).mem == "2MB"
        assert (await plain(tx)).mem == "4MB"


@both
async def test_sets_of_a_batch(lone: plainsql.Database) -> None:
    """Each set has its settings: of reads, of writes, with and without results, also in a transaction."""
    sets: list[Any] = [{"mem": "2MB"}, {"mem": "2MB"}, {"mem": "3MB"}, {"mem": None}]
    wanted = ["2MB", "2MB", "3MB", "4MB"]
    assert [each.mem for each in await seen.batch(lone, sets)] == wanted
    writes: list[Any] = [{"who": "b", "mem": mem} for mem in ("5MB", "5MB", "6MB")]
    assert await note.batch(lone, writes) == ["5MB", "5MB", "6MB"]
    assert await note.batch(lone, writes[:2]) == ["5MB", "5MB"]
    await put.execute_many(lone, writes)
    await check_plain(lone)
    async with lone.transaction() as tx:
        assert [each.mem for each in await seen.batch(tx, sets)] == wanted
        assert await note.batch(tx, writes) == ["5MB", "5MB", "6MB"]
        await put.execute_many(tx, writes)
        await check_plain(tx)
    assert await lone.sql("select count(*) from noted where mem in ('5MB', '6MB')", type=int) == [14]


@both
async def test_streams_columns_and_copies(lone: plainsql.Database) -> None:
    """The rows that a cursor or COPY reads have them, and other queries in between have not."""
    assert [row.mem async for row in rows.stream(lone, n=1200, mem=1024)] == ["1MB"] * 1200
    assert _first(await rows.columns(lone, n=2, mem=1024)) == ["1MB"] * 2
    output = io.BytesIO()
    assert await lone.copy_out(rows, output, {"n": 2, "mem": 1024}, header=False) == 2
    assert output.getvalue() == b"1MB,force_custom_plan\n" * 2
    async with lone.transaction() as tx:
        seen_in_stream: list[str] = []
        async for row in rows.stream(tx, n=1200, mem=1024):
            if len(seen_in_stream) % 400 == 0:
                await check_plain(tx)
            seen_in_stream.append(row.mem)
        assert seen_in_stream == ["1MB"] * 1200
        assert _first(await rows.columns(tx, n=2, mem=1024)) == ["1MB"] * 2
        await check_plain(tx)


@both
async def test_a_transaction_gets_its_own_back(lone: plainsql.Database) -> None:
    """The transaction's own value is restored after a result, an error and a rollback."""
    async with lone.transaction() as tx:
        await tx.connection.execute("set local work_mem = '11MB'")
        assert (await seen(tx, mem="2MB")).mem == "2MB"
        assert (await plain(tx)).mem == "11MB"
        with pytest.raises(NoRowError):
            await none(tx, mem=1024)
        with pytest.raises(BindError):
            await divide(tx, n="no number", mem=1024)  # type: ignore[call-overload]
        assert (await plain(tx)).mem == "11MB"
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with tx.transaction() as savepoint:
                await divide(savepoint, n=0, mem=1024)
        assert (await plain(tx)).mem == "11MB"


@both
async def test_pipelines(lone: plainsql.Database) -> None:
    """Statements of one round trip have each their own."""
    async with lone.pipeline() as pipeline:
        found = [
            pipeline.add(seen, mem="2MB"),
            pipeline.add(plain),
            pipeline.add(seen, mem="3MB"),
        ]
        written = pipeline.add(note, who="p", mem=5120)
    assert [each.result().mem for each in found] == ["2MB", "4MB", "3MB"]
    assert written.result() == "5MB"
    await check_plain(lone)


@both
async def test_a_refused_value_is_not_shown(lone: plainsql.Database) -> None:
    """The error names the query and the setting, and holds no value."""
    with pytest.raises(BindError, match=r"^o\.seen: PostgreSQL refuses the value of work_mem") as caught:
        await seen(lone, mem="secret")
    assert "secret" not in "".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    with pytest.raises(BindError, match=r"expected 64 kB\.\.\d+ kB"):
        await seen(lone, mem=1)
    with pytest.raises(BindError, match="mem: expected a number, a text or a bool for a setting, got list"):
        await seen(lone, mem=[1])  # type: ignore[call-overload]
    await check_plain(lone)
    async with lone.transaction() as tx:
        with pytest.raises(BindError, match=r"^o\.seen: PostgreSQL refuses the value of work_mem"):
            async with tx.transaction() as savepoint:
                await seen(savepoint, mem="secret")
        await check_plain(tx)
    with pytest.raises(BindError, match=r"work_mem"):
        async with lone.pipeline() as pipeline:
            pipeline.add(plain)
            pipeline.add(seen, mem="secret")


async def test_on_connections_of_the_program(shop_url: str) -> None:
    """`over` restores them in the program's transaction, and commits its own call without one."""
    connection = await asyncpg.connect(shop_url)
    db = plainsql.over(connection)
    assert (await seen(db, mem="2MB")).mem == "2MB"
    assert [each.mem for each in await seen.batch(db, [{"mem": "2MB"}, {"mem": "3MB"}])] == ["2MB", "3MB"]
    await check_plain(db)
    async with connection.transaction():
        assert (await seen(db, mem="2MB")).mem == "2MB"
        with pytest.raises(BindError):
            await divide(db, n="no number", mem=1024)  # type: ignore[call-overload]
        await check_plain(db)
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with db.transaction() as savepoint:
                await divide(savepoint, n=0, mem=1024)
        await check_plain(db)
    await connection.close()


async def test_a_setting_that_no_role_may_set(shop_url: str) -> None:
    """The server's refusal names the query."""

    @one[int]("o.forbidden", "o.sql", 1, "select 1", **_READ, settings={"shared_buffers": "1GB"})
    def forbidden() -> Args:
        return ()

    async with plainsql.connect(shop_url) as db:
        with pytest.raises(ContractError, match=r"^o\.forbidden: PostgreSQL refuses to set shared_buffers"):
            await forbidden(db)
