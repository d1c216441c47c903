"""A row of ``db.sql`` that is used as another type, and a misspelt ``returns``."""

from __future__ import annotations

from plainsql import Database


async def count_dishes(db: Database) -> int:
    # refused by mypy: No overload variant of "sql"
    # refused by pyright: No overloads for "sql" match
    await db.sql("select count(*) from dishes", type=int, returns="single")
    total = await db.sql("select count(*) from dishes", type=int, returns="one")
    # refused by mypy: Argument 1 to "len" has incompatible type "int"
    # refused by pyright: "int" is incompatible with protocol "Sized"
    return len(total)
