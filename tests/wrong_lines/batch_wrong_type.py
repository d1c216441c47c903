"""A parameter of another type, in a set and in the ``TypedDict`` that a program fills."""

from __future__ import annotations

from plainsql import Database
from tests.codegen.kitchen.queries import kitchen


async def get_dishes(db: Database, sets: list[dict[str, int]]) -> None:
    # refused by mypy: TypedDict item "id" has type "int"
    # refused by pyright: is not assignable to "int"
    await kitchen.get.batch(db, [{"id": "1"}])
    # refused by mypy: expected "Iterable[GetParameters]"
    # refused by pyright: "dict[str, int]" is not assignable to "GetParameters"
    await kitchen.get.batch(db, sets)
    parameters: kitchen.UpdateParameters = {"id": 1, "stars": 5}
    # refused by mypy: Value of "stars" has incompatible type "str"
    # refused by pyright: "Literal['five']" is not assignable to
    parameters["stars"] = "five"
    # refused by mypy: matches argument types "Database", "UpdateParameters"
    # refused by pyright: No overloads for "__call__" match the provided arguments
    await kitchen.get(db, **parameters)
