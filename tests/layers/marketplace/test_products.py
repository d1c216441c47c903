"""Products and their status."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from asyncpg import CheckViolationError, DataError, ForeignKeyViolationError, UniqueViolationError

import plainsql
from plainsql.layers.marketplace import buyers, products
from tests.layers.marketplace.stall import Stall, blocked, execute, new_product

NEVER = 2**40


async def status_of(stall: Stall) -> str:
    found = await products.get_by_id(stall.db, id=stall.product.id)
    assert found is not None
    return found.status


async def test_a_product_is_created_read_changed_and_removed(stall: Stall) -> None:
    db = stall.db
    product = await stall.product_with(category="bikes", condition="good", location="Madrid")
    assert (product.status, product.currency, product.views_count) == ("AVAILABLE", "EUR", 0)
    assert await products.get_by_id(db, id=product.id) == product
    assert await products.get_by_wallapop_id(db, wallapop_id=product.wallapop_id) == product
    changed = await products.update(db, id=product.id, price=Decimal("89.90"), condition=None)
    assert changed is not None
    assert (changed.price, changed.condition, changed.category) == (Decimal("89.90"), None, "bikes")
    assert changed.updated_at > product.updated_at
    assert await products.update(db, id=product.id) == changed
    assert await products.update(db, id=NEVER, title="none") is None
    assert await products.delete(db, id=product.id) == 1
    assert await products.get_by_id(db, id=product.id) is None


@pytest.mark.parametrize(
    "values",
    [
        {"price": Decimal(-1)},
        {"title": ""},
        {"currency": "eur"},
        {"category": ""},
        {"status": "AVAILABLE", "sold_price": Decimal(1)},
    ],
    ids=", ".join,
)
async def test_the_database_refuses_what_is_no_product(stall: Stall, values: dict[str, Any]) -> None:
    with pytest.raises(CheckViolationError):
        await stall.product_with(**values)


async def test_an_unknown_status_is_refused(stall: Stall) -> None:
    with pytest.raises(DataError):
        await stall.product_with(status="GONE")


async def test_a_product_with_a_conversation_cannot_be_deleted(stall: Stall) -> None:
    with pytest.raises(ForeignKeyViolationError):
        await products.delete(stall.db, id=stall.product.id)


async def test_upsert_enters_a_product_and_then_keeps_it_up_to_date(stall: Stall) -> None:
    db, key = stall.db, uuid.uuid4().hex
    first = await products.upsert_by_wallapop_id(
        db, wallapop_id=key, title="Silla", price=Decimal(20), category="home", views_count=3
    )
    assert (first.description, first.currency, first.favorites_count) == ("", "EUR", 0)
    await products.reserve(db, id=first.id)
    again = await products.upsert_by_wallapop_id(
        db, wallapop_id=key, title="Silla roja", price=Decimal(18), favorites_count=2
    )
    assert again.id == first.id
    assert (again.title, again.price, again.category) == ("Silla roja", Decimal(18), "home")
    assert (again.views_count, again.favorites_count, again.status) == (3, 2, "RESERVED")
    assert again.listed_at == first.listed_at
    with pytest.raises(UniqueViolationError):
        await stall.product_with(wallapop_id=key)


async def test_concurrent_upserts_make_one_product(stall: Stall) -> None:
    key = uuid.uuid4().hex
    rows = await asyncio.gather(
        *(
            products.upsert_by_wallapop_id(stall.db, wallapop_id=key, title=f"Mesa {n}", price=Decimal(n))
            for n in range(20)
        )
    )
    assert len({row.id for row in rows}) == 1


async def test_reserve_keeps_a_product_for_a_buyer(stall: Stall) -> None:
    kept = await products.reserve(stall.db, id=stall.product.id, buyer_id=stall.buyer.id)
    assert kept is not None
    assert (kept.status, kept.reserved_for_id) == ("RESERVED", stall.buyer.id)
    assert kept.reserved_at is not None
    standing = await products.standing(stall.db, id=stall.product.id)
    assert standing is not None
    assert (standing.status, standing.can_be_reserved, standing.can_be_sold) == ("RESERVED", False, True)
    assert standing.reserved_for_username == "ana"


async def test_one_of_twenty_concurrent_reservations_succeeds(stall: Stall) -> None:
    others = [await stall.buyer_with() for _ in range(20)]
    rows = await asyncio.gather(
        *(products.reserve(stall.db, id=stall.product.id, buyer_id=other.id) for other in others)
    )
    (winner,) = [row for row in rows if row is not None]
    found = await products.get_by_id(stall.db, id=stall.product.id)
    assert found == winner


async def test_a_reservation_that_waited_finds_the_product_reserved(stall: Stall) -> None:
    db = stall.db
    async with db.transaction() as tx:
        assert await products.reserve(tx, id=stall.product.id) is not None
        second = asyncio.create_task(products.reserve(db, id=stall.product.id))
        await blocked(db)
    assert await second is None


async def test_a_blocked_or_unknown_buyer_reserves_nothing(stall: Stall) -> None:
    await buyers.block(stall.db, id=stall.buyer.id)
    assert await products.reserve(stall.db, id=stall.product.id, buyer_id=stall.buyer.id) is None
    with pytest.raises(ForeignKeyViolationError):
        await products.reserve(stall.db, id=stall.product.id, buyer_id=NEVER)
    assert await status_of(stall) == "AVAILABLE"


async def test_release_puts_it_on_sale_again(stall: Stall) -> None:
    assert await products.release(stall.db, id=stall.product.id) is None
    await products.reserve(stall.db, id=stall.product.id, buyer_id=stall.buyer.id)
    free = await products.release(stall.db, id=stall.product.id)
    assert free is not None
    assert (free.status, free.reserved_at, free.reserved_for_id) == ("AVAILABLE", None, None)


async def test_sell_notes_price_time_and_buyer(stall: Stall) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    sold = await products.sell(stall.db, id=stall.product.id, price=Decimal("85.00"), buyer_id=stall.buyer.id)
    assert sold is not None
    assert (sold.status, sold.sold_price, sold.price) == ("SOLD", Decimal("85.00"), Decimal(100))
    assert (sold.sold_to_id, sold.reserved_at) == (stall.buyer.id, None)
    assert sold.sold_at is not None
    assert sold.sold_at > before
    _, _, buyer = await stall.now()
    assert buyer.completed_purchases == 1
    standing = await products.standing(stall.db, id=stall.product.id)
    assert standing is not None
    assert (standing.can_be_sold, standing.sold_to_username, standing.sold_price) == (
        False,
        "ana",
        Decimal("85.00"),
    )


async def test_sell_defaults_to_the_products_price_and_reservation(stall: Stall) -> None:
    await products.reserve(stall.db, id=stall.product.id, buyer_id=stall.buyer.id)
    sold = await products.sell(stall.db, id=stall.product.id)
    assert sold is not None
    assert (sold.sold_price, sold.sold_to_id) == (Decimal(100), stall.buyer.id)


async def test_a_reserved_product_is_not_sold_to_another_buyer(stall: Stall) -> None:
    other = await stall.buyer_with()
    await products.reserve(stall.db, id=stall.product.id, buyer_id=stall.buyer.id)
    assert await products.sell(stall.db, id=stall.product.id, buyer_id=other.id) is None
    assert await status_of(stall) == "RESERVED"
    found = await buyers.get_by_id(stall.db, id=other.id)
    assert found is not None
    assert found.completed_purchases == 0


async def test_one_of_many_concurrent_sales_succeeds_and_counts(stall: Stall) -> None:
    rows = await asyncio.gather(
        *(products.sell(stall.db, id=stall.product.id, buyer_id=stall.buyer.id) for _ in range(20))
    )
    assert sum(row is not None for row in rows) == 1
    _, _, buyer = await stall.now()
    assert buyer.completed_purchases == 1


MOVES = {
    "reserve": products.reserve,
    "release": products.release,
    "sell": products.sell,
    "deactivate": products.deactivate,
    "activate": products.activate,
}
ALLOWED = {
    "AVAILABLE": {"reserve", "sell", "deactivate"},
    "RESERVED": {"release", "sell", "deactivate"},
    "SOLD": set[str](),
    "INACTIVE": {"activate"},
}


@pytest.mark.parametrize("status", ALLOWED)
@pytest.mark.parametrize("move", MOVES)
async def test_a_move_is_made_from_the_right_states_only(stall: Stall, status: str, move: str) -> None:
    product = await stall.product_with(status=status)
    query: Any = MOVES[move]
    moved = await query(stall.db, id=product.id)
    found = await products.get_by_id(stall.db, id=product.id)
    assert found is not None
    if move in ALLOWED[status]:
        assert moved == found
        assert found.status != status
    else:
        assert moved is None
        assert found == product
    assert await query(stall.db, id=NEVER) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [("SOLD", "AVAILABLE"), ("SOLD", "RESERVED"), ("INACTIVE", "SOLD"), ("INACTIVE", "RESERVED")],
)
async def test_the_database_refuses_a_wrong_move_by_hand(stall: Stall, old: str, new: str) -> None:
    product = await stall.product_with(status=old)
    with pytest.raises(CheckViolationError, match=f"is {old}, and cannot become {new}") as refused:
        await execute(stall.db, f"update marketplace.products set status = '{new}' where id = {product.id}")
    assert getattr(refused.value, "constraint_name", None) == "products_status_moves"
    assert await products.get_by_id(stall.db, id=product.id) == product


async def test_a_sale_by_hand_has_its_time_and_price(stall: Stall) -> None:
    await execute(stall.db, "update marketplace.products set status = 'SOLD' where id = $1", stall.product.id)
    found = await products.get_by_id(stall.db, id=stall.product.id)
    assert found is not None
    assert found.sold_price == Decimal(100)
    assert found.sold_at is not None


async def test_concurrent_views_all_count(stall: Stall) -> None:
    seen = await asyncio.gather(*(products.bump_views(stall.db, id=stall.product.id) for _ in range(30)))
    assert sorted(views or 0 for views in seen) == list(range(1, 31))
    assert await products.bump_views(stall.db, id=stall.product.id, by=5) == 35
    assert await products.bump_views(stall.db, id=NEVER) is None
    with pytest.raises(plainsql.BindError):
        await products.bump_views(stall.db, id=stall.product.id, by=0)


async def test_count_takes_a_status_and_a_time(fresh_db: plainsql.Database) -> None:
    product = await new_product(fresh_db)
    await new_product(fresh_db, status="SOLD")
    assert await products.count(fresh_db) == 2
    assert await products.count(fresh_db, status="SOLD") == 1
    assert await products.count(fresh_db, since=product.created_at + timedelta(hours=1)) == 0


async def test_a_product_outlives_the_buyer_it_was_kept_for_or_sold_to(stall: Stall) -> None:
    other = await stall.product_with()
    await products.reserve(stall.db, id=stall.product.id, buyer_id=stall.buyer.id)
    await products.sell(stall.db, id=other.id, buyer_id=stall.buyer.id)
    assert await buyers.delete(stall.db, id=stall.buyer.id) == 1
    for id, status in [(stall.product.id, "RESERVED"), (other.id, "SOLD")]:
        left = await products.get_by_id(stall.db, id=id)
        assert left is not None
        assert (left.status, left.reserved_for_id, left.sold_to_id) == (status, None, None)
