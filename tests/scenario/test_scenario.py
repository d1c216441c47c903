"""One scenario, written once and run by both executors: the same calls, the same answers, the same errors."""

# ruff: noqa: PT012 (it is the block of a transaction or stream that raises)

from __future__ import annotations

from typing import Any

import asyncpg
import psycopg
import pytest

import plainsql
from plainsql.query import Binder, CountQuery, ManyQuery, OneQuery, OptionalQuery
from tests import shop as q
from tests.scenario.executors import Side
from tests.shop import Lead, Message, MessageWithLead, Payload

# Of both drivers: an error of the server stays what its driver raises.
UNIQUE_VIOLATION = (asyncpg.UniqueViolationError, psycopg.errors.UniqueViolation)
UNDEFINED_COLUMN = (asyncpg.UndefinedColumnError, psycopg.errors.UndefinedColumn)
DIVISION_BY_ZERO = (asyncpg.DivisionByZeroError, psycopg.errors.DivisionByZero)
READ_ONLY = (asyncpg.ReadOnlySQLTransactionError, psycopg.errors.ReadOnlySqlTransaction)
FOREIGN_KEY_VIOLATION = (asyncpg.ForeignKeyViolationError, psycopg.errors.ForeignKeyViolation)


async def test_one_row_comes_as_its_type(shop: Side) -> None:
    assert await shop.call(q.add, name="Ana", email="ana@example.org") == Lead(1, "Ana", "ana@example.org")


async def test_null_is_none_both_ways(shop: Side) -> None:
    lead = await shop.call(q.add, name="Ana", email=None)
    assert lead.email is None


async def test_what_is_left_out_has_its_default(shop: Side) -> None:
    await shop.call(q.add, name="Ana")
    assert await shop.call(q.search, score=0) == [Lead(1, "Ana", None)]
    assert await shop.call(q.search, score=1) == []


async def test_an_optional_row_is_a_row_or_none(shop: Side) -> None:
    await shop.call(q.add, name="Ana")
    assert await shop.call(q.find, name="Ana") == Lead(1, "Ana", None)
    assert await shop.call(q.find, name="Bo") is None


async def test_one_of_none_is_a_no_row_error(shop: Side) -> None:
    with pytest.raises(plainsql.NoRowError, match=r"^shop\.leads\.get: expected exactly one row, got none\n"):
        await shop.call(q.get, pattern="%")


async def test_one_of_several_is_a_too_many_rows_error(shop: Side) -> None:
    for name in ("Ana", "Bo"):
        await shop.call(q.add, name=name)
    with pytest.raises(plainsql.TooManyRowsError, match="expected exactly one row, got 2"):
        await shop.call(q.get, pattern="%")
    with pytest.raises(plainsql.TooManyRowsError, match="expected at most one row, got 2"):
        await shop.call(q.find_like, pattern="%")


async def test_values_come_bare(shop: Side) -> None:
    assert await shop.call(q.count_all) == 0
    assert await shop.call(q.email, name="Ana") is None
    await shop.call(q.add, name="Ana")
    await shop.call(q.add, name="Bo", email="bo@example.org")
    assert await shop.call(q.count_all) == 2
    assert await shop.call(q.email, name="Ana") is None
    assert await shop.call(q.email, name="Bo") == "bo@example.org"
    assert await shop.call(q.names) == ["Ana", "Bo"]


