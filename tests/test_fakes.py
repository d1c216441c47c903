"""Fakes answer calls as a database does, record what was given, and refuse what they have no answer for."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

import plainsql
from plainsql import PageRequest
from plainsql.errors import BindError
from plainsql.fakes import FakeExecutor, FakeSyncExecutor, UnexpectedCallError
from plainsql.layers.realty import leads
from tests import shop
from tests.codegen.kitchen.own_types import BookingId, GuestId, Money
from tests.codegen.kitchen.queries import kitchen
from tests.codegen.kitchen.queries.kitchen import bookings

DAY = datetime(2026, 1, 1, tzinfo=UTC)
LEADS = [leads.Lead(UUID(int=n), f"Lead {n}", None, None, None, DAY, DAY) for n in range(5)]
ID = {"id": UUID(int=1)}
DISH = kitchen.Dish(1, "soup", "plain", DAY.date(), None, 5)


async def test_every_kind_of_call_gets_its_answer() -> None:
    fake, script = FakeExecutor(), FakeSyncExecutor()
    for each in (fake, script):
        each.returns(leads.get_by_id, LEADS[0])
        each.returns(leads.list, LEADS)
        each.returns(leads.count, 3)
        each.returns(leads.get_by_phone, None)
        each.returns(kitchen.load, 2)
    assert await leads.get_by_id(fake, id=UUID(int=7)) == LEADS[0] == leads.get_by_id(script, id=UUID(int=7))
    assert await leads.list.fresh(fake) == LEADS == leads.list.fresh(script)
    assert await leads.count(fake) == 3 == leads.count(script)
    assert [lead async for lead in leads.list.stream(fake)] == LEADS == [*leads.list.stream(script)]
    assert [lead async for lead in leads.get_by_phone.stream(fake, phone="1")] == []
    assert [*leads.get_by_id.stream(script, id=UUID(int=8))] == [LEADS[0]]
    sets: list[leads.GetByPhoneParameters] = [{"phone": "1"}, {"phone": "2"}]
    assert await leads.get_by_phone.batch(fake, sets) == [None] * 2 == leads.get_by_phone.batch(script, sets)
    await leads.get_by_phone.execute_many(fake, iter(sets))
    leads.get_by_phone.execute_many(script, sets)

    async def rows() -> AsyncIterator[dict[str, Any]]:
        yield {"name": "soup"}

    done: list[int] = []
    copy: Any = kitchen.load
    assert await copy(fake, rows(), progress=done.append) == 2 == copy(script, [{"name": "tea"}])
    assert (done, fake.calls(copy), script.calls(copy)) == (
        [1],
        [{"rows": [{"name": "soup"}]}],
        [{"rows": [{"name": "tea"}]}],
    )
    assert fake.calls(leads.get_by_phone) == [{"phone": "1"}, *sets, *sets]
    operations = [call.operation for call in fake.history if call.query == "realty.leads.get_by_phone"]
    assert operations == ["stream", "batch", "batch", "execute_many", "execute_many"]
    first = await leads.list(fake)
    first.clear()
    assert await leads.list(fake) == LEADS, "the caller's list is its own"


def test_calls_hold_what_was_given_and_functions_get_it() -> None:
    fake = FakeSyncExecutor()
    recipe = kitchen.Recipe([kitchen.Step("stir", 1, True)], None, "plain")
    given: kitchen.WriteParameters = {
        "name": "soup",
        "type": "plain",
        "class_": None,
        "recipe": recipe,
        "payload": {"text": "a"},
        "items": None,
        "tags": ["hot"],
        "embedding": None,
    }
    fake.returns(kitchen.write, DISH)
    kitchen.write(fake, **given)
    kitchen.write.batch(fake, [given])
    assert fake.calls(kitchen.write) == [given, given], "no tuple of the composite, no default of the stars"

    def add(*, guest_id: GuestId, price: Money) -> bookings.Booking:
        return bookings.Booking(BookingId(1), guest_id, price)

    fake.answers(bookings.add, add)
    booking = bookings.add(fake, guest_id=GuestId(2), price=Money(100))
    assert (booking.guest_id, booking.price) == (2, Money(100)), "not what `dump` sends for it"
    rows: list[Any] = [{"dish": "soup", "name": "Ana", "mail": None}]
    fake.returns(kitchen.add_cooks, [])
    kitchen.add_cooks(fake, cooks=rows)
    assert fake.calls(kitchen.add_cooks) == [{"cooks": rows}]

    class Logged:  # an executor of the program's own: it passes on what is sent
        def run(self, query: Any, args: Any, /) -> Any:
            return fake.run(query, args)

    other: Any = Logged()
    kitchen.add_cooks(other, cooks=rows)
    assert fake.calls(kitchen.add_cooks)[1] == {"cooks": [("soup", "Ana", None)]}


async def test_what_the_fake_has_no_answer_for_is_refused() -> None:
    fake, script = FakeExecutor(), FakeSyncExecutor()
    message = re.escape(
        "realty.leads.get_by_id(id=…): the fake has no answer for this query\n"
        "HINT: give one first: fake.returns(realty.leads.get_by_id, …)"
    )
    with pytest.raises(UnexpectedCallError, match=message):
        leads.get_by_id(script, id=UUID(int=1))
    with pytest.raises(UnexpectedCallError, match=message):
        await leads.get_by_id(fake, id=UUID(int=1))
    wrong: Any = leads.get_by_id
    with pytest.raises(BindError, match="missing id"):
        wrong(script)
    with pytest.raises(BindError, match="unknown idd"):
        wrong.batch(script, [{"id": UUID(int=1), "idd": 2}])
    assert fake.calls(wrong) == script.calls(wrong) == [{"id": UUID(int=1)}]


@pytest.mark.parametrize(
    ("query", "parameters", "answer", "message"),
    [
        (leads.get_by_id, ID, DISH, "expected Lead or None, got Dish"),
        (leads.create, {}, None, "expected Lead, got NoneType"),
        (leads.list, {}, LEADS[0], "expected a list of Lead, got Lead"),
        (leads.list, {}, [None], "expected a list of Lead, got a list of NoneType"),
        (kitchen.update, {"id": 1}, None, "expected a number, got NoneType"),
        (kitchen.load, {}, [], "expected a number, got list"),
    ],
)
def test_an_answer_that_the_query_never_returns_is_refused(
    query: Any, parameters: dict[str, Any], answer: Any, message: str
) -> None:
    fake = FakeSyncExecutor()
    expected = re.escape(f"{query.name}: the answer of the fake: {message}")
    with pytest.raises(BindError, match=expected):
        fake.returns(query, answer)
    if query.kind != "copied":
        fake.answers(query, lambda **_: answer)
        with pytest.raises(BindError, match=expected):
            query(fake, **parameters)


async def test_errors_are_raised_as_a_database_raises_them() -> None:
    fake = FakeExecutor()
    fake.raises(leads.create, leads.TelegramChatTaken("taken", constraint="leads_telegram_chat_id_key"))
    with pytest.raises(plainsql.UniqueViolation) as raised:
        await leads.create(fake, telegram_chat_id="1")
    assert raised.value.constraint == "leads_telegram_chat_id_key"
    with pytest.raises(leads.TelegramChatTaken):
        await leads.create.batch(fake, [{}])


async def test_transactions_and_tenants_are_in_the_history() -> None:
    fake, script = FakeExecutor(), FakeSyncExecutor()
    for each in (fake, script):
        each.returns(leads.count, 1)

    async def work(tx: FakeExecutor) -> int:
        async with tx.transaction() as savepoint:
            return await leads.count(savepoint)

    assert await leads.count(fake) == 1
    assert await fake.tenant("acme", user_id=1).retry(work) == 1
    with script.tenant(7).transaction(isolation="serializable", read_only=True) as tx:
        leads.count(tx)
    assert script.retry(leads.count) == 1
    assert [(call.tenant_id, call.in_transaction) for call in (*fake.history, *script.history)] == [
        (None, False),
        ("acme", True),
        (7, True),
        (None, True),
    ]
    with pytest.raises(plainsql.PlainsqlError, match="expected a tenant's id"):
        fake.tenant(None)
    wrong: Any = script
    with pytest.raises(plainsql.OptionError, match="isolation"), wrong.transaction(isolation="none"):
        pass


async def test_pages_are_parts_of_the_answer() -> None:
    fake, script = FakeExecutor(), FakeSyncExecutor()
    for each in (fake, script):
        each.returns(leads.browse, LEADS)
    found: list[leads.Lead] = []
    request = PageRequest(size=2, total=True)
    while True:
        page = await leads.browse.page(fake, request, order="oldest")
        assert page == leads.browse.page(script, request, order="oldest")
        assert page.total == 5
        found += page.rows
        if page.next is None:
            break
        request = PageRequest(size=2, total=True, after=page.next)
    assert found == LEADS
    assert fake.calls(leads.browse) == script.calls(leads.browse) == [{"order": "oldest"}] * 3


def test_what_a_fake_recorded_runs_on_a_database(sync_db: plainsql.sync.Database) -> None:
    def work(db: plainsql.SyncTransactional) -> tuple[str, int]:
        with db.transaction() as tx:
            return shop.add(tx, name="Ana", score=3).name, shop.raise_scores(tx, by=1, below=9)

    fake = FakeSyncExecutor()
    fake.returns(shop.add, shop.Lead(1, "Ana", None))
    fake.returns(shop.raise_scores, 1)
    assert work(fake) == work(sync_db)
    sync_db.sql("delete from shop.leads")
    queries = {query.name: query for query in (shop.add, shop.raise_scores)}
    replayed: list[Any] = [queries[call.query](sync_db, **call.parameters) for call in fake.history]
    assert (replayed[0].name, replayed[1]) == ("Ana", 1)
