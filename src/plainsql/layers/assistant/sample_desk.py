"""Sample data for the assistant layer: users of one tenant, their calendars, notes and conversations."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Final

from plainsql.layers.sample_data import SampleTable

__all__ = ["tables"]

_NAMES: Final = ("Ana", "Bruno", "Carla", "Diego", "Elena", "Fabio", "Gloria", "Hugo", "Inés", "Jorge")
_ZONES: Final = ("America/Lima", "Europe/Madrid", "America/Bogota")
_EVENTS: Final = (
    ("Dentista", "health"),
    ("Reunión con el banco", "work"),
    ("Cena con Eva", "personal"),
    ("Clase de inglés", "study"),
    ("Llamada con el equipo", "work"),
)
_NOTES: Final = (
    ("Lista de compras", "Pan, café, manzanas y arroz", "casa", ("compras",)),
    ("Banco", "Llevar los recibos y preguntar por el crédito", "trámites", ("banco", "casa")),
    ("Libro", "El túnel, que recomendó Eva", "ocio", ("libros",)),
    (None, "La clave del wifi está detrás del router", "casa", ()),
    ("Viaje", "Comprar los pasajes antes del viernes", "ocio", ("viaje", "compras")),
)
_TALK: Final = (
    ("Recuérdame llamar al banco", "¿A qué hora?", "reminder.create"),
    ("Mañana a las 9", "Listo, te aviso a las 9", "reminder.time"),
    ("¿Qué tengo hoy?", "Hoy tienes dos eventos", "events.today"),
    ("Anota que debo comprar pan", "Anotado", "note.create"),
    ("Gracias", "De nada", None),
)
_STATES: Final = ("idle", "idle", "idle", "asked_time", "asked_title")
_DAYS_BACK: Final = 90


def tables(*, now: datetime, rows: int, seed: int) -> tuple[SampleTable, ...]:
    """Return the rows of all tables but the log, which the database writes itself.

    ``rows`` is the number of messages: ten in a conversation, and fifty of a user.
    """
    random = Random(seed)

    def moment() -> datetime:
        return now - timedelta(seconds=random.randint(3600, _DAYS_BACK * 86400))

    users = max(rows // 50, 1)
    began = now - timedelta(days=_DAYS_BACK)
    user_rows: list[tuple[object, ...]] = []
    for number in range(1, users + 1):
        name, zone = random.choice(_NAMES), random.choice(_ZONES)
        active = random.random() < 0.95
        user_rows.append((number, 700_000_000 + number, f"user{number}", name, "es", zone, active, began))
    event_rows: list[tuple[object, ...]] = []
    note_rows: list[tuple[object, ...]] = []
    for number in range(1, max(rows // 5, 1) + 1):
        title, kind = random.choice(_EVENTS)
        starts = now + timedelta(hours=random.randint(-_DAYS_BACK * 24, 30 * 24))
        past = random.choices(("completed", "cancelled"), (9, 1))[0]
        event_rows.append(
            (
                number,
                random.randint(1, users),
                title,
                starts,
                starts + timedelta(hours=1),
                kind,
                past if starts < now else "pending",
                random.choice((None, 10, 30)),
                None if starts >= now else starts,
                min(starts - timedelta(days=1), now),
            )
        )
        heading, content, category, tags = random.choice(_NOTES)
        pinned = random.random() < 0.05
        note_rows.append(
            (number, random.randint(1, users), heading, content, category, list(tags), pinned, moment())
        )
    talk_rows: list[tuple[object, ...]] = []
    message_rows: list[tuple[object, ...]] = []
    for talk in range(1, (rows + 9) // 10 + 1):
        at = moment()
        started = at
        for number in range(10 * (talk - 1) + 1, min(10 * talk, rows) + 1):
            said, answer, intent = random.choice(_TALK)
            sure = None if intent is None else random.randint(50, 99) / 100
            message_rows.append(
                (number, talk, f"m-{number}", said, answer, intent, sure, random.randint(40, 900), at)
            )
            at = min(at + timedelta(seconds=random.randint(5, 300)), now)
        is_open = random.random() < 0.2
        state = random.choice(_STATES) if is_open else "idle"
        talk_rows.append(
            (talk, random.randint(1, users), f"telegram:{talk}", state, is_open, started, at, started)
        )
    return (
        _table(
            "users",
            "id telegram_id username first_name language_code timezone is_active created_at",
            user_rows,
        ),
        _table(
            "events",
            """id user_id title start_datetime end_datetime event_type status reminder_minutes reminded_at
            created_at""",
            event_rows,
        ),
        _table("notes", "id user_id title content category tags is_pinned created_at", note_rows),
        _table(
            "conversations",
            "id user_id session_id current_state is_active started_at last_activity created_at",
            talk_rows,
        ),
        _table(
            "message_history",
            """id conversation_id message_id user_message bot_response intent_detected confidence_score
            processing_time_ms created_at""",
            message_rows,
        ),
    )


def _table(name: str, columns: str, rows: list[tuple[object, ...]]) -> SampleTable:
    return SampleTable("assistant", name, tuple(columns.split()), rows)
