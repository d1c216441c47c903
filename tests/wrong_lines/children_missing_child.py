"""Children taken for one row, a field that they lack, and a null where the join found a row."""

from __future__ import annotations

from plainsql import Database
from tests.codegen.kitchen.queries.kitchen import deep


async def get_cooks(db: Database) -> None:
    (dish,) = await deep.with_cooks(db, ids=[1])
    # refused by mypy: "list[Cook]" has no attribute "mail"
    # refused by pyright: Cannot access attribute "mail" for class "list[Cook]"
    print(dish.cooks.mail)
    # refused by mypy: "Cook" has no attribute "name"
    # refused by pyright: Cannot access attribute "name" for class "Cook"
    print(dish.cooks[0].name)
    # refused by mypy: Item "None" of "str | None" has no attribute "upper"
    # refused by pyright: "upper" is not a known attribute of "None"
    print(dish.cooks[0].mail.upper())
