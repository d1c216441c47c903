"""A module as an earlier version generated it: read by mypy and pyright, never run."""

from __future__ import annotations

from typing import assert_type

from plainsql import Database
from plainsql.query import Args, count, optional
from plainsql.reach import CachedRead, Change, Dependence
from plainsql.redis_link import Link


@optional[int]("t.get", "sql/t/get.sql", 1, "select 1", effect="reads", joins=True, cache=CachedRead(300, (
    Dependence("public.t", "id", "id"),
)))  # fmt: skip
def get(*, id: int) -> Args:
    return (id,)


@count("t.delete", "sql/t/delete.sql", 1, "delete from t", effect="writes", changes=(Change("public.t"),))
def delete() -> Args:
    return ()


async def calls(db: Database, link: Link) -> None:
    assert_type(await get(db, id=1), int | None)
    assert_type(await delete(db), int)
    assert_type(link.is_cluster, bool)
