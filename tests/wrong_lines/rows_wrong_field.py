"""A list of rows whose fields are others than the statement has, or have other types."""

from __future__ import annotations

import msgspec

from plainsql import Database
from tests.codegen.kitchen.queries import kitchen


class Hired(msgspec.Struct):
    dish: int
    name: str
    mail: str


async def add_cooks(db: Database, hired: list[Hired]) -> None:
    # refused by mypy: has incompatible type "list[Hired]"
    # refused by pyright: No overloads for "__call__" match
    await kitchen.add_cooks(db, cooks=hired)
    # refused by mypy: List item 0 has incompatible type "dict[str, str | None]"
    # refused by pyright: No overloads for "__call__" match
    await kitchen.add_cooks(db, cooks=[{"dish": "soup", "nam": "Ana", "mail": None}])
