"""Appointments: the visits of leads to homes."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from asyncpg import ForeignKeyViolationError, UniqueViolationError

import plainsql
from plainsql.layers.realty import appointments, conversations, leads, messages, projects, properties
from tests.layers.realty.agency import Agency, open_agency, pages

SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)


async def book(
    agency: Agency, scheduled_for: datetime = SOON, db: plainsql.Database | None = None
) -> appointments.Appointment:
    return await appointments.book(
        db or agency.db,
        lead_id=agency.lead.id,
        conversation_id=agency.conversation.id,
        project_id=agency.project.id,
        property_id=agency.home.id,
        scheduled_for=scheduled_for,
        notes="Prefiere pisos altos",
    )


async def test_a_visit_is_booked(agency: Agency) -> None:
    visit = await book(agency)
    assert (visit.scheduled_for, visit.notes, visit.cancelled_at) == (SOON, "Prefiere pisos altos", None)
    assert await appointments.get_by_id(agency.db, id=visit.id) == visit


async def test_a_lead_is_not_booked_twice_at_the_same_time(agency: Agency) -> None:
    await book(agency)
    with pytest.raises(UniqueViolationError, match="appointments_one_per_lead_and_time_key"):
        await book(agency)
    await book(agency, SOON + timedelta(hours=1))


async def test_one_of_many_concurrent_bookings_succeeds(agency: Agency) -> None:
    results = await asyncio.gather(*(book(agency) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(result, appointments.Appointment) for result in results) == 1
    assert sum(isinstance(result, UniqueViolationError) for result in results) == 19


async def test_two_leads_may_come_at_the_same_time(agency: Agency) -> None:
    await book(agency)
    await book(await open_agency(agency.db))


async def test_a_home_of_another_project_is_refused(agency: Agency) -> None:
    other = await open_agency(agency.db)
    with pytest.raises(ForeignKeyViolationError, match="appointments_property_is_in_project_fkey"):
        await appointments.book(
            agency.db,
            lead_id=agency.lead.id,
            conversation_id=agency.conversation.id,
            project_id=other.project.id,
            property_id=agency.home.id,
            scheduled_for=SOON,
        )


async def test_a_conversation_of_another_lead_is_refused(agency: Agency) -> None:
    other = await open_agency(agency.db)
    with pytest.raises(ForeignKeyViolationError, match="appointments_conversation_is_of_lead_fkey"):
        await appointments.book(
            agency.db,
            lead_id=agency.lead.id,
            conversation_id=other.conversation.id,
            project_id=agency.project.id,
            property_id=agency.home.id,
            scheduled_for=SOON,
        )


async def test_a_cancelled_visit_is_kept_and_its_time_is_free_again(agency: Agency) -> None:
    visit = await book(agency)
    cancelled = await appointments.cancel(agency.db, id=visit.id)
    assert cancelled is not None
    assert cancelled.cancelled_at is not None
    assert await appointments.get_by_id(agency.db, id=visit.id) == cancelled
    assert await appointments.cancel(agency.db, id=visit.id) is None
    again = await book(agency)
    upcoming = await appointments.upcoming_for_lead(agency.db, lead_id=agency.lead.id)
    assert [visit.id for visit in upcoming] == [again.id]


async def test_a_visit_is_moved_to_a_free_time_only(agency: Agency) -> None:
    later = SOON + timedelta(hours=2)
    first, second = await book(agency), await book(agency, later)
    with pytest.raises(UniqueViolationError):
        await appointments.reschedule(agency.db, id=first.id, scheduled_for=later)
    moved = await appointments.reschedule(agency.db, id=first.id, scheduled_for=later + timedelta(hours=1))
    assert moved is not None
    assert moved.scheduled_for == later + timedelta(hours=1)
    await appointments.cancel(agency.db, id=second.id)
    assert await appointments.reschedule(agency.db, id=second.id, scheduled_for=SOON) is None
    assert await appointments.reschedule(agency.db, id=uuid.uuid4(), scheduled_for=SOON) is None


async def test_upcoming_are_the_visits_still_to_come_soonest_first(agency: Agency) -> None:
    now = datetime.now(UTC)
    for hours in (30, -1, 10, 20, 40, 50):
        await book(agency, now + timedelta(hours=hours))
    hours_left = [
        round((visit.scheduled_for - now) / timedelta(hours=1))
        async for visit in pages(
            appointments.upcoming_for_lead, agency.db, "scheduled_for", "id", lead_id=agency.lead.id
        )
    ]
    assert hours_left == [10, 20, 30, 40, 50]


async def test_the_agenda_is_the_day_of_a_time_zone(fresh_realty_db: plainsql.Database) -> None:
    agency = await open_agency(fresh_realty_db)
    lima = ZoneInfo("America/Lima")
    for day, hour in [(9, 23), (10, 0), (10, 15), (10, 23), (11, 0)]:
        await book(agency, datetime(2026, 3, day, hour, tzinfo=lima))
    cancelled = await book(agency, datetime(2026, 3, 10, 12, tzinfo=lima))
    await appointments.cancel(agency.db, id=cancelled.id)
    entries = [
        entry
        async for entry in pages(
            appointments.agenda_of_day,
            agency.db,
            "scheduled_for",
            "id",
            day=date(2026, 3, 10),
            time_zone="America/Lima",
        )
    ]
    assert [entry.scheduled_for.astimezone(lima).hour for entry in entries] == [0, 15, 23]
    entry = entries[0]
    assert (entry.lead_name, entry.project_name, entry.property_title) == ("Ana", "Altamar", "Departamento")


async def test_the_day_on_which_clocks_change_has_its_own_length(fresh_realty_db: plainsql.Database) -> None:
    # On 28 March 2027, Madrid's day ends at 22:00 UTC, an hour earlier than the day before.
    agency = await open_agency(fresh_realty_db)
    for hour in (21, 22):
        await book(agency, datetime(2027, 3, 28, hour, 30, tzinfo=UTC))
    entries = await appointments.agenda_of_day(agency.db, day=date(2027, 3, 28), time_zone="Europe/Madrid")
    assert [entry.scheduled_for.hour for entry in entries] == [21]


async def test_the_agenda_of_one_project_leaves_the_others_out(agency: Agency) -> None:
    other = await open_agency(agency.db)
    at = datetime(2030, 1, 1, 15, tzinfo=UTC)
    visit, _ = await book(agency, at), await book(other, at)
    entries = await appointments.agenda_of_day(
        agency.db, day=at.date(), time_zone="America/Lima", project_id=agency.project.id
    )
    assert [entry.id for entry in entries] == [visit.id]


async def test_update_changes_given_columns_and_create_takes_past_times(agency: Agency) -> None:
    visit = await appointments.create(
        agency.db,
        lead_id=agency.lead.id,
        conversation_id=agency.conversation.id,
        project_id=agency.project.id,
        property_id=agency.home.id,
        scheduled_for=datetime(2020, 1, 1, tzinfo=UTC),
        cancelled_at=datetime(2019, 12, 31, tzinfo=UTC),
    )
    changed = await appointments.update(agency.db, id=visit.id, notes="No llegó", cancelled_at=None)
    assert changed is not None
    assert (changed.notes, changed.cancelled_at, changed.scheduled_for) == (
        "No llegó",
        None,
        visit.scheduled_for,
    )
    assert await appointments.delete(agency.db, id=visit.id) == 1


async def test_rows_with_a_visit_cannot_be_deleted(agency: Agency) -> None:
    await book(agency)
    for delete, id in [
        (projects.delete, agency.project.id),
        (properties.delete, agency.home.id),
        (conversations.delete, agency.conversation.id),
    ]:
        with pytest.raises(ForeignKeyViolationError):
            await delete(agency.db, id=id)


async def test_a_lead_is_deleted_with_its_conversations_and_visits(agency: Agency) -> None:
    visit = await book(agency)
    message = await messages.append(
        agency.db, conversation_id=agency.conversation.id, type="human", content="hola"
    )
    assert await leads.delete(agency.db, id=agency.lead.id) == 1
    assert await appointments.get_by_id(agency.db, id=visit.id) is None
    assert await messages.get_by_id(agency.db, id=message.id) is None
    assert await properties.get_by_id(agency.db, id=agency.home.id) is not None


async def test_a_home_that_moves_to_another_project_takes_its_visits_along(agency: Agency) -> None:
    visit, other = await book(agency), await open_agency(agency.db)
    await properties.update(agency.db, id=agency.home.id, project_id=other.project.id)
    moved = await appointments.get_by_id(agency.db, id=visit.id)
    assert moved is not None
    assert moved.project_id == other.project.id
