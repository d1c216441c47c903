"""Search in notes: by words, in the language of the notes, ranked, with the matches marked."""

from __future__ import annotations

import re
from typing import Any

import pytest

import plainsql
from plainsql.database import TenantDatabase
from plainsql.layers.assistant import notes, users
from tests.layers.assistant.desk import Desk, execute, open_desk, pages


@pytest.fixture
async def empty(tenant: TenantDatabase) -> Desk:
    """A user who writes in Spanish, and has no notes."""
    desk = await open_desk(tenant)
    await notes.purge(tenant, id=desk.note.id)
    return desk


async def found(desk: Desk, query: str, **given: Any) -> list[int]:
    rows = await notes.search(desk.db, **{"query": query, "user_id": desk.user.id, **given})
    return [row.id for row in rows]


async def test_words_are_found_in_their_other_forms(empty: Desk) -> None:
    note = await empty.write(title="Reuniones", content="Llamar a los clientes importantes")
    for query in ("reunión", "cliente importante", "llamando", "Llamar a los clientes"):
        assert await found(empty, query) == [note.id]
    assert await found(empty, "proveedor") == []


async def test_the_language_is_the_notes_own(empty: Desk) -> None:
    english = await empty.write(content="The children were running", language_code="en")
    german = await empty.write(content="Die Häuser am See", language_code="de-AT")
    unknown = await empty.write(content="Kwiaty dla mamy", language_code="pl")
    assert await found(empty, "children run", language_code="en") == [english.id]
    assert await found(empty, "Haus", language_code="de") == [german.id]
    assert await found(empty, "kwiaty mamy", language_code="pl") == [unknown.id]
    # The query is in the user's Spanish: the exact words.
    assert await found(empty, "children running") == [english.id]
    assert await found(empty, "Häuser") == [german.id]


async def test_a_title_weighs_more_than_a_content(empty: Desk) -> None:
    content = await empty.write(title="Varios", content="Comprar manzanas")
    title = await empty.write(title="Manzanas", content="Comprar")
    assert await found(empty, "manzanas") == [title.id, content.id]


async def test_a_search_is_read_as_a_web_search(empty: Desk) -> None:
    both = await empty.write(content="pan con queso fresco")
    bread = await empty.write(content="pan de ayer")
    assert await found(empty, '"queso fresco"') == [both.id]
    assert await found(empty, '"fresco queso"') == []
    assert await found(empty, "pan -queso") == [bread.id]
    assert await found(empty, "pan -quesos") == [bread.id]
    assert set(await found(empty, "queso or ayer")) == {both.id, bread.id}


@pytest.mark.parametrize("query", ["", "   ", "-", "()&|!<->", "\x01acme", "'; drop table", "de la"])
async def test_a_query_without_words_finds_nothing(empty: Desk, query: str) -> None:
    await empty.write(content="Regar plantas")
    assert await found(empty, query) == []


async def test_matches_are_marked(empty: Desk) -> None:
    await empty.write(title="Reuniones", content="Preparar la reunión de clientes")
    (match,) = await notes.search(empty.db, query="reunión", user_id=empty.user.id)
    assert match.title_highlight == "<b>Reuniones</b>"
    assert match.content_highlight == "Preparar la <b>reunión</b> de clientes"
    (match,) = await notes.search(
        empty.db, query="reunión", user_id=empty.user.id, start_mark="«", stop_mark='", StopSel=»'
    )
    assert match.content_highlight == 'Preparar la «reunión", StopSel=» de clientes'


async def test_the_highlight_of_a_long_note_shows_the_matches(empty: Desk) -> None:
    filler = " ".join(["relleno"] * 400)
    await empty.write(content=f"{filler} la contraseña del banco {filler}")
    (match,) = await notes.search(empty.db, query="contraseña", user_id=empty.user.id)
    assert "<b>contraseña</b>" in match.content_highlight
    assert len(match.content_highlight) < 500


