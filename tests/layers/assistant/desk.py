"""The rows that tests need, the arguments of each query, and other things that tests read."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import plainsql
from plainsql.database import TenantDatabase
from plainsql.layers.assistant import conversations, events, message_history, notes, users

TABLES: dict[str, Any] = {
    "users": users,
    "events": events,
    "notes": notes,
    "conversations": conversations,
    "message_history": message_history,
}
"""The tables whose rows can be deleted, and their queries."""


@dataclass(frozen=True)
class Desk:
    """One row of everything that a tenant has, and the ids of deleted rows that look the same."""

    db: TenantDatabase
    user: users.User
    event: events.Event
    note: notes.Note
    conversation: conversations.Conversation
    message: message_history.Message
    deleted: dict[str, int]

    def live(self, table: str) -> Any:
        return {
            "users": self.user,
            "events": self.event,
            "notes": self.note,
            "conversations": self.conversation,
            "message_history": self.message,
        }[table]

    async def write(self, **values: Any) -> notes.Note:
        """Write another note of this user."""
        return await notes.create(self.db, **{"user_id": self.user.id, "content": "Una nota", **values})

    async def plan(self, **values: Any) -> events.Event:
        """Add another event to this user's calendar, a day from now by default."""
        return await events.create(
            self.db,
            **{"user_id": self.user.id, "title": "Cita", "start_datetime": soon(hours=24), **values},
        )


def soon(**delta: float) -> datetime:
    return datetime.now(UTC) + timedelta(**delta)


async def add_event(db: TenantDatabase, user_id: int) -> events.Event:
    return await events.create(
        db,
        user_id=user_id,
        title="Reunión",
        start_datetime=soon(minutes=5),
        end_datetime=soon(minutes=65),
        reminder_minutes=10,
        external_id="calendar-1",
        event_type="work",
    )


async def add_note(db: TenantDatabase, user_id: int) -> notes.Note:
    return await notes.create(
        db,
        user_id=user_id,
        title="Lista de compras",
        content="Comprar manzanas para la reunión",
        category="casa",
        tags=["compras", "casa"],
        reminder_datetime=soon(minutes=-1),
    )


async def add_message(db: TenantDatabase, conversation_id: int) -> message_history.Message:
    return await message_history.add_message(
        db,
        conversation_id=conversation_id,
        message_id="m-1",
        user_message="Hola",
        bot_response="¡Hola!",
        intent_detected="greeting",
        confidence_score=0.9,
        processing_time_ms=120,
    )


async def open_desk(
    db: TenantDatabase, delete: Callable[[Any], Any] = lambda module: module.soft_delete
) -> Desk:
    """Insert a live row of each kind, and before each a row that looks the same and is deleted."""
    former = await users.create(db, telegram_id=42, username="ana", first_name="Ana", language_code="es")
    await add_event(db, former.id)
    await add_note(db, former.id)
    talk = await conversations.create(db, user_id=former.id, session_id="session-1")
    await add_message(db, talk.id)
    await delete(users)(db, id=former.id)

    user = await users.create(db, telegram_id=42, username="ana", first_name="Ana", language_code="es")
    deleted = {"users": former.id}
    for table, module, add in (("events", events, add_event), ("notes", notes, add_note)):
        deleted[table] = (await add(db, user.id)).id
        await delete(module)(db, id=deleted[table])
    talk = await conversations.create(db, user_id=user.id, session_id="session-1")
    await add_message(db, talk.id)
    deleted["conversations"] = talk.id
    await delete(conversations)(db, id=talk.id)

    event = await add_event(db, user.id)
    note = await add_note(db, user.id)
    talk = await conversations.create(db, user_id=user.id, session_id="session-1")
    deleted["message_history"] = (await add_message(db, talk.id)).id
    await delete(message_history)(db, id=deleted["message_history"])
    message = await add_message(db, talk.id)
    idle = await conversations.update(db, id=talk.id, last_activity=soon(hours=-2))
    assert idle is not None
    return Desk(db, user, event, note, idle, message, deleted)


def _one(table: str) -> Callable[[Desk], dict[str, Any]]:
    return lambda desk: {"id": desk.live(table).id}


def _deleted(table: str) -> Callable[[Desk], dict[str, Any]]:
    return lambda desk: {"id": desk.deleted[table]}


def _none(_: Desk) -> dict[str, Any]:
    return {}


def _of_user(desk: Desk) -> dict[str, Any]:
    return {"user_id": desk.user.id}


