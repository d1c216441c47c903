"""An answer that the query does not return, a function with another parameter, a misspelt recorded one."""

from __future__ import annotations

from plainsql import Database
from plainsql.fakes import FakeExecutor
from tests.codegen.kitchen.queries import kitchen


async def answer(fake: FakeExecutor, dish: kitchen.Dish) -> None:
    # refused by mypy: Cannot infer value of type parameter "R" of "returns"
    # refused by pyright: "Dish" is not assignable to "DishWithCook"
    fake.returns(kitchen.get, dish)
    # refused by mypy: Cannot infer value of type parameter "R" of "returns"
    # refused by pyright: "Literal[1]" is not assignable to "Dish"
    fake.returns(kitchen.list, [1])
    # refused by mypy: Cannot infer value of type parameter "R" of "returns"
    # refused by pyright: "None" is not assignable to "int"
    fake.returns(kitchen.count, None)

    def get(*, idd: int) -> None: ...

    # refused by mypy: expected "def (*, id: int) -> DishWithCook | None"
    # refused by pyright: Extra parameter "idd"
    fake.answers(kitchen.get, get)
    # refused by mypy: TypedDict "GetParameters" has no key "idd"
    # refused by pyright: "idd" is not a defined key in "GetParameters"
    print(fake.calls(kitchen.get)[0]["idd"])


async def needs_a_database(db: Database) -> None: ...


async def pass_on(fake: FakeExecutor) -> None:
    # refused by mypy: incompatible type "FakeExecutor"; expected "Database"
    # refused by pyright: "FakeExecutor" is not assignable to "Database"
    await needs_a_database(fake)
