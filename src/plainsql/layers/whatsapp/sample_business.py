"""Sample data for the whatsapp layer: the contacts of one tenant, their messages, files and webhooks.

The channel is created by ``channels.create``, which encrypts its access token; its id is ``CHANNEL_ID``.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from random import Random
from typing import Final
from uuid import UUID

from plainsql.layers.sample_data import SampleTable

__all__ = ["CHANNEL_ID", "tables"]

CHANNEL_ID: Final = UUID("00000000-0000-4000-8000-000000000002")
_NAMES: Final = ("Ana", "Luis", "Carmen", "José", "Rosa", "Miguel", "Elena", "Raúl")
_RECEIVED: Final = (
    "Hola, ¿tienen stock?",
    "¿Cuánto cuesta el envío?",
    "¿A qué hora cierran?",
    "Gracias, ya pagué",
)
_SENT: Final = ("¡Hola! Sí, tenemos", "El envío es gratis desde 100 soles", "Cerramos a las 8", "Recibido")
_STATUSES: Final = (("read", 6), ("delivered", 2), ("sent", 1), ("failed", 1))
_TEMPLATES: Final = (
    ("order_confirmed", "utility", "Hola {{1}}, tu pedido {{2}} está confirmado"),
    ("login_code", "authentication", "{{1}} es tu código"),
)
_DAYS_BACK: Final = 60


def tables(*, now: datetime, rows: int, seed: int) -> tuple[SampleTable, ...]:
    """Return the rows of all tables but the channel.

    ``rows`` is the number of messages: twenty with a contact.
    """
    random = Random(seed)
    began = now - timedelta(days=_DAYS_BACK)

    def new_id() -> UUID:
        return UUID(int=random.getrandbits(128), version=4)

    contacts: list[tuple[object, ...]] = []
    people: list[tuple[UUID, str]] = []
    for number in range(max(rows // 20, 1)):
        contact, phone = new_id(), f"519{number:08d}"
        people.append((contact, phone))
        name, blocked = random.choice(_NAMES), random.random() < 0.02
        contacts.append((contact, phone, name, now - timedelta(minutes=number), blocked, began))
    files: list[tuple[object, ...]] = []
    messages: list[tuple[object, ...]] = []
    events: list[tuple[object, ...]] = []
    for number in range(rows):
        contact, phone = random.choice(people)
        at = now - timedelta(seconds=random.randint(60, _DAYS_BACK * 86400))
        if random.random() < 0.5:
            media = None
            if random.random() < 0.1:
                media = new_id()
                files.append(
                    (media, f"media-{number}", f"foto-{number}.jpg", "image/jpeg", 80_000 + number, at)
                )
            kind, said = ("image", None) if media else ("text", random.choice(_RECEIVED))
            state: tuple[object, ...] = ("received", "inbound", media, None, None, None, None)
            payload = {"messages": [{"from": phone, "id": f"wamid.{number}", "type": kind}]}
            events.append((new_id(), "messages", json.dumps(payload), True, None, at, at))
        else:
            kind, said = "text", random.choice(_SENT)
            (status,) = random.choices([name for name, _ in _STATUSES], [often for _, often in _STATUSES])
            seen = at + timedelta(seconds=random.randint(1, 50))
            state = (
                status,
                "outbound",
                None,
                "131026: message undeliverable" if status == "failed" else None,
                at if status != "failed" else None,
                seen if status in ("delivered", "read") else None,
                seen if status == "read" else None,
            )
        messages.append((new_id(), CHANNEL_ID, contact, f"wamid.{number}", phone, kind, said, *state, at))
    templates: list[tuple[object, ...]] = [
        (new_id(), name, "es", category, body, "approved", began) for name, category, body in _TEMPLATES
    ]
    return (
        _table("contacts", "id phone_number display_name last_seen is_blocked created_at", contacts),
        _table("media_files", "id whatsapp_media_id file_name file_type file_size created_at", files),
        _table(
            "messages",
            """id channel_id contact_id whatsapp_msg_id phone_number message_type content status direction
            media_id error_message sent_at delivered_at read_at created_at""",
            messages,
        ),
        _table("message_templates", "id name language category body status created_at", templates),
        _table(
            "webhook_events",
            "id event_type payload processed next_attempt_at processed_at created_at",
            events,
        ),
    )


def _table(name: str, columns: str, rows: list[tuple[object, ...]]) -> SampleTable:
    return SampleTable("whatsapp", name, tuple(columns.split()), rows)
