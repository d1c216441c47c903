"""The whatsapp demo: two shops keep their messages in one database, and cannot see each other's."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from rich.console import Console

import plainsql
from plainsql.cli.demos.demo import Demo
from plainsql.cli.demos.presenter import Presenter
from plainsql.crypto import KEYS_VARIABLE, new_key
from plainsql.database import Database, TenantDatabase
from plainsql.layers.files import migrations_folder
from plainsql.layers.whatsapp import channels, contacts, messages, webhook_events
from plainsql.layers.whatsapp.idempotency import idempotency_key
from plainsql.layers.whatsapp.limiter import ChannelLimiter
from plainsql.layers.whatsapp.sending import send_message
from plainsql.limits import Limits
from plainsql.settings import redis_url

__all__ = ["demo"]

_ANA: Final = "51987654321"
_WAMID: Final = "wamid.HBgLNTE5ODc2NTQzMjE"
_WEBHOOK: Final = {
    "object": "whatsapp_business_account",
    "entry": [{"changes": [{"value": {"messages": [{"from": _ANA, "id": _WAMID, "type": "text"}]}}]}],
}
# A URL without a Redis: rates are then counted in the process.
_NO_REDIS: Final = "unix:///nonexistent/redis.sock"


async def play(url: str, console: Console) -> int:
    """Play the demo on a database with the migrations, and return the number of queries.

    Rates are counted in Redis if one is configured, else in the process. Access tokens are encrypted with the
    configured keys, else with a temporary one.
    """
    # The application's role: an application must not connect as the owner of the tables.
    settings = {"role": "whatsapp_app"}
    with _keys():
        async with (
            plainsql.connect(url, server_settings=settings) as db,
            Limits(redis_url() or _NO_REDIS, prefix="plainsql-demo:limits", without_redis="local") as limits,
        ):
            shop, other = uuid4(), uuid4()
            presenter = Presenter(db.tenant(other), console)
            await _open(presenter, other, "Tienda Cusco")
            presenter.db = db.tenant(shop)
            channel = await _open(presenter, shop, "Tienda Lima")
            await _receive(presenter, channel)
            message = await _send(presenter, db.tenant(shop), ChannelLimiter(limits), channel)
            await _receipts(presenter, message)
            await _retries(presenter, channel)
            await _other_side(presenter, db, db.tenant(other), channel)
            return presenter.queries


async def _open(presenter: Presenter, tenant: UUID, name: str) -> channels.Channel:
    """Enter a shop's number."""
    async with presenter.step(
        f"{name} enters its number: pending, then verified; the access token is stored encrypted",
        "tenant_id=tenant id display_name=name status messages_per_second=rate",
    ) as step:
        channel = await step.run(
            channels.create,
            tenant_id=tenant,
            id=uuid4(),
            organization_id=uuid4(),
            phone_number_id="106540352242922",
            business_account_id="102290129340398",
            display_name=name,
            access_token=f"EAAJB{uuid4().hex}",
        )
        verified = await step.run(channels.verify, id=channel.id)
    presenter.expect(verified is not None and verified.status == "active", "the channel is not active")
    return verified or channel


async def _receive(presenter: Presenter, channel: channels.Channel) -> None:
    """Receive a message of Ana that WhatsApp delivers five times."""
    async with presenter.step(
        "Ana writes; WhatsApp delivers the message five times concurrently", "id event_type=type"
    ) as step:
        kept = await asyncio.gather(
            *(step.run(webhook_events.log, event_type="messages", payload=_WEBHOOK) for _ in range(5))
        )
    presenter.expect(sum(event is not None for event in kept) == 1, "the event was not stored once")
    (event,) = await presenter.show(
        "A worker claims it for five minutes; no other worker gets it",
        "id event_type=type next_attempt_at=until",
        webhook_events.claim_unprocessed,
    )
    ana = await presenter.show(
        "The contact: created, or known already",
        "id phone_number=phone display_name=name last_seen=seen",
        contacts.save,
        phone_number=_ANA,
        display_name="Ana Torres",
        last_seen=datetime.now(UTC),
    )
    async with presenter.step(
        "The message, which must not be stored twice either: five concurrent calls",
        "id phone_number=phone direction status content",
    ) as step:
        stored = await asyncio.gather(
            *(
                step.run(
                    messages.save_inbound,
                    channel_id=channel.id,
                    contact_id=ana.id,
                    whatsapp_msg_id=_WAMID,
                    phone_number=_ANA,
                    content="¿Ya salió mi pedido?",
                )
                for _ in range(5)
            )
        )
    presenter.expect(sum(message is not None for message in stored) == 1, "the message was not stored once")
    await presenter.show(
        "Worked off", "id processed processed_at=at", webhook_events.mark_processed, id=event.id
    )


