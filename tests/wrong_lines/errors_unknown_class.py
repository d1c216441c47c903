"""An error that the module does not name, and a field of one driver's error."""

from __future__ import annotations

import plainsql
from plainsql import Database
from tests.codegen.kitchen.queries import kitchen


async def update_dish(db: Database) -> None:
    try:
        await kitchen.update(db, id=1, stars=1)
    # refused by mypy: Module has no attribute "NoSuchDish"
    # refused by pyright: "NoSuchDish" is not a known attribute of module
    except kitchen.NoSuchDish:
        pass
    except plainsql.UniqueViolation as error:
        # refused by mypy: "UniqueViolation" has no attribute "constraint_name"
        # refused by pyright: Cannot access attribute "constraint_name" for class "UniqueViolation"
        print(error.constraint_name)
