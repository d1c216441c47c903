"""``plainsql explain`` at the prompt: on the copy of production, and on a database that is named."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.cli.conftest import NOTES, Command, Write
from tests.plans.desk import SCHEMA

TICKETS = {
    "sql/desk/list.sql": (
        "-- returns: many Ticket\n-- param limit: 1..100 = 20\n"
        "select t.id, t.note from desk.tickets as t\nwhere\n  true\n  and t.state = :state  --?\n"
        "  and t.tags && :tags  --?\norder by t.made_at, t.id\nlimit :limit\n"
    ),
    "sql/desk/done.sql": (
        "-- returns: count\n-- example: low = 7, high = 7\n-- example: low = 7, high = 8\n"
        "update desk.tickets as t set state = 'done'\n"
        "where t.id between :low and :high and t.state <> 'done'\n"
    ),
    "sql/desk/letters.sql": "-- returns: many Letter\nselect l.id, l.text from desk.letters as l\n",
}


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("children", ()):
        yield from nodes(child)


def test_the_copy_is_explained_without_a_database(write: Write, command: Command) -> None:
    some = (
        "-- returns: many Note\n-- example: stars = 5\n"
        "select n.id, n.text, n.stars from notes as n\nwhere n.stars = :stars\norder by n.id\n"
    )
    write(NOTES | {"sql/notes/some.sql": some})
    done = command("explain", "notes.some")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "notes.some  sql/notes/some.sql"
    assert lines[2].startswith("plan: example ")
    assert ", generic " in lines[2]
    assert "Seq Scan  public.notes as n" in done.out
    assert "filter: (n.stars = 5)" in done.out
    assert "example: generic plan after five calls  stars=5" in done.out
    assert "large-scan  reads all 1,000,000 rows of public.notes and keeps " in done.out
    assert "note: no statistics of production: 1,000,000 rows are assumed in each table" in done.out
    found = json.loads(command("explain", "sql/notes/some.sql", "stars=3", "--json").out)
    (variant,) = found["plans"]["variants"]
    assert [call["call"] for call in variant["calls"]] == ["given"]
    assert {node["relation"] for node in nodes(variant["generic"]) if "relation" in node} == {"notes"}
    assert [each["name"] for each in found["observations"]] == ["large-scan"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["notes.ad"], 2, "there is no query 'notes.ad' in sql\nHINT: did you mean notes.add?\n"),
        (["notes.add", "txt=x"], 2, "HINT: did you mean text?"),
        (["notes.add", "--tag"], 2, "HINT: plainsql explain --help lists the options"),
        (["notes.add", "text=x", "stars=9"], 2, "stars: the value is out of bounds, expected 1..5"),
        (["notes.add", "text=x", "stars:=[1]"], 2, "stars: expected a number, 1..5, got text"),
        (["notes.add", "--user", "7"], 2, "--user needs --tenant"),
        (["notes.add", "--analyze"], 2, "--analyze executes the query, and no database is named"),
        (["notes.add", "--variants", "0"], 2, "--variants: expected an integer from 1 to 1000, got 0\n"),
        (["notes.add", "--write"], 2, "--write needs --analyze"),
        (["notes.gone"], 1, "sql/notes/gone.sql:2:8: column n.gone does not exist (SQLSTATE 42703)"),
        (["notes.two"], 2, "sql/notes/two.sql:3:1: "),
    ],
)
def test_wrong_words_are_explained(
    write: Write, command: Command, arguments: list[str], code: int, message: str
) -> None:
    write(
        NOTES
        | {
            "sql/notes/gone.sql": "-- returns: many value\nselect n.gone from notes as n\n",
            "sql/notes/two.sql": "-- returns: many value\nselect 1;\nselect 2\n",
        }
    )
    done = command("explain", *arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_a_named_database_is_explained_and_analysed(write: Write, command: Command, configured: str) -> None:
    with psycopg.connect(configured) as connection:
        connection.execute(SCHEMA.encode())
    write(NOTES | TICKETS)

    def explain(*arguments: str) -> Any:
        done = command("explain", *arguments, "--database", configured, "--json")
        assert (done.code, done.err) == (0, "")
        return json.loads(done.out)

    drawn = explain("desk.list")
    assert drawn["plans"]["total_variants"] == 4
    calls = {call["name"]: call["values"] for call in drawn["plans"]["calls"]}
    assert calls == {
        "common": {"state": "open", "tags": calls["common"]["tags"], "limit": "20"},
        "rare": {"state": "lost", "tags": calls["rare"]["tags"], "limit": "20"},
        "absent": {"state": "lost", "tags": '{"plainsql-absent"}', "limit": "20"},
    }
    given = explain("desk.list", "state=lost", 'tags:=["tag 0", "tag 1"]', "--analyze")
    (variant,) = given["plans"]["variants"]
    (call,) = variant["calls"]
    measured = call["measured"]
    assert (measured["actual"]["rows"], measured["actual"]["loops"]) == (20, 1)
    scan = next(node for node in nodes(measured) if node.get("table") or node.get("relation"))
    assert scan["index"] == "tickets_state" or scan["children"][0]["index"] == "tickets_state"
    assert sum(node["actual"].get("hit", 0) + node["actual"].get("read", 0) for node in nodes(measured))

    wrong = command("explain", "desk.list", "state=secret", "--database", configured)
    assert (wrong.code, wrong.out) == (2, "")
    assert "desk.list: state: expected a desk.state (open, done, lost), got 'secret'" in wrong.err

    refused = command("explain", "desk.done", "--analyze", "--database", configured)
    assert refused.code == 1
    assert "sql/desk/done.sql: the query writes or locks rows, and is not executed" in refused.err
    written = explain("desk.done", "--analyze", "--write")
    found = [call["measured"] for call in written["plans"]["variants"][0]["calls"]]
    assert [plan["label"] for plan in found] == ["Update", "Update"]
    # Each call finds the rows as they were before the other.
    assert [plan["children"][0]["actual"]["rows"] for plan in found] == [1, 2]
    shown = command(
        "explain", "desk.done", "low=7", "high=8", "--analyze", "--write", "--database", configured
    )
    assert "Update  desk.tickets as t" in shown.out
    assert re.search(r"measured: 2 rows, 0\.0 ms, \d+ pages, \d+ from disk", shown.out)
    with psycopg.connect(configured) as connection:
        state = connection.execute("select t.state::text from desk.tickets as t where t.id = 7").fetchone()
    assert state == ("open",)

    slow = "-- returns: value\nselect (select count(*) from generate_series(1, 2000000000)) as n\n"
    write({"sql/desk/slow.sql": slow})
    stopped = command("explain", "desk.slow", "--analyze", "--timeout", "0.1", "--database", configured)
    assert stopped.code == 1
    assert "HINT: allow more time: --timeout SECONDS" in stopped.err

    letters = command("explain", "desk.letters", "--database", configured)
    assert "note: row-level security is left out of these plans" in letters.out
    tenant = command("explain", "desk.letters", "--role", "pg_read_all_data", "--database", configured)
    assert "planned as pg_read_all_data, app.jwt_tenant = tenant 1" in tenant.out
    assert "(l.tenant_id = (InitPlan 1).col1)" in tenant.out
    nobody = command("explain", "desk.letters", "--role", "nobody", "--database", configured)
    assert (nobody.code, nobody.err.splitlines()[0]) == (2, '--role: role "nobody" does not exist')