ARGUMENTS: dict[str, Callable[[Desk], dict[str, Any]]] = {
    # Queries that every table has.
    **{f"{table}.get_by_id": _one(table) for table in TABLES},
    **{f"{table}.list": _none for table in TABLES},
    **{f"{table}.count": _none for table in TABLES},
    **{f"{table}.soft_delete": _one(table) for table in TABLES},
    **{f"{table}.purge": _one(table) for table in TABLES},
    **{f"{table}.restore": _deleted(table) for table in TABLES},
    **{f"{table}.purge_deleted": lambda _: {"before": soon(hours=1)} for table in TABLES},
    **{f"cleanup.{table}": lambda _: {"days": 0} for table in TABLES},
    "cleanup.tenants": _none,
    # Users.
    "users.create": lambda _: {"telegram_id": 43, "first_name": "Eva"},
    "users.update": lambda desk: {"id": desk.user.id, "first_name": "Ana María"},
    "users.get_by_telegram_id": lambda _: {"telegram_id": 42},
    "users.get_or_create_from_telegram": lambda _: {"telegram_id": 42, "first_name": "Ana"},
    "users.list_active": _none,
    "users.update_preferences": lambda desk: {"id": desk.user.id, "preferences": {"theme": "dark"}},
    # Events.
    "events.create": lambda desk: {
        "user_id": desk.user.id,
        "title": "Cena",
        "start_datetime": datetime(2030, 1, 1, tzinfo=UTC),
    },
    "events.update": lambda desk: {"id": desk.event.id, "location": "Sala 2"},
    "events.by_user": _of_user,
    "events.upcoming": _of_user,
    "events.by_date_range": lambda desk: {
        "user_id": desk.user.id,
        "since": soon(days=-1),
        "until": soon(days=1),
    },
    "events.occurrences": lambda desk: {
        "user_id": desk.user.id,
        "since": soon(days=-1),
        "until": soon(days=1),
    },
    "events.mark_completed": _one("events"),
    "events.cancel": _one("events"),
    "events.due_reminders": _none,
    "events.claim_due_reminders": _none,
    "events.save_external": lambda desk: {
        "user_id": desk.user.id,
        "external_id": "calendar-1",
        "title": "Reunión movida",
        "start_datetime": datetime(2030, 1, 1, tzinfo=UTC),
    },
    # Notes.
    "notes.create": lambda desk: {"user_id": desk.user.id, "content": "Regar las plantas"},
    "notes.update": lambda desk: {"id": desk.note.id, "priority": 3},
    "notes.by_user": _of_user,
    "notes.by_tags": lambda _: {"tags": ["compras", "casa"]},
    "notes.search": lambda _: {"query": "compras manzanas", "language_code": "es"},
    "notes.toggle_pin": _one("notes"),
    "notes.due_reminders": _none,
    "notes.claim_due_reminders": _none,
    # Conversations.
    "conversations.create": lambda desk: {"user_id": desk.user.id, "session_id": "session-2"},
    "conversations.update": lambda desk: {"id": desk.conversation.id, "last_message_id": "m-9"},
    "conversations.get_by_session_id": lambda _: {"session_id": "session-1"},
    "conversations.get_or_start": lambda desk: {"user_id": desk.user.id, "session_id": "session-1"},
    "conversations.list_active": _none,
    "conversations.by_state": lambda _: {"state": "idle"},
    "conversations.update_state": lambda desk: {
        "id": desk.conversation.id,
        "expected_state": "idle",
        "new_state": "asked",
    },
    "conversations.close": _one("conversations"),
    "conversations.expire_idle": _none,
    # Messages.
    "message_history.create": lambda desk: {
        "conversation_id": desk.conversation.id,
        "user_message": "¿Y mañana?",
    },
    "message_history.add_message": lambda desk: {
        "conversation_id": desk.conversation.id,
        "user_message": "¿Y mañana?",
    },
    "message_history.update": lambda desk: {"id": desk.message.id, "intent_detected": "farewell"},
    "message_history.recent": lambda desk: {"conversation_id": desk.conversation.id},
    "message_history.conversation_history": lambda desk: {"conversation_id": desk.conversation.id},
    "message_history.by_intent": lambda _: {"intent": "greeting"},
    "message_history.get_by_message_id": lambda _: {"message_id": "m-1"},
    "message_history.intent_statistics": _none,
}
"""Return the arguments of each query of a table, with which it finds or changes something."""


async def pages(listing: Any, on: Any, /, *cursor: str, **given: Any) -> AsyncIterator[Any]:
    """Every row of a list that is paged by ``cursor``, read three at a time."""
    after: dict[str, Any] = {}
    while page := await listing(on, limit=3, **given, **after):
        for row in page:
            yield row
        after = {f"after_{name}": getattr(page[-1], name) for name in cursor}


async def execute(db: plainsql.Database, sql: str, *args: Any) -> None:
    async with db.acquire() as connection:
        await connection.execute(sql, *args)


async def blocked(db: plainsql.Database) -> None:
    """Wait until a session of this database waits for the transaction of another session."""
    async with db.acquire() as connection:
        while not await connection.fetchval(
            "select exists (select from pg_locks as l inner join pg_stat_activity as a using (pid)"
            " where not l.granted and l.locktype = 'transactionid' and a.datname = current_database())"
        ):
            pass


class _UndoneError(Exception):
    pass


@contextlib.asynccontextmanager
async def undone(db: TenantDatabase) -> AsyncGenerator[plainsql.Transaction]:
    """A transaction that is rolled back."""
    with contextlib.suppress(_UndoneError):
        async with db.transaction() as tx:
            yield tx
            raise _UndoneError
