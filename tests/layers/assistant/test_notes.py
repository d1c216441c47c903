"""Notes of users, with tags and reminders."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asyncpg import CheckViolationError

from plainsql.layers.assistant import notes, users
from tests.layers.assistant.desk import Desk, pages, soon


@pytest.mark.parametrize(
    "values", [{"content": ""}, {"tags": [""]}, {"tags": ["a", None]}, {"extra_data": "text"}]
)
async def test_invalid_values_are_refused(desk: Desk, values: dict[str, Any]) -> None:
    with pytest.raises(CheckViolationError):
        await desk.write(**values)


async def test_update_changes_only_the_given_columns(desk: Desk) -> None:
    changed = await notes.update(desk.db, id=desk.note.id, title=None, tags=["otra"])
    assert changed is not None
    assert (changed.title, changed.tags, changed.content) == (None, ["otra"], desk.note.content)
    assert await notes.update(desk.db, id=0, title="x") is None


async def test_a_note_is_in_its_users_language_by_default(desk: Desk) -> None:
    assert desk.note.language_code == "es"
    assert (await desk.write(language_code="en")).language_code == "en"


async def test_a_users_notes_come_with_the_pinned_ones_first(desk: Desk) -> None:
    written = [desk.note, *[await desk.write(category="casa", is_pinned=n % 3 == 0) for n in range(7)]]
    cursor = ("is_pinned", "created_at", "id")
    found = [row async for row in pages(notes.by_user, desk.db, *cursor, user_id=desk.user.id)]
    newest = sorted(written, key=lambda row: (row.is_pinned, row.created_at, row.id), reverse=True)
    assert [row.id for row in found] == [row.id for row in newest]
    await desk.write(category="trabajo")
    at_work = await notes.by_user(desk.db, user_id=desk.user.id, category="trabajo")
    assert len(at_work) == 1


async def test_a_pin_goes_on_and_off(desk: Desk) -> None:
    for pinned in (True, False):
        note = await notes.toggle_pin(desk.db, id=desk.note.id)
        assert note is not None
        assert note.is_pinned is pinned
    await asyncio.gather(*(notes.toggle_pin(desk.db, id=desk.note.id) for _ in range(5)))
    note = await notes.get_by_id(desk.db, id=desk.note.id)
    assert note is not None
    assert note.is_pinned
    assert await notes.toggle_pin(desk.db, id=0) is None


async def test_notes_have_all_of_some_tags_or_any(desk: Desk) -> None:
    both = await desk.write(tags=["rojo", "verde"])
    red = await desk.write(tags=["rojo"])
    green = await desk.write(tags=["verde", "azul"])

    async def found(*tags: str, **given: Any) -> list[int]:
        return [row.id for row in await notes.by_tags(desk.db, tags=list(tags), **given)]

    assert await found("rojo") == [red.id, both.id]
    assert await found("rojo", "verde") == [both.id]
    assert await found("rojo", "verde", match_all=False) == [green.id, red.id, both.id]
    assert await found("roj") == []
    assert await found(match_all=False) == []
    other = await users.create(desk.db)
    assert await found("rojo", user_id=other.id) == []
    assert await found("rojo", user_id=desk.user.id) == [red.id, both.id]


@pytest.mark.parametrize(
    "tag",
    ["o'clock", "a\\b", "a & b | !c", "🙂", "con espacio", "x" * 300, "rojo:*", "MAYÚSCULA", "\x01acme"],
)
async def test_any_text_may_be_a_tag(desk: Desk, tag: str) -> None:
    note = await desk.write(tags=[tag])
    await desk.write(tags=[tag + "2"])
    assert [row.id for row in await notes.by_tags(desk.db, tags=[tag])] == [note.id]
    assert [row.id for row in await notes.by_tags(desk.db, tags=[tag], match_all=False)] == [note.id]


async def test_notes_by_tags_are_paged_newest_first(desk: Desk) -> None:
    written = [await desk.write(tags=["rojo"]) for _ in range(7)]
    found = [row.id async for row in pages(notes.by_tags, desk.db, "created_at", "id", tags=["rojo"])]
    assert found == [row.id for row in reversed(written)]


async def test_changed_tags_are_found_as_they_are_now(desk: Desk) -> None:
    note = await desk.write(tags=["rojo"])
    await notes.update(desk.db, id=note.id, tags=["verde"])
    assert await notes.by_tags(desk.db, tags=["rojo"]) == []
    assert [row.id for row in await notes.by_tags(desk.db, tags=["verde"])] == [note.id]


async def test_a_reminder_is_due_once_its_time_has_come_and_is_taken_once(desk: Desk) -> None:
    later = await desk.write(reminder_datetime=soon(hours=1))
    assert [row.id for row in await notes.due_reminders(desk.db)] == [desk.note.id]
    taken = await asyncio.gather(*(notes.claim_due_reminders(desk.db) for _ in range(5)))
    assert [row.id for batch in taken for row in batch] == [desk.note.id]
    assert await notes.due_reminders(desk.db) == []
    await notes.update(desk.db, id=later.id, reminder_datetime=soon(minutes=-5))
    await notes.update(desk.db, id=desk.note.id, reminder_datetime=soon(minutes=-1, seconds=-30))
    assert [row.id for row in await notes.due_reminders(desk.db)] == [later.id, desk.note.id]
