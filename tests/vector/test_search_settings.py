"""The settings of one search reach its index, also where the session has loaded no pgvector yet."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

import plainsql
import plainsql.sync
from plainsql.query import Args, many

_SQL = "select p.id from lone_passage as p where p.bucket = 1 order by p.e <-> :q limit 10"
_FACTS: Any = {"read_only": True, "session_clean": True}
_INDEX = {"enable_seqscan": "off", "enable_sort": "off"}


@many[int]("v.few", "v.sql", 1, _SQL, **_FACTS, settings=_INDEX)
def few(*, q: list[float]) -> Args:
    return (q,)


@many[int](
    "v.all", "v.sql", 1, _SQL, **_FACTS, settings={**_INDEX, "ivfflat.iterative_scan": "relaxed_order"}
)
def all_lists(*, q: list[float]) -> Args:
    return (q,)


@many[int](
    "v.probes", "v.sql", 1, _SQL, **_FACTS, settings=_INDEX, setting_parameters={"ivfflat.probes": "probes"}
)
def probing(*, q: list[float], probes: int) -> Args:
    return (q, probes)


@pytest.fixture(scope="module")
def passages_url(database_url: str) -> str:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            """
            create extension if not exists vector;
            create table lone_passage (id int primary key, bucket int not null, e vector(4) not null);
            select setseed(0.5);
            insert into lone_passage
            select n, n % 50, array[random(), random(), random(), random()]::vector
            from generate_series(1, 2000) as n;
            create index on lone_passage using ivfflat (e vector_l2_ops) with (lists = 40);
            """
        )
    return database_url


async def test_an_ivfflat_search_finds_enough_rows(passages_url: str) -> None:
    """The first call of a session has its settings too, and the next one has none of them."""
    q = [0.5, 0.5, 0.5, 0.5]
    async with plainsql.connect(passages_url, max_size=1) as db:
        assert len(await all_lists(db, q=q)) == 10
        assert len(await few(db, q=q)) < 10
        found = [len(rows) for rows in [await probing(db, q=q, probes=probes) for probes in (1, 40)]]
        assert found[0] < 10
        assert found[1] == 10
        async with db.transaction() as tx:
            assert len(await all_lists(tx, q=q)) == 10
            assert len(await few(tx, q=q)) < 10
    with plainsql.sync.connect(passages_url) as sync_db:
        assert len(all_lists(sync_db, q=q)) == 10
        assert len(few(sync_db, q=q)) < 10
