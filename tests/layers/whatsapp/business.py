"""The rows that tests need, and a wait for blocked sessions."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import plainsql
from plainsql.database import TenantDatabase
from plainsql.layers.whatsapp import channels, contacts, messages

PHONE = "51987654321"


@dataclass(frozen=True)
class Business:
    """A tenant with one row of everything it needs."""

    root: plainsql.Database
    id: UUID
    db: TenantDatabase
    channel: channels.Channel
    contact: contacts.Contact

    async def queued(self, **values: Any) -> messages.Message:
        """Save an outbound message."""
        return await messages.save_outbound(
            self.db, **{"channel_id": self.channel.id, "phone_number": PHONE, "content": "Hola", **values}
        )

    async def failed(self, **values: Any) -> messages.Message:
        """Save an outbound message that failed and is due again."""
        message = await self.queued(**values)
        await messages.update_status(self.db, id=message.id, status="failed", error_message="503")
        due = await messages.update(self.db, id=message.id, next_attempt_at=message.created_at)
        assert due is not None
        return due

    async def received(self, **values: Any) -> messages.Message:
        """Save an inbound message."""
        message = await messages.save_inbound(
            self.db,
            **{
                "channel_id": self.channel.id,
                "whatsapp_msg_id": f"wamid.{uuid.uuid4().hex}",
                "phone_number": PHONE,
                "content": "Buenas",
                **values,
            },
        )
        assert message is not None
        return message


async def blocked(db: plainsql.Database) -> None:
    """Wait until a session of this database waits for the transaction of another session."""
    async with db.acquire() as connection:
        while not await connection.fetchval(
            "select exists (select from pg_stat_activity "
            "where datname = current_database() and wait_event = 'transactionid')"
        ):
            pass


async def open_channel(db: TenantDatabase, tenant: UUID, **values: Any) -> channels.Channel:
    """Enter a channel that can send."""
    channel = await channels.create(
        db,
        **{
            "tenant_id": tenant,
            "id": uuid.uuid4(),
            "organization_id": uuid.uuid4(),
            "phone_number_id": uuid.uuid4().hex,
            "business_account_id": "1029384756",
            "access_token": "a token",
            **values,
        },
    )
    verified = await channels.verify(db, id=channel.id)
    assert verified is not None
    return verified


async def open_business(db: plainsql.Database) -> Business:
    tenant = uuid.uuid4()
    view = db.tenant(tenant)
    channel = await open_channel(view, tenant)
    contact = await contacts.create(view, phone_number=PHONE, display_name="Ana")
    return Business(db, tenant, view, channel, contact)
