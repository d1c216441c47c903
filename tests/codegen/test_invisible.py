"""Names with terminal codes or reversed text: in generated Python and in what commands print."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from plainsql.cli.app import main

BAD = "x\u202e\u2066\u200b\x1b[31m\x07[/red]"
"""Right to left, an isolate, a blank of no width, the colour red, a bell, and rich's markup."""
FILES = {
    "pyproject.toml": "[tool.plainsql]\n",
    "migrations/0001_a.sql": (
        f'create table "{BAD}" (id integer primary key, tenant text not null, "{BAD}" text);\n'
        f'alter table "{BAD}" enable row level security;\n'
        f"create policy p on \"{BAD}\" using (tenant = (select current_setting('app.jwt_tenant', true)));\n"
        f"create type \"e{BAD}\" as enum ('a{BAD}', '\"\"\"', 'b\\');\n"
        f'create type "c{BAD}" as (id integer, "f{BAD}" text);\n'
        f'create table t (id integer primary key, e "e{BAD}", c "c{BAD}");\n'
        f"comment on column t.e is '{BAD}';\n"
    ),
    "migrations/0001_a.rollback.sql": "drop table t;\n",
    "sql/docs/table.sql": (
        f'-- A {BAD}.\n-- returns: optional One\nselect d.id from "{BAD}" as d where d.id = :id\n'
    ),
    "sql/docs/types.sql": (
        "-- B.\n-- returns: optional Two\nselect d.id, d.e, d.c from t as d where d.e = :e limit 1\n"
    ),
}
BROKEN = (
    f"-- C.\n-- returns: optional Three\nselect '{BAD}' as a, d.nope from \"{BAD}\" as d where d.id = :id\n"
)


def hidden(text: str) -> set[str]:
    """Return the invisible characters of a text."""
    return {
        c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c not in "\n\t\r"
    }


@pytest.fixture
def project(
    tmp_path: Path,
    fresh_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str]]:
    """Run a command in a project of such names; return its exit code and its output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", fresh_database_url)
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def run(*arguments: str, files: Mapping[str, str] | None = None) -> tuple[int, str]:
        for name, text in (files or {}).items():
            (tmp_path / name).write_text(text, "utf-8")
        code = main(list(arguments))
        return code, "".join(capsys.readouterr())

    return run


def test_generated_python_hides_nothing(project: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    assert project("generate")[0] == 0
    source = (tmp_path / "queries" / "docs.py").read_text("utf-8")
    assert hidden(source) == set()
    assert "\\u202e" in source
    compile(source, "docs.py", "exec")


@pytest.mark.parametrize(
    "arguments",
    [
        ["check"],
        ["check", "--format", "github"],
        ["check", "--cache-map"],
        ["generate"],
        ["describe", "docs.table"],
        ["describe", "docs.types"],
        ["describe", "docs.broken"],
    ],
    ids=" ".join,
)
def test_commands_print_nothing_that_drives_a_terminal(
    arguments: list[str], project: Callable[..., tuple[int, str]]
) -> None:
    code, said = project(*arguments, files={"sql/docs/broken.sql": BROKEN})
    assert code in (0, 1)
    assert said
    assert hidden(said) == set()


def test_a_result_whose_columns_have_such_names_is_shown(project: Callable[..., tuple[int, str]]) -> None:
    query = f"-- D.\n-- returns: one Row1\nselect '{BAD}' as a, 1 as \"{BAD}\"\n"
    assert project("migrate")[0] == 0
    code, said = project("run", "docs.shown", files={"sql/docs/shown.sql": query})
    assert (code, hidden(said)) == (0, set())
