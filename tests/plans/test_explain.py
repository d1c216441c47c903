"""The plans of a query: generic, for typical calls, and the one that the plan cache takes."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import psycopg
import pytest

from plainsql.errors import BindError, ContractError
from plainsql.plans.explain.explained_query import explain_statement
from plainsql.plans.explain.plan_tree import PlanNode, read_plan
from plainsql.plans.explain.query_plans import Call, explain_query
from plainsql.plans.explain.typical_calls import example_calls
from plainsql.plans.explain.typical_values import ValueType, values_of
from plainsql.statements import Statement, parse
from tests.plans.desk import SCHEMA

BY_STATE = """-- returns: many Ticket
select t.id, t.note from desk.tickets as t
where t.state = :state
order by t.made_at, t.id
limit :limit
"""


@pytest.fixture(scope="module")
def desk_url(database_url: str) -> str:
    with psycopg.connect(database_url) as connection:
        connection.execute(SCHEMA.encode())
    return database_url


@pytest.fixture
def desk(desk_url: str) -> Generator[psycopg.Connection[Any]]:
    with psycopg.connect(desk_url, autocommit=True, prepare_threshold=None) as connection:
        yield connection


def query(text: str, name: str = "desk.tickets") -> Statement:
    return parse(text, name=name, path=f"sql/{name.replace('.', '/')}.sql")


def call(name: str = "given", /, **values: str | None) -> Call:
    return Call(name=name, values=values, choices={}, required=True)


def explained(connection: psycopg.Connection[Any], sql: str) -> PlanNode:
    row = connection.execute(f"explain (verbose, format json) {sql}".encode()).fetchone()
    assert row is not None
    return read_plan(row[0])


def test_a_custom_plan_is_that_of_the_literals(desk: psycopg.Connection[Any]) -> None:
    statement = query(
        "-- returns: many Ticket\nselect t.id from desk.tickets as t\n"
        "where t.tags && :tags and t.facts @> :facts and t.made_at > :since and t.id = any(:ids)\n"
    )
    values = {
        "tags": '{"tag 1","tag 2"}',
        "facts": '{"n": 1}',
        "since": "2026-01-02 00:00+00",
        "ids": "{1,2,3}",
    }
    plans = explain_query(desk, statement, [call(**values)])
    (variant,) = plans.variants
    (found,) = variant.calls
    sql = (
        'select t.id from desk.tickets as t where t.tags && \'{"tag 1","tag 2"}\''
        " and t.facts @> '{\"n\": 1}' and t.made_at > '2026-01-02 00:00+00' and t.id = any('{1,2,3}')"
    )
    assert found.plan == explained(desk, sql)
    assert found.plan is not None
    assert found.plan != variant.generic
    assert [node.index for node in found.plan.walk() if node.index] == ["tickets_pkey"]
    assert (found.plan.table, found.plan.kind) == ("desk.tickets", "Index Scan")
    assert {condition.kind for condition in found.plan.conditions} == {"index", "filter"}


def test_a_call_is_planned_with_its_own_settings(desk: psycopg.Connection[Any]) -> None:
    statement = query(
        "-- returns: many Ticket\n-- set: enable_seqscan = :seq\n-- set: enable_indexscan = :index\n"
        "-- set: enable_bitmapscan = off\n-- param index: = true\n"
        "-- example: id = 1, seq = true, index = false\n-- example: id = 1, seq = false\n"
        "-- example: id = 2, seq = true, index = false\n"
        "select t.note from desk.tickets as t where t.id = :id\n"
    )
    found = explain_statement(desk, statement)
    kinds = [[each.plan and each.plan.kind for each in variant.calls] for variant in found.plans.variants]
    assert kinds == [["Seq Scan", "Index Scan", "Seq Scan"]]
    measured = explain_statement(desk, statement, measured=True).plans.variants[0].calls
    assert [each.measured and each.measured.kind for each in measured] == kinds[0]
    [[left]] = desk.execute("select current_setting('enable_seqscan')").fetchall()
    assert left == "on"
    wrong = call(id="1", seq="sometimes", index="off")
    with pytest.raises(BindError, match='seq: parameter "enable_seqscan" requires a Boolean value'):
        explain_query(desk, statement, [wrong])


@pytest.mark.parametrize(("state", "limit"), [("open", "10"), ("lost", "10"), ("done", "20000")])
def test_the_choice_is_that_of_the_plan_cache(desk: psycopg.Connection[Any], state: str, limit: str) -> None:
    statement = query(BY_STATE)
    (variant,) = explain_query(desk, statement, [call(state=state, limit=limit)]).variants
    cursor = psycopg.RawCursor(desk)
    sql = statement.variants()[0].sql
    desk.prepare_threshold = 0
    for _ in range(6):
        cursor.execute(sql.encode(), [state, limit])
    counted = cursor.execute(
        "select p.generic_plans > 0 from pg_prepared_statements as p where p.statement = $1", [sql]
    ).fetchone()
    assert counted is not None
    assert variant.calls[0].cached == ("generic" if counted[0] else "custom")
    assert dict(variant.running)["given"] == (variant.generic if counted[0] else variant.calls[0].plan)


def test_a_hostile_value_is_a_value(desk: psycopg.Connection[Any]) -> None:
    statement = query("-- returns: many value\nselect t.id from desk.tickets as t where t.note = :note\n")
    for value in ("'); drop table desk.tickets; --", "\\'); drop table desk.tickets; --", "$1", None):
        (variant,) = explain_query(desk, statement, [call(note=value)]).variants
        assert variant.calls[0].plan is not None
    count = desk.execute("select count(*) from desk.tickets").fetchone()
    assert count == (20000,)


REFUSED_VALUES: dict[str, tuple[dict[str, str | None], str, str]] = {
    "enum": (
        {"state": "opne"},
        "state: expected a desk.state (open, done, lost), got 'opne'",
        "write state=open",
    ),
    "number": (
        {"id": "abc"},
        "id: expected a bigint, got 'abc'",
        "write id=… in the form that PostgreSQL reads",
    ),
    "too-large": ({"id": "9" * 80}, f"id: expected a bigint, got '{'9' * 60}…'", "write id=…"),
    "null": ({"id": "null"}, "id: expected a bigint, got 'null'", "write id:=null"),
    "array": (
        {"tags": "{a"},
        "tags: expected a text[], got '{a'",
        "write tags='{…}', or as JSON tags:='[…]'",
    ),
    "json": (
        {"facts": '{bad\nportal $1"'},
        "facts: expected a jsonb, got '{bad\\nportal $1\"'",
        "write facts=…",
    ),
    "computed": (
        {"low": "0"},
        "PostgreSQL cannot compute with the values of state, id, tags, facts, low: division by zero",
        "give other values",
    ),
}


@pytest.mark.parametrize("name", REFUSED_VALUES)
def test_a_typed_value_is_refused_with_its_type(desk: psycopg.Connection[Any], name: str) -> None:
    statement = query(
        "-- returns: many value\nselect t.id from desk.tickets as t\nwhere t.state = :state and t.id = :id\n"
        "and t.tags && :tags and t.facts @> :facts and t.id > 10 / :low::int\n"
    )
    wrong, message, hint = REFUSED_VALUES[name]
    values = {"state": "open", "id": "1", "tags": "{}", "facts": "{}", "low": "1"}
    with pytest.raises(BindError) as refused:
        explain_query(desk, statement, [call(**(values | wrong))])
    assert refused.value.message == f"desk.tickets: {message}"
    assert (refused.value.hint or "").startswith(hint)


def test_an_unreadable_value_has_its_place_and_a_drawn_one_no_text(desk: psycopg.Connection[Any]) -> None:
    statement = query(BY_STATE)
    with pytest.raises(BindError, match=r"^sql/desk/tickets\.sql:3:17: desk\.tickets: state: expected"):
        explain_query(desk, statement, [call(state="typed", limit="5")])
    example = query(BY_STATE.replace("returns", "example: state = 'typed', limit = 5\n-- returns"))
    with pytest.raises(BindError, match=r"^sql/\S+:1:4: [^\n]* got 'typed'\n[^H]*HINT: write state = 'open'"):
        explain_query(desk, example, example_calls(example))
    drawn = Call(name="rare", values={"state": "secret", "limit": "5"})
    (variant,) = explain_query(desk, statement, [drawn]).variants
    assert (variant.calls[0].plan, variant.calls[0].error) == (None, "invalid text representation")
    sealed = query(BY_STATE.replace("returns", "param state: encrypted (id = limit)\n-- returns"))
    with pytest.raises(BindError) as refused:
        explain_query(desk, sealed, [call(state="secret", limit="5")])
    assert "secret" not in str(refused.value)
    for body, place in (("select t.gone from desk.tickets as t", "2:8"), ("select 'x'::int as n", "2:8")):
        with pytest.raises(ContractError, match=rf"^sql/desk/tickets\.sql:{place}: "):
            explain_query(desk, query(f"-- returns: many value\n{body}\n"))


def test_a_call_is_planned_for_the_variants_that_it_serves(desk: psycopg.Connection[Any]) -> None:
    statement = query(
        "-- returns: many value\nselect t.id from desk.tickets as t\nwhere true\n"
        "and t.state = :state  --?\nand t.note = :note  --?\n"
        "order by t.made_at  --? newest=no\norder by t.made_at desc  --? newest=yes\nlimit 5\n"
    )
    common = Call(name="common", values={"state": "open"})
    given = Call(name="given", values={"state": "open"}, choices={"newest": "yes"})
    plans = explain_query(desk, statement, [common, given], max_variants=7)
    assert plans.total_variants == 8
    assert {variant.name: [each.call for each in variant.calls] for variant in plans.variants} == {
        "newest=no": [],
        "newest=no, state": ["common"],
        "newest=no, note": [],
        "newest=no, state, note": [],
        "newest=yes": [],
        "newest=yes, state": ["common", "given"],
        "newest=yes, state, note": [],
    }
    newest = plans.variants[4].generic
    assert "Backward" in " ".join(node.label for node in newest.walk())


def test_the_joined_form_and_writes_are_planned_and_not_run(desk: psycopg.Connection[Any]) -> None:
    by_id = query("-- returns: optional Ticket\nselect t.note from desk.tickets as t where t.id = :id\n")
    (variant,) = explain_query(desk, by_id, joined=True).variants
    assert variant.joined is not None
    assert "tickets_pkey" in [node.index for node in variant.joined.walk()]
    write = query(
        "-- returns: many value\n"
        "with moved as (delete from desk.tickets as t where t.id = :id returning t.id)\n"
        "select m.id from moved as m\n"
    )
    (variant,) = explain_query(desk, write, [call(id="1")]).variants
    assert [node.label for node in variant.generic.walk()] == ["CTE Scan", "Delete", "Index Scan"]
    assert desk.execute("select count(*) from desk.tickets where id = 1").fetchone() == (1,)
    assert desk.execute("select * from pg_prepared_statements").fetchall() == []


def test_a_statement_of_another_kind_has_no_plan(desk: psycopg.Connection[Any]) -> None:
    for body in ("truncate desk.letters", "show work_mem"):
        with pytest.raises(ContractError, match=r"^sql/desk/tickets\.sql:2:1: the statement has no plan"):
            explain_query(desk, query(f"-- returns: count\n{body}\n"))
    assert desk.execute("select count(*) > 0 from desk.letters").fetchone() == (True,)


def test_a_long_constant_is_cut_and_the_text_around_it_is_kept(desk: psycopg.Connection[Any]) -> None:
    statement = query(
        "-- returns: many value\nselect t.id from desk.tickets as t\n"
        "where t.note <> 'it''s' and t.note <> :long and t.note <> 'that is kept as it is'\n"
    )
    (variant,) = explain_query(desk, statement, [call(long="x" * 100)]).variants
    assert variant.calls[0].plan is not None
    texts = [each.text for node in variant.calls[0].plan.walk() for each in node.conditions]
    (cut,) = [text for text in texts if "note" in text]
    assert cut == (
        f"((t.note <> 'it''s'::text) AND (t.note <> '{'x' * 31}…'::text)"
        " AND (t.note <> 'that is kept as it is'::text))"
    )


def test_a_day_is_whole_and_as_old_at_every_hour() -> None:
    """The hour decides how many rows today has, and a fixed period leaves statistics that move."""
    types = {1: ValueType(1, "date", False, 0, ()), 2: ValueType(2, "tstzrange", False, 0, ())}
    values = [values_of([], {}, each, types).common for each in types.values()]
    assert values == ["yesterday", "[yesterday,today)"]
