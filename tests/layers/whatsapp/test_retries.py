"""Retries: the worker that may retry, the time, and the number of attempts."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from datetime import timedelta

from plainsql.layers.whatsapp import messages
from tests.layers.whatsapp.business import Business


async def test_two_workers_never_take_the_same_message(business: Business) -> None:
    due = {(await business.failed()).id for _ in range(40)}

    async def work() -> list[messages.Message]:
        taken = []
        while batch := await messages.claim_failed_for_retry(business.db, limit=3):
            taken += batch
        return taken

    taken = await asyncio.gather(*(work() for _ in range(5)))
    counted = Counter(message.id for batch in taken for message in batch)
    assert set(counted) == due
    assert set(counted.values()) == {1}


async def test_a_worker_passes_over_what_another_is_about_to_take(business: Business) -> None:
    first, second = await business.failed(), await business.failed()
    async with business.db.transaction() as tx:
        (taken,) = await messages.claim_failed_for_retry(tx, limit=1)
        assert taken.id == first.id
        # It does not wait, although the transaction of the first is open.
        (other,) = await messages.claim_failed_for_retry(business.db, limit=10)
    assert other.id == second.id


async def test_a_worker_that_dies_in_its_transaction_gives_back_what_it_took(business: Business) -> None:
    message = await business.failed()
    with suppress(ZeroDivisionError):
        async with business.db.transaction() as tx:
            assert await messages.claim_failed_for_retry(tx)
            raise ZeroDivisionError
    (again,) = await messages.claim_failed_for_retry(business.db)
    assert (again.id, again.retry_count) == (message.id, 1)


async def test_a_claimed_message_is_queued_again_with_twice_the_delay(business: Business) -> None:
    message = await business.queued()
    delays = []
    for attempt in range(4):
        failed = await messages.update_status(business.db, id=message.id, status="failed", first_delay_s=10)
        assert failed is not None
        assert failed.next_attempt_at is not None
        assert failed.retry_count == attempt
        delays.append(failed.next_attempt_at - failed.updated_at)
        await messages.update(business.db, id=message.id, next_attempt_at=message.created_at)
        (taken,) = await messages.claim_failed_for_retry(business.db, first_delay_s=10)
        assert (taken.status, taken.retry_count) == ("queued", attempt + 1)
        assert taken.next_attempt_at is not None
        lease = taken.next_attempt_at - taken.updated_at
        assert timedelta(seconds=20 * 2**attempt) <= lease < timedelta(seconds=40 * 2**attempt)
    assert delays == [timedelta(seconds=10 * 2**attempt) for attempt in range(4)]


async def test_a_delay_is_a_day_at_the_most(business: Business) -> None:
    message = await business.queued()
    async with business.db.acquire() as connection:
        await connection.execute(
            "update whatsapp.messages set retry_count = 2000000000 where id = $1", message.id
        )
    failed = await messages.update_status(business.db, id=message.id, status="failed", max_attempts=5)
    assert failed is not None
    assert failed.next_attempt_at is None
    async with business.db.acquire() as connection:
        await connection.execute(
            "update whatsapp.messages set retry_count = 60, status = 'queued' where id = $1", message.id
        )
    failed = await messages.update_status(business.db, id=message.id, status="failed", max_attempts=100)
    assert failed is not None
    assert failed.next_attempt_at == failed.updated_at + timedelta(days=1)


async def test_a_message_that_cannot_succeed_is_not_retried(business: Business) -> None:
    message = await business.queued()
    failed = await messages.update_status(business.db, id=message.id, status="failed", max_attempts=0)
    assert failed is not None
    assert failed.next_attempt_at is None
    assert await messages.claim_failed_for_retry(business.db) == []


async def test_a_message_with_too_many_failures_is_not_claimed(business: Business) -> None:
    message = await business.failed()
    assert await messages.claim_failed_for_retry(business.db, max_attempts=0) == []
    (taken,) = await messages.claim_failed_for_retry(business.db, max_attempts=1)
    assert taken.id == message.id


async def test_a_message_that_is_not_due_is_not_claimed(business: Business) -> None:
    message = await business.queued()
    await messages.update_status(business.db, id=message.id, status="failed")
    await business.queued()
    await business.received()
    assert await messages.claim_failed_for_retry(business.db) == []


async def test_a_message_whose_sender_died_is_taken_when_the_lease_ends(business: Business) -> None:
    message = await business.queued()
    await messages.update(business.db, id=message.id, next_attempt_at=message.created_at)
    (taken,) = await messages.claim_failed_for_retry(business.db)
    assert taken.id == message.id


async def test_the_oldest_comes_first(business: Business) -> None:
    due = [await business.failed(content=f"{number}") for number in range(5)]
    taken = await messages.claim_failed_for_retry(business.db, limit=3)
    assert [message.id for message in taken] == [message.id for message in due[:3]]


async def test_a_retry_that_is_sent_is_sent(business: Business) -> None:
    await business.failed()
    (taken,) = await messages.claim_failed_for_retry(business.db)
    sent = await messages.update_status(
        business.db,
        id=taken.id,
        status="sent",
        whatsapp_msg_id="wamid.second",
        retry_count=taken.retry_count,
    )
    assert sent is not None
    assert (sent.status, sent.whatsapp_msg_id, sent.next_attempt_at) == ("sent", "wamid.second", None)


async def test_a_worker_that_was_given_up_does_not_speak_for_the_next_one(business: Business) -> None:
    message = await business.failed()
    (first,) = await messages.claim_failed_for_retry(business.db)
    await messages.update(business.db, id=message.id, next_attempt_at=message.created_at)
    (second,) = await messages.claim_failed_for_retry(business.db)
    assert second.retry_count == first.retry_count + 1
    late = await messages.update_status(
        business.db, id=message.id, status="failed", retry_count=first.retry_count
    )
    assert late is None
    assert await messages.update_status(
        business.db, id=message.id, status="sent", retry_count=second.retry_count
    )


async def test_a_late_receipt_of_the_first_attempt_is_not_taken_for_the_second(business: Business) -> None:
    message = await business.queued()
    await messages.update_status(business.db, id=message.id, status="sent", whatsapp_msg_id="wamid.first")
    await messages.update_status_by_whatsapp_msg_id(
        business.db, whatsapp_msg_id="wamid.first", status="failed"
    )
    await messages.update(business.db, id=message.id, next_attempt_at=message.created_at)
    (taken,) = await messages.claim_failed_for_retry(business.db)
    assert taken.whatsapp_msg_id is None
    late = await messages.update_status_by_whatsapp_msg_id(
        business.db, whatsapp_msg_id="wamid.first", status="failed"
    )
    assert late is None
