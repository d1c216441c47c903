"""The list of available products: filters, orders, pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

import plainsql
from plainsql.layers.marketplace import products
from tests.layers.marketplace.stall import execute, new_product


@pytest.fixture
async def market(marketplace_db: plainsql.Database) -> plainsql.Database:
    """Twelve products on sale in two categories, four of each price; and some that are not."""
    if await products.count(marketplace_db) == 0:
        for number in range(12):
            await new_product(
                marketplace_db,
                title=f"P{number}",
                price=Decimal(10 * (number % 3 + 1)),
                category="bikes" if number % 2 else "books",
                condition="new" if number % 4 == 0 else "good",
            )
        for status in ("RESERVED", "SOLD", "INACTIVE"):
            await new_product(
                marketplace_db, title=status, status=status, category="bikes", price=Decimal(10)
            )
        await execute(
            marketplace_db,
            """update marketplace.products
               set created_at = timestamptz '2026-01-01 00:00Z' + id % 3 * interval '1 day'""",
        )
    return marketplace_db


async def walk(db: plainsql.Database, order: Any, **given: Any) -> AsyncIterator[products.Product]:
    """Every product of a list, read five at a time."""
    after: dict[str, Any] = {}
    while page := await products.list_available(db, limit=5, order=order, **given, **after):
        for row in page:
            yield row
        last = page[-1]
        after = {
            "newest": {"after_created_at": last.created_at, "after_id": last.id},
            "cheapest": {"after_price": last.price, "after_id": last.id},
            "dearest": {"below_price": last.price, "after_id": last.id},
        }[order]


KEYS = {
    "newest": (lambda row: (row.created_at, row.id), True),
    "cheapest": (lambda row: (row.price, row.id), False),
    "dearest": (lambda row: (row.price, row.id), True),
}


@pytest.mark.parametrize("order", KEYS)
async def test_every_product_on_sale_is_shown_once_and_in_order(
    market: plainsql.Database, order: str
) -> None:
    rows = [row async for row in walk(market, order)]
    key, reverse = KEYS[order]
    assert len({row.id for row in rows}) == len(rows) == 12
    assert {row.status for row in rows} == {"AVAILABLE"}
    assert rows == sorted(rows, key=key, reverse=reverse)


@pytest.mark.parametrize("order", KEYS)
@pytest.mark.parametrize(
    ("given", "many"),
    [
        ({"category": "bikes"}, 6),
        ({"condition": "new"}, 3),
        ({"min_price": Decimal(20)}, 8),
        ({"max_price": Decimal(20)}, 8),
        ({"category": "books", "min_price": Decimal(20), "max_price": Decimal(20)}, 2),
        ({"category": "none"}, 0),
    ],
    ids=str,
)
async def test_filters_hold_in_every_order(
    market: plainsql.Database, order: str, given: dict[str, Any], many: int
) -> None:
    rows = [row async for row in walk(market, order, **given)]
    assert len(rows) == many
    for row in rows:
        assert row.category == given.get("category", row.category)
        assert row.condition == given.get("condition", row.condition)
        assert given.get("min_price", 0) <= row.price <= given.get("max_price", 10**9)


async def test_newest_comes_first_by_default(market: plainsql.Database) -> None:
    assert await products.list_available(market) == await products.list_available(market, order="newest")