async def test_a_very_long_note_is_kept_and_found_by_its_beginning(empty: Desk) -> None:
    words = " ".join(f"palabra{number}" for number in range(200_000))
    note = await empty.write(content=f"principio {words} final")
    assert await found(empty, "principio") == [note.id]
    assert await found(empty, "final") == []


async def test_matches_are_paged_best_first(empty: Desk) -> None:
    written = [await empty.write(content="pan " * (1 + number % 3)) for number in range(10)]
    given: dict[str, Any] = {"query": "pan", "user_id": empty.user.id}
    rows = [row async for row in pages(notes.search, empty.db, "rank", "id", **given)]
    assert {row.id for row in rows} == {row.id for row in written}
    assert len(rows) == len(written)
    assert rows == sorted(rows, key=lambda row: (row.rank, row.id), reverse=True)
    assert len({row.rank for row in rows}) == 3


async def test_a_search_is_of_one_user_or_of_the_tenant(empty: Desk) -> None:
    mine = await empty.write(content="pan")
    other = await users.create(empty.db)
    theirs = await notes.create(empty.db, user_id=other.id, content="pan")
    assert await found(empty, "pan") == [mine.id]
    assert set(await found(empty, "pan", user_id=None)) == {mine.id, theirs.id}
    moved = await notes.update(empty.db, id=theirs.id, content="queso")
    assert moved is not None
    assert await found(empty, "pan", user_id=None) == [mine.id]


async def test_another_tenants_words_are_not_read(
    app_db: plainsql.Database, owner_db: plainsql.Database, empty: Desk
) -> None:
    """Check by the plan that only the tenant's rows are read, among many of another with the same words."""
    user = await users.create(app_db.tenant("crowd"), language_code="es")
    await execute(
        owner_db,
        """insert into assistant.notes (tenant_id, user_id, content, tags, language_code)
        select 'crowd', $1, 'pan número ' || n, '{rojo}', 'es' from generate_series(1, 3000) as n""",
        user.id,
    )
    await execute(owner_db, "vacuum analyze assistant.notes")
    note = await empty.write(content="pan", tags=["rojo"])
    assert await found(empty, "pan", user_id=None) == [note.id]
    small = await _plan(owner_db, note.tenant_id, "pan")
    assert max(map(float, re.findall(r"(?:actual rows=|Removed by \w+ ?\w*: )([\d.]+)", small))) < 10
    crowd = await _plan(owner_db, "crowd", "77")
    assert "Bitmap Index Scan on notes_words_idx (actual rows=1" in crowd


async def _plan(owner_db: plainsql.Database, tenant_id: str, word: str) -> str:
    """Return the plan of the function's statement, run as the keeper."""
    async with owner_db.transaction() as tx:
        await tx.connection.execute("set local role assistant_keeper")
        rows = await tx.connection.fetch(
            f"""explain (analyze, costs off, timing off, summary off)
            select n.id from assistant.notes as n
            where n.words @@ (assistant.exact_word(chr(1) || '{tenant_id}') && '{word}'::tsquery)
              and n.tenant_id = '{tenant_id}' and n.deleted_at is null"""
        )
    return "\n".join(row[0] for row in rows)


async def test_the_functions_behind_search_are_the_applications_alone(owner_db: plainsql.Database) -> None:
    async with owner_db.transaction(read_only=True) as tx:
        rows = await tx.connection.fetch(
            """
            select p.proname, p.proowner::regrole::text as owner, p.proconfig,
              has_function_privilege('public', p.oid, 'execute') as is_public
            from pg_proc as p
            where p.pronamespace = 'assistant'::regnamespace and p.prosecdef
            """
        )
    assert {row["owner"] for row in rows} == {"assistant_keeper"}
    assert all("search_path=pg_catalog, pg_temp" in row["proconfig"] for row in rows)
    assert not any(row["is_public"] for row in rows)