async def _send(
    presenter: Presenter, shop: TenantDatabase, limiter: ChannelLimiter, channel: channels.Channel
) -> messages.Message:
    """Send the bot's answer, whose request comes ten times."""
    content = "Sí, llega hoy antes de las 18:00"
    key = idempotency_key(channel.business_account_id, _ANA, content, 1_763_700_000)
    async with presenter.step(
        "The bot answers, in ten concurrent requests: one row, and one token of the channel's rate",
        "id phone_number=phone status content",
    ) as step:
        began = time.perf_counter()
        accepted = await asyncio.gather(
            *(
                send_message(
                    shop,
                    limiter,
                    channel_id=channel.id,
                    to_phone=_ANA,
                    content=content,
                    idempotency_key=key,
                )
                for _ in range(10)
            )
        )
        step.seconds = time.perf_counter() - began
        step.queries = len(accepted)
        step.files.append("plainsql.layers.whatsapp.sending.send_message")
        message = accepted[0].message
        step.rows.append(message)
    presenter.expect(sum(is_new for _, is_new in accepted) == 1, "it was not accepted once")
    presenter.expect({each.id for each, _ in accepted} == {message.id}, "there are several rows")
    return message


async def _receipts(presenter: Presenter, message: messages.Message) -> None:
    """Update the message by the receipts of WhatsApp, in the order in which they arrive."""
    columns = "status sent_at delivered_at read_at"
    now = datetime.now(UTC)
    await presenter.show(
        "WhatsApp has accepted it",
        columns,
        messages.update_status,
        id=message.id,
        status="sent",
        whatsapp_msg_id="wamid.answer",
        occurred_at=now,
    )
    for status, after in (("delivered", 1), ("read", 30)):
        await presenter.show(
            f"Its receipts come: {status}",
            columns,
            messages.update_status_by_whatsapp_msg_id,
            whatsapp_msg_id="wamid.answer",
            status=status,
            occurred_at=now + timedelta(minutes=after),
        )
    late = await presenter.show(
        "A late 'sent' changes nothing",
        columns,
        messages.update_status_by_whatsapp_msg_id,
        whatsapp_msg_id="wamid.answer",
        status="sent",
    )
    presenter.expect(late is None, "a late status went back")


async def _retries(presenter: Presenter, channel: channels.Channel) -> None:
    """Retry four failed messages with two workers."""
    columns = "id status retry_count=tries next_attempt_at=next error_message=error"
    async with presenter.step("Four messages fail, and are due again", columns) as step:
        for number in range(4):
            queued = await messages.save_outbound(
                presenter.db, channel_id=channel.id, phone_number=_ANA, content=f"Aviso {number}"
            )
            await step.run(
                messages.update_status, id=queued.id, status="failed", error_message="503 try later"
            )
            # Not to wait for half a minute here.
            await messages.update(presenter.db, id=queued.id, next_attempt_at=queued.created_at)
            step.queries += 2
        step.files = [messages.save_outbound.file, *step.files, messages.update.file]
    async with presenter.step("Two concurrent workers: no message is claimed twice", columns) as step:
        taken = await asyncio.gather(*(step.run(messages.claim_failed_for_retry, limit=2) for _ in range(2)))
    ids = [message.id for batch in taken for message in batch]
    presenter.expect(len(ids) == len(set(ids)) == 4, "a message was taken twice, or left")
    await presenter.show(
        "The last hour of the shop",
        "direction status total",
        messages.stats,
        since=datetime.now(UTC) - timedelta(hours=1),
    )


async def _other_side(
    presenter: Presenter, db: Database, other: TenantDatabase, channel: channels.Channel
) -> None:
    """Show what the other shop can see and do, and a session without a tenant."""
    presenter.db = other
    mine = await presenter.show("The other shop sees its own number", "id display_name=name", channels.list)
    presenter.expect([each.display_name for each in mine] == ["Tienda Cusco"], "it sees another's")
    found = await presenter.show("… and not a message", "id content", messages.list)
    presenter.expect(found == [], "it sees another's messages")
    await presenter.show_refusal(
        "… and cannot write from the first one's number, not even by its id",
        messages.save_outbound,
        channel_id=channel.id,
        phone_number=_ANA,
        content="Hola",
    )
    presenter.db = db
    await presenter.show_refusal("Without a tenant nothing runs at all", messages.list)


@contextmanager
def _keys() -> Iterator[None]:
    """Use the configured keys; if there are none, a temporary one."""
    if os.environ.get(KEYS_VARIABLE):
        yield
        return
    os.environ[KEYS_VARIABLE] = f"demo:{new_key()}"
    try:
        yield
    finally:
        del os.environ[KEYS_VARIABLE]


demo: Final = Demo(play=play, migrations=migrations_folder("whatsapp").parent, layer="whatsapp")
