"""Lists are paged by key: no row is skipped or returned twice, even if times are equal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

import plainsql
from plainsql.errors import BindError
from plainsql.layers.marketplace import bot_sessions, buyers, conversations, messages, products
from tests.layers.marketplace.stall import execute, open_stall, pages

TABLES = {
    "products": products,
    "buyers": buyers,
    "conversations": conversations,
    "messages": messages,
    "bot_sessions": bot_sessions,
}
ROWS = 10


@pytest.fixture
async def crowded_db(marketplace_db: plainsql.Database) -> plainsql.Database:
    """Ten rows in every table, created at three times."""
    if await products.count(marketplace_db) == 0:
        for number in range(ROWS):
            stall = await open_stall(marketplace_db)
            await messages.append(marketplace_db, conversation_id=stall.talk.id, content="hola")
            await bot_sessions.open(marketplace_db, session_key=f"bot {number}")
        for name in TABLES:
            await execute(
                marketplace_db,
                f"""update marketplace.{name} as r
                    set created_at = timestamptz '2026-01-01 00:00Z' + r.id % 3 * interval '1 day'""",
            )
    return marketplace_db


@pytest.mark.parametrize("table", TABLES)
async def test_a_list_shows_every_row_once_newest_first(crowded_db: plainsql.Database, table: str) -> None:
    query: Any = TABLES[table].list
    rows = [row async for row in pages(query, crowded_db, "created_at", "id")]
    assert len({row.id for row in rows}) == len(rows) == ROWS
    assert rows == sorted(rows, key=lambda row: (row.created_at, row.id), reverse=True)
    assert len({row.created_at for row in rows}) == 3


@pytest.mark.parametrize("table", TABLES)
async def test_count_counts_all_and_since_a_time(crowded_db: plainsql.Database, table: str) -> None:
    query: Any = TABLES[table].count
    assert await query(crowded_db) == ROWS
    since = datetime(2026, 1, 2, tzinfo=UTC)
    assert 0 < await query(crowded_db, since=since) < ROWS


async def test_a_page_has_fifty_rows_by_default_and_two_hundred_at_most(fresh_db: plainsql.Database) -> None:
    await execute(
        fresh_db,
        "insert into marketplace.buyers (wallapop_user_id) select n::text from generate_series(1, 201) as n",
    )
    assert len(await buyers.list(fresh_db)) == 50
    assert len(await buyers.list(fresh_db, limit=200)) == 200
    for limit in (0, 201):
        with pytest.raises(BindError):
            await buyers.list(fresh_db, limit=limit)


async def test_a_cursor_is_given_whole_or_not_at_all(marketplace_db: plainsql.Database) -> None:
    with pytest.raises(BindError):
        await buyers.list(marketplace_db, after_id=1)


@pytest.mark.parametrize("table", TABLES)
async def test_a_list_reads_its_index_and_does_not_sort(
    marketplace_db: plainsql.Database, table: str
) -> None:
    query: Any = TABLES[table].list
    plan, args = query.compiled.text(query.compiled.bind((), {"limit": 10}))
    async with marketplace_db.transaction() as tx:
        # Tables are too small here for an index to be cheaper.
        await tx.connection.execute("set local enable_seqscan = off")
        rows = await tx.connection.fetch(f"explain (costs off) {plan.sql}", *args)
    shown = "\n".join(row[0] for row in rows)
    assert f"Index Scan Backward using {table}_created_at_idx" in shown
    assert "Sort" not in shown
