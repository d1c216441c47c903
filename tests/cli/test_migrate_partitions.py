"""``plainsql migrate partitions``: the declaration in pyproject.toml, and the exit codes."""

from __future__ import annotations

import json

import psycopg
import pytest

from tests.cli.conftest import Command, Write

TABLE = "create table events (at timestamptz not null) partition by range (at)"


def settings(text: str) -> dict[str, str | bytes]:
    return {"pyproject.toml": f"[tool.plainsql.partitions]\n{text}\n"}


def test_it_prints_checks_and_makes_the_partitions(write: Write, command: Command, configured: str) -> None:
    write(settings('"public.events" = { every = "month", ahead = 1 }'))
    with psycopg.connect(configured, autocommit=True) as connection:
        connection.execute(TABLE)
    assert command("migrate", "partitions", "--check").code == 1
    planned = command("migrate", "partitions", "--dry-run")
    assert (planned.code, planned.out.count("attach partition")) == (0, 2)
    done = json.loads(command("migrate", "partitions", "--json").out)
    assert [(each["action"], each["done"]) for each in done] == [("create", True)] * 2
    with psycopg.connect(configured, autocommit=True) as connection:
        connection.execute("insert into events values (now())")
    assert command("migrate", "partitions", "--check").out == "all partitions are there: 1 table\n"
    assert command("migrate", "partitions").code == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no table in [tool.plainsql.partitions]"),
        ('"events" = { every = "day" }', "'events' in [tool.plainsql.partitions]: expected schema.table"),
        ('"a.b" = "day"', "a.b in [tool.plainsql.partitions]: expected a table, got a string"),
        ('"a.b" = { each = "day" }', "unknown key 'each' of a.b in [tool.plainsql.partitions]"),
        ('"a.b" = { every = "decade" }', "expected hour or day or week or month or quarter or year, got"),
        ('"a.b" = { every = "day", keep = 0 }', "expected a number of partitions from 1 to 1000, got 0"),
    ],
)
def test_a_wrong_declaration_is_refused(write: Write, command: Command, text: str, message: str) -> None:
    write(settings(text))
    done = command("migrate", "partitions")
    assert done.code == 2
    assert message in done.err
