"""The types of fakes: read by mypy and pyright, never run."""

from __future__ import annotations

from typing import Any, assert_type

from psycopg import Connection

from plainsql import (
    AsyncExecutor,
    AsyncTransactional,
    Database,
    SyncExecutor,
    SyncTransactional,
    over,
    sync,
)
from plainsql.fakes import FakeExecutor, FakeSyncExecutor
from tests.codegen.kitchen.own_types import GuestId, Money
from tests.codegen.kitchen.queries import kitchen
from tests.codegen.kitchen.queries.kitchen import bookings


async def answers_are_results(fake: FakeExecutor, dish: kitchen.Dish, found: kitchen.DishWithCook) -> None:
    fake.returns(kitchen.get, found)
    fake.returns(kitchen.get, None)
    fake.returns(kitchen.list, [])
    fake.returns(kitchen.list, [dish])
    fake.returns(kitchen.update, 1)
    fake.returns(kitchen.load, 2)
    fake.raises(kitchen.update, ValueError())
    assert_type(fake.calls(kitchen.get), list[kitchen.GetParameters])
    assert_type(fake.calls(kitchen.get)[0]["id"], int)
    async with fake.transaction(isolation="serializable") as transaction:
        assert_type(transaction, FakeExecutor)
    assert_type(fake.tenant(1), FakeExecutor)
    assert_type(await fake.retry(kitchen.count), int)


def functions_have_the_parameters(fake: FakeSyncExecutor, booking: bookings.Booking) -> None:
    def get(*, id: int) -> kitchen.DishWithCook | None:
        return None

    def add(*, guest_id: GuestId, price: Money) -> bookings.Booking:
        return booking

    fake.answers(kitchen.get, get)
    fake.answers(kitchen.get, lambda *, id: None)
    fake.answers(bookings.add, add)


async def fakes_are_executors(fake: FakeExecutor, script: FakeSyncExecutor) -> None:
    async def count(executor: AsyncExecutor) -> int:
        return await kitchen.count(executor)

    def count_in_a_script(executor: SyncExecutor) -> int:
        return kitchen.count(executor)

    await count(fake)
    count_in_a_script(script)
    assert_type(await kitchen.count(fake), int)
    assert_type(kitchen.count(script), int)


async def fakes_open_transactions(
    fake: FakeExecutor,
    script: FakeSyncExecutor,
    db: Database,
    database: sync.Database,
    connection: Connection[Any],
) -> None:
    async def both(executor: AsyncTransactional) -> int:
        async with executor.transaction() as transaction, transaction.transaction() as savepoint:
            return await kitchen.count(savepoint)

    def both_in_a_script(executor: SyncTransactional) -> int:
        with executor.transaction() as transaction:
            return kitchen.count(transaction)

    await both(fake)
    await both(db)
    await both(db.tenant(1))
    await both(over(object()))
    both_in_a_script(script)
    both_in_a_script(database)
    both_in_a_script(sync.over(connection))
