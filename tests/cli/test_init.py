"""``plainsql init``: a project that works immediately, or no file."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from plainsql.cli.app import main
from plainsql.settings import Project
from tests.cli.conftest import Command, Write, tree

FILES = [
    ".gitignore",
    "migrations/0001_notes.rollback.sql",
    "migrations/0001_notes.sql",
    "pyproject.toml",
    "queries/notes.py",
    "sql/notes/create.sql",
    "sql/notes/list.sql",
]


def test_a_new_project_is_clean_and_its_commands_work(write: Write, process: Command) -> None:
    folder = write({})
    done = process("init")
    assert (done.code, done.err) == (0, "")
    assert list(tree(folder)) == FILES
    assert done.out == (
        "".join(
            f"wrote {name}\n"
            for name in (
                "migrations/0001_notes.sql",
                "migrations/0001_notes.rollback.sql",
                "sql/notes/create.sql",
                "sql/notes/list.sql",
                "pyproject.toml",
                ".gitignore",
                "queries/notes.py",
            )
        )
        + "\nNext:\n  plainsql migrate\n  plainsql run notes.create text='Buy milk'\n  plainsql check\n"
    )
    for command in (["migrate"], ["run", "notes.create", "text=Buy milk"], ["check"]):
        done = process(*command)
        assert (done.code, done.err) == (0, ""), command
    assert json.loads(process("run", "notes.list", "word=milk", "--json").out)[0]["text"] == "Buy milk"
    assert process("migrate", "rollback", "--yes").code == 0


def test_it_starts_in_another_folder_and_says_how_to_get_there(write: Write, command: Command) -> None:
    folder = write({})
    done = command("init", "shop/data")
    assert done.code == 0
    assert "Next:\n  cd shop/data\n  plainsql migrate\n" in done.out
    assert list(tree(folder / "shop" / "data")) == FILES


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_an_existing_pyproject_keeps_every_character(write: Write, command: Command, end: str) -> None:
    line = end or "\n"
    text = f'[project]{line}name   =  "shop"   # odd{line}{line}[tool.ruff]{line}line-length = 100{end}'
    folder = write({"pyproject.toml": text, "src/shop/__init__.py": "", ".gitignore": "dist/"})
    done = command("init", "--example")
    assert done.code == 0
    assert "added [tool.plainsql] to pyproject.toml\n" in done.out
    after = (folder / "pyproject.toml").read_bytes().decode()
    assert after.startswith(text)
    assert ("\r" in after) is ("\r" in text)
    assert tomllib.loads(after.replace("\r\n", "\n"))["tool"] == {
        "ruff": {"line-length": 100},
        "plainsql": {"sql": "sql", "migrations": "migrations", "output": "src/shop/queries"},
    }
    assert (folder / "src/shop/queries/notes.py").is_file()
    assert (folder / ".gitignore").read_text() == "dist/\n.plainsql/\n"
    assert command("check").code == 0


def test_nothing_is_overwritten(write: Write, command: Command) -> None:
    folder = write({"sql/notes/list.sql": "mine", "queries/notes.py": "mine"})
    before = tree(folder)
    done = command("init")
    assert (done.code, done.out, done.err) == (
        2,
        "",
        (
            ".: these exist already: sql/notes/list.sql, queries/notes.py\n"
            "HINT: start in another folder; nothing was written\n"
        ),
    )
    assert tree(folder) == before


def test_a_project_is_not_started_twice(write: Write, command: Command) -> None:
    folder = write({})
    assert command("init").code == 0
    before = tree(folder)
    done = command("init")
    assert (done.code, done.err) == (
        2,
        "pyproject.toml: has [tool.plainsql] already\nHINT: this is a project; add files to it by hand\n",
    )
    assert tree(folder) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[project", "pyproject.toml: cannot be read: "),
        ("tool = { ruff = {} }\n", "pyproject.toml: [tool.plainsql] cannot be appended to it\nHINT: add it"),
    ],
)
def test_a_pyproject_that_cannot_be_extended_is_left_alone(
    write: Write, command: Command, text: str, message: str
) -> None:
    folder = write({"pyproject.toml": text})
    done = command("init")
    assert done.code == 2
    assert done.err.startswith(message)
    assert tree(folder) == {"pyproject.toml": text.encode()}


def test_a_failure_in_the_middle_leaves_nothing(write: Write, command: Command) -> None:
    folder = write({"queries": "a file where a folder is to be", ".gitignore": "dist/\n"})
    before = tree(folder)
    done = command("init")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "queries/notes.py: the project cannot be written: not a directory\n"
        "HINT: nothing was kept; choose a folder that this user can write to\n"
    )
    assert tree(folder) == before
    assert not (folder / "sql").exists()


def test_a_folder_that_cannot_be_made_is_named(write: Write, command: Command) -> None:
    write({"file": ""})
    done = command("init", "file/project")
    assert done.code == 2
    assert done.err.startswith("file/project: the project cannot be written: not a directory\nHINT: ")


def test_without_a_server_the_files_are_written_but_not_the_module(
    write: Write, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = write({})
    monkeypatch.setenv("PLAINSQL_SCRATCH_URL", f"postgresql://u@/x?host={tmp_path}")
    done = command("init")
    assert done.code == 0
    assert [name for name in FILES if name not in tree(folder)] == ["queries/notes.py"]
    assert done.err.startswith(
        "\nthe Python module is still to be generated:\ncannot connect to postgresql://u@/x"
    )
    assert "Next:\n  plainsql generate\n  plainsql migrate\n" in done.out


def test_ctrl_c_leaves_nothing(write: Write, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    folder = write({})
    monkeypatch.setattr("plainsql.check.project_check.check_project", interrupted)
    done = command("init", "new/project")
    assert (done.code, done.err) == (130, "interrupted\n")
    assert list(folder.iterdir()) == []


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for name in ("check", "demo", "describe", "generate", "init", "migrate", "run"):
        assert f" {name} " in out


def test_an_existing_program_gets_settings_and_no_example(write: Write, command: Command) -> None:
    folder = write({"pyproject.toml": '[project]\nname = "shop"\n'})
    done = command("init")
    assert (done.code, done.out) == (
        0,
        (
            "wrote sql/.gitkeep\nadded [tool.plainsql] to pyproject.toml\nwrote .gitignore\n\nNext:\n"
            "  plainsql migrate new 'the first table'\n  write a query, such as sql/people/get.sql\n"
            "  plainsql generate\n"
        ),
    )
    assert list(tree(folder)) == [".gitignore", "pyproject.toml", "sql/.gitkeep"]


ALEMBIC = {"alembic.ini": "[alembic]\nscript_location = db/alembic\n", "db/alembic/env.py": ""}


@pytest.mark.parametrize(
    ("files", "found", "settings"),
    [
        (ALEMBIC, "Alembic: alembic.ini", {"schema_command": "alembic upgrade head"}),
        (
            {"pyproject.toml": "[tool.alembic]\nscript_location = 'alembic'\n", "alembic/env.py": ""},
            "Alembic: pyproject.toml",
            {"schema_command": "alembic upgrade head"},
        ),
        (
            {"alembic.ini": "[alembic]\n", "changes/env.py": ""},
            "Alembic: alembic.ini",
            {"schema_command": "alembic upgrade head", "schema_watch": ["changes"]},
        ),
        (
            {"migrations/env.py": "", "migrations/alembic.ini": ""},
            "Flask-Migrate: migrations",
            {"schema_command": "flask db upgrade"},
        ),
        (
            {"backend/manage.py": "import django", "backend/shop/migrations/__init__.py": ""},
            "Django: backend/manage.py",
            {"schema_command": "python backend/manage.py migrate"},
        ),
        (
            {"db/migration/V1__a.sql": "select 1;"},
            "Flyway: db/migration",
            {"schema": "db/migration"},
        ),
        ({"sql/V1__a.sql": "select 1;"}, "Flyway: sql", {"schema": "sql", "sql": "queries_sql"}),
        ({"db/migrations/1_a.sql": "-- migrate:up"}, "dbmate: db/migrations", {"schema": "db/migrations"}),
        ({"migrations/1_a.sql": "-- +goose Up"}, "goose: migrations", {"schema": "migrations"}),
        (
            {"db/sqitch.plan": "", "db/deploy/a.sql": ""},
            "Sqitch: db/sqitch.plan",
            {"schema": "db/deploy"},
        ),
        (
            {"supabase/migrations/1_a.sql": "select 1;"},
            "Supabase: supabase/migrations",
            {"schema": "supabase/migrations"},
        ),
        ({"db/structure.sql": "select 1;"}, "a dump: db/structure.sql", {"schema": "db/structure.sql"}),
    ],
)
def test_the_tool_of_a_repository_is_found(
    write: Write, command: Command, files: dict[str, str], found: str, settings: dict[str, object]
) -> None:
    folder = write(files)
    done = command("init")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"found {found}\n")
    assert "migrate" not in done.out.partition("Next:")[2]
    table = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["plainsql"]
    assert table == {"sql": "sql", "output": "queries"} | settings
    assert {name: text.decode() for name, text in tree(folder).items() if name in files} == {
        name: text if name != "pyproject.toml" else (folder / name).read_text()
        for name, text in files.items()
    }
    assert Project.load(folder).owns_schema is False


def test_a_found_tool_has_no_example(write: Write, command: Command) -> None:
    folder = write(ALEMBIC)
    done = command("init", "--example")
    assert (done.code, done.err) == (
        2,
        (
            "--example: expected a project of plainsql's migrations, got Alembic's, by alembic.ini\n"
            "HINT: leave out --example\n"
        ),
    )
    assert list(tree(folder)) == sorted(ALEMBIC)
