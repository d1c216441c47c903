"""Lists are paged by key: no row is skipped or returned twice, even if times are equal."""

from __future__ import annotations

from typing import Any

import pytest

import plainsql
from plainsql.errors import BindError
from plainsql.layers.realty import (
    appointments,
    conversations,
    leads,
    messages,
    projects,
    properties,
    typologies,
)
from tests.layers.realty.agency import execute, open_agency, pages

TABLES = {
    "leads": leads,
    "conversations": conversations,
    "messages": messages,
    "projects": projects,
    "typologies": typologies,
    "properties": properties,
    "appointments": appointments,
}
ROWS = 10


@pytest.fixture
async def crowded_db(realty_db: plainsql.Database) -> plainsql.Database:
    """Ten rows in every table, created at three times."""
    if await leads.count(realty_db) == 0:
        for _ in range(ROWS):
            agency = await open_agency(realty_db)
            await messages.append(
                realty_db, conversation_id=agency.conversation.id, type="human", content="hola"
            )
            await execute(
                realty_db,
                """insert into realty.appointments (
                     lead_id, conversation_id, project_id, property_id, scheduled_for
                   )
                   values ($1, $2, $3, $4, now())""",
                agency.lead.id,
                agency.conversation.id,
                agency.project.id,
                agency.home.id,
            )
        for name in TABLES:
            await execute(
                realty_db,
                f"""update realty.{name} as r
                    set created_at = timestamptz '2026-01-01 00:00Z' + n.number % 3 * interval '1 day'
                    from (select id, row_number() over () as number from realty.{name}) as n
                    where r.id = n.id""",
            )
    return realty_db


@pytest.mark.parametrize("table", TABLES)
async def test_a_list_shows_every_row_once_newest_first(crowded_db: plainsql.Database, table: str) -> None:
    query: Any = TABLES[table].list
    rows = [row async for row in pages(query, crowded_db, "created_at", "id")]
    assert len({row.id for row in rows}) == len(rows) == ROWS
    assert rows == sorted(rows, key=lambda row: (row.created_at, row.id), reverse=True)
    assert len({row.created_at for row in rows}) == 3


@pytest.mark.parametrize("query", [projects.list_without_embedding, properties.list_without_embedding])
async def test_rows_without_an_embedding_are_paged_oldest_first(
    crowded_db: plainsql.Database, query: Any
) -> None:
    rows = [row async for row in pages(query, crowded_db, "created_at", "id")]
    assert len({row.id for row in rows}) == len(rows) == ROWS
    assert rows == sorted(rows, key=lambda row: (row.created_at, row.id))


async def test_a_page_has_fifty_rows_by_default_and_two_hundred_at_most(
    fresh_realty_db: plainsql.Database,
) -> None:
    await execute(
        fresh_realty_db, "insert into realty.leads (name) select 'Ana' from generate_series(1, 201)"
    )
    assert len(await leads.list(fresh_realty_db)) == 50
    assert len(await leads.list(fresh_realty_db, limit=200)) == 200
    for limit in (0, 201):
        with pytest.raises(BindError):
            await leads.list(fresh_realty_db, limit=limit)


async def test_a_cursor_is_given_whole_or_not_at_all(realty_db: plainsql.Database) -> None:
    lead = await leads.create(realty_db, name="Ana")
    with pytest.raises(BindError):
        await leads.list(realty_db, after_id=lead.id)


@pytest.mark.parametrize("table", TABLES)
async def test_a_list_reads_its_index_and_does_not_sort(realty_db: plainsql.Database, table: str) -> None:
    query: Any = TABLES[table].list
    plan, args = query.compiled.text(query.compiled.bind((), {"limit": 10}))
    async with realty_db.transaction() as tx:
        # Tables are too small here for an index to be cheaper.
        await tx.connection.execute("set local enable_seqscan = off")
        rows = await tx.connection.fetch(f"explain (costs off) {plan.sql}", *args)
    shown = "\n".join(row[0] for row in rows)
    assert f"Index Scan Backward using {table}_created_at_idx" in shown
    assert "Sort" not in shown
