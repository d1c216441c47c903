"""Rows of a copy that lack a column or have one of another type, and a batch of it."""

from __future__ import annotations

from datetime import date

import msgspec

from plainsql import Database
from tests.codegen.kitchen.queries import kitchen


class Dish(msgspec.Struct):
    name: str
    type: str


async def load_dishes(db: Database, dishes: list[Dish]) -> None:
    # refused by mypy: has incompatible type "list[Dish]"
    # refused by pyright: "Dish" is incompatible with protocol "LoadRow"
    await kitchen.load(db, dishes)
    # refused by mypy: List item 0 has incompatible type "tuple[str,
    # refused by pyright: cannot be assigned to parameter "rows"
    await kitchen.load(db, [("soup", "plain", date(2026, 1, 1), None, None, {}, "hot", None)])
    # refused by mypy: has no attribute "batch"
    # refused by pyright: Cannot access attribute "batch"
    await kitchen.load.batch(db, [{"name": "soup"}])
