"""A parameter of ``cache.forget`` that the query does not have."""

from __future__ import annotations

from plainsql import Database
from tests.codegen.kitchen.queries import kitchen


async def forget_dish(db: Database) -> None:
    # refused by mypy: Unexpected keyword argument "ids"
    # refused by pyright: No parameter named "ids"
    await db.cache.forget(kitchen.get, ids=1)
