"""Events in the users' calendars."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncpg import CheckViolationError, ForeignKeyViolationError

import plainsql
from plainsql.database import TenantDatabase
from plainsql.errors import BindError
from plainsql.layers.assistant import events, users
from tests.layers.assistant.desk import Desk, execute, open_desk, pages, soon

DAY = datetime(2030, 5, 6, tzinfo=UTC)


@pytest.fixture
async def empty(tenant: TenantDatabase) -> Desk:
    """A user whose calendar is empty."""
    desk = await open_desk(tenant)
    await events.purge(tenant, id=desk.event.id)
    return desk


@pytest.mark.parametrize(
    "values",
    [
        {"title": ""},
        {"status": "lost"},
        {"end_datetime": DAY - timedelta(hours=1)},
        {"reminder_minutes": -1},
        {"recurrence_rule": "every monday"},
        {"external_id": ""},
        {"extra_data": [1]},
    ],
)
async def test_invalid_values_are_refused(desk: Desk, values: dict[str, Any]) -> None:
    with pytest.raises(CheckViolationError):
        await desk.plan(**{"start_datetime": DAY, **values})


async def test_an_event_is_of_a_user_of_the_tenant(app_db: plainsql.Database, desk: Desk) -> None:
    with pytest.raises(ForeignKeyViolationError, match="there is no user"):
        await events.create(
            app_db.tenant("somebody else"), user_id=desk.user.id, title="Cita", start_datetime=DAY
        )


async def test_update_changes_only_the_given_columns(desk: Desk) -> None:
    changed = await events.update(desk.db, id=desk.event.id, title="Cena", end_datetime=None)
    assert changed is not None
    assert (changed.title, changed.end_datetime) == ("Cena", None)
    assert (changed.start_datetime, changed.event_type) == (desk.event.start_datetime, "work")
    assert await events.update(desk.db, id=0, title="Cena") is None


async def test_a_users_events_come_latest_first_and_by_status(empty: Desk) -> None:
    planned = [await empty.plan(start_datetime=DAY + timedelta(days=number % 3)) for number in range(7)]
    await events.cancel(empty.db, id=planned[0].id)
    found = [
        row async for row in pages(events.by_user, empty.db, "start_datetime", "id", user_id=empty.user.id)
    ]
    assert [row.id for row in found] == [
        row.id for row in sorted(planned, key=lambda row: (row.start_datetime, row.id), reverse=True)
    ]
    pending = await events.by_user(empty.db, user_id=empty.user.id, status="pending")
    assert {row.id for row in pending} == {row.id for row in planned[1:]}


async def test_upcoming_is_what_begins_within_some_hours(empty: Desk) -> None:
    later = await empty.plan(start_datetime=soon(hours=3))
    sooner = await empty.plan(start_datetime=soon(hours=1))
    await empty.plan(start_datetime=soon(hours=-1))
    await empty.plan(start_datetime=soon(hours=30))
    await events.cancel(empty.db, id=(await empty.plan(start_datetime=soon(hours=2))).id)
    found = await events.upcoming(empty.db)
    assert [row.id for row in found] == [sooner.id, later.id]
    assert [row.id for row in await events.upcoming(empty.db, within_hours=2)] == [sooner.id]
    other = await users.create(empty.db)
    assert await events.upcoming(empty.db, user_id=other.id) == []
    with pytest.raises(BindError):
        await events.upcoming(empty.db, within_hours=0)


async def test_an_event_is_completed_or_cancelled_once(desk: Desk) -> None:
    done = await events.mark_completed(desk.db, id=desk.event.id)
    assert done is not None
    assert done.status == "completed"
    assert await events.mark_completed(desk.db, id=desk.event.id) is None
    assert await events.cancel(desk.db, id=desk.event.id) is None


async def test_a_range_has_what_begins_in_it_and_what_is_still_on(empty: Desk) -> None:
    hour, day = timedelta(hours=1), timedelta(days=1)
    inside = [
        await empty.plan(title="a month's travel", start_datetime=DAY - 20 * day, end_datetime=DAY + 9 * day),
        await empty.plan(title="over midnight", start_datetime=DAY - hour, end_datetime=DAY + hour),
        await empty.plan(title="first thing", start_datetime=DAY),
        await empty.plan(title="last thing", start_datetime=DAY + day - hour, end_datetime=DAY + 3 * day),
    ]
    await empty.plan(title="over", start_datetime=DAY - 2 * hour, end_datetime=DAY)
    await empty.plan(title="no end", start_datetime=DAY - hour)
    await empty.plan(title="travel before", start_datetime=DAY - 20 * day, end_datetime=DAY)
    await empty.plan(title="next day", start_datetime=DAY + day)
    given: dict[str, Any] = {"user_id": empty.user.id, "since": DAY, "until": DAY + day}
    found = [row async for row in pages(events.by_date_range, empty.db, "start_datetime", "id", **given)]
    assert [row.title for row in found] == [row.title for row in inside]
    await events.mark_completed(empty.db, id=inside[0].id)
    done = await events.by_date_range(empty.db, status="completed", **given)
    assert [row.title for row in done] == ["a month's travel"]


async def test_a_reminder_is_due_once_its_time_has_come(empty: Desk) -> None:
    due = await empty.plan(start_datetime=soon(minutes=5), reminder_minutes=10)
    await empty.plan(start_datetime=soon(minutes=20), reminder_minutes=10)
    await empty.plan(start_datetime=soon(minutes=5))
    late = await empty.plan(start_datetime=soon(hours=-2), reminder_minutes=10)
    await events.cancel(
        empty.db, id=(await empty.plan(start_datetime=soon(minutes=5), reminder_minutes=10)).id
    )
    assert due.remind_at == due.start_datetime - timedelta(minutes=10)
    assert [row.id for row in await events.due_reminders(empty.db)] == [due.id]
    found = await events.due_reminders(empty.db, late_minutes=180)
    assert [row.id for row in found] == [late.id, due.id]


async def test_a_reminder_that_was_taken_is_due_again_once_it_is_moved(desk: Desk) -> None:
    taken = await events.claim_due_reminders(desk.db)
    assert [row.id for row in taken] == [desk.event.id]
    assert await events.due_reminders(desk.db) == []
    await events.update(desk.db, id=desk.event.id, title="Otra")
    assert await events.due_reminders(desk.db) == []
    await events.update(desk.db, id=desk.event.id, start_datetime=soon(minutes=8))
    assert [row.id for row in await events.due_reminders(desk.db)] == [desk.event.id]


async def test_each_worker_claims_reminders_of_its_own(empty: Desk) -> None:
    for number in range(30):
        await empty.plan(title=f"{number}", start_datetime=soon(minutes=5), reminder_minutes=10)
    taken = await asyncio.gather(*(events.claim_due_reminders(empty.db, limit=4) for _ in range(10)))
    ids = [row.id for batch in taken for row in batch]
    ids += [row.id for row in await events.claim_due_reminders(empty.db)]
    assert len(ids) == len(set(ids)) == 30


async def test_an_entry_of_another_calendar_is_kept_once_and_brought_up_to_date(desk: Desk) -> None:
    given: dict[str, Any] = {"user_id": desk.user.id, "external_id": "calendar-1", "start_datetime": DAY}
    saved = await asyncio.gather(
        *(events.save_external(desk.db, title=f"Reunión {number}", **given) for number in range(5))
    )
    assert {row.id for row in saved} == {desk.event.id}
    assert saved[0].reminder_minutes == desk.event.reminder_minutes
    other = await users.create(desk.db)
    theirs = await events.save_external(desk.db, title="Reunión", **{**given, "user_id": other.id})
    assert theirs.id != desk.event.id


async def test_reminders_read_their_index(owner_db: plainsql.Database, desk: Desk) -> None:
    plan, args = events.due_reminders.compiled.text(events.due_reminders.compiled.bind((), {}))
    async with desk.db.transaction() as tx:
        await tx.connection.execute("set local enable_seqscan = off")
        rows = await tx.connection.fetch(f"explain (costs off) {plan.sql}", *args)
    assert "events_remind_at_idx" in "\n".join(row[0] for row in rows)
    await execute(owner_db, "select 1")
