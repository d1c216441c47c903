"""Conversations: started once, ended once, and the changes of a deal."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from asyncpg import CheckViolationError, ForeignKeyViolationError

import plainsql
from plainsql.layers.marketplace import buyers, conversations, messages, products
from tests.layers.marketplace.stall import Stall, blocked, execute, pages

NEVER = 2**40


async def test_start_begins_a_conversation_once_and_counts_it_once(stall: Stall) -> None:
    key = uuid.uuid4().hex
    started = await asyncio.gather(
        *(
            conversations.start(
                stall.db, wallapop_chat_id=key, product_id=stall.product.id, buyer_id=stall.buyer.id
            )
            for _ in range(20)
        )
    )
    assert len({talk.id for talk in started if talk is not None}) == 1
    assert None not in started
    _, _, buyer = await stall.now()
    assert buyer.total_conversations == stall.buyer.total_conversations + 1 == 2


async def test_start_finds_a_conversation_that_another_has_just_begun(stall: Stall) -> None:
    db, key = stall.db, uuid.uuid4().hex
    given: Any = {"wallapop_chat_id": key, "product_id": stall.product.id, "buyer_id": stall.buyer.id}
    async with db.transaction() as tx:
        first = await conversations.start(tx, **given)
        second = asyncio.create_task(conversations.start(db, **given))
        await blocked(db)
    assert await second == first
    _, _, buyer = await stall.now()
    assert buyer.total_conversations == 2


async def test_a_blocked_or_unknown_buyer_begins_nothing(stall: Stall) -> None:
    db = stall.db
    await buyers.block(db, id=stall.buyer.id)
    for buyer in (stall.buyer.id, NEVER):
        assert (
            await conversations.start(
                db, wallapop_chat_id=uuid.uuid4().hex, product_id=stall.product.id, buyer_id=buyer
            )
            is None
        )
    known = await conversations.start(
        db,
        wallapop_chat_id=stall.talk.wallapop_chat_id,
        product_id=stall.product.id,
        buyer_id=stall.buyer.id,
    )
    assert known is not None
    assert (known.id, known.status) == (stall.talk.id, "BLOCKED")


async def test_an_unknown_product_is_refused(stall: Stall) -> None:
    with pytest.raises(ForeignKeyViolationError):
        await stall.talk_with(product_id=NEVER)


async def test_complete_sells_the_product_and_counts_the_purchase(stall: Stall) -> None:
    await products.reserve(stall.db, id=stall.product.id, buyer_id=stall.buyer.id)
    done = await conversations.complete(stall.db, id=stall.talk.id, negotiated_price=Decimal("80.00"))
    assert done is not None
    assert (done.status, done.negotiated_price) == ("COMPLETED", Decimal("80.00"))
    product, talk, buyer = await stall.now()
    assert talk == done
    assert (product.status, product.sold_price, product.sold_to_id) == (
        "SOLD",
        Decimal("80.00"),
        stall.buyer.id,
    )
    assert product.sold_at == done.completed_at == done.updated_at
    assert buyer.completed_purchases == 1


async def test_a_deal_without_a_price_takes_the_one_negotiated_then_the_products(stall: Stall) -> None:
    await conversations.update(stall.db, id=stall.talk.id, negotiated_price=Decimal(90))
    done = await conversations.complete(stall.db, id=stall.talk.id)
    assert done is not None
    assert done.negotiated_price == Decimal(90)
    other = await stall.talk_with(product_id=(await stall.product_with(price=Decimal(7))).id)
    done = await conversations.complete(stall.db, id=other.id)
    assert done is not None
    assert done.negotiated_price == Decimal(7)


async def test_one_of_twenty_concurrent_deals_succeeds(stall: Stall) -> None:
    people = [await stall.buyer_with() for _ in range(20)]
    talks = [await stall.talk_with(buyer_id=buyer.id) for buyer in people]
    done = await asyncio.gather(
        *(
            conversations.complete(stall.db, id=talk.id, negotiated_price=Decimal(n))
            for n, talk in enumerate(talks)
        )
    )
    (winner,) = [talk for talk in done if talk is not None]
    product, _, _ = await stall.now()
    assert (product.sold_to_id, product.sold_price) == (winner.buyer_id, winner.negotiated_price)
    found = [await conversations.get_by_id(stall.db, id=talk.id) for talk in talks]
    assert sorted(talk.status for talk in found if talk) == ["ACTIVE"] * 19 + ["COMPLETED"]
    bought = [await buyers.get_by_id(stall.db, id=buyer.id) for buyer in people]
    assert sum(buyer.completed_purchases for buyer in bought if buyer) == 1


async def test_a_deal_that_waits_for_another_changes_nothing(stall: Stall) -> None:
    db, other = stall.db, await stall.talk_with(buyer_id=(await stall.buyer_with()).id)
    async with db.transaction() as tx:
        assert await conversations.complete(tx, id=stall.talk.id) is not None
        second = asyncio.create_task(conversations.complete(db, id=other.id))
        await blocked(db)
    assert await second is None
    found = await conversations.get_by_id(db, id=other.id)
    assert found == other


async def test_a_deal_that_waits_for_a_message_is_made(stall: Stall) -> None:
    # The conversation's row has changed by the time it is locked.
    db = stall.db
    async with db.transaction() as tx:
        await messages.append(tx, conversation_id=stall.talk.id, content="vale")
        waiting = asyncio.create_task(conversations.complete(db, id=stall.talk.id))
        await blocked(db)
    done = await waiting
    assert done is not None
    assert (done.status, done.message_count) == ("COMPLETED", 1)


@pytest.mark.parametrize("why", ["sold", "inactive", "kept for another", "not active", "unknown"])
async def test_a_deal_that_cannot_be_changes_nothing_at_all(stall: Stall, why: str) -> None:
    db, id = stall.db, stall.talk.id
    match why:
        case "sold":
            await products.sell(db, id=stall.product.id)
        case "inactive":
            await products.deactivate(db, id=stall.product.id)
        case "kept for another":
            other = await stall.buyer_with()
            await products.reserve(db, id=stall.product.id, buyer_id=other.id)
        case "not active":
            await conversations.cancel(db, id=id)
        case _:
            id = NEVER
    before = await stall.now()
    assert await conversations.complete(db, id=id, negotiated_price=Decimal(1)) is None
    assert await stall.now() == before


async def test_cancel_releases_only_the_products_of_this_buyer(stall: Stall) -> None:
    db = stall.db
    await products.reserve(db, id=stall.product.id, buyer_id=stall.buyer.id)
    cancelled = await conversations.cancel(db, id=stall.talk.id)
    assert cancelled is not None
    assert cancelled.status == "CANCELLED"
    assert (await stall.now())[0].status == "AVAILABLE"
    assert await conversations.cancel(db, id=stall.talk.id) is None

    other = await stall.buyer_with()
    talk = await stall.talk_with()
    await products.reserve(db, id=stall.product.id, buyer_id=other.id)
    await conversations.cancel(db, id=talk.id)
    assert (await stall.now())[0].status == "RESERVED"


async def test_a_cancelled_conversation_is_reopened_unless_its_buyer_is_blocked(stall: Stall) -> None:
    db = stall.db
    assert await conversations.reopen(db, id=stall.talk.id) is None
    await conversations.cancel(db, id=stall.talk.id)
    again = await conversations.reopen(db, id=stall.talk.id)
    assert again is not None
    assert again.status == "ACTIVE"
    await conversations.cancel(db, id=stall.talk.id)
    await buyers.block(db, id=stall.buyer.id)
    assert await conversations.reopen(db, id=stall.talk.id) is None


@pytest.mark.parametrize("new", ["ACTIVE", "CANCELLED", "BLOCKED"])
async def test_the_database_refuses_a_wrong_move_by_hand(stall: Stall, new: str) -> None:
    await conversations.complete(stall.db, id=stall.talk.id)
    with pytest.raises(CheckViolationError, match="is COMPLETED, and cannot become") as refused:
        await execute(
            stall.db, f"update marketplace.conversations set status = '{new}' where id = {stall.talk.id}"
        )
    assert getattr(refused.value, "constraint_name", None) == "conversations_status_moves"


async def test_update_changes_the_given_columns(stall: Stall) -> None:
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    changed = await conversations.update(
        stall.db, id=stall.talk.id, meeting_location="Atocha", meeting_time=at, sentiment_score=0.5
    )
    assert changed is not None
    assert (changed.meeting_location, changed.meeting_time, changed.sentiment_score) == ("Atocha", at, 0.5)
    assert changed.status == "ACTIVE"
    with pytest.raises(CheckViolationError):
        await conversations.update(stall.db, id=stall.talk.id, sentiment_score=2.0)


async def test_the_active_ones_are_those_that_moved_last(fresh_db: plainsql.Database) -> None:
    from tests.layers.marketplace.stall import open_stall

    stall = await open_stall(fresh_db)
    talks = [stall.talk, *[await stall.talk_with() for _ in range(6)]]
    await conversations.cancel(fresh_db, id=talks[3].id)
    await messages.append(fresh_db, conversation_id=talks[1].id, content="hola")
    rows: list[Any] = [row async for row in pages(conversations.list_active, fresh_db, "updated_at", "id")]
    expected = [talks[1], talks[6], talks[5], talks[4], talks[2], talks[0]]
    assert [row.id for row in rows] == [talk.id for talk in expected]


async def test_conversations_are_found_by_buyer_product_and_chat(stall: Stall) -> None:
    db, other = stall.db, await stall.buyer_with()
    talks = [stall.talk, *[await stall.talk_with(buyer_id=other.id) for _ in range(4)]]
    found = [
        row.id async for row in pages(conversations.for_buyer, db, "created_at", "id", buyer_id=other.id)
    ]
    assert found == [talk.id for talk in talks[:0:-1]]
    about = [
        row.id
        async for row in pages(conversations.for_product, db, "created_at", "id", product_id=stall.product.id)
    ]
    assert about == [talk.id for talk in talks[::-1]]
    assert (
        await conversations.get_by_wallapop_chat_id(db, wallapop_chat_id=talks[0].wallapop_chat_id)
        == talks[0]
    )
    await conversations.cancel(db, id=talks[2].id)
    gone = await conversations.for_buyer(db, buyer_id=other.id, status="CANCELLED")
    assert [row.id for row in gone] == [talks[2].id]
    assert await conversations.count(db, status="CANCELLED", since=talks[2].created_at) == 1


async def test_create_takes_the_past(stall: Stall) -> None:
    at = datetime(2020, 1, 1, tzinfo=UTC)
    talk = await conversations.create(
        stall.db,
        wallapop_chat_id=uuid.uuid4().hex,
        product_id=stall.product.id,
        buyer_id=stall.buyer.id,
        status="COMPLETED",
        negotiated_price=Decimal(5),
        completed_at=at,
    )
    assert (talk.status, talk.completed_at, talk.message_count) == ("COMPLETED", at, 0)
    assert await conversations.delete(stall.db, id=talk.id) == 1
