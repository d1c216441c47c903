"""``plainsql check`` on functions of migrations."""

from __future__ import annotations

from tests.cli.conftest import Command, Write

FUNCTION = (
    "create schema app;\n"
    "create function app.f(a integer) returns int language sql security definer as 'select a';\n"
)


def test_check_shows_it_and_generate_writes_all_the_same(write: Write, command: Command) -> None:
    write(
        {
            "pyproject.toml": "[tool.plainsql]\n",
            "migrations/0001_it.sql": FUNCTION,
            "sql/notes/it.sql": "-- It.\n-- returns: value\nselect 1::int as one\n",
        }
    )
    assert command("generate").code == 0
    done = command("check")
    assert done.code == 1
    assert done.out.startswith(
        "migrations/0001_it.sql:2:1: function app.f(a integer) is security definer, and sets no search_path:"
    )
    assert "[definer-search-path]" in done.out
