"""The project, its files and its output: outside of one, in a folder of a repository, into a full disk."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pre_commit.clientlib import load_manifest

from plainsql import migrate
from plainsql.cli.app import app, load_commands
from plainsql.layers.files import migrations_folder
from tests.cli.conftest import GET, NOTES, Command, Write

BAD = {"sql/notes/bad.sql": GET.replace("n.id,", "n.idd,"), "sql/notes/worse.sql": "-- returns: nonsense\n"}


@pytest.mark.parametrize(
    "arguments", [["check"], ["generate"], ["describe", "notes.get"], ["run", "notes.get"]]
)
def test_outside_of_a_project_init_is_named(write: Write, command: Command, arguments: list[str]) -> None:
    write({})
    done = command(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "there is no project here: no folder sql\n"
        "HINT: start one with 'plainsql init'; or name its folder: plainsql -C DIR …; "
        "or set sql in [tool.plainsql]\n"
    )


@pytest.mark.parametrize("option", [["-C", "backend"], ["--project", "backend"], ["--project=backend"]])
def test_another_project_is_worked_on_by_its_folder(
    write: Write, command: Command, option: list[str]
) -> None:
    folder = write({f"backend/{name}": text for name, text in NOTES.items()})
    assert command(*option, "generate").code == 0
    assert (folder / "backend/queries/notes.py").exists()
    assert command(*option, "check").out.startswith("clean: 1 query")
    # A hook appends its arguments.
    assert command("check", *option).out.startswith("clean: 1 query")
    assert command("check", "--sql-only", *option, "sql/notes/add.sql").out.startswith("clean: 1 query")
    assert command("run", *option, "--", "-C", "-C").err.startswith("there is no query '-C'")
    assert Path.cwd() == folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-C"], "-C: expected a folder, got nothing"),
        (["-C", "nowhere", "check"], "nowhere: there is no such folder"),
        (["--project=", "check"], ": there is no such folder"),
        (["check", "-C"], "-C: expected a folder, got nothing"),
        (["check", "--project=nowhere"], "nowhere: there is no such folder"),
        (["-C", "pyproject.toml", "check"], "pyproject.toml: there is no such folder"),
    ],
)
def test_a_folder_that_is_none_is_named(
    write: Write, command: Command, arguments: list[str], message: str
) -> None:
    write(NOTES)
    done = command(*arguments)
    assert (done.code, done.err.splitlines()[0]) == (2, message)


def test_only_the_files_that_are_named_are_checked(write: Write, command: Command) -> None:
    write(NOTES | BAD | {"sql/notes/get.sql": GET})
    done = command("check", "sql/notes/get.sql", "sql/notes/add.sql")
    assert (done.code, done.out) == (0, "clean: 2 queries, 0.0 s\n")
    done = command("check", "sql/notes/bad.sql", "--format", "json")
    assert (done.code, [each["path"] for each in json.loads(done.out)]) == (1, ["sql/notes/bad.sql"])
    done = command("check", "sql/notes/worse.sql", "--format", "json")
    assert (done.code, [each["path"] for each in json.loads(done.out)]) == (1, ["sql/notes/worse.sql"] * 2)
    done = command("check", "sql/notes", "--format", "json")
    assert {each["path"] for each in json.loads(done.out)} == set(BAD)
    # What a migration changes, every query may be wrong about.
    done = command("check", "migrations/0001_notes.sql", "--format", "json")
    assert {each["path"] for each in json.loads(done.out)} == set(BAD)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("sql/notes/none.sql", "there is no such file"),
        ("pyproject.toml", "pyproject.toml is no query"),
        ("elsewhere.sql", "elsewhere.sql is no query"),
        ("queries", "queries is no query: no .sql file is in it"),
        ("sql/empty", "sql/empty is no query: no .sql file is in it"),
        ("other", "other is no query"),
    ],
)
def test_a_file_that_is_no_query_is_refused(write: Write, command: Command, file: str, message: str) -> None:
    files = {
        "elsewhere.sql": "select 1",
        "other/a.sql": "select 1",
        "queries/a.py": "",
        "sql/empty/a.txt": "",
    }
    write(NOTES | files)
    done = command("check", file)
    assert (done.code, message in done.err) == (2, True)


def test_a_project_below_the_root_of_its_repository_is_named_from_there(
    write: Write, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    folder = write({f"backend/{name}": text for name, text in (NOTES | BAD).items()})
    (folder / ".git").mkdir()
    # As a hook names it: from the root of the repository.
    done = command("-C", "backend", "check", "backend/sql/notes/bad.sql", "--format", "github")
    assert done.code == 1
    assert done.out.startswith("::error file=backend/sql/notes/bad.sql,line=3,col=8,")
    (folder / ".git").rmdir()
    monkeypatch.setenv("GITHUB_WORKSPACE", str(folder))
    monkeypatch.chdir(folder / "backend")
    done = command("check", "--format", "github", "sql/notes/bad.sql")
    assert done.out.startswith("::error file=backend/sql/notes/bad.sql,")
    # A module is named from there too, whatever the working folder is.
    write({"backend/sql/notes/bad.sql": GET})
    (folder / "backend/sql/notes/worse.sql").unlink()
    monkeypatch.chdir(folder / "backend/sql/notes")
    done = command("check", "--format", "github")
    assert done.out.startswith("::error file=backend/queries/notes.py,title=plainsql outdated::")


HOOKS = Path(__file__).parents[2] / ".pre-commit-hooks.yaml"


def test_the_hooks_are_commands_that_there_are(write: Write, command: Command) -> None:
    hooks = load_manifest(HOOKS)
    assert [hook["id"] for hook in hooks] == ["plainsql-check", "plainsql-generate"]
    write(NOTES)
    command("generate")
    for hook in hooks:
        program, *arguments = hook["entry"].split()
        # No files: a repository may have SQL that is none of the project's.
        assert (program, hook["pass_filenames"]) == ("plainsql", False)
        assert command(*arguments).code == 0
    write(BAD)
    assert [command(*hook["entry"].split()[1:]).code for hook in hooks] == [1, 1]


def test_the_hooks_run_for_what_the_check_reads() -> None:
    check, generate = (re.compile(hook["files"]) for hook in load_manifest(HOOKS))
    for path in ("sql/notes/add.sql", "migrations/0001_a.sql", "pyproject.toml", "backend/pyproject.toml"):
        assert check.search(path)
        assert generate.search(path)
    assert generate.search("queries/notes.py")
    for path in ("queries/notes.py", "docs/my-pyproject.toml", "sql/notes.sql.orig"):
        assert not check.search(path)


def test_sql_alone_is_checked_without_the_modules(write: Write, command: Command) -> None:
    write(NOTES)
    assert command("check").code == 1
    done = command("check", "--sql-only")
    assert (done.code, done.out) == (0, "clean: 1 query, 0.0 s\n")


def test_a_packaged_layer_is_run_and_described_without_its_files(
    write: Write, configured: str, command: Command
) -> None:
    write({})
    migrate.apply(configured, migrations_folder("realty").parent, layers=["realty"])
    done = command("run", "realty.leads.count", "--json")
    assert (done.code, done.err, done.out) == (0, "", "0\n")
    done = command("run", "realty.leads.cout")
    assert (done.code, "did you mean realty.leads.count?" in done.err) == (2, True)
    done = command("describe", "realty.leads.count", "--json")
    assert (done.code, json.loads(done.out)["id"]) == (0, "realty.leads.count")


def test_a_project_with_queries_of_its_own_knows_the_layers_too(
    write: Write, configured: str, command: Command
) -> None:
    write(NOTES)
    migrate.apply(configured, migrations_folder("realty").parent, layers=["realty"])
    assert command("run", "realty.leads.count", "--json").code == 0
    done = command("run", "realtys.count")
    assert (done.code, "there is no query 'realtys.count' in sql" in done.err) == (2, True)


def test_describe_draws_nothing_and_cuts_nothing_in_a_pipe(
    write: Write, process: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "a_column_with_a_very_long_name_that_no_terminal_has_room_for"
    write(NOTES | {"sql/notes/long.sql": GET.replace("n.text,", f"n.text as {name},")})
    done = process("describe", "notes.long", environment={"COLUMNS": "40"})
    assert (done.code, done.err) == (0, "")
    assert not re.search("[─│┃━╭┏…]", done.out)
    assert re.search(rf"^{name}  text +no +.* +public\.notes\.text$", done.out, re.MULTILINE)


def test_describe_as_json_has_all_that_the_table_has(write: Write, command: Command) -> None:
    write(NOTES)
    facts = json.loads(command("describe", "notes.add", "--json").out)
    text, stars = facts["parameters"]
    assert (stars["optional"], stars["default"], stars["low"], stars["high"]) == (True, None, 1, 5)
    assert (text["optional"], "default" in text, text["low"], text["encrypted"]) == (
        False,
        False,
        None,
        False,
    )
    assert all(parameter["because"] for parameter in facts["parameters"])
    assert [column["from"] for column in facts["columns"]] == [
        "public.notes.id",
        "public.notes.text",
        "public.notes.stars",
    ]
    assert (facts["returns"], facts["path"]) == ("one Note", "sql/notes/add.sql")


# -- Output


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["--help"],
        ["run", "notes.some"],
        ["run", "notes.some", "--json"],
        ["describe", "notes.some"],
    ],
)
def test_a_full_disk_is_one_line(write: Write, configured: str, arguments: list[str]) -> None:
    write(
        NOTES | {"sql/notes/some.sql": "-- returns: many value\nselect i from generate_series(1, 5) as i\n"}
    )
    migrate.apply(configured, "migrations")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "plainsql", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        2,
        "the output cannot be written: no space left on device\n",
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_output_that_is_closed_is_no_traceback(write: Write, closed: str) -> None:
    write({})
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -m plainsql check {closed}', sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)


# -- The start


def test_the_version_loads_no_command_and_no_driver() -> None:
    program = (
        "import sys\n"
        "from plainsql.cli.app import main\n"
        "main(['--version'])\n"
        "print(sorted({'psycopg', 'asyncpg', 'yoyo', 'plainsql.analysis', 'plainsql.migrate',"
        " 'plainsql.sync', 'plainsql.cli.check', 'plainsql.cli.db'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_each_command_is_listed_with_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    load_commands()
    for name in app:
        assert name.startswith("-") or app[name].help.strip()
    done = subprocess.run(
        [sys.executable, "-m", "plainsql"], capture_output=True, text=True, check=True, env={"COLUMNS": "100"}
    )
    assert "Run one query of the SQL folder, and print its result." in done.stdout


def test_a_command_without_its_package_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from plainsql.cli.app import main\n"
        "raise SystemExit(main(['check']))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.search(r"^.*needs psycopg.*\nHINT: pip install 'plainsql\[", done.stderr)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_and_options(command: Command, shell: str) -> None:
    done = command("completion", shell)
    assert (done.code, done.err) == (0, "")
    assert all(word in done.out for word in ("migrate", "rollback", "dry-run", "describe"))
