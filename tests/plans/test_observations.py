"""The facts that are stated about plans, the calls that are drawn, and the role that plans them."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import msgspec
import psycopg
import pytest

from plainsql.errors import ContractError
from plainsql.plans.explain.compared_columns import compared_parameters
from plainsql.plans.explain.explained_query import ExplainedQuery, explain_statement
from plainsql.plans.explain.observations import NAMES, observe
from plainsql.plans.explain.table_facts import PlanFacts
from plainsql.plans.explain.typical_calls import drawn_calls
from plainsql.statements import Statement, parse
from tests.plans.desk import SCHEMA

SEARCHED = """-- returns: many value
-- param limit: 1..50
-- param page: = 0
select t.id
from desk.tickets as t
where
  t.state = :state
  and t.made_at < :before
  and :after <= t.made_at
  and t.tags @> :tags
  and :tag = any(t.tags)
  and t.id = any(:ids)
  and (t.facts ->> 'n') = :fact
  and (t.made_at, t.id) > (:last_made_at, :last_id)
  and lower(t.note) = lower(:note::text)
  and date_trunc(:unit, t.made_at, :zone) is not null
  and exists (select 1 from desk.letters as l where l.tenant_id = :tenant::text and l.id = t.id)
order by t.id
limit :limit
offset :page
"""


@pytest.fixture(scope="module")
def desk_url(database_url: str) -> str:
    with psycopg.connect(database_url) as connection:
        connection.execute(SCHEMA.encode())
    return database_url


@pytest.fixture
def desk(desk_url: str) -> Generator[psycopg.Connection[Any]]:
    with psycopg.connect(desk_url, autocommit=True) as connection:
        yield connection


def query(text: str) -> Statement:
    return parse(text, name="desk.it", path="sql/desk/it.sql")


def explain(
    connection: psycopg.Connection[Any], text: str, settings: Mapping[str, str] | None = None
) -> ExplainedQuery:
    return explain_statement(connection, query(text), settings=settings or {}, own=True)


SLOW: dict[str, tuple[str, dict[str, str], str]] = {
    "large-scan": (
        "select t.id from desk.tickets as t where t.note = :note order by t.id",
        {},
        "reads all 20,000 rows of desk.tickets and keeps 1: cost ",
    ),
    "rows-thrown-away": (
        "select t.id from desk.tickets as t where t.state = 'open' and t.note = :note",
        {"enable_seqscan": "off"},
        "rows of 13,320 that it reads by tickets_state: (t.note = ",
    ),
    "spill": (
        "select t.id, t.note from desk.tickets as t order by t.note, t.id",
        {"work_mem": "64kB"},
        "needs about 938 kB for 20,000 rows, and has 64 kB of memory (work_mem)",
    ),
    "many-rounds": (
        (
            "select t.id, (select count(*) from desk.letters) as letters from desk.tickets as t\n"
            "inner join desk.tickets as o on o.id = t.id - 1"
        ),
        {"enable_hashjoin": "off", "enable_mergejoin": "off", "enable_memoize": "off"},
        "reads desk.tickets 20,000 times by tickets_pkey: cost ",
    ),
    "order-not-used": (
        "select t.id from desk.tickets as t where t.state = 'open' order by t.made_at, t.id limit 5",
        {"enable_indexscan": "off", "enable_indexonlyscan": "off", "enable_incremental_sort": "off"},
        " rows of desk.tickets by t.made_at, t.id for 5, although tickets_made_at begins with made_at",
    ),
    "generic-differs": (
        "select t.id from desk.tickets as t where t.state = :state order by t.made_at, t.id limit :limit",
        {},
        ": after five calls PostgreSQL ",
    ),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_plan_is_observed_with_its_numbers(desk: psycopg.Connection[Any], name: str) -> None:
    body, settings, message = SLOW[name]
    found = explain(desk, f"-- returns: many Ticket\n{body}\n", settings)
    messages = [each.message for each in found.observations if each.name == name]
    assert any(message in each for each in messages), (messages, found.plans.variants)
    assert {each.name for each in found.observations} <= set(NAMES)


def test_a_good_plan_has_no_observation(desk: psycopg.Connection[Any]) -> None:
    for body in (
        "select t.note from desk.tickets as t where t.id = :id",
        "select t.id from desk.tickets as t limit 5",
        "select t.id from desk.tickets as t order by t.made_at, t.id limit 5",
    ):
        assert explain(desk, f"-- returns: many Ticket\n{body}\n").observations == ()


def test_the_plan_that_never_runs_is_not_observed(desk: psycopg.Connection[Any]) -> None:
    text = "-- returns: many value\nselect t.note from desk.tickets as t where t.state = :state\n"
    found = explain(desk, text, {"enable_bitmapscan": "off"})
    (variant,) = found.plans.variants
    assert {call.call: call.cached for call in variant.calls} == {"common": "generic", "rare": "custom"}
    assert variant.generic.kind == "Seq Scan"
    assert {each.name: each.calls for each in found.observations} == {
        "large-scan": ("common",),
        "generic-differs": ("rare",),
    }


def test_a_joined_form_that_reads_otherwise_is_observed(desk: psycopg.Connection[Any]) -> None:
    text = "-- returns: optional Ticket\nselect t.note from desk.tickets as t where t.id = :id\n"
    found = explain(desk, text)
    (variant,) = found.plans.variants
    assert variant.joined is not None
    assert [each for each in found.observations if each.name == "joined-differs"] == []
    other = explain(desk, text, {"enable_indexscan": "off", "enable_bitmapscan": "off"}).plans.variants[0]
    joined = msgspec.structs.replace(variant, joined=other.joined)
    plans = msgspec.structs.replace(found.plans, variants=(joined,))
    (observed,) = observe(plans, PlanFacts())
    assert observed.name == "joined-differs"
    assert observed.message.startswith(
        "reads desk.tickets by Seq Scan where a call alone reads it by tickets_pkey: cost "
    )


def test_values_are_drawn_by_the_columns_that_they_are_compared_with(
    desk: psycopg.Connection[Any],
) -> None:
    statement = query(SEARCHED)
    found, types = compared_parameters(desk, statement)
    assert {name: [each.operator for each in uses] for name, uses in found.items()} == {
        "state": ["="],
        "before": ["<"],
        "after": [">="],
        "tags": ["@>"],
        "tag": ["="],
        "ids": ["="],
        "last_made_at": [">"],
        "last_id": [">"],
        "note": ["="],
        "unit": ["unit"],
        "zone": ["time zone"],
        "tenant": ["="],
        "limit": ["limit"],
        "page": ["offset"],
    }
    assert set(types) == {*found, "fact"}
    calls, notes = drawn_calls(desk, statement)
    assert ([call.name for call in calls], notes) == (["common", "rare", "absent"], [])
    common, rare, absent = (call.values for call in calls)
    assert (common["state"], rare["state"], absent["state"]) == ("open", "lost", "lost")
    assert (common["limit"], common["page"], common["unit"], common["zone"]) == ("20", "0", "day", "UTC")
    assert str(common["tenant"]) == "tenant 1"
    assert (absent["tenant"], absent["tag"]) == ("plainsql-absent", "plainsql-absent")
    assert str(common["after"]) < str(common["before"])
    assert str(rare["after"]) < str(rare["before"]) < "2027" < str(absent["before"])
    assert str(common["note"]).startswith("note ")
    assert int(str(common["last_id"])) < int(str(rare["last_id"])) < int(str(absent["last_id"]))
    for call in calls:
        cursor = psycopg.RawCursor(desk)
        (variant,) = statement.variants()
        cursor.execute(variant.sql.encode(), [call.values[name] for name in variant.parameters])


def test_row_security_is_planned_as_a_role_that_it_applies_to(desk: psycopg.Connection[Any]) -> None:
    text = "-- returns: many value\nselect l.id from desk.letters as l where l.text = :text\n"
    condition = "(l.tenant_id = (InitPlan 1).col1)"
    found = explain(desk, text)
    assert found.plans.role == "a role with row-level security"
    assert found.plans.settings == {"app.jwt_tenant": "tenant 1"}
    assert condition in [
        each.text for node in found.plans.variants[0].generic.walk() for each in node.conditions
    ]
    written = explain(desk, "-- returns: count\ndelete from desk.letters as l where l.id = :id\n")
    assert written.plans.notes == ()
    assert any(
        condition in each.text
        for node in written.plans.variants[0].generic.walk()
        for each in node.conditions
    )
    roles = desk.execute("select count(*) from pg_roles where rolname like 'plainsql_plans%'").fetchone()
    assert roles == (0,)
    with desk.transaction(force_rollback=True):
        desk.execute("create role desk_app nologin; grant usage on schema desk to desk_app")
        desk.execute("grant select on desk.letters to desk_app")
        desk.execute("create role desk_keeper nologin; grant usage on schema desk to desk_keeper")
        desk.execute("grant select, delete on desk.letters to desk_keeper")
        desk.execute("grant select on desk.tickets to desk_app")
        desk.execute("grant update on desk.tickets to desk_app")
        assert explain(desk, text).plans.role == "desk_app"
        deleted = explain(desk, "-- returns: count\ndelete from desk.letters as l where l.id = :id\n")
        assert deleted.plans.role == "desk_keeper"


def test_a_query_that_the_server_refuses_has_its_place(desk: psycopg.Connection[Any]) -> None:
    with pytest.raises(ContractError, match=r"^sql/desk/it\.sql:3:7: column t\.gone does not exist"):
        explain(desk, "-- returns: many value\nselect t.id from desk.tickets as t\nwhere t.gone = :id\n")
