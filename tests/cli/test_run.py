"""``plainsql run``: what it takes, what it shows, and how it exits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.cli.conftest import GET, NOTES, Command, Write

LIST = (
    "-- The notes.\n-- returns: many Note\n-- param limit: 1..200 = 50\n-- param order: = 'oldest'\n"
    "select n.id, n.text, n.stars\nfrom notes as n\nwhere\n  true\n"
    "  and n.stars >= :least  --?\n  and n.stars <= :most and n.text = :text  --?\n"
    "order by\n  n.id       --? order=oldest\n  n.id desc  --? order=newest\nlimit :limit\n"
)
QUERIES = {
    "sql/notes/get.sql": GET,
    "sql/notes/list.sql": LIST,
    "sql/notes/count_all.sql": "-- How many.\n-- returns: value\nselect count(*) as notes\nfrom notes\n",
    "sql/notes/set_all.sql": (
        "-- All of them.\n-- returns: one Note\n"
        "update notes as n set stars = :stars returning n.id, n.text, n.stars\n"
    ),
    "sql/notes/clear.sql": "-- Forget.\n-- returns: count\ndelete from notes where id > :least\n",
}


@pytest.fixture
def project(write: Write, configured: str) -> Path:
    folder = write(NOTES | QUERIES)
    with psycopg.connect(configured, autocommit=True) as connection:
        connection.execute(NOTES["migrations/0001_notes.sql"].encode())
        connection.execute("insert into notes (text, stars) values ('one', 1), ('two', null)")
    return folder


@pytest.mark.usefixtures("project")
def test_many_rows_are_a_table_with_the_count_and_the_time_last(process: Command) -> None:
    done = process("run", "notes.list")
    assert (done.code, done.err) == (0, "")
    assert done.out == "id  text  stars\n 1  one       1\n 2  two    null\n2 rows, 0.0 ms\n"


@pytest.mark.usefixtures("project")
def test_one_row_is_printed_upright(command: Command) -> None:
    assert command("run", "notes.get", "id=1").out == "id     1\ntext   one\nstars  1\n1 row, 0.0 ms\n"
    assert command("run", "notes.get", "id=9").out == "0 rows, 0.0 ms\n"


def test_a_tenant_is_the_setting_that_policies_compare(project: Path, command: Command) -> None:
    asked = "-- Whose.\n-- returns: value\nselect current_setting('app.jwt_tenant', true) as tenant\n"
    (project / "sql/whose.sql").write_text(asked)
    assert json.loads(command("run", "whose", "--json", "--tenant", "acme").out) == "acme"
    assert json.loads(command("run", "whose", "--json", "--tenant", "o'hara").out) == "o'hara"
    assert json.loads(command("run", "whose", "--json").out) is None


@pytest.mark.usefixtures("project")
def test_a_file_names_its_query_too(command: Command) -> None:
    assert command("run", "sql/notes/get.sql", "id=1").code == 0


@pytest.mark.usefixtures("project")
def test_json_is_an_array_an_object_a_value_or_null(command: Command) -> None:
    def result(*arguments: str) -> object:
        done = command("run", *arguments, "--json")
        assert (done.code, done.err) == (0, "")
        return json.loads(done.out)

    assert result("notes.list") == [
        {"id": 1, "text": "one", "stars": 1},
        {"id": 2, "text": "two", "stars": None},
    ]
    assert result("notes.get", "id=1") == {"id": 1, "text": "one", "stars": 1}
    assert result("notes.get", "id=9") is None
    assert result("notes.count_all") == 2
    assert result("notes.clear", "least=1") == 1


def test_lists_of_child_rows_are_described_and_printed_as_json(project: Path, command: Command) -> None:
    lists = 'select n.id, m.id as "more[].id", m.text as "more[].text"\nfrom notes as n\n'
    lists += "left join (values (1, 2), (1, 1)) as p (parent, child) on p.parent = n.id\n"
    lists += "left join notes as m on m.id = p.child\nwhere n.id = :id\norder by m.id\n"
    (project / "sql/notes/more.sql").write_text(f"-- More.\n-- returns: one More\n{lists}")
    (project / "migrations/0001_notes.sql").write_text(NOTES["migrations/0001_notes.sql"])
    for number, children in ((1, [{"id": 1, "text": "one"}, {"id": 2, "text": "two"}]), (2, [])):
        done = command("run", "notes.more", f"id={number}", "--json")
        assert (done.code, json.loads(done.out)) == (0, {"id": number, "more": children})
    done = command("describe", "notes.more")
    assert "\nreturns one More: optional (equality on the unique key notes_pkey (id))\n" in done.out
    assert "parents  id         the unique key notes_pkey (id)\n" in done.out
    assert "more[]   more[].id  the unique key notes_pkey (id)\n" in done.out
    assert "\nstreams: the rows of a parent follow one another\n" in done.out
    facts = json.loads(command("describe", "notes.more", "--json").out)
    assert facts["contiguous"]
    assert [each["name"] for each in facts["lists"]] == ["", "more[]"]


@pytest.mark.usefixtures("project")
def test_optional_lines_choices_and_defaults_are_honoured(command: Command) -> None:
    def ids(*arguments: str) -> list[int]:
        return [row["id"] for row in json.loads(command("run", "notes.list", *arguments, "--json").out)]

    assert ids() == [1, 2]
    assert ids("order=newest") == [2, 1]
    assert ids("order=newest", "limit=1") == [2]
    assert ids("least=1") == [1]
    assert ids("least:=null") == []


def test_a_flag_of_the_query_is_an_option(project: Path, command: Command) -> None:
    text = LIST.replace("  true\n", "  true\n  and n.stars is null  --? only_unrated\n")
    (project / "sql/notes/list.sql").write_text(text)

    def ids(*arguments: str) -> list[int]:
        return [row["id"] for row in json.loads(command("run", "notes.list", *arguments, "--json").out)]

    assert ids() == [1, 2]
    assert ids("--only-unrated") == ids("--only_unrated", "order=newest") == [2]
    assert ids("only_unrated=true") == ids("only_unrated:=true") == [2]
    assert ids("--no-only-unrated") == ids("only_unrated=false") == [1, 2]
    done = command("run", "notes.list", "only_unrated=yes")
    assert (done.code, done.out) == (2, "")
    assert "notes.list: only_unrated: expected one of false, true\nHINT: write --only-unrated\n" in done.err
    done = command("run", "notes.list", "--only-rated")
    assert done.code == 2
    assert "--only-rated is neither an option of plainsql run nor a flag of the query" in done.err
    assert "HINT: the query's flags are --only-unrated\n" in done.err
    assert "--only-unrated" in command("run", "notes.list", "nothing=1").err
    (described,) = json.loads(command("describe", "notes.list", "--json").out)["choices"][:1]
    assert described == {
        "name": "only_unrated",
        "values": [False, True],
        "default": False,
        "description": "",
    }
    assert "[only_unrated]  bool" in command("describe", "notes.list").out


@pytest.mark.usefixtures("project")
def test_an_unknown_option_is_refused_by_name(command: Command) -> None:
    done = command("run", "notes.list", "--jsn")
    assert (done.code, done.out) == (2, "")
    assert "--jsn is neither an option of plainsql run nor a flag of the query" in done.err


@pytest.mark.usefixtures("project")
def test_a_count_says_how_many_rows_it_affected(command: Command) -> None:
    assert command("run", "notes.clear", "least=0").out == "2 rows affected, 0.0 ms\n"


@pytest.mark.usefixtures("project")
def test_rollback_tries_a_write_and_undoes_it(command: Command) -> None:
    assert command("run", "notes.clear", "least=0", "--rollback").out == "2 rows affected, 0.0 ms, undone\n"
    added = command("run", "notes.add", "text=three", "--rollback").out
    assert "text   three\n" in added
    assert json.loads(command("run", "notes.count_all", "--json").out) == 2


@pytest.mark.usefixtures("project")
def test_a_broken_promise_of_the_header_exits_with_1_and_is_undone(command: Command) -> None:
    done = command("run", "notes.set_all", "stars=5")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "notes.set_all: expected exactly one row, got 2\n"
        "DETAIL: its changes are undone\n"
        "HINT: if several rows are an answer, declare 'returns: many …' in sql/notes/set_all.sql\n"
    )
    rows = json.loads(command("run", "notes.list", "--json").out)
    assert [row["stars"] for row in rows] == [1, None]
    command("run", "notes.clear", "least=0")
    assert command("run", "notes.set_all", "stars=5").err.startswith(
        "notes.set_all: expected exactly one row, got none\n"
    )


MISUSES = {
    "missing and unknown": (
        ["notes.get", "idd=1"],
        "notes.get: missing id; unknown idd\nDETAIL: it takes\n  id=…\nHINT: did you mean id?\n",
    ),
    "missing": (
        ["notes.add"],
        (
            "notes.add: missing text\nDETAIL: it takes\n  text=…\n  stars=…  1..5, null by default\n"
            "HINT: plainsql run notes.add text=…\n"
        ),
    ),
    "unknown, with all that can be given": (
        ["notes.list", "page=1"],
        (
            "notes.list: unknown page\nDETAIL: it takes\n  least=…              optional\n"
            "  most=…               optional\n  text=…               optional\n"
            "  limit=…              1..200, 50 by default\n  order=oldest|newest  oldest by default\n"
            "HINT: plainsql run notes.list\n"
        ),
    ),
    "twice": (["notes.get", "id=1", "id=2"], "notes.get: id is given twice\nHINT: give it once\n"),
    "no assignment": (
        ["notes.add", "text=two", "words"],
        (
            "word 2 after the query's name is neither name=text nor name:=json\n"
            "HINT: quote a value with spaces: name='two words'\n"
        ),
    ),
    "bounds": (
        ["notes.add", "text=x", "stars=6"],
        "notes.add: stars: the value is out of bounds, expected 1..5\nHINT: see sql/notes/add.sql:3:10\n",
    ),
    "no number": (
        ["notes.add", "text=x", "stars=many"],
        "notes.add: stars: expected a number, 1..5, got text\n",
    ),
    "no such choice": (
        ["notes.list", "order=best"],
        "notes.list: order: expected one of oldest, newest\nHINT: write order=oldest\n",
    ),
    "half of an optional line": (
        ["notes.list", "most=1"],
        (
            "sql/notes/list.sql:10:18: notes.list: most is given without text, its line needs both\n"
            "      and n.stars <= :most and n.text = :text  --?\n"
            "                     ^\n"
            "HINT: pass text too, or leave most out\n"
        ),
    ),
    "no json": (
        ["notes.get", "id:=secret"],
        "id: not JSON: JSON is malformed: invalid character (byte 0)\nHINT: write id=… for text\n",
    ),
    "no json file": (
        ["notes.get", "id:=@nowhere.json"],
        "id: its file cannot be read: No such file or directory\nHINT: write id:=@FILE\n",
    ),
    "a list for a number": (
        ["notes.get", "id:=[1]"],
        "id: expected int8, got a list\nHINT: write id=… in the form that PostgreSQL reads\n",
    ),
    "typo": (["notes.gett"], "there is no query 'notes.gett' in sql\nHINT: did you mean notes.get?\n"),
    "without its folder": (["get"], "there is no query 'get' in sql\nHINT: did you mean notes.get?\n"),
    "folder": (
        ["notes"],
        "notes is a folder of queries\nHINT: name one of add, clear, count_all, get, list, set_all\n",
    ),
}


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("case", MISUSES)
def test_misuse_exits_with_2_says_what_is_expected_and_sends_nothing(command: Command, case: str) -> None:
    arguments, message = MISUSES[case]
    done = command("run", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err == message


@pytest.mark.usefixtures("project")
def test_a_refusal_of_the_server_has_its_place_and_exits_with_1(command: Command, write: Write) -> None:
    done = command("run", "notes.get", "id=one")
    assert (done.code, done.err) == (
        1,
        (
            'sql/notes/get.sql:5:14: invalid input syntax for type bigint: "one" (SQLSTATE 22P02)\n'
            "    where n.id = :id\n"
            "                 ^\n"
        ),
    )
    write({"sql/notes/wrong.sql": "-- Wrong.\n-- returns: value\nselect n.txt\nfrom notes as n\n"})
    assert command("run", "notes.wrong").err == (
        "sql/notes/wrong.sql:3:8: column n.txt does not exist (SQLSTATE 42703)\n"
        "    select n.txt\n"
        "           ^\n"
        'HINT: Perhaps you meant to reference the column "n.text".\n'
    )
    assert command("run", "notes.add", "text=").err.startswith(
        'sql/notes/add.sql: new row for relation "notes" violates check constraint "notes_text_check"'
        " (SQLSTATE 23514)\nDETAIL: Failing row contains ("
    )


def test_a_table_that_is_not_there_yet_points_at_the_migrations(write: Write, command: Command) -> None:
    write(NOTES | QUERIES)
    assert command("run", "notes.get", "id=1").err.endswith("HINT: apply the migrations: plainsql migrate\n")
    assert command("migrate").code == 0
    assert command("run", "notes.get", "id=1").code == 0


def test_a_query_runs_although_another_one_cannot_be_loaded(write: Write, command: Command) -> None:
    write(NOTES | QUERIES | {"sql/notes/half.sql": "-- Half.\nselect"})
    assert command("migrate").code == 0
    assert command("run", "notes.add", "text=x").code == 0
    assert command("run", "notes.half").code == 2


def test_ctrl_c_cancels_the_statement_on_the_server(write: Write, configured: str) -> None:
    write({"sql/sleep.sql": "-- Sleep.\n-- returns: value\nselect pg_sleep(:seconds) is null as slept\n"})
    running = subprocess.Popen(
        [sys.executable, "-m", "plainsql", "run", "sleep", "seconds=300"],
        env=os.environ.copy(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    active = (
        "select count(*) from pg_stat_activity"
        " where datname = current_database() and application_name = 'plainsql run' and state = 'active'"
    )
    with psycopg.connect(configured, autocommit=True) as connection, running:
        while connection.execute(active).fetchone() == (0,):
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
        # psycopg may say before it that it could not roll back while the statement was being cancelled.
        assert (running.returncode, out, err.splitlines()[-1]) == (130, "", "interrupted")
        assert connection.execute(active).fetchone() == (0,)


def test_a_column_that_the_header_says_is_never_null_is_held_to_it(write: Write, command: Command) -> None:
    write({"sql/odd.sql": "-- Odd.\n-- returns: many value\n-- column n: not null\nselect null::int as n\n"})
    done = command("run", "odd")
    assert (done.code, done.out) == (1, "")
    assert "the header says that 'n' is never null, and it is in 1 of 1 rows" in done.err
    assert done.err.startswith("sql/odd.sql:3:")
