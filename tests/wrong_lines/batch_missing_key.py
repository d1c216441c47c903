"""A set of parameters without one that the query needs."""

from __future__ import annotations

from plainsql.sync import Database
from tests.codegen.kitchen.queries import kitchen


def update_dishes(db: Database, stars: list[int]) -> None:
    # refused by mypy: Missing key "id" for TypedDict "UpdateParameters"
    # refused by pyright: "id" is required in "UpdateParameters"
    kitchen.update.execute_many(db, [{"stars": 1}])
    # refused by mypy: Missing key "id" for TypedDict "UpdateParameters"
    # refused by pyright: cannot be assigned to parameter "sets" of type "Iterable[UpdateParameters]"
    kitchen.update.execute_many(db, [{"stars": each} for each in stars])