async def test_a_count_is_the_number_of_rows_affected(shop: Side) -> None:
    for score in (1, 2, 3):
        await shop.call(q.add, name=f"lead {score}", score=score)
    assert await shop.call(q.raise_scores, by=10, below=3) == 2
    assert await shop.call(q.raise_scores, by=10, below=0) == 0


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "shop.leads.find: missing name"),
        ({"nmae": "Ana"}, "shop.leads.find: missing name; unknown nmae"),
        ({"name": "Ana", "age": 7}, "shop.leads.find: unknown age"),
    ],
)
async def test_wrong_names_are_told_with_the_signature(
    shop: Side, parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(plainsql.BindError) as raised:
        await shop.call(q.find, **parameters)
    assert str(raised.value) == f"{message}\nHINT: call find(db, name: str)"


async def test_parameters_are_not_given_by_position(shop: Side) -> None:
    with pytest.raises(plainsql.BindError, match="given by name, got 1 by position"):
        q.find(shop.db, "Ana")  # type: ignore[call-overload]


async def test_a_value_of_another_type_is_told_without_the_value(shop: Side) -> None:
    with pytest.raises(plainsql.BindError) as raised:
        await shop.call(q.raise_scores, by="secret", below=3)
    assert str(raised.value) == (
        "shop.leads.raise_scores: by: expected int4, got str\n"
        "DETAIL: the text is not a valid int4\n"
        "HINT: see sql/shop/leads/raise_scores.sql"
    ) or str(raised.value) == (
        "shop.leads.raise_scores: by: expected int4, got str\nHINT: see sql/shop/leads/raise_scores.sql"
    )
    assert "secret" not in _all_text(raised.value)


async def test_a_value_out_of_range_is_told_as_that(shop: Side) -> None:
    with pytest.raises(plainsql.BindError) as raised:
        await shop.call(q.raise_scores, by=2**31, below=3)
    assert str(raised.value) == (
        "shop.leads.raise_scores: by: expected int4, got int\n"
        "DETAIL: the value is out of range\n"
        "HINT: see sql/shop/leads/raise_scores.sql"
    )


async def test_bounds_are_held_before_anything_is_sent(shop: Side) -> None:
    for limit in (0, 21):
        with pytest.raises(plainsql.BindError, match=r"shop\.leads\.search: limit: .* expected 1\.\.20"):
            await shop.call(q.search, limit=limit)
    assert await shop.call(q.search, limit=20) == []


async def test_optional_lines_are_left_out_and_null_is_not_unset(shop: Side) -> None:
    await shop.call(q.add, name="Ana", email=None, score=1)
    await shop.call(q.add, name="Bo", email="bo@example.org", score=2)

    async def found(**parameters: object) -> list[str]:
        return [lead.name for lead in await shop.call(q.search, **parameters)]

    assert await found() == ["Ana", "Bo"]
    assert await found(score=2) == ["Bo"]
    assert await found(email=None) == ["Ana"]
    assert await found(email="bo@example.org") == ["Bo"]
    assert await found(email=None, score=2) == []
    assert await found(email=plainsql.UNSET) == ["Ana", "Bo"]


async def test_a_choice_takes_one_of_its_lines(shop: Side) -> None:
    await shop.call(q.add, name="Ana", score=1)
    await shop.call(q.add, name="Bo", score=2)
    assert [lead.name for lead in await shop.call(q.search, order="score")] == ["Ana", "Bo"]
    assert [lead.name for lead in await shop.call(q.search, order="name")] == ["Bo", "Ana"]
    for other in ("drop table", None, 7):
        with pytest.raises(plainsql.BindError, match="order: expected one of score, name"):
            await shop.call(q.search, order=other)


async def test_json_goes_out_and_comes_back_as_its_type(shop: Side) -> None:
    payload = Payload("¿Qué tal?", 5)
    assert await shop.call(q.add_message, lead_id=None, payload=payload) == Message(1, payload)
    assert await shop.call(q.add_message, lead_id=None, payload={"text": "hi"}) == Message(2, Payload("hi"))


async def test_json_that_does_not_fit_is_an_error_with_the_field_and_the_path(shop: Side) -> None:
    with pytest.raises(plainsql.DecodeError) as raised:
        await shop.call(q.add_message, lead_id=None, payload={"text": "secret", "stars": "five"})
    assert "Message.payload" in str(raised.value)
    assert "$.stars" in str(raised.value)
    assert "secret" not in str(raised.value)


async def test_nested_columns_become_a_nested_row_or_none(shop: Side) -> None:
    lead = await shop.call(q.add, name="Ana")
    await shop.call(q.add_message, lead_id=lead.id, payload={"text": "hers"})
    await shop.call(q.add_message, lead_id=None, payload={"text": "nobody's"})
    assert await shop.call(q.list_messages) == [
        MessageWithLead(1, Lead(1, "Ana", None), Payload("hers")),
        MessageWithLead(2, None, Payload("nobody's")),
    ]


async def test_an_error_of_the_server_stays_what_it_is_and_names_the_query(shop: Side) -> None:
    await shop.call(q.add, name="Ana")
    with pytest.raises(UNIQUE_VIOLATION) as raised:
        await shop.call(q.add, name="Ana")
    assert raised.value.__notes__ == ["query: shop.leads.add (sql/shop/leads/add.sql)"]


async def test_an_error_with_a_position_points_into_the_file(shop: Side) -> None:
    with pytest.raises(UNDEFINED_COLUMN) as raised:
        await shop.call(q.broken, name="Ana")
    assert raised.value.__notes__ == [
        "query: shop.broken\nsql/shop/broken.sql:7:7\n    where\tl.nmae = :name\n         \t^"
    ]


async def test_a_statement_whose_table_has_changed_is_prepared_again(shop: Side, shop_url: str) -> None:
    everything = ManyQuery[..., Any](
        "shop.plans", "sql/shop/plans.sql", 1, "select * from shop.plans", Binder([], {}, {}, "Plan"), None
    )
    with psycopg.connect(shop_url, autocommit=True) as connection:
        connection.execute("drop table if exists shop.plans; create table shop.plans (a int)")
        connection.execute("insert into shop.plans values (1)")
        assert [row.a for row in await shop.call(everything)] == [1]
        connection.execute("alter table shop.plans alter column a type text")
        assert [row.a for row in await shop.call(everything)] == ["1"]


async def test_a_transaction_commits(shop: Side) -> None:
    async with shop.transaction() as tx:
        await tx.call(q.add, name="Ana")
        await tx.call(q.add, name="Bo")
    assert await shop.call(q.names) == ["Ana", "Bo"]


async def test_a_transaction_is_rolled_back_by_any_error(shop: Side) -> None:
    with pytest.raises(LookupError, match="mine"):
        async with shop.transaction() as tx:
            await tx.call(q.add, name="Ana")
            assert await tx.call(q.names) == ["Ana"]
            raise LookupError("mine")
    assert await shop.call(q.names) == []


async def test_a_transaction_is_rolled_back_by_an_error_of_the_server(shop: Side) -> None:
    with pytest.raises(DIVISION_BY_ZERO):
        async with shop.transaction() as tx:
            await tx.call(q.add, name="Ana")
            await tx.call(q.divide, a=1, b=0)
    assert await shop.call(q.names) == []


async def test_a_transaction_whose_error_was_caught_does_not_pass_for_committed(shop: Side) -> None:
    with pytest.raises(plainsql.TransactionError, match="not committed"):
        async with shop.transaction() as tx:
            await tx.call(q.add, name="Ana")
            with pytest.raises(DIVISION_BY_ZERO):
                await tx.call(q.divide, a=1, b=0)
    assert await shop.call(q.names) == []


async def test_a_savepoint_undoes_only_what_is_in_it(shop: Side) -> None:
    async with shop.transaction() as tx:
        await tx.call(q.add, name="Ana")
        with pytest.raises(DIVISION_BY_ZERO):
            async with tx.transaction() as inner:
                await inner.call(q.add, name="Bo")
                await inner.call(q.divide, a=1, b=0)
        async with tx.transaction() as inner:
            await inner.call(q.add, name="Cleo")
            async with inner.transaction() as innermost:
                await innermost.call(q.add, name="Dio")
        await tx.call(q.add, name="Eva")
    assert await shop.call(q.names) == ["Ana", "Cleo", "Dio", "Eva"]


async def test_a_savepoint_falls_with_its_transaction(shop: Side) -> None:
    with pytest.raises(LookupError):
        async with shop.transaction() as tx:
            async with tx.transaction() as inner:
                await inner.call(q.add, name="Ana")
            raise LookupError
    assert await shop.call(q.names) == []


async def test_a_transaction_that_has_ended_is_refused(shop: Side) -> None:
    async with shop.transaction() as tx:
        async with tx.transaction() as inner:
            pass
        with pytest.raises(plainsql.TransactionError, match="has ended"):
            await inner.call(q.names)
    with pytest.raises(plainsql.TransactionError, match="has ended"):
        await tx.call(q.names)
    with pytest.raises(plainsql.TransactionError, match="has ended"):
        async with tx.transaction():
            pass
    assert "ended" in repr(tx.db)


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
async def test_the_isolation_level_is_the_one_that_was_asked_for(shop: Side, level: str) -> None:
    async with shop.transaction(isolation=level) as tx:
        assert await tx.call(q.setting, name="transaction_isolation") == level
    assert await shop.call(q.setting, name="transaction_isolation") == "read committed"


async def test_an_unknown_isolation_level_is_told_with_those_there_are(shop: Side) -> None:
    with pytest.raises(plainsql.OptionError, match="expected 'read committed', 'repeatable read' or"):
        async with shop.transaction(isolation="snapshot"):
            pass
    assert await shop.call(q.count_all) == 0


async def test_a_read_only_transaction_refuses_writes(shop: Side) -> None:
    with pytest.raises(READ_ONLY):
        async with shop.transaction(read_only=True) as tx:
            assert await tx.call(q.setting, name="transaction_read_only") == "on"
            await tx.call(q.add, name="Ana")
    async with shop.transaction(isolation="serializable", read_only=True, deferrable=True) as tx:
        assert await tx.call(q.setting, name="transaction_deferrable") == "on"


async def test_a_commit_that_the_server_refuses_is_an_error(shop: Side) -> None:
    defer = CountQuery[...](
        "shop.defer", "sql/shop/defer.sql", 1, "set constraints all deferred", Binder([], {}, {}, None), int
    )
    with pytest.raises(FOREIGN_KEY_VIOLATION):
        async with shop.transaction() as tx:
            await tx.call(defer)
            await tx.call(q.add_message, lead_id=77, payload={"text": "to nobody"})
    assert await shop.call(q.list_messages) == []
    async with shop.transaction() as tx:
        await tx.call(q.add, name="Ana")
    assert await shop.call(q.names) == ["Ana"]


# The fixture's prefetch is 7: none, some, exactly one and two portions, and more.
@pytest.mark.parametrize("count", [0, 3, 7, 14, 100])
async def test_a_stream_gives_every_row_once_and_in_order(shop: Side, count: int) -> None:
    assert [row async for row in shop.stream(q.numbers, count=count)] == list(range(1, count + 1))
    async with shop.transaction() as tx:
        assert [row async for row in tx.stream(q.numbers, count=count)] == list(range(1, count + 1))


async def test_a_stream_builds_rows(shop: Side) -> None:
    await shop.call(q.add_message, lead_id=None, payload={"text": "hi"})
    assert [row async for row in shop.stream(q.list_messages)] == [MessageWithLead(1, None, Payload("hi"))]


async def test_a_stream_of_a_write_writes(shop: Side) -> None:
    ids = [row async for row in shop.stream(q.add_many, count=20)]
    assert len(ids) == 20
    assert [row async for row in shop.stream(q.names)] == [f"lead {n}" for n in range(1, 21)]


async def test_other_queries_run_while_a_transaction_streams(shop: Side) -> None:
    async with shop.transaction() as tx:
        async for number in tx.stream(q.numbers, count=30):
            await tx.call(q.add, name=f"lead {number}")
    assert await shop.call(q.count_all) == 30


async def test_a_failed_stream_names_the_query_and_the_next_call_works(shop: Side) -> None:
    with pytest.raises(UNDEFINED_COLUMN) as raised:
        [row async for row in shop.stream(q.broken, name="Ana")]
    assert "sql/shop/broken.sql:7:7" in raised.value.__notes__[0]
    with pytest.raises(plainsql.BindError, match="expected int4, got str"):
        [row async for row in shop.stream(q.numbers, count="three")]
    assert await shop.call(q.count_all) == 0


async def test_a_stream_that_is_left_early_leaves_the_database_usable(shop: Side) -> None:
    for _ in range(5):
        rows = shop.stream(q.numbers, count=100)
        async for row in rows:
            if row == 10:
                break
        await rows.aclose()  # type: ignore[attr-defined]
        assert await shop.call(q.count_all) == 0


async def test_queries_without_a_type_build_rows_from_the_servers_description(shop: Side) -> None:
    await shop.call(q.add_message, lead_id=None, payload={"text": "hi", "stars": 1})
    sql = (
        'select m.id, l.name as "lead.name", m.payload '
        "from shop.messages as m left join shop.leads as l on false"
    )
    listed = ManyQuery[..., Any](
        "shop.all", "sql/shop/all.sql", 1, sql, Binder([], {}, {}, "Everything"), None
    )
    (row,) = await shop.call(listed)
    assert type(row).__name__ == "Everything"
    assert (row.id, row.lead, row.payload) == (1, None, {"text": "hi", "stars": 1})
    value = OptionalQuery[..., Any](
        "shop.one", "sql/shop/one.sql", 1, "select payload from shop.messages", Binder([], {}, {}, None), None
    )
    assert await shop.call(value) == {"text": "hi", "stars": 1}


async def test_a_domain_over_json_is_json_also_without_a_declared_type(shop: Side) -> None:
    value = OneQuery[..., Any](
        "shop.domain", "sql/shop/domain.sql", 1, "select '[1]'::shop.payload", Binder([], {}, {}, None), None
    )
    assert await shop.call(value) == [1]


async def test_queries_without_a_declared_type_stream(shop: Side) -> None:
    listed = ManyQuery[..., Any](
        "shop.n",
        "sql/shop/n.sql",
        1,
        "select n, n * 2 as double from generate_series(1, :top::int) as n",
        Binder(["top"], {"top": 3}, {}, "Number"),
        None,
    )
    assert [(row.n, row.double) async for row in shop.stream(listed)] == [(1, 2), (2, 4), (3, 6)]


async def test_a_query_that_returns_no_columns_is_told_to_declare_a_count(shop: Side) -> None:
    wrong = OneQuery[..., Any](
        "shop.wrong",
        "sql/shop/wrong.sql",
        1,
        "update shop.leads set score = 1",
        Binder([], {}, {}, "Row"),
        None,
    )
    with pytest.raises(plainsql.BindError, match="returns no columns") as raised:
        await shop.call(wrong)
    assert raised.value.hint == "declare 'returns: count' in sql/shop/wrong.sql"


async def test_a_closed_database_says_so(shop: Side) -> None:
    if shop.name == "over":
        pytest.skip("the program closes its own pool")
    if shop.name == "asyncpg":
        await shop.db.close()
    else:
        shop.db.close()
    with pytest.raises(plainsql.PlainsqlError, match="the database is closed"):
        await shop.call(q.count_all)


def _all_text(error: BaseException | None) -> str:
    """Everything that a traceback would show of an error and of those behind it."""
    text = ""
    while error is not None:
        text += "\n".join([str(error), repr(error), *getattr(error, "__notes__", [])])
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return text
