"""Webhook events: saved once, processed once, and purged."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncpg import CheckViolationError, UniqueViolationError

from plainsql.layers.whatsapp import webhook_events
from tests.layers.whatsapp.business import Business, open_business

PAYLOAD: dict[str, Any] = {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": []}]}
FAR = datetime(2100, 1, 1, tzinfo=UTC)


async def logged(business: Business, number: int = 0) -> webhook_events.WebhookEvent:
    event = await webhook_events.log(
        business.db, event_type="messages", payload={"number": number, **PAYLOAD}
    )
    assert event is not None
    return event


async def test_five_concurrent_deliveries_of_an_event_are_stored_once(business: Business) -> None:
    kept = await asyncio.gather(
        *(webhook_events.log(business.db, event_type="messages", payload=PAYLOAD) for _ in range(5))
    )
    (event,) = [event for event in kept if event is not None]
    assert event.payload == PAYLOAD
    assert (event.processed, event.retry_count, event.processed_at) == (False, 0, None)
    assert await webhook_events.list(business.db) == [event]


async def test_the_order_of_keys_makes_no_other_event(business: Business) -> None:
    assert await webhook_events.log(business.db, event_type="messages", payload={"a": 1, "b": 2})
    assert await webhook_events.log(business.db, event_type="messages", payload={"b": 2, "a": 1}) is None
    assert await webhook_events.log(business.db, event_type="messages", payload={"a": 1, "b": 3})
    assert await webhook_events.log(business.db, event_type="statuses", payload={"a": 1, "b": 2})


async def test_the_same_event_of_another_tenant_is_another_one(business: Business) -> None:
    other = await open_business(business.root)
    assert await webhook_events.log(business.db, event_type="messages", payload=PAYLOAD)
    assert await webhook_events.log(other.db, event_type="messages", payload=PAYLOAD)


async def test_two_workers_never_take_the_same_event(business: Business) -> None:
    events = {(await logged(business, number)).id for number in range(30)}

    async def work() -> list[webhook_events.WebhookEvent]:
        taken = []
        while batch := await webhook_events.claim_unprocessed(business.db, limit=3):
            taken += batch
        return taken

    taken = await asyncio.gather(*(work() for _ in range(5)))
    counted = Counter(event.id for batch in taken for event in batch)
    assert set(counted) == events
    assert set(counted.values()) == {1}


async def test_a_worker_passes_over_what_another_is_about_to_take(business: Business) -> None:
    first, second = await logged(business, 1), await logged(business, 2)
    async with business.db.transaction() as tx:
        (taken,) = await webhook_events.claim_unprocessed(tx, limit=1)
        assert taken.id == first.id
        (other,) = await webhook_events.claim_unprocessed(business.db)
    assert other.id == second.id


async def test_an_event_comes_again_when_its_worker_is_not_heard_of(business: Business) -> None:
    event = await logged(business)
    (taken,) = await webhook_events.claim_unprocessed(business.db, lease_s=60)
    assert taken.next_attempt_at is not None
    assert taken.next_attempt_at > event.created_at + timedelta(seconds=59)
    assert await webhook_events.claim_unprocessed(business.db) == []
    await webhook_events.update(business.db, id=event.id, next_attempt_at=event.created_at)
    (again,) = await webhook_events.claim_unprocessed(business.db)
    assert again.id == event.id


async def test_a_processed_event_is_not_claimed_again(business: Business) -> None:
    event = await logged(business)
    await webhook_events.mark_failed(business.db, id=event.id, error_message="no channel")
    done = await webhook_events.mark_processed(business.db, id=event.id)
    assert done is not None
    assert (done.processed, done.error_message, done.next_attempt_at) == (True, None, None)
    assert done.processed_at is not None
    assert await webhook_events.mark_processed(business.db, id=event.id) is None
    assert await webhook_events.mark_failed(business.db, id=event.id, error_message="late") is None
    assert await webhook_events.claim_unprocessed(business.db) == []


async def test_a_failure_is_tried_again_ever_later_and_in_the_end_given_up(business: Business) -> None:
    event = await logged(business)
    delays = []
    for _ in range(3):
        failed = await webhook_events.mark_failed(
            business.db, id=event.id, error_message="down", max_attempts=4, first_delay_s=10
        )
        assert failed is not None
        assert failed.next_attempt_at is not None
        delays.append(failed.next_attempt_at - failed.updated_at)
    assert delays == [timedelta(seconds=seconds) for seconds in (10, 20, 40)]
    given_up = await webhook_events.mark_failed(
        business.db, id=event.id, error_message="still down", max_attempts=4
    )
    assert given_up is not None
    assert (given_up.retry_count, given_up.next_attempt_at, given_up.processed) == (4, None, False)
    assert await webhook_events.update(business.db, id=event.id, next_attempt_at=event.created_at)
    assert await webhook_events.claim_unprocessed(business.db)


async def test_purging_removes_only_processed_events(business: Business) -> None:
    waiting = await logged(business)
    for number in range(1, 6):
        await webhook_events.mark_processed(business.db, id=(await logged(business, number)).id)
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    assert await webhook_events.purge(business.db, before=long_ago) == 0
    assert await webhook_events.purge(business.db, before=FAR, limit=2) == 2
    counted = await asyncio.gather(*(webhook_events.purge(business.db, before=FAR) for _ in range(3)))
    assert sum(counted) == 3
    assert await webhook_events.list(business.db) == [waiting]


async def test_an_imported_event_is_as_it_was(business: Business) -> None:
    then = datetime(2026, 1, 1, tzinfo=UTC)
    event = await webhook_events.create(
        business.db, event_type="statuses", payload=[1], processed=True, processed_at=then, created_at=then
    )
    assert (event.created_at, event.payload, event.processed) == (then, [1], True)
    with pytest.raises(UniqueViolationError):
        await webhook_events.create(business.db, event_type="statuses", payload=[1])
    with pytest.raises(CheckViolationError):
        await webhook_events.create(business.db, event_type="statuses", payload=[2], processed=True)
    assert await webhook_events.list(business.db, event_type="statuses") == [event]
    assert await webhook_events.count(business.db) == 1
    assert await webhook_events.delete(business.db, id=event.id) == 1
