"""A set of parameters with a key that the query does not have."""

from __future__ import annotations

from plainsql import Database
from tests.codegen.kitchen.queries import kitchen


async def get_dishes(db: Database) -> None:
    # refused by mypy: Extra key "idd" for TypedDict "GetParameters"
    # refused by pyright: "idd" is an undefined item in type "GetParameters"
    await kitchen.get.batch(db, [{"id": 1, "idd": 2}])
