"""Sending as one unit of work: accepted and refused messages, tokens, and concurrent calls."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from asyncpg import StringDataRightTruncationError

from plainsql.errors import OptionError, RedisUnavailableError
from plainsql.layers.whatsapp import channels, contacts, messages
from plainsql.layers.whatsapp.idempotency import idempotency_key
from plainsql.layers.whatsapp.limiter import ChannelLimiter
from plainsql.layers.whatsapp.sending import (
    Accepted,
    ChannelUnavailableError,
    ContactBlockedError,
    RateLimitedError,
    send_message,
)
from plainsql.limits import Limits
from tests.layers.whatsapp.business import PHONE, Business, open_business

KEY = idempotency_key("account", PHONE, "Hola", 1)


@pytest.fixture
async def limiter(redis_url: str) -> AsyncGenerator[ChannelLimiter]:
    """A limiter whose tokens do not come back while a test runs."""
    async with Limits(redis_url, prefix=uuid.uuid4().hex) as limits:
        yield _Frozen(limits)


class _Frozen(ChannelLimiter):
    """Its channels start with all tokens, and get a new one every 1,000 seconds."""

    def charge(self, channel: channels.Channel, n: int = 1) -> Any:
        rate = channel.messages_per_second
        bucket = self._limits.bucket(self._name, rate=1, per=1000.0, burst=self._burst or rate)
        return bucket.charge(f"{channel.tenant_id}:{channel.id}", n)


async def send(business: Business, limiter: ChannelLimiter, **values: Any) -> Accepted:
    return await send_message(
        business.db,
        limiter,
        **{"channel_id": business.channel.id, "to_phone": PHONE, "content": "Hola", **values},
    )


async def test_a_message_is_accepted_with_its_contact_and_takes_a_token(
    business: Business, limiter: ChannelLimiter
) -> None:
    message, is_new = await send(business, limiter, idempotency_key=KEY)
    assert is_new
    assert (message.status, message.contact_id, message.idempotency_key) == (
        "queued",
        business.contact.id,
        KEY,
    )
    assert await messages.get_by_id(business.db, id=message.id) == message
    assert await limiter.remaining(business.channel) == 79


async def test_a_number_that_is_no_contact_can_be_written_to(
    business: Business, limiter: ChannelLimiter
) -> None:
    message, _ = await send(business, limiter, to_phone="51900")
    assert (message.phone_number, message.contact_id) == ("51900", None)


async def test_the_same_key_again_returns_the_first_row_and_takes_no_token(
    business: Business, limiter: ChannelLimiter
) -> None:
    first, _ = await send(business, limiter, idempotency_key=KEY)
    await messages.update_status(business.db, id=first.id, status="sent", whatsapp_msg_id="wamid.k")
    again, is_new = await send(business, limiter, idempotency_key=KEY)
    assert not is_new
    assert (again.id, again.status) == (first.id, "sent")
    assert await limiter.remaining(business.channel) == 79


async def test_ten_concurrent_calls_with_one_key_save_and_take_one_token(
    business: Business, limiter: ChannelLimiter
) -> None:
    accepted = await asyncio.gather(*(send(business, limiter, idempotency_key=KEY) for _ in range(10)))
    assert len({message.id for message, _ in accepted}) == 1
    assert sum(is_new for _, is_new in accepted) == 1
    assert len(await messages.list(business.db)) == 1
    assert await limiter.remaining(business.channel) == 79


async def test_the_same_key_of_another_tenant_sends(business: Business, limiter: ChannelLimiter) -> None:
    other = await open_business(business.root)
    _, ours = await send(business, limiter, idempotency_key=KEY)
    _, theirs = await send(other, limiter, idempotency_key=KEY)
    assert (ours, theirs) == (True, True)


async def test_calls_without_a_key_all_save(business: Business, limiter: ChannelLimiter) -> None:
    accepted = await asyncio.gather(*(send(business, limiter) for _ in range(3)))
    assert len({message.id for message, _ in accepted}) == 3
    assert await limiter.remaining(business.channel) == 77


async def test_no_token_no_message(business: Business, redis_url: str) -> None:
    async with Limits(redis_url, prefix=uuid.uuid4().hex) as limits:
        limiter = _Frozen(limits, burst=2)
        for _ in range(2):
            await send(business, limiter)
        with pytest.raises(RateLimitedError) as error:
            await send(business, limiter, idempotency_key=KEY)
        assert 0 < error.value.retry_after <= 1000
        assert str(error.value) == (
            f"channel {business.channel.id} is at its limit of 80 messages a second\n"
            "HINT: retry after retry_after seconds"
        )
        assert len(await messages.list(business.db)) == 2
        assert (await messages.get_outbound_by_idempotency_key(business.db, idempotency_key=KEY)) is None, (
            "the key must be free for the next attempt"
        )


async def test_concurrent_sends_are_accepted_as_long_as_there_are_tokens(
    business: Business, redis_url: str
) -> None:
    async with Limits(redis_url, prefix=uuid.uuid4().hex) as limits:
        limiter = _Frozen(limits, burst=5)
        sent = await asyncio.gather(*(send(business, limiter) for _ in range(20)), return_exceptions=True)
    accepted = [result for result in sent if isinstance(result, Accepted)]
    assert len(accepted) == 5
    assert {type(result) for result in sent} == {Accepted, RateLimitedError}
    assert len(await messages.list(business.db)) == 5


async def test_a_saved_message_is_returned_even_if_sending_is_refused_now(
    business: Business, limiter: ChannelLimiter
) -> None:
    first, _ = await send(business, limiter, idempotency_key=KEY)
    await channels.suspend(business.db, id=business.channel.id)
    again, is_new = await send(business, limiter, idempotency_key=KEY)
    assert (again.id, is_new) == (first.id, False)


async def test_a_channel_that_is_not_the_tenants_is_not_there(
    business: Business, limiter: ChannelLimiter
) -> None:
    other = await open_business(business.root)
    with pytest.raises(ChannelUnavailableError) as error:
        await send(business, limiter, channel_id=other.channel.id)
    assert str(error.value) == (
        f"there is no channel {other.channel.id}\nHINT: pass db.tenant(tenant_id) of the channel's tenant"
    )
    assert await limiter.remaining(other.channel) == 80


async def test_a_channel_that_may_not_send_is_refused(business: Business, limiter: ChannelLimiter) -> None:
    id = business.channel.id
    await channels.update(business.db, id=id, is_verified=False)
    with pytest.raises(
        ChannelUnavailableError, match=f"^channel {id} is not verified\nHINT: call channels.verify"
    ):
        await send(business, limiter)
    await channels.suspend(business.db, id=id)
    with pytest.raises(
        ChannelUnavailableError, match=f"^channel {id} is suspended\nHINT: call channels.resume"
    ):
        await send(business, limiter)
    await channels.update(business.db, id=id, status="pending")
    with pytest.raises(
        ChannelUnavailableError, match=f"^channel {id} is pending\nHINT: call channels.verify"
    ):
        await send(business, limiter)
    assert await messages.list(business.db) == []


async def test_a_message_to_a_blocked_contact_is_refused(business: Business, limiter: ChannelLimiter) -> None:
    await contacts.block(business.db, id=business.contact.id)
    with pytest.raises(ContactBlockedError, match=f"contact {business.contact.id} is blocked"):
        await send(business, limiter)
    assert await limiter.remaining(business.channel) == 80


async def test_a_message_that_the_server_refuses_takes_no_token(
    business: Business, limiter: ChannelLimiter
) -> None:
    with pytest.raises(StringDataRightTruncationError):
        await send(business, limiter, to_phone="5" * 21)
    assert await limiter.remaining(business.channel) == 80


async def test_without_redis_nothing_is_saved_if_the_limits_raise(business: Business) -> None:
    async with Limits("unix:///nowhere/redis.sock") as limits:
        with pytest.raises(RedisUnavailableError):
            await send(business, ChannelLimiter(limits), idempotency_key=KEY)
    assert await messages.list(business.db) == []


async def test_without_redis_a_process_may_count_for_itself(business: Business) -> None:
    async with Limits("unix:///nowhere/redis.sock", without_redis="local") as limits:
        _, is_new = await send(business, ChannelLimiter(limits))
    assert is_new


async def test_inside_a_transaction_it_is_undone_with_it(business: Business, limiter: ChannelLimiter) -> None:
    with suppress(ZeroDivisionError):
        async with business.db.transaction() as tx:
            await send_message(tx, limiter, channel_id=business.channel.id, to_phone=PHONE, content="Hola")
            raise ZeroDivisionError
    assert await messages.list(business.db) == []


async def test_a_raised_channel_sends_at_the_higher_rate(business: Business, redis_url: str) -> None:
    async with Limits(redis_url, prefix=uuid.uuid4().hex) as limits:
        limiter = ChannelLimiter(limits)
        assert await limiter.remaining(business.channel) == 80
        with pytest.raises(OptionError, match="at most 80"):
            await limiter.check(business.channel, 81)
        raised = await channels.update(business.db, id=business.channel.id, messages_per_second=250)
        assert raised is not None
        assert await limiter.consume(raised, 250)
        assert not await limiter.consume(raised, 250)
        assert (await limiter.wait(raised, 250, timeout=30)).allowed


async def test_channels_with_one_id_of_two_tenants_share_no_tokens(
    business: Business, limiter: ChannelLimiter
) -> None:
    other = await open_business(business.root)
    twin = await channels.create(
        other.db,
        tenant_id=other.id,
        id=business.channel.id,
        organization_id=uuid.uuid4(),
        phone_number_id="1",
        business_account_id="1",
        access_token="a token",
    )
    assert await limiter.consume(twin, 80)
    assert await limiter.remaining(twin) == 0
    assert await limiter.remaining(business.channel) == 80


async def test_a_sent_message_is_due_again_unless_its_sender_reports(
    business: Business, limiter: ChannelLimiter
) -> None:
    message, _ = await send(business, limiter, lease_s=1)
    assert message.next_attempt_at is not None
    assert message.next_attempt_at > datetime(2026, 1, 1, tzinfo=UTC)
    sent = await messages.update_status(business.db, id=message.id, status="sent", whatsapp_msg_id="wamid.r")
    assert sent is not None
    assert sent.next_attempt_at is None
