"""Buyers: created once, blocked and unblocked, with a trust score."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from asyncpg import CheckViolationError, UniqueViolationError

import plainsql
from plainsql.layers.marketplace import buyers, conversations, products
from plainsql.layers.marketplace.maintenance import TrustScores, recompute_trust_scores
from tests.layers.marketplace.stall import Stall, blocked, execute, new_buyer, open_stall

NEVER = 2**40


async def test_create_or_update_merges_what_is_given(stall: Stall) -> None:
    db, key = stall.db, uuid.uuid4().hex
    first = await buyers.create_or_update(
        db, wallapop_user_id=key, username="ana", phone="600", profile_data={"city": "Madrid", "n": 1}
    )
    assert (first.is_verified, first.trust_score, first.total_conversations) == (False, 0.5, 0)
    again = await buyers.create_or_update(
        db, wallapop_user_id=key, display_name="Ana", is_verified=True, profile_data={"n": 2}
    )
    assert again.id == first.id
    assert (again.username, again.display_name, again.phone, again.is_verified) == (
        "ana",
        "Ana",
        "600",
        True,
    )
    assert again.profile_data == {"city": "Madrid", "n": 2}
    assert await buyers.create_or_update(db, wallapop_user_id=key) == again
    assert await buyers.get_by_wallapop_user_id(db, wallapop_user_id=key) == again
    with pytest.raises(UniqueViolationError):
        await stall.buyer_with(wallapop_user_id=key)


async def test_concurrent_creations_of_a_buyer_are_one_row(stall: Stall) -> None:
    key = uuid.uuid4().hex
    rows = await asyncio.gather(
        *(
            buyers.create_or_update(stall.db, wallapop_user_id=key, profile_data={str(n): n})
            for n in range(20)
        )
    )
    assert len({row.id for row in rows}) == 1
    found = await buyers.get_by_wallapop_user_id(stall.db, wallapop_user_id=key)
    assert found is not None
    assert found.profile_data == {str(n): n for n in range(20)}


async def test_update_and_delete(stall: Stall) -> None:
    buyer = await stall.buyer_with()
    changed = await buyers.update(stall.db, id=buyer.id, email="ana@example.com", username=None)
    assert changed is not None
    assert (changed.email, changed.username) == ("ana@example.com", None)
    assert changed.updated_at > buyer.updated_at
    for wrong in ({"email": "no"}, {"trust_score": 1.5}, {"profile_data": [1]}):
        given: dict[str, Any] = wrong
        with pytest.raises(CheckViolationError):
            await buyers.update(stall.db, id=buyer.id, **given)
    assert await buyers.delete(stall.db, id=buyer.id) == 1


async def test_block_stops_conversations_and_releases_products(stall: Stall) -> None:
    db = stall.db
    cancelled = await stall.talk_with()
    await conversations.cancel(db, id=cancelled.id)
    await products.reserve(db, id=stall.product.id, buyer_id=stall.buyer.id)
    gone = await buyers.block(db, id=stall.buyer.id)
    assert gone is not None
    product, talk, buyer = await stall.now()
    assert buyer == gone
    assert (buyer.is_blocked, buyer.trust_score) == (True, 0.0)
    assert (product.status, product.reserved_for_id, talk.status) == ("AVAILABLE", None, "BLOCKED")
    left = await conversations.get_by_id(db, id=cancelled.id)
    assert left is not None
    assert left.status == "CANCELLED"
    assert await buyers.block(db, id=NEVER) is None


async def test_unblock_takes_conversations_up_again(stall: Stall) -> None:
    assert await buyers.unblock(stall.db, id=stall.buyer.id) is None
    await buyers.block(stall.db, id=stall.buyer.id)
    back = await buyers.unblock(stall.db, id=stall.buyer.id)
    assert back is not None
    assert (back.is_blocked, back.trust_score) == (False, 0.5)
    assert (await stall.now())[1].status == "ACTIVE"


async def test_a_block_locks_conversations_before_the_buyer(stall: Stall) -> None:
    # The same order as in conversations.complete: a call that held the buyer and waited for the conversation
    # would be half of a deadlock.
    db = stall.db
    async with db.transaction() as tx:
        await tx.connection.execute(
            "select 1 from marketplace.conversations where id = $1 for no key update", stall.talk.id
        )
        blocking = asyncio.create_task(buyers.block(db, id=stall.buyer.id))
        await blocked(db)
        assert await buyers.update(tx, id=stall.buyer.id, username="eva") is not None
    assert await blocking is not None


async def test_a_concurrent_deal_and_block_wait_for_each_other(stall: Stall) -> None:
    db = stall.db
    async with db.transaction() as tx:
        assert await conversations.complete(tx, id=stall.talk.id) is not None
        blocking = asyncio.create_task(buyers.block(db, id=stall.buyer.id))
        await blocked(db)
    assert await blocking is not None
    product, talk, buyer = await stall.now()
    assert (product.status, talk.status, buyer.is_blocked) == ("SOLD", "COMPLETED", True)


async def test_trust_is_the_share_of_promises_kept(fresh_db: plainsql.Database) -> None:
    stall = await open_stall(fresh_db)
    stranger = await new_buyer(fresh_db)
    verified = await new_buyer(fresh_db, is_verified=True)
    villain = await new_buyer(fresh_db)
    await buyers.update(fresh_db, id=villain.id, trust_score=0.9)
    await execute(fresh_db, "update marketplace.buyers set is_blocked = true where id = $1", villain.id)
    for _ in range(3):
        product = await stall.product_with()
        talk = await stall.talk_with(product_id=product.id)
        await conversations.complete(fresh_db, id=talk.id)
    await conversations.cancel(fresh_db, id=stall.talk.id)
    # Archived deals count too: the purchase was counted when it was made.
    await execute(
        fresh_db, "update marketplace.conversations set status = 'ARCHIVED' where status = 'COMPLETED'"
    )
    scores = await recompute_trust_scores(fresh_db, batch=2)
    assert scores == TrustScores(examined=4, changed=3)
    expected = {stall.buyer.id: 4 / 6, stranger.id: 0.5, verified.id: 0.6, villain.id: 0.0}
    for id, score in expected.items():
        buyer = await buyers.get_by_id(fresh_db, id=id)
        assert buyer is not None
        assert buyer.trust_score == pytest.approx(score)
    assert await recompute_trust_scores(fresh_db, batch=2) == TrustScores(examined=4, changed=0)


async def test_concurrent_recomputations_do_not_deadlock(fresh_db: plainsql.Database) -> None:
    await execute(
        fresh_db,
        """insert into marketplace.buyers (wallapop_user_id, trust_score)
           select n::text, 0.1 from generate_series(1, 500) as n""",
    )
    done = await asyncio.gather(*(recompute_trust_scores(fresh_db, batch=100) for _ in range(4)))
    assert [scores.examined for scores in done] == [500] * 4
    assert sum(scores.changed for scores in done) == 500
