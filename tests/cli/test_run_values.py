"""Values of every kind on their way through ``plainsql run``: in as text or JSON, out as JSON."""

from __future__ import annotations

import json
import re

import psycopg
import pytest

from tests.cli.conftest import Command, Write

SCHEMA = """
create extension vector;
create type mood as enum ('sad', 'very happy');
create type place as (street text, number integer, since timestamptz);
create domain email as text check (value like '%@%');
"""

# By type: the argument as it is typed, and what comes back as JSON.
VALUES: dict[str, tuple[str, str]] = {
    "boolean": ("v=true", "true"),
    "smallint": ("v:=7", "7"),
    "bigint": ("v=9223372036854775807", "9223372036854775807"),
    "numeric": ("v=12.50", "12.50"),
    "numeric(40, 30)": ("v:=0.000000000000000000000000000001", "0.000000000000000000000000000001"),
    "double precision": ("v:=1e300", "1e+300"),
    "real": ("v=NaN", '"NaN"'),
    "text": ("v=a=b:=c", '"a=b:=c"'),
    "character(3)": ("v=ab", '"ab "'),
    "mood": ("v=very happy", '"very happy"'),
    "email": ("v=a@example.com", '"a@example.com"'),
    "bytea": (r"v=\xdead", r'"\\xdead"'),
    "uuid": ("v=00000000-0000-0000-0000-00000000002A", '"00000000-0000-0000-0000-00000000002a"'),
    "timestamptz": ("v=2026-01-02T03:04:05.123Z", '"2026-01-02T03:04:05.123+00:00"'),
    "date": ("v=infinity", '"infinity"'),
    "interval": ("v=1 mon 2 days", '"1 mon 2 days"'),
    "int4range": ("v=[1,5)", '"[1,5)"'),
    "jsonb": ('v:={"a":[1,2.50,null]}', '{"a": [1, 2.50, null]}'),
    "json": ('v={"b":  1}', '{"b":  1}'),
    "text[]": (r'v:=["a","b,\"c\\",null]', r'["a","b,\"c\\",null]'),
    "integer[]": ("v:=[[1,2],[3,4]]", "[[1,2],[3,4]]"),
    "jsonb[]": ('v:=[[1],{"a":2}]', '[[1],{"a": 2}]'),
    "place": (
        'v=("Av. Larco",12,2026-01-02T03:04:05Z)',
        '{"street":"Av. Larco","number":12,"since":"2026-01-02T03:04:05+00:00"}',
    ),
    "vector": ("v:=[1,2.5,3]", "[1,2.5,3]"),
    "vector[]": ("v:=[[1,2],[3,4]]", '["[1,2]","[3,4]"]'),
    "halfvec": ("v:=@vector.json", "[1,2,3]"),
}


def test_every_kind_of_value_goes_in_and_comes_out_exactly(
    write: Write, command: Command, configured: str
) -> None:
    files = {
        f"sql/values/v{number}.sql": f"-- {type}.\n-- returns: value\nselect cast(:v as {type}) as v\n"
        for number, type in enumerate(VALUES)
    }
    write(files | {"vector.json": "[1, 2, 3]\n"})
    with psycopg.connect(configured, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        connection.execute("set timezone to utc")
    got, wanted = {}, {}
    for number, (type, (argument, expected)) in enumerate(VALUES.items()):
        done = command("run", f"values.v{number}", argument, "--json")
        got[type], wanted[type] = done.out.rstrip("\n") or done.err, expected
        nothing = command("run", f"values.v{number}", "v:=null", "--json")
        assert nothing.out == "null\n", f"{type}: {nothing.err}"
    assert got == wanted


NESTED = (
    "-- Nested.\n-- returns: many Thing\n"
    'select t.id, o.id as "other.id", o.name as "other.name"\n'
    "from (values (1), (2)) as t (id)\n"
    "left join (values (2, 'b')) as o (id, name) on o.id = t.id\norder by t.id\n"
)


def test_nested_rows_are_objects_and_null_together(write: Write, command: Command) -> None:
    write({"sql/nested.sql": NESTED})
    assert json.loads(command("run", "nested", "--json").out) == [
        {"id": 1, "other": None},
        {"id": 2, "other": {"id": 2, "name": "b"}},
    ]
    assert command("run", "nested").out.splitlines()[0] == "id  other.id  other.name"


def test_long_texts_and_vectors_are_cut_and_control_characters_replaced(
    write: Write, command: Command, configured: str
) -> None:
    write(
        {
            "sql/long.sql": "-- Long.\n-- returns: many Long\n"
            "select repeat('x', 100) as x, chr(27) || '[31m' || chr(10) || 'red' as red,"
            " array_fill(0.25, array[1536])::vector as v, 'ñandú 漢字' as wide, 1 as n\n"
        }
    )
    with psycopg.connect(configured, autocommit=True) as connection:
        connection.execute("create extension vector")
    head, row, _ = command("run", "long").out.splitlines()
    assert row.split("  ")[:4] == [
        "x" * 47 + "…",
        "·[31m⏎red",
        "[0.25, 0.25, 0.25, … 1536 numbers]",
        "ñandú 漢字",
    ]
    # 漢字 takes four cells of the terminal, two more than characters: the columns are below their headings.
    assert head.endswith("  wide        n")
    assert row.endswith("  ñandú 漢字  1")


@pytest.mark.parametrize("size", [80, 200])
def test_a_terminal_gets_a_table_if_it_fits_and_else_blocks(
    write: Write, command: Command, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    write(
        {
            "sql/wide.sql": "-- Wide.\n-- returns: many Wide\n"
            "select repeat('x', 60) as first, repeat('y', 60) as second from generate_series(1, 2)\n"
        }
    )
    monkeypatch.setenv("COLUMNS", str(size))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    out = re.sub(r"\x1b\[[\d;]*m", "", command("run", "wide").out)
    assert max(map(len, out.splitlines())) <= size
    assert ("row 2" in out) is (size == 80)
    assert ("│" in out) is (size == 200)
