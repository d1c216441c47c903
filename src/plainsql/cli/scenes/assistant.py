"""Ana writes to her assistant on Telegram; what she deletes is out of sight, and what is done stays known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from rich.console import Console

import plainsql
from plainsql.cli.story import Story
from plainsql.database import Database
from plainsql.layers.assistant import audit_log, conversations, events, message_history, notes, users

__all__ = ["play"]

_ZONE: Final = timezone(timedelta(hours=-5), "Lima")
_CHAT: Final = "telegram:5114440001"
_NOTES: Final = (
    ("Reunión con el banco", "Llevar los recibos y preguntar por el crédito hipotecario", ["casa", "banco"]),
    ("Lista de compras", "Pan, café y manzanas para las reuniones del lunes", ["casa"]),
    (None, "Libro que recomendó Eva: El túnel", ["libros"]),
)


async def play(url: str, console: Console) -> int:
    """Play it on a database that has the migrations, as the application's role.

    Returns how many queries ran.
    """
    # What a login role that is a member of it is: the owner of the tables is nobody's application.
    async with plainsql.connect(url, server_settings={"role": "assistant_app"}) as db:
        story = Story(db.tenant("familia", user_id="ana"), console, _ZONE)
        user = await _arrive(story)
        await _plan(story, user)
        note = await _note(story, user)
        await _talk(story, user)
        await _delete(story, user, note)
        await _look_from_elsewhere(story, db, user, note)
        return story.queries


async def _arrive(story: Story) -> users.User:
    user = await story.tell(
        "Somebody writes from Telegram: find the user, or enter it",
        "id tenant_id=tenant first_name=name language_code=language",
        users.get_or_create_from_telegram,
        telegram_id=5114440001,
        first_name="Ana",
        language_code="es",
    )
    again = await story.tell(
        "The second message, or a hundred at once: the same user",
        "id tenant_id=tenant first_name=name language_code=language",
        users.get_or_create_from_telegram,
        telegram_id=5114440001,
    )
    story.expect(again == user, "the user was entered twice")
    changed = await story.tell(
        "Merge preferences: what is not named stays",
        "id preferences",
        users.update_preferences,
        id=user.id,
        preferences={"tone": "informal", "digest": {"at": 8}},
    )
    story.expect(changed is not None, "the user is not there")
    return user


async def _plan(story: Story, user: users.User) -> None:
    now = datetime.now(UTC)
    async with story.step(
        "Put events into her calendar", "id title start_datetime=begins reminder_minutes=reminder"
    ) as step:
        for title, begins, reminder in (
            ("Dentista", now + timedelta(minutes=20), 30),
            ("Cena con Eva", now + timedelta(hours=7), 60),
        ):
            await step.run(
                events.create,
                user_id=user.id,
                title=title,
                start_datetime=begins,
                end_datetime=begins + timedelta(hours=1),
                reminder_minutes=reminder,
            )
    upcoming = await story.tell(
        "What is about to begin", "title start_datetime=begins status", events.upcoming, user_id=user.id
    )
    story.expect(len(upcoming) == 2, "an event is missing")
    due = await story.tell(
        "Take the reminders that are due, each by one worker",
        "title remind_at reminded_at",
        events.claim_due_reminders,
    )
    story.expect([event.title for event in due] == ["Dentista"], "the wrong reminder is due")
    again = await story.tell("Taken once, they are not due again", "title", events.claim_due_reminders)
    story.expect(again == [], "a reminder was taken twice")


async def _note(story: Story, user: users.User) -> notes.Note:
    written: list[notes.Note] = []
    async with story.step("Write notes down", "id title content tags") as step:
        for title, content, tags in _NOTES:
            note = await step.run(notes.create, user_id=user.id, title=title, content=content, tags=tags)
            written.append(note)
    tagged = await story.tell(
        "Notes with all of some tags", "id title tags", notes.by_tags, user_id=user.id, tags=["casa", "banco"]
    )
    story.expect([note.id for note in tagged] == [written[0].id], "the wrong notes have the tags")
    found = await story.tell(
        'Search in Spanish: "reunión" finds "reuniones" too, best first, what was found is marked',
        "rank title_highlight=title content_highlight=content",
        notes.search,
        user_id=user.id,
        query="reunión",
        start_mark="«",
        stop_mark="»",
    )
    story.expect([note.id for note in found] == [written[0].id, written[1].id], "search is not as promised")
    return written[0]


async def _talk(story: Story, user: users.User) -> None:
    talk = await story.tell(
        "Begin a conversation, in the state idle",
        "id session_id=session current_state=state",
        conversations.get_or_start,
        user_id=user.id,
        session_id=_CHAT,
    )
    async with story.step(
        "Keep what was said, what was meant, and how long it took",
        "user_message intent_detected=intent confidence_score=sure processing_time_ms=ms",
    ) as step:
        for said, intent, sure, took in (
            ("Recuérdame llamar al banco", "reminder.create", 0.93, 140),
            ("mañana a las 9", "reminder.time", 0.81, 95),
            ("gracias", None, None, 60),
        ):
            await step.run(
                message_history.add_message,
                conversation_id=talk.id,
                user_message=said,
                intent_detected=intent,
                confidence_score=sure,
                processing_time_ms=took,
            )
    moved = await story.tell(
        "Move the dialogue on from the state it is expected to be in",
        "id current_state=state context_data=context",
        conversations.update_state,
        id=talk.id,
        expected_state="idle",
        new_state="asked_time",
        context_data={"what": "llamar al banco"},
    )
    story.expect(moved is not None, "the state was not moved")
    late = await story.tell(
        "A second worker that expects the same comes too late, and is told so",
        "id current_state=state",
        conversations.update_state,
        id=talk.id,
        expected_state="idle",
        new_state="cancelled",
    )
    story.expect(late is None, "a state was moved twice")
    await story.tell(
        "How well she is understood",
        "intent messages mean_confidence p95_processing_time_ms=p95_ms",
        message_history.intent_statistics,
    )


async def _delete(story: Story, user: users.User, note: notes.Note) -> None:
    async with story.step(
        "Delete a note: the policies of its table keep it out of every read", "id title"
    ) as step:
        await step.run(notes.soft_delete, id=note.id)
        gone = await step.run(notes.get_by_id, id=note.id)
        found = await step.run(notes.search, user_id=user.id, query="reunión")
    story.expect(gone is None and len(found) == 1, "a deleted note was seen")
    async with story.step("Bring it back", "id title tags") as step:
        await step.run(notes.restore, id=note.id)
        back = await step.run(notes.get_by_id, id=note.id)
    story.expect(back is not None, "the note did not come back")
    async with story.step("Delete the user: nothing that hangs on her is to be seen", "id title") as step:
        await step.run(users.soft_delete, id=user.id)
        left = await step.run(events.by_user, user_id=user.id)
    story.expect(left == [], "an event of a deleted user was seen")
    await story.refused(
        "Nor can anything be entered for her",
        notes.create,
        user_id=user.id,
        content="Una nota que llega tarde",
    )
    async with story.step("Bring her back, with all that went with her", "id title status") as step:
        await step.run(users.restore, id=user.id)
        events_again = await step.run(events.by_user, user_id=user.id)
    story.expect(len(events_again) == 2, "the events did not come back")
    trail = await story.tell(
        "The trail of the note, written by the database: who did what, and when",
        "created_at=at actor=who action old new",
        audit_log.trail,
        table_name="notes",
        row_id=note.id,
    )
    actions = [entry.action for entry in trail]
    story.expect(
        actions == ["insert", "soft_delete", "restore", "soft_delete", "restore"], "the trail has gaps"
    )


async def _look_from_elsewhere(story: Story, db: Database, user: users.User, note: notes.Note) -> None:
    story.db = db.tenant("vecinos", user_id="luis")
    nothing = await story.tell("Another tenant sees none of it", "id title", notes.get_by_id, id=note.id)
    story.expect(nothing is None, "another tenant's note was seen")
    found = await story.tell("Nor finds it", "id title", notes.search, query="reunión", language_code="es")
    story.expect(found == [], "another tenant's note was found")
    await story.refused(
        "Nor can it write into her calendar",
        events.create,
        user_id=user.id,
        title="Intruso",
        start_datetime=datetime.now(UTC),
    )
    async with story.step("Nor delete anything of hers, nor read her trail", "action") as step:
        deleted = await step.run(users.purge, id=user.id)
        read = await step.run(audit_log.list)
    story.expect(deleted == 0 and read == [], "another tenant's rows were reached")
