"""Two tenants with identical rows: the same ids, numbers and texts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from plainsql.database import TenantDatabase
from plainsql.layers.whatsapp import (
    channels,
    contacts,
    media_files,
    message_templates,
    messages,
    webhook_events,
)
from plainsql.layers.whatsapp.idempotency import idempotency_key
from tests.layers.isolation import Arguments, TenantLayer

A = UUID("aaaaaaaa-0000-4000-8000-000000000000")
B = UUID("bbbbbbbb-0000-4000-8000-000000000000")

CHANNEL, UNUSED, SUSPENDED, ORGANIZATION = (UUID(int=number) for number in range(1, 5))
SENT, NEW = UUID(int=10), UUID(int=11)
PHONE = "51987654321"
KEY = idempotency_key("account", PHONE, "Hola", 1)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2100, 1, 1, tzinfo=UTC)
PAYLOAD = {"entry": [{"id": "1"}]}


class Filled:
    """The ids that the database has made for one tenant; the others are the same for both."""

    tenant: UUID
    contact: UUID
    blocked: UUID
    media: UUID
    template: UUID
    queued: UUID
    inbound: UUID
    event: UUID
    processed: UUID


async def fill(db: TenantDatabase, tenant: UUID) -> Filled:
    filled = Filled()
    filled.tenant = tenant
    for number, id in enumerate((CHANNEL, UNUSED, SUSPENDED)):
        await channels.create(
            db,
            tenant_id=filled.tenant,
            id=id,
            organization_id=ORGANIZATION,
            phone_number_id=f"10{number}",
            business_account_id="200",
            display_phone_number=f"+{PHONE}",
            display_name="Tienda",
            access_token="a token",
        )
    await channels.verify(db, id=CHANNEL)
    await channels.suspend(db, id=SUSPENDED)
    filled.contact = (await contacts.create(db, phone_number=PHONE, display_name="Ana")).id
    filled.blocked = (await contacts.create(db, phone_number="51900000000", is_blocked=True)).id
    filled.media = (await media_files.create(db, whatsapp_media_id="m1", file_type="image/jpeg")).id
    template = await message_templates.create(
        db, name="bienvenida", language="es", category="utility", body="Hola {{1}}"
    )
    filled.template = template.id
    await messages.save_outbound(
        db,
        id=SENT,
        channel_id=CHANNEL,
        contact_id=filled.contact,
        phone_number=PHONE,
        content="Hola",
        idempotency_key=KEY,
    )
    await messages.update_status(db, id=SENT, status="sent", whatsapp_msg_id="wamid.1")
    queued = await messages.save_outbound(db, channel_id=CHANNEL, phone_number=PHONE, content="¿Sigue ahí?")
    await messages.update(db, id=queued.id, next_attempt_at=LONG_AGO)
    filled.queued = queued.id
    received = await messages.save_inbound(
        db,
        channel_id=CHANNEL,
        contact_id=filled.contact,
        whatsapp_msg_id="wamid.2",
        phone_number=PHONE,
        content="Buenas",
        media_id=filled.media,
    )
    assert received is not None
    filled.inbound = received.id
    event = await webhook_events.log(db, event_type="messages", payload=PAYLOAD)
    assert event is not None
    filled.event = event.id
    filled.processed = (
        await webhook_events.create(
            db, event_type="statuses", payload={}, processed=True, processed_at=LONG_AGO, created_at=LONG_AGO
        )
    ).id
    return filled


def given(**values: Any) -> Arguments:
    """A call whose arguments are the same for both tenants."""
    return lambda _: values


def one(attribute: str, **values: Any) -> Arguments:
    """A call about the row whose id the database has made."""
    return lambda filled: {"id": getattr(filled, attribute), **values}


PAGE = {"after_created_at": LATER, "after_id": UUID(int=0), "limit": 10}
NUMBER = {"channel_id": CHANNEL, "phone_number": PHONE}

ARGUMENTS: dict[str, Arguments] = {
    "channels.count": given(since=LONG_AGO),
    "channels.create": lambda filled: {
        "tenant_id": filled.tenant,
        "id": NEW,
        "organization_id": ORGANIZATION,
        "phone_number_id": "109",
        "business_account_id": "200",
        "access_token": "a token",
    },
    "channels.delete": given(id=UNUSED),
    "channels.get_access_token": given(id=CHANNEL),
    "channels.get_by_id": given(id=CHANNEL),
    "channels.get_by_phone_number_id": given(phone_number_id="100"),
    "channels.list": given(**PAGE),
    "channels.list_active": given(organization_id=ORGANIZATION, **PAGE),
    "channels.list_by_organization": given(organization_id=ORGANIZATION, **PAGE),
    "channels.resume": given(id=SUSPENDED),
    "channels.rotate_access_token": lambda filled: {
        "tenant_id": filled.tenant,
        "id": CHANNEL,
        "access_token": "another",
    },
    "channels.suspend": given(id=CHANNEL),
    "channels.update": given(id=CHANNEL, display_name="Otra"),
    "channels.verify": given(id=UNUSED),
    "contacts.block": one("contact"),
    "contacts.count": given(since=LONG_AGO),
    "contacts.create": given(phone_number="51911111111"),
    "contacts.delete": one("contact"),
    "contacts.get_by_id": one("contact"),
    "contacts.get_by_phone": given(phone_number=PHONE),
    "contacts.list": given(**PAGE),
    "contacts.save": given(phone_number=PHONE, display_name="Ana María"),
    "contacts.touch_last_seen": one("contact"),
    "contacts.unblock": one("blocked"),
    "contacts.update": one("contact", display_name="Ana María"),
    "media_files.count": given(since=LONG_AGO),
    "media_files.create": given(whatsapp_media_id="m2", file_type="image/png"),
    "media_files.delete": one("media"),
    "media_files.get_by_id": one("media"),
    "media_files.get_by_whatsapp_media_id": given(whatsapp_media_id="m1"),
    "media_files.list": given(**PAGE),
    "media_files.save": given(whatsapp_media_id="m1", file_type="image/png"),
    "media_files.update": one("media", storage_url="s3://files/1"),
    "message_templates.count": given(since=LONG_AGO),
    "message_templates.create": given(name="adios", language="es", category="utility", body="Adiós"),
    "message_templates.delete": one("template"),
    "message_templates.get": given(name="bienvenida", language="es"),
    "message_templates.get_by_id": one("template"),
    "message_templates.list": given(status="pending", **PAGE),
    "message_templates.save": given(name="bienvenida", language="es", category="utility", body="Hola"),
    "message_templates.update": one("template", status="approved"),
    "messages.claim_failed_for_retry": given(),
    "messages.count": given(since=LONG_AGO),
    "messages.create": given(**NUMBER, whatsapp_msg_id="wamid.3", status="received", direction="inbound"),
    "messages.delete": one("inbound"),
    "messages.export": given(since=LONG_AGO),
    "messages.get_by_id": given(id=SENT),
    "messages.get_by_whatsapp_msg_id": given(whatsapp_msg_id="wamid.1"),
    "messages.get_outbound_by_idempotency_key": given(idempotency_key=KEY),
    "messages.history": given(**NUMBER, **PAGE),
    "messages.list": given(channel_id=CHANNEL, **PAGE),
    "messages.save_inbound": given(**NUMBER, whatsapp_msg_id="wamid.4", content="Hola"),
    "messages.save_outbound": given(**NUMBER, id=NEW, content="Sí", idempotency_key=b"another key"),
    "messages.stats": given(since=LONG_AGO, until=LATER, channel_id=CHANNEL),
    "messages.update": one("inbound", content="Buenas tardes"),
    "messages.update_status": given(id=SENT, status="delivered", whatsapp_msg_id="wamid.5", retry_count=0),
    "messages.update_status_by_whatsapp_msg_id": given(whatsapp_msg_id="wamid.1", status="read"),
    "cleanup.tenants": given(),
    "cleanup.webhook_events": given(days=0),
    "webhook_events.claim_unprocessed": given(),
    "webhook_events.count": given(since=LONG_AGO),
    "webhook_events.create": given(event_type="messages", payload={"entry": []}),
    "webhook_events.delete": one("event"),
    "webhook_events.get_by_id": one("event"),
    "webhook_events.list": given(event_type="messages", **PAGE),
    "webhook_events.log": given(event_type="messages", payload={"entry": [{"id": "2"}]}),
    "webhook_events.mark_failed": one("event", error_message="down"),
    "webhook_events.mark_processed": one("event"),
    "webhook_events.purge": given(before=LATER),
    "webhook_events.update": one("event", next_attempt_at=LATER),
}

WHATSAPP = TenantLayer(name="whatsapp", role="whatsapp_app", tenants=(A, B), fill=fill, arguments=ARGUMENTS)
