"""``plainsql migrate`` at the prompt: what it prints and how it exits."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cyclopts import App

from plainsql import migrate
from plainsql.cli.migrate import app
from tests.migrate.conftest import Query, Write

Command = Callable[..., tuple[int, str, str]]

FILES = {
    "realty/0001_a.sql": "create table a ();",
    "realty/0001_a.rollback.sql": "drop table a;",
    "realty/0002_b.sql": "create table b ();",
    "realty/0002_b.rollback.sql": "drop table b;",
}


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], fresh_database_url: str) -> Command:
    """Run ``plainsql migrate …`` on the fresh database; exit code, output, errors; times are 0.00."""

    def run(*arguments: str, database: str = fresh_database_url) -> tuple[int, str, str]:
        root = App(name="plainsql")
        root.command(app)
        given = () if arguments[:1] == ("new",) else ("--database", database)
        with pytest.raises(SystemExit) as stopped:
            root(["migrate", *arguments, *given])
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), re.sub(r"\d+\.\d\d s", "0.00 s", out), err

    return run


def test_apply_status_rollback(write: Write, command: Command) -> None:
    write(FILES)
    assert command() == (
        0,
        "realty/0001_a … 0.00 s\nrealty/0002_b … 0.00 s\napplied 2 migrations in 0.00 s\n",
        "",
    )
    assert command() == (0, "nothing to apply\n", "")
    assert command("rollback") == (0, "realty/0002_b … 0.00 s\nrolled back 1 migration in 0.00 s\n", "")
    code, out, _ = command("status")
    assert (code, re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "<time>", out)) == (
        0,
        (
            "layer   migration  state    applied at               took\n"
            "realty  0001_a     applied  <time> UTC  0.00 s\n"
            "realty  0002_b     pending  -                        -\n"
            "1 applied, 1 pending\n"
        ),
    )
    assert command("status", "--check")[0] == 1
    assert command("--to", "0002")[0] == 0
    assert command("status", "--check")[0] == 0
    assert command("rollback", "--all")[0] == 0


def test_status_as_json(write: Write, command: Command) -> None:
    write(FILES)
    command("--to", "1")
    _, out, _ = command("status", "--json", "--layer", "realty")
    first, second = json.loads(out)
    assert {key: first[key] for key in ("name", "layer", "id", "state", "late")} == {
        "name": "realty/0001_a",
        "layer": "realty",
        "id": "0001_a",
        "state": "applied",
        "late": False,
    }
    assert first["applied_at"].endswith("+00:00")
    assert (second["state"], second["applied_at"], second["seconds"]) == ("pending", None, None)


def test_a_dry_run_prints_the_sql_and_runs_none_of_it(write: Write, command: Command, query: Query) -> None:
    write(FILES)
    assert command("--dry-run", "--to", "0001") == (
        0,
        (
            "-- migrations/realty/0001_a.sql\n"
            "begin;\nset local lock_timeout = '5000ms';\ncreate table a ();\ncommit;\n\n"
            "-- 1 migration would be applied; nothing was run\n"
        ),
        "",
    )
    assert query("select to_regclass('a')") == [(None,)]


def test_the_limits_of_the_project_apply_unless_an_option_is_given(write: Write, command: Command) -> None:
    write({"0001_a.sql": "-- transactional: false\nvacuum;\ncreate index concurrently i on t (n);\nvacuum"})
    Path("pyproject.toml").write_text("[tool.plainsql]\nlock_timeout = 7\nlock_retries = 0\n")
    limits = (
        "set lock_timeout = '7000ms';\n-- transactional: false\nvacuum;\nset lock_timeout = 0;\n"
        "create index concurrently i on t (n);\nset lock_timeout = '7000ms';\nvacuum\n;\n"
        "reset lock_timeout;\n"
    )
    assert limits in command("--dry-run")[1]
    assert "set lock_timeout = '250ms'" in command("--dry-run", "--lock-timeout", "0.25", "--wait")[1]
    code, _, err = command("--wait", "1", "2")
    assert (code, "--wait accepts at most 1 element" in err) == (2, True)


def test_a_failure_exits_with_1_and_names_the_place(write: Write, command: Command) -> None:
    write(FILES | {"realty/0002_b.sql": "create table c ();\nselect nope;"})
    code, out, err = command()
    assert (code, out) == (1, "realty/0001_a … 0.00 s\nrealty/0002_b … failed\n")
    assert err.startswith("migrations/realty/0002_b.sql:2:8: column")


def test_drift_exits_with_1(write: Write, command: Command) -> None:
    write(FILES)
    command()
    write({"realty/0001_a.sql": "create table a (id int);"})
    code, _, err = command()
    assert code == 1
    assert err.endswith(
        "HINT: restore the files and write the change as a new migration; or go on with --allow-edited\n"
    )
    assert command("--allow-edited")[0] == 0
    assert command("status", "--check")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layer", "none"], "no layer 'none'"),
        (["--to", "0009"], "no migration '0009'"),
        (["--folder", "elsewhere"], "elsewhere: no such folder"),
        (["rollback", "--all", "--steps", "2"], "exclude each other"),
        (["--bogus"], "Unknown option"),
    ],
)
def test_a_run_that_could_not_begin_exits_with_2(
    write: Write, command: Command, arguments: list[str], message: str
) -> None:
    write(FILES)
    code, _, err = command(*arguments)
    assert (code, message in err) == (2, True), err


def test_no_connection_exits_with_2_and_hides_the_password(write: Write, command: Command) -> None:
    write(FILES)
    code, _, err = command(database="postgresql://someone:hush@127.0.0.1:1/x")
    assert (code, "cannot connect" in err, "hush" in err) == (2, True, False)


def test_a_notice_has_a_line_of_its_own(write: Write, command: Command) -> None:
    write({"0001_a.sql": "do $$ begin raise notice 'hi'; end $$;"})
    assert command()[1] == "0001_a … \n  NOTICE: hi\n0001_a … 0.00 s\napplied 1 migration in 0.00 s\n"


def test_new_writes_two_files(write: Write, command: Command) -> None:
    write(FILES)
    assert command("new", "add phone to leads", "--layer", "realty") == (
        0,
        "migrations/realty/0003_add_phone_to_leads.sql\nmigrations/realty/0003_add_phone_to_leads.rollback.sql\n",
        "",
    )
    assert command("new", "add phone")[0] == 2


def test_the_help_names_the_exit_codes(command: Command) -> None:
    assert "Exit codes: 0 done" in command("--help")[1]


def test_a_layer_that_comes_with_plainsql_need_not_be_in_the_folder(write: Write, command: Command) -> None:
    write({"0001_a.sql": "create table a ();", "0001_a.rollback.sql": "drop table a;"})
    code, out, err = command("--layer", "marketplace")
    assert (code, err) == (0, "")
    assert out.startswith("marketplace/0001_")
    assert command("status", "--layer", "marketplace", "--check")[0] == 0
    assert command()[1] == "0001_a … 0.00 s\napplied 1 migration in 0.00 s\n"
    assert command("rollback", "--all", "--layer", "marketplace")[0] == 0
    code, _, err = command("--layer", "marketplaces")
    assert (code, "marketplaces" in err) == (2, True)


def test_without_yoyo_the_error_says_what_to_install(write: Write) -> None:
    folder = write(FILES)
    program = (
        "import sys; sys.modules['yoyo'] = None\n"
        "from plainsql.cli.migrate import app\n"
        f"app(['status', '--database', 'postgresql:///x', '--folder', {str(folder)!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=Path.cwd()
    )
    assert (done.returncode, done.stderr) == (
        2,
        "plainsql.migrate needs yoyo, which is not installed\nHINT: pip install 'plainsql[migrate]'\n",
    )


def test_every_public_name_is_there() -> None:
    assert all(hasattr(migrate, name) for name in migrate.__all__)
