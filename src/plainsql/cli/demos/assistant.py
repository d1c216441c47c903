"""The assistant's demo: Ana writes on Telegram; deleted rows are invisible, and actions stay in the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from rich.console import Console

import plainsql
from plainsql.cli.demos.demo import Demo
from plainsql.cli.demos.presenter import Presenter
from plainsql.database import Database
from plainsql.layers.assistant import audit_log, conversations, events, message_history, notes, users
from plainsql.layers.files import migrations_folder

__all__ = ["demo"]

_ZONE: Final = timezone(timedelta(hours=-5), "Lima")
_CHAT: Final = "telegram:5114440001"
_NOTES: Final = (
    ("Reunión con el banco", "Llevar los recibos y preguntar por el crédito hipotecario", ["casa", "banco"]),
    ("Lista de compras", "Pan, café y manzanas para las reuniones del lunes", ["casa"]),
    (None, "Libro que recomendó Eva: El túnel", ["libros"]),
)


async def play(url: str, console: Console) -> int:
    """Play the demo on a database with the migrations, and return the number of queries."""
    # The application's role: an application must not connect as the owner of the tables.
    async with plainsql.connect(url, server_settings={"role": "assistant_app"}) as db:
        presenter = Presenter(db.tenant("familia", user_id="ana"), console, _ZONE)
        user = await _find_user(presenter)
        await _plan(presenter, user)
        note = await _note(presenter, user)
        await _talk(presenter, user)
        await _delete(presenter, user, note)
        await _look_from_elsewhere(presenter, db, user, note)
        return presenter.queries


async def _find_user(presenter: Presenter) -> users.User:
    user = await presenter.show(
        "A message from Telegram: find the user, or create one",
        "id tenant_id=tenant first_name=name language_code=language",
        users.get_or_create_from_telegram,
        telegram_id=5114440001,
        first_name="Ana",
        language_code="es",
    )
    again = await presenter.show(
        "The second message, or a hundred at the same time: the same user",
        "id tenant_id=tenant first_name=name language_code=language",
        users.get_or_create_from_telegram,
        telegram_id=5114440001,
    )
    presenter.expect(again == user, "the user was entered twice")
    changed = await presenter.show(
        "Merge preferences: what is not named stays",
        "id preferences",
        users.update_preferences,
        id=user.id,
        preferences={"tone": "informal", "digest": {"at": 8}},
    )
    presenter.expect(changed is not None, "the user is not there")
    return user


async def _plan(presenter: Presenter, user: users.User) -> None:
    now = datetime.now(UTC)
    async with presenter.step(
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
    upcoming = await presenter.show(
        "What is about to begin", "title start_datetime=begins status", events.upcoming, user_id=user.id
    )
    presenter.expect(len(upcoming) == 2, "an event is missing")
    due = await presenter.show(
        "Take the reminders that are due, each by one worker",
        "title remind_at reminded_at",
        events.claim_due_reminders,
    )
    presenter.expect([event.title for event in due] == ["Dentista"], "the wrong reminder is due")
    again = await presenter.show("Taken once, they are not due again", "title", events.claim_due_reminders)
    presenter.expect(again == [], "a reminder was taken twice")


async def _note(presenter: Presenter, user: users.User) -> notes.Note:
    written: list[notes.Note] = []
    async with presenter.step("Write notes down", "id title content tags") as step:
        for title, content, tags in _NOTES:
            note = await step.run(notes.create, user_id=user.id, title=title, content=content, tags=tags)
            written.append(note)
    tagged = await presenter.show(
        "Notes with all of some tags", "id title tags", notes.by_tags, user_id=user.id, tags=["casa", "banco"]
    )
    presenter.expect([note.id for note in tagged] == [written[0].id], "the wrong notes have the tags")
    found = await presenter.show(
        'Search in Spanish: "reunión" finds "reuniones" too, best first, what was found is marked',
        "rank title_highlight=title content_highlight=content",
        notes.search,
        user_id=user.id,
        query="reunión",
        start_mark="«",
        stop_mark="»",
    )
    presenter.expect(
        [note.id for note in found] == [written[0].id, written[1].id], "search is not as promised"
    )
    return written[0]


async def _talk(presenter: Presenter, user: users.User) -> None:
    talk = await presenter.show(
        "Begin a conversation, in the state idle",
        "id session_id=session current_state=state",
        conversations.get_or_start,
        user_id=user.id,
        session_id=_CHAT,
    )
    async with presenter.step(
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
    moved = await presenter.show(
        "Move the dialogue on from the state it is expected to be in",
        "id current_state=state context_data=context",
        conversations.update_state,
        id=talk.id,
        expected_state="idle",
        new_state="asked_time",
        context_data={"what": "llamar al banco"},
    )
    presenter.expect(moved is not None, "the state was not moved")
    late = await presenter.show(
        "A second worker that expects the same version comes too late, and gets no row",
        "id current_state=state",
        conversations.update_state,
        id=talk.id,
        expected_state="idle",
        new_state="cancelled",
    )
    presenter.expect(late is None, "a state was moved twice")
    await presenter.show(
        "How well she is understood",
        "intent messages mean_confidence p95_processing_time_ms=p95_ms",
        message_history.intent_statistics,
    )


async def _delete(presenter: Presenter, user: users.User, note: notes.Note) -> None:
    async with presenter.step(
        "Delete a note: the policies of its table keep it out of every read", "id title"
    ) as step:
        await step.run(notes.soft_delete, id=note.id)
        gone = await step.run(notes.get_by_id, id=note.id)
        found = await step.run(notes.search, user_id=user.id, query="reunión")
    presenter.expect(gone is None and len(found) == 1, "a deleted note was seen")
    async with presenter.step("Bring it back", "id title tags") as step:
        await step.run(notes.restore, id=note.id)
        back = await step.run(notes.get_by_id, id=note.id)
    presenter.expect(back is not None, "the note did not come back")
    async with presenter.step("Delete the user: nothing that hangs on her is to be seen", "id title") as step:
        await step.run(users.soft_delete, id=user.id)
        left = await step.run(events.by_user, user_id=user.id)
    presenter.expect(left == [], "an event of a deleted user was seen")
    await presenter.show_refusal(
        "Nor can anything be entered for her",
        notes.create,
        user_id=user.id,
        content="Una nota que llega tarde",
    )
    async with presenter.step("Bring her back, with all that went with her", "id title status") as step:
        await step.run(users.restore, id=user.id)
        events_again = await step.run(events.by_user, user_id=user.id)
    presenter.expect(len(events_again) == 2, "the events did not come back")
    trail = await presenter.show(
        "The trail of the note, written by the database: who did what, and when",
        "created_at=at actor=who action old new",
        audit_log.trail,
        table_name="notes",
        row_id=note.id,
    )
    actions = [entry.action for entry in trail]
    presenter.expect(
        actions == ["insert", "soft_delete", "restore", "soft_delete", "restore"], "the trail has gaps"
    )


async def _look_from_elsewhere(
    presenter: Presenter, db: Database, user: users.User, note: notes.Note
) -> None:
    presenter.db = db.tenant("vecinos", user_id="luis")
    nothing = await presenter.show("Another tenant sees none of it", "id title", notes.get_by_id, id=note.id)
    presenter.expect(nothing is None, "another tenant's note was seen")
    found = await presenter.show(
        "Nor finds it", "id title", notes.search, query="reunión", language_code="es"
    )
    presenter.expect(found == [], "another tenant's note was found")
    await presenter.show_refusal(
        "Nor can it write into her calendar",
        events.create,
        user_id=user.id,
        title="Intruso",
        start_datetime=datetime.now(UTC),
    )
    async with presenter.step("Nor delete anything of hers, nor read her trail", "action") as step:
        deleted = await step.run(users.purge, id=user.id)
        read = await step.run(audit_log.list)
    presenter.expect(deleted == 0 and read == [], "another tenant's rows were reached")


demo: Final = Demo(play=play, migrations=migrations_folder("assistant").parent, layer="assistant")
