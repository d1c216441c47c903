"""The types that the checkers infer for generated queries: read by mypy and pyright, never run.

An ``ignore`` is a promise too: mypy complains of one that ignores nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import date
from decimal import Decimal
from typing import Literal, assert_type
from uuid import UUID

import msgspec
import numpy as np
import pgvector
import polars as pl

from plainsql import AsyncExecutor, Database, SyncExecutor, Transaction
from plainsql.query import CountQuery, ManyQuery, OneQuery, OptionalQuery
from plainsql.sync import Database as SyncDatabase
from plainsql.types import SupportsArray
from plainsql.vector import Vector
from tests.codegen.kitchen.own_types import BookingId, GuestId, Money
from tests.codegen.kitchen.queries import enums, kitchen
from tests.codegen.kitchen.queries.enums import Mood
from tests.codegen.kitchen.queries.kitchen import bookings, deep
from tests.codegen.kitchen.queries.kitchen.types import Item, Payload
from tests.codegen.kitchen.queries.queries import ping
from tests.codegen.members.queries import dogs


async def each_kind_of_result(db: Database) -> None:
    assert_type(await ping(db), int)
    assert_type(await kitchen.best(db), int | None)
    assert_type(await kitchen.get(db, id=1), kitchen.DishWithCook | None)
    assert_type(await kitchen.list(db), list[kitchen.Dish])
    assert_type(await kitchen.tags(db, id=1), list[str] | None)
    assert_type(await kitchen.int(db, str=1, list=[1]), list[int | None])
    assert_type(await kitchen.update(db, id=1, stars=None), int)
    assert_type(await deep.nearest(db, embedding=[1.0, 0.0], farthest=1.0), list[deep.Near])


async def parents_have_lists_of_children(db: Database, script: SyncDatabase) -> None:
    assert_type(await deep.with_cooks(db, ids=[1]), list[deep.DishOfCooks])
    assert_type(deep.with_cooks.stream(script, ids=[1]), Iterator[deep.DishOfCooks])
    async for dish in deep.with_cooks.stream(db, ids=[1]):
        assert_type(dish.cooks, list[deep.Cook])
        assert_type([cook.id for cook in dish.cooks], list[int])
        assert_type([cook.mail for cook in dish.cooks], list[str | None])


async def own_types_follow_their_columns(db: Database, guest: GuestId) -> None:
    booking = await bookings.add(db, guest_id=guest, price=Money(100))
    assert_type(booking.id, BookingId)
    assert_type(booking.guest_id, GuestId)
    assert_type(booking.price, Money)
    (of_guest,) = await bookings.of_guests(db, guests=[guest], before=booking.id)
    assert_type(of_guest.guest, GuestId)
    if of_guest.last is not None:
        assert_type(of_guest.last.id, BookingId)
        assert_type(of_guest.last.prices, list[Money])
    assert_type(await bookings.highest(db, most=Money(1)), Money | None)


async def whatever_numpy_can_read_is_a_vector(
    db: Database,
    array: np.ndarray[tuple[int], np.dtype[np.float32]],
    other: SupportsArray,
    series: pl.Series,
    theirs: pgvector.Vector,
) -> None:
    assert_type(await deep.nearest(db, embedding=series, farthest=1.0), list[deep.Near])
    assert_type(await deep.nearest(db, embedding=theirs, farthest=1.0), list[deep.Near])
    assert_type(await deep.nearest(db, embedding=array, farthest=1.0), list[deep.Near])
    assert_type(await deep.nearest(db, embedding=other, farthest=1.0), list[deep.Near])
    await deep.nearest(db, embedding=None, farthest=1.0)  # type: ignore[call-overload]


async def every_executor(db: Database, tx: Transaction, sync: SyncDatabase) -> None:
    assert_type(await kitchen.count(db), int)
    assert_type(await kitchen.count(tx), int)
    assert_type(kitchen.count(sync), int)
    assert_type(kitchen.get(sync, id=1), kitchen.DishWithCook | None)
    assert_type(kitchen.list.stream(db), AsyncIterator[kitchen.Dish])
    assert_type(kitchen.list.stream(sync), Iterator[kitchen.Dish])


def rows_and_what_is_in_them(
    dish: kitchen.Dish, found: kitchen.DishWithCook, documents: kitchen.Documents, near: deep.Near
) -> None:
    assert_type(dish.id, int)
    assert_type(dish.type, Mood)
    assert_type(dish.stars, int | None)
    assert_type(found.cook, kitchen.Cook | None)
    if found.cook is not None:
        assert_type(found.cook.mail, str | None)
    assert_type(documents.payload, Payload)
    assert_type(documents.items, list[Item] | None)
    assert_type(documents.recipe, kitchen.Recipe | None)
    assert_type(near.embedding, Vector)
    dish.stars = 1  # type: ignore[misc]


def values_that_the_query_builds(row: kitchen.Built) -> None:
    assert_type(row.names, list[str | None])
    assert_type(row.some, list[str] | None)
    assert_type(row.cooks, list[kitchen.Cooks | None])
    assert_type(row.whole.id, int)
    assert_type(row.whole.stars, int | None)
    assert_type(row.helpers, list[kitchen.Helper])
    assert_type(row.helpers[0].e_mail, str | None)
    assert_type(row.stored.date, date)
    assert_type(row.stored.tags, list[str | None])
    assert_type(row.summary.pair, tuple[int, str])
    assert_type(row.summary.by, dict[str, str | None])
    assert_type(row.short.class_, str | None)


def values_of_every_type(row: kitchen.Everything) -> None:
    assert_type(row.id, UUID)
    assert_type(row.a_numeric, Decimal)
    assert_type(row.a_step, kitchen.Step)
    assert_type(row.a_step.minutes, int | None)
    assert_type(row.some_moods, list[Mood])
    assert_type(row.some_steps, list[kitchen.Step])
    assert_type(row.nothing, str | None)


async def wrong_calls_are_errors(db: Database) -> None:
    await kitchen.get(db)  # type: ignore[call-overload]
    await kitchen.get(db, idd=1)  # type: ignore[call-overload]
    await kitchen.get(db, id="1")  # type: ignore[call-overload]
    await kitchen.get(db, id=None)  # type: ignore[call-overload]
    await kitchen.get(db, 1)  # type: ignore[call-overload]
    await kitchen.list(db, order="best")  # type: ignore[call-overload]
    await kitchen.list(db, type="spicy")  # type: ignore[call-overload]
    await kitchen.get("db", id=1)  # type: ignore[call-overload]


def a_query_knows_its_row() -> None:
    def rows(query: ManyQuery[..., kitchen.Dish]) -> None: ...
    def row(query: OneQuery[..., kitchen.Dish]) -> None: ...
    def maybe(query: OptionalQuery[..., kitchen.DishWithCook]) -> None: ...
    def affected(query: CountQuery[...]) -> None: ...

    rows(kitchen.list)
    row(kitchen.write)
    maybe(kitchen.get)
    affected(kitchen.update)
    rows(kitchen.write)  # type: ignore[arg-type]


async def any_executor_will_do(db: Database, tx: Transaction, in_a_script: SyncDatabase) -> None:
    async def count(executor: AsyncExecutor) -> int:
        return await ping(executor)

    def count_in_a_script(executor: SyncExecutor) -> int:
        return ping(executor)

    await count(db)
    await count(tx)
    await count(db.tenant("acme"))
    count_in_a_script(in_a_script)
    await count(in_a_script)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def sets_of_parameters(db: Database, script: SyncDatabase) -> None:
    sets: list[kitchen.GetParameters] = [{"id": 1}, {"id": 2}]
    assert_type(await kitchen.get.batch(db, sets), list[kitchen.DishWithCook | None])
    assert_type(kitchen.get.batch(script, sets), list[kitchen.DishWithCook | None])
    assert_type(await kitchen.get.batch(db, [{"id": id} for id in (1, 2)]), list[kitchen.DishWithCook | None])
    assert_type(await kitchen.update.execute_many(db, [{"id": 1, "stars": None}]), None)
    assert_type(kitchen.update.execute_many(script, ({"id": id, "stars": 5} for id in (1, 2))), None)


class Menu(msgspec.Struct):
    name: str
    type: Mood
    date: date
    class_: str | None
    recipe: kitchen.Recipe | None
    payload: dict[str, str]
    tags: list[str]
    embedding: Vector | None
    page: int


async def rows_of_a_copy(
    db: Database, script: SyncDatabase, menu: list[Menu], stream: AsyncIterator[Menu]
) -> None:
    day = date(2026, 1, 1)
    assert_type(await kitchen.load(db, [("soup", "plain", day, None, None, {}, ["hot"], [0.5, 1.0])]), int)
    assert_type(await kitchen.load(db, menu, progress=print), int)
    assert_type(await kitchen.load(db, stream), int)
    assert_type(kitchen.load(script, menu), int)
    row: kitchen.LoadParameters = {
        "name": "soup",
        "type": "plain",
        "date": date(2026, 1, 1),
        "class_": None,
        "recipe": None,
        "payload": {},
        "tags": [],
        "embedding": None,
    }
    kitchen.load(script, [row])
    rows: list[kitchen.LoadRow] = [*menu]
    kitchen.load(script, rows)


class Hired(msgspec.Struct):
    dish: str
    name: str
    mail: str | None = None


async def a_list_of_rows(db: Database, script: SyncDatabase, hired: list[Hired]) -> None:
    assert_type(await kitchen.add_cooks(db, cooks=hired), list[kitchen.CookWithDish])
    assert_type(kitchen.add_cooks(script, cooks=(each for each in hired)), list[kitchen.CookWithDish])
    await kitchen.add_cooks(db, cooks=[("soup", "Ana", None), {"dish": "soup", "name": "Bob", "mail": None}])
    await kitchen.add_cooks.batch(db, [{"cooks": hired, "type": "plain"}])


async def parameters_of_other_calls(db: Database) -> None:
    await db.cache.forget(kitchen.get, id=1)


async def statements_in_no_file(db: Database, script: SyncDatabase) -> None:
    assert_type(await db.sql("select 1", type=int), list[int])
    assert_type(await db.sql("select 1", type=Hired, returns="one", since=1), Hired)
    assert_type(script.sql("select 1", type=str, returns="optional"), str | None)
    assert_type(script.sql("select 1", type=tuple[int, str]), list[tuple[int, str]])
    assert_type(await db.sql("delete from dishes where id = :id", id=1), int)
    highest: int | None = await db.sql("select max(id) from dishes", type=int | None, returns="one")
    least: list[int | None] = script.sql("select min(id) from dishes", type=int | None)
    print(highest, least)


async def parameters_that_a_program_fills(db: Database, script: SyncDatabase) -> None:
    parameters: kitchen.ListParameters = {}
    parameters["type"] = "plain"
    assert_type(await kitchen.list(db, **parameters), list[kitchen.Dish])
    assert_type(kitchen.list(script, **parameters), list[kitchen.Dish])


async def an_enum_has_one_name(db: Database, dish: kitchen.Dish) -> None:
    mood: Mood = dish.type
    same: kitchen.Mood = mood
    assert_type(same, Literal["plain", "it's", 'two "words"', "back\\slash", "línea"])
    assert_type(enums.MOOD_LABELS, tuple[Mood, ...])
    wrong: Mood = "glad"  # type: ignore[assignment]
    members: list[dogs.Mood] = list(dogs.Mood)
    assert_type(await dogs.moods(db), list[dogs.Mood])
    assert_type(await dogs.with_friend(db, moods=members, mood=dogs.Mood.OK), list[dogs.Pair])
    await dogs.with_friend(db, moods=[wrong])  # type: ignore[list-item]
    await dogs.with_friend(db, moods=members, mood=dogs.KennelMood.CALM)  # type: ignore[call-overload]
