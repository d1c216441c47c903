"""``plainsql check`` on functions of migrations."""

from __future__ import annotations

from tests.cli.conftest import NOTES, Command, Write

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


def test_lints_are_reported_with_the_option_or_the_setting_alone(write: Write, command: Command) -> None:
    no_key = {"migrations/0002_visits.sql": "create table visits (at timestamptz);\n"}
    write(NOTES | no_key)
    command("generate")
    assert command("check").out == "clean: 1 query, 0.0 s\n"
    found = command("check", "--schema")
    assert (found.code, found.out.splitlines()[0]) == (
        1,
        "migrations/0002_visits.sql:1:1: the table public.visits has no primary key [missing-primary-key]",
    )
    # The lines of lints in a baseline, and their entries in the settings, are not gone without the option.
    assert command("check", "--schema", "--baseline", "known.txt", "--update-baseline").code == 0
    assert command("check", "--baseline", "known.txt").out == "clean: 1 query, 0.0 s\n"
    assert command("check", "--schema", "--baseline", "known.txt").code == 0
    write({"pyproject.toml": "[tool.plainsql]\ncheck_schema = true\n"})
    assert command("check").code == 1
    allow = '[tool.plainsql.allow]\n"migrations/**" = "missing-primary-key: it is a log"\n'
    write({"pyproject.toml": allow})
    assert [command("check", *options).code for options in ([], ["--schema"])] == [0, 0]
    write({"pyproject.toml": "[tool.plainsql]\ncheck_schema = 'yes'\n"})
    assert command("check").err.endswith(
        "pyproject.toml: check_schema in [tool.plainsql]: expected true or false, got a string\n"
    )
