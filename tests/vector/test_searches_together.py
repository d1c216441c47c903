"""Sixty concurrent searches return the rows of single ones, in their order, with their recall."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

import plainsql
from plainsql.query import Args, many
from plainsql.rows import Row
from plainsql.vector import Vector

ROWS = 20_000
DIMENSIONS = 48
SEARCHES = 60


class Near(Row, frozen=True):
    id: int
    distance: float


@many[Near](
    "t.nearest",
    "t.sql",
    1,
    """\
with nearest as (
  select p.id, p.e <=> :q as distance
  from passage as p
  where p.bucket < :below
  order by p.e <=> :q
  limit :limit
)
select n.id, n.distance from nearest as n order by n.distance + 0, n.id""",
    read_only=True,
    session_clean=True,
)
def nearest(*, q: Vector, below: int, limit: int) -> Args:
    return (q, below, limit)


@many[Near](
    "t.plain",
    "t.sql",
    1,
    "select p.id, p.e <=> :q as distance from passage as p where p.bucket < :below order by p.e <=> :q, p.id"
    " limit :limit",
    read_only=True,
    session_clean=True,
)
def plain(*, q: Vector, below: int, limit: int) -> Args:
    return (q, below, limit)


def _vector(chance: random.Random, center: list[float]) -> list[float]:
    return [x + chance.gauss(0, 0.7) for x in center]


@pytest.fixture(scope="module")
def passages(database_url: str) -> tuple[str, list[Vector]]:
    chance = random.Random(11)
    centers = [[chance.gauss(0, 1) for _ in range(DIMENSIONS)] for _ in range(100)]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            """
            create extension if not exists vector;
            create table passage (id int primary key, bucket int not null, e vector(48) not null);
            """
        )
        with connection.cursor() as cursor, cursor.copy("copy passage from stdin") as copy:
            for number in range(ROWS):
                copy.write_row((number, chance.randrange(1000), str(_vector(chance, chance.choice(centers)))))
        connection.execute("create index on passage using hnsw (e vector_cosine_ops)")
        connection.execute("create index on passage (bucket)")
        connection.execute("analyze passage")
    return database_url, [Vector(_vector(chance, chance.choice(centers))) for _ in range(SEARCHES)]


@pytest.fixture
async def passages_db(passages: tuple[str, list[Vector]]) -> AsyncIterator[plainsql.Database]:
    async with plainsql.connect(passages[0], cache=False) as db:
        yield db


@pytest.mark.parametrize("query", [nearest, plain])
@pytest.mark.parametrize(("below", "limit"), [(1000, 10), (1000, 200), (100, 50), (5, 10)])
async def test_rows_order_and_recall_do_not_depend_on_who_else_asks(
    passages_db: plainsql.Database, passages: tuple[str, list[Vector]], query: Any, below: int, limit: int
) -> None:
    searches = [{"q": q, "below": below, "limit": limit} for q in passages[1]]
    alone = [await query(passages_db, **search) for search in searches]
    for _ in range(2):
        assert await asyncio.gather(*(query(passages_db, **search) for search in searches)) == alone
    assert await query.batch(passages_db, searches) == alone
    async with passages_db.transaction() as tx:
        assert await query.batch(tx, searches[:10]) == alone[:10]
        await tx.connection.execute("set local enable_indexscan = off")
        exact = [await query(tx, **search) for search in searches[:20]]
    found = sum(
        len({row.id for row in rows} & {row.id for row in best})
        for rows, best in zip(alone, exact, strict=False)
    )
    assert found >= 0.8 * sum(map(len, exact))
    for rows in alone:
        assert [(row.distance, row.id) for row in rows] == sorted((row.distance, row.id) for row in rows)


async def test_the_forms_of_a_search_are_planned_alike(
    passages_db: plainsql.Database, passages: tuple[str, list[Vector]]
) -> None:
    """A search that is pipelined scans the index that it scans alone."""
    plan, values = nearest.compiled.text((passages[1][0], 1000, 10))
    pipelined = passages_db._state.forms.of(nearest.compiled, plan).pipelined.sql
    assert not nearest.compiled.by_key
    async with passages_db.acquire() as connection:
        for sql, arguments in ((plan.sql, values), (pipelined, (*values, 0))):
            lines = await connection.fetch(f"explain (costs off) {sql}", *arguments)
            assert any("Index Scan using passage_e_idx" in line[0] for line in lines)
