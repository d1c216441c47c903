"""Messages: saved once, inbound and outbound, with a status that only moves forward."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncpg import CheckViolationError, ForeignKeyViolationError, UniqueViolationError

from plainsql.layers.whatsapp import messages
from tests.layers.whatsapp.business import PHONE, Business, blocked, open_business, open_channel

THEN = datetime(2026, 11, 1, 12, tzinfo=UTC)
ORDER = ("queued", "sent", "delivered", "read")


async def test_five_concurrent_deliveries_of_a_webhook_are_stored_once(business: Business) -> None:
    stored = await asyncio.gather(
        *(
            messages.save_inbound(
                business.db,
                channel_id=business.channel.id,
                whatsapp_msg_id="wamid.five",
                phone_number=PHONE,
                content=f"Hola {number}",
                sent_at=THEN,
            )
            for number in range(5)
        )
    )
    (first,) = [message for message in stored if message is not None]
    assert (first.status, first.direction, first.sent_at) == ("received", "inbound", THEN)
    assert await messages.get_by_whatsapp_msg_id(business.db, whatsapp_msg_id="wamid.five") == first


async def test_a_redelivered_webhook_changes_nothing(business: Business) -> None:
    message = await business.received(whatsapp_msg_id="wamid.again", content="Hola")
    again = await messages.save_inbound(
        business.db,
        channel_id=business.channel.id,
        whatsapp_msg_id="wamid.again",
        phone_number="51900",
        content="Otra cosa",
    )
    assert again is None
    assert await messages.get_by_id(business.db, id=message.id) == message


async def test_ten_concurrent_saves_with_one_key_are_one_message(business: Business) -> None:
    key = b"k" * 32
    saved = await asyncio.gather(
        *(business.queued(idempotency_key=key, content=f"Hola {number}") for number in range(10))
    )
    assert len({message.id for message in saved}) == 1
    assert len({message.content for message in saved}) == 1
    found = await messages.get_outbound_by_idempotency_key(business.db, idempotency_key=key)
    assert found is not None
    assert found.id == saved[0].id
    assert len(await messages.list(business.db)) == 1


async def test_a_call_that_waits_for_a_save_gets_its_message(business: Business) -> None:
    async with business.db.transaction() as tx:
        first = await messages.save_outbound(
            tx,
            channel_id=business.channel.id,
            phone_number=PHONE,
            content="Hola",
            idempotency_key=b"key",
        )
        second = asyncio.create_task(business.queued(idempotency_key=b"key", content="Adiós"))
        await blocked(business.root)
    assert ((await second).id, (await second).content) == (first.id, "Hola")


async def test_a_call_that_waits_for_a_failed_save_takes_its_place(
    business: Business,
) -> None:
    seconds = []
    with suppress(ZeroDivisionError):
        async with business.db.transaction() as tx:
            await messages.save_outbound(
                tx,
                channel_id=business.channel.id,
                phone_number=PHONE,
                content="Hola",
                idempotency_key=b"key",
            )
            seconds.append(asyncio.create_task(business.queued(idempotency_key=b"key", content="Adiós")))
            await blocked(business.root)
            raise ZeroDivisionError
    assert [(await second).content for second in seconds] == ["Adiós"]


async def test_the_same_key_returns_the_first_row_whatever_has_become_of_it(business: Business) -> None:
    first = await business.queued(idempotency_key=b"key", content="Hola")
    await messages.update_status(business.db, id=first.id, status="sent", whatsapp_msg_id="wamid.s")
    again = await business.queued(idempotency_key=b"key", content="Adiós")
    assert (again.id, again.content, again.status) == (first.id, "Hola", "sent")
    assert again == await messages.get_by_id(business.db, id=first.id)


async def test_the_same_key_of_another_tenant_is_another_message(business: Business) -> None:
    other = await open_business(business.root)
    ours, theirs = await asyncio.gather(
        business.queued(idempotency_key=b"key"), other.queued(idempotency_key=b"key")
    )
    assert ours.id != theirs.id
    assert theirs.tenant_id == other.id


async def test_messages_without_a_key_are_all_kept(business: Business) -> None:
    saved = [await business.queued(content="Hola") for _ in range(3)]
    assert len({message.id for message in saved}) == 3


async def test_a_queued_message_is_its_senders_until_the_lease_ends(business: Business) -> None:
    message = await business.queued(lease_s=60)
    assert (message.status, message.direction, message.retry_count) == ("queued", "outbound", 0)
    assert message.next_attempt_at is not None
    assert message.next_attempt_at > message.created_at


@pytest.mark.parametrize(("before", "after"), [*itertools.product(ORDER, ORDER)])
async def test_a_status_only_moves_forward(business: Business, before: str, after: str) -> None:
    message = await business.queued()
    if before != "queued":
        assert await messages.update_status(
            business.db, id=message.id, status=before, whatsapp_msg_id=f"wamid.{message.id}"
        )
    was = await messages.get_by_id(business.db, id=message.id)
    changed = await messages.update_status(business.db, id=message.id, status=after, occurred_at=THEN)
    if ORDER.index(after) > ORDER.index(before):
        assert changed is not None
        assert changed.status == after
    else:
        assert changed is None
        assert await messages.get_by_id(business.db, id=message.id) == was


@pytest.mark.parametrize(("before", "fails"), [*zip(ORDER, (True, True, False, False), strict=True)])
async def test_a_message_fails_only_before_it_is_delivered(
    business: Business, before: str, fails: bool
) -> None:
    message = await business.queued()
    if before != "queued":
        await messages.update_status(business.db, id=message.id, status=before)
    failed = await messages.update_status(business.db, id=message.id, status="failed", error_message="131026")
    assert (failed is not None) == fails
    if failed is not None:
        assert (failed.status, failed.error_message) == ("failed", "131026")
        for late in ("sent", "delivered", "read", "failed"):
            assert await messages.update_status(business.db, id=message.id, status=late) is None


async def test_concurrent_receipts_leave_the_furthest_status(business: Business) -> None:
    message = await business.queued()
    await messages.update_status(business.db, id=message.id, status="sent", whatsapp_msg_id="wamid.race")
    for _ in range(5):
        await asyncio.gather(
            *(
                messages.update_status_by_whatsapp_msg_id(
                    business.db, whatsapp_msg_id="wamid.race", status=status
                )
                for status in ("delivered", "sent", "read", "failed", "delivered")
            )
        )
    left = await messages.get_by_id(business.db, id=message.id)
    assert left is not None
    # 'failed' may have been first, and then no other status follows.
    assert left.status in ("read", "failed")
    assert left.read_at is not None or left.status == "failed"


async def test_a_step_that_was_left_out_has_the_time_of_the_one_after_it(business: Business) -> None:
    message = await business.queued()
    read = await messages.update_status(business.db, id=message.id, status="read", occurred_at=THEN)
    assert read is not None
    assert (read.sent_at, read.delivered_at, read.read_at) == (THEN, THEN, THEN)
    assert read.next_attempt_at is None


async def test_a_time_that_is_known_stays(business: Business) -> None:
    message = await business.queued()
    await messages.update_status(business.db, id=message.id, status="sent", occurred_at=THEN)
    later = THEN + timedelta(minutes=1)
    delivered = await messages.update_status(
        business.db, id=message.id, status="delivered", occurred_at=later
    )
    assert delivered is not None
    assert (delivered.sent_at, delivered.delivered_at) == (THEN, later)


async def test_a_receipt_for_a_message_we_do_not_know_changes_nothing(business: Business) -> None:
    assert (
        await messages.update_status_by_whatsapp_msg_id(
            business.db, whatsapp_msg_id="wamid.unknown", status="read"
        )
        is None
    )


async def test_a_status_that_does_not_exist_is_refused(business: Business) -> None:
    message = await business.queued()
    for status in ("opened", "received"):
        with pytest.raises(CheckViolationError):
            await messages.update_status(business.db, id=message.id, status=status)


async def test_an_inbound_message_has_no_receipts(business: Business) -> None:
    message = await business.received()
    assert await messages.update_status(business.db, id=message.id, status="read") is None


async def test_a_message_names_only_its_own_tenants_channel(business: Business) -> None:
    other = await open_business(business.root)
    with pytest.raises(ForeignKeyViolationError):
        await business.queued(channel_id=other.channel.id)
    with pytest.raises(ForeignKeyViolationError):
        await business.queued(contact_id=other.contact.id)


@pytest.mark.parametrize(
    "values",
    [
        {"status": "received", "direction": "outbound"},
        {"status": "sent", "direction": "inbound", "whatsapp_msg_id": "wamid.x"},
        {"status": "received", "direction": "inbound"},
        {"status": "sent", "direction": "sideways"},
        {"status": "sent", "direction": "outbound", "phone_number": ""},
        {"status": "sent", "direction": "outbound", "idempotency_key": b""},
        {"status": "sent", "direction": "outbound", "next_attempt_at": THEN},
        {"status": "queued", "direction": "outbound", "retry_count": -1},
    ],
    ids=str,
)
async def test_an_impossible_message_is_refused(business: Business, values: dict[str, Any]) -> None:
    given: Any = {"channel_id": business.channel.id, "phone_number": PHONE, **values}
    with pytest.raises(CheckViolationError):
        await messages.create(business.db, **given)


async def test_an_imported_message_is_as_it_was(business: Business) -> None:
    message = await messages.create(
        business.db,
        channel_id=business.channel.id,
        phone_number=PHONE,
        whatsapp_msg_id="wamid.old",
        content="Hola",
        status="read",
        direction="outbound",
        sent_at=THEN,
        delivered_at=THEN,
        read_at=THEN,
        created_at=THEN,
    )
    assert message.created_at == message.read_at == THEN
    with pytest.raises(UniqueViolationError):
        await business.queued(id=message.id)
    changed = await messages.update(business.db, id=message.id, content="Hola, Ana")
    assert changed is not None
    assert (changed.content, changed.status) == ("Hola, Ana", "read")
    assert await messages.delete(business.db, id=message.id) == 1


async def test_the_history_of_a_number_is_both_sides_newest_first(business: Business) -> None:
    channel = await open_channel(business.db, business.id)
    asked = await business.received(content="¿Precio?")
    answer = await business.queued(content="S/ 20")
    elsewhere = await business.received(content="Hola", channel_id=channel.id)
    await business.received(phone_number="51900")
    found = await messages.history(business.db, phone_number=PHONE)
    assert [message.id for message in found] == [elsewhere.id, answer.id, asked.id]
    on_channel = await messages.history(business.db, phone_number=PHONE, channel_id=channel.id)
    assert on_channel == [elsewhere]


async def test_an_export_streams_every_message_oldest_first(business: Business) -> None:
    sent = [await business.queued(content=f"{number}") for number in range(3)]
    streamed = [row async for row in messages.export.stream(business.db, since=sent[0].created_at)]
    assert [row.id for row in streamed] == [message.id for message in sent]


async def test_stats_count_by_direction_and_status(business: Business) -> None:
    since = datetime.now(UTC) - timedelta(minutes=1)
    await business.received()
    queued = await business.queued()
    await messages.update_status(business.db, id=(await business.queued()).id, status="sent")
    counts = await messages.stats(business.db, since=since)
    assert [(row.direction, row.status, row.total) for row in counts] == [
        ("inbound", "received", 1),
        ("outbound", "queued", 1),
        ("outbound", "sent", 1),
    ]
    assert await messages.stats(business.db, since=since, channel_id=uuid.uuid4()) == []
    assert await messages.stats(business.db, since=since, until=since) == []
    assert await messages.count(business.db) == 3
    assert await messages.count(business.db, since=queued.created_at) == 2
