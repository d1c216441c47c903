"""Deleted rows are not visible in any query."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from asyncpg import ForeignKeyViolationError, InsufficientPrivilegeError

import plainsql
from plainsql.database import TenantDatabase
from plainsql.layers.assistant import events, notes, users
from plainsql.rows import Row
from tests.layers.assistant.desk import ARGUMENTS, TABLES, Desk, execute, open_desk, undone
from tests.layers.isolation import application_url, queries_of

BRINGS_BACK = {
    *(f"{table}.{verb}" for table in TABLES for verb in ("restore", "purge", "purge_deleted")),
    *(f"cleanup.{table}" for table in TABLES),
}
"""Queries about deleted rows: they return a number and no content."""
TELLS_OF_IT = {f"audit_log.{name}" for name in ("count", "get_by_id", "list", "trail")}
"""Queries of the log, which records the deleted rows and the user who deleted them."""
ENTERS = (".create", ".add_message", ".save_external", ".get_or_start")
READS = sorted(set(queries_of("assistant")) - BRINGS_BACK - TELLS_OF_IT)


def shape(value: Any) -> Any:
    """A result without its times, which differ between two databases."""
    if isinstance(value, list):
        return [shape(item) for item in value]
    if isinstance(value, Row):
        return {name: shape(getattr(value, name)) for name in value.__struct_fields__}
    return "a time" if isinstance(value, datetime) else value


async def results(url: str, delete: Any) -> dict[str, Any]:
    """Return the result of each query after rows that look like the live ones were deleted by ``delete``."""
    given = queries_of("assistant")
    found = {}
    with application_url(url, "assistant_app") as application:
        async with plainsql.connect(application) as db:
            tenant = db.tenant("acme")
            desk = await open_desk(tenant, delete)
            for name in READS:
                async with undone(tenant) as tx:
                    try:
                        found[name] = shape(await given[name](tx, **ARGUMENTS[name](desk)))
                    except plainsql.TooManyRowsError:
                        found[name] = {"rows": "too many"}
    return found


async def hidden_rows_that_show(url: str, other_url: str) -> set[str]:
    beside = await results(url, lambda module: module.soft_delete)
    alone = await results(other_url, lambda module: module.purge)
    # An id that a query makes differs between the two: a rolled back id is used up.
    return {name for name in READS if _without_made(name, beside) != _without_made(name, alone)}


def _without_made(name: str, found: dict[str, Any]) -> Any:
    makes = name.endswith((".create", ".add_message"))
    return {**found[name], "id": "made"} if makes else found[name]


async def test_no_query_is_aware_of_deleted_rows_that_look_like_the_live_ones(
    plainsql_fresh_database_url: str, second_database_url: str
) -> None:
    assert await hidden_rows_that_show(plainsql_fresh_database_url, second_database_url) == set()


async def test_every_query_has_arguments() -> None:
    assert set(READS) | BRINGS_BACK == set(ARGUMENTS)
    assert set(queries_of("assistant")) == set(ARGUMENTS) | TELLS_OF_IT


async def test_without_the_condition_in_the_policies_deleted_rows_show(
    plainsql_fresh_database_url: str, second_database_url: str
) -> None:
    """The test above would find them."""
    for url in (plainsql_fresh_database_url, second_database_url):
        async with plainsql.connect(url) as owner:
            for table in TABLES:
                await execute(
                    owner,
                    f"""alter policy {table}_seen on assistant.{table} using (
                      tenant_id = (select nullif(current_setting('app.jwt_tenant', true), ''))
                    )""",
                )
    shown = await hidden_rows_that_show(plainsql_fresh_database_url, second_database_url)
    assert {f"{table}.{verb}" for table in TABLES for verb in ("list", "count")} <= shown


async def test_a_deleted_row_is_as_one_that_is_not_there(desk: Desk) -> None:
    named = {"id": None, "user_id": "users", "conversation_id": "conversations"}
    tried = 0
    for name in READS:
        given = dict(ARGUMENTS[name](desk))
        for parameter, table in named.items():
            if parameter in given:
                given[parameter] = desk.deleted[table or name.partition(".")[0]]
        if given == ARGUMENTS[name](desk) and name != "conversations.get_or_start":
            continue
        if "session_id" in given:
            given["session_id"] = "session-of-nobody"
        tried += 1
        async with undone(desk.db) as tx:
            try:
                found = await queries_of("assistant")[name](tx, **given)
            except ForeignKeyViolationError:
                assert name.endswith(ENTERS), name
                # A failed statement ends the use of the transaction.
            else:
                assert found in (None, [], 0), name
    assert tried > 20


async def test_the_application_cannot_see_a_deleted_row_by_any_sql(desk: Desk) -> None:
    async with desk.db.transaction() as tx:
        for table, id in desk.deleted.items():
            fetch = tx.connection.fetch
            assert await fetch(f"select from assistant.{table} where id = $1", id) == []
            assert await fetch(f"select from assistant.{table} where deleted_at is not null") == []
            # The view of deletable rows shows a key and a time, and no content.
            (row,) = await fetch(f"select * from assistant.deletable_{table} where id = $1", id)
            assert set(row.keys()) == {"tenant_id", "id", "deleted_at"}


@pytest.mark.parametrize(
    "column", ["deleted_at", "tenant_id", "created_by", "updated_by", "created_at", "id"]
)
async def test_the_application_does_not_write_what_the_database_keeps(desk: Desk, column: str) -> None:
    for table in TABLES:
        with pytest.raises(InsufficientPrivilegeError):
            async with desk.db.transaction() as tx:
                await tx.connection.execute(f"update assistant.{table} set {column} = default")


async def test_the_application_removes_rows_by_purge_only(desk: Desk) -> None:
    for table in TABLES:
        for statement in (f"delete from assistant.{table}", f"truncate assistant.{table}"):
            with pytest.raises(InsufficientPrivilegeError):
                async with desk.db.transaction() as tx:
                    await tx.connection.execute(statement)


async def test_search_and_tags_pass_deleted_notes_over(tenant: TenantDatabase) -> None:
    user = await users.create(tenant, language_code="es")
    note = await notes.create(tenant, user_id=user.id, content="Comprar manzanas", tags=["compras"])
    found = await notes.search(tenant, query="manzanas", user_id=user.id)
    assert [match.id for match in found] == [note.id]
    await notes.soft_delete(tenant, id=note.id)
    assert await notes.search(tenant, query="manzanas", user_id=user.id) == []
    assert await notes.by_tags(tenant, tags=["compras"]) == []
    await notes.restore(tenant, id=note.id)
    again = await notes.search(tenant, query="manzanas", user_id=user.id)
    assert [match.id for match in again] == [note.id]


async def test_a_deleted_external_event_is_inserted_again_by_its_calendar(desk: Desk) -> None:
    await events.soft_delete(desk.db, id=desk.event.id)
    again = await events.save_external(
        desk.db,
        user_id=desk.user.id,
        external_id="calendar-1",
        title="Reunión",
        start_datetime=desk.event.start_datetime,
    )
    assert again.id != desk.event.id


async def test_a_deleted_note_takes_no_place_on_a_page(desk: Desk) -> None:
    best = await desk.write(title="Manzanas", content="Manzanas", tags=["rojo"])
    other = await desk.write(content="Una manzana", tags=["rojo"])
    newest = await desk.write(title="Manzanas", content="Manzanas y manzanas", tags=["rojo"])
    for note in (best, newest):
        await notes.soft_delete(desk.db, id=note.id)
    found = await notes.search(desk.db, query="manzana", user_id=desk.user.id, limit=1)
    tagged = await notes.by_tags(desk.db, tags=["rojo"], limit=1)
    assert {row.id for row in found} <= {other.id, desk.note.id}
    assert len(found) == 1
    assert [row.id for row in tagged] == [other.id]
