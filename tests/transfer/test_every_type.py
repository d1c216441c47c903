"""A value of any type comes out and goes in exactly; the types' own binary form is the judge."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.transfer.conftest import Pair

TYPES = {
    "flag": "boolean",
    "small": "smallint",
    "whole": "integer",
    "big": "bigint",
    "exact": "numeric",
    "price": "numeric(12, 2)",
    "single": "real",
    "double": "double precision",
    "amount": "money",
    "words": "text",
    "padded": "character(5)",
    "short": "character varying(20)",
    "letter": '"char"',
    "label": "name",
    "raw": "bytea",
    "day": "date",
    "hour": "time",
    "hour_there": "timetz",
    "moment": "timestamp",
    "instant": "timestamptz",
    "span": "interval",
    "id": "uuid",
    "document": "jsonb",
    "written": "json",
    "bits": "bit varying",
    "address": "inet",
    "network": "cidr",
    "card": "macaddr8",
    "point": "point",
    "line": "line",
    "shape": "polygon",
    "round": "circle",
    "numbers": "bigint[]",
    "texts": "text[]",
    "matrix": "double precision[]",
    "period": "tstzrange",
    "periods": "datemultirange",
    "found": "tsvector",
    "asked": "tsquery",
    "relation": "regclass",
    "place": "pg_lsn",
    "path": "jsonpath",
    "mood": "shop.mood",
    "home": "shop.home",
    "homes": "shop.home[]",
    "percent": "shop.percent",
    "meaning": "public.vector(3)",
    "half": "public.halfvec",
    "sparse": "public.sparsevec(5)",
}

SPECIAL = {
    "small": ["-32768", "32767"],
    "whole": ["-2147483648", "2147483647"],
    "big": ["-9223372036854775808", "9007199254740993"],
    "exact": ["NaN", "Infinity", "-Infinity", "0.000", "1e-300", "123456789012345678901234567890.10"],
    "single": ["NaN", "Infinity", "-0", "1.17549435e-38", "1e-45", "0.1"],
    "double": ["NaN", "-Infinity", "-0", "2.2250738585072014e-308", "4.9e-324", "0.30000000000000004"],
    "amount": ["-92233720368547758.08", "92233720368547758.07"],
    "words": ["", "\\N", "\\.", "null", "a\tb\nc\rd\\e\x01\u2028\U0001f600", '"', "NULL"],
    "padded": ["a", "     ", "a b  "],
    "letter": ["", "a"],
    "raw": ["", "\\x00ff0a5c"],
    "day": ["infinity", "-infinity", "4713-01-01 BC", "5874897-12-31"],
    "hour": ["24:00:00", "00:00:00.000001"],
    "hour_there": ["23:59:59.999999+15:59:59", "00:00:00-15:59"],
    "moment": ["infinity", "294276-12-31 23:59:59.999999", "0044-03-15 12:00:00 BC"],
    "instant": ["-infinity", "2026-03-29 01:59:59.999999+00", "0001-01-01 00:00:00 BC"],
    "span": ["-1 mons +2 days -03:04:05.000006", "infinity", "178956970 years 7 mons", "-00:00:00.000001"],
    "document": [
        "null",
        '"null"',
        "123456789012345678901234567890.10",
        '{"b": 1, "a": [1e400, null]}',
        '"\\u2028"',
    ],
    "written": ['{"b" : 1,\n  "b": 2.0}', " null "],
    "bits": ["", "10100"],
    "numbers": ["{}", "[0:1]={1,2}", "{{1,2},{3,NULL}}"],
    "texts": ['{NULL,"NULL","",a\\\\b,"{,}","\\""}'],
    "period": ["empty", "(,)", "[2026-01-01 00:00:00+00,infinity)"],
    "periods": ["{}", "{[2026-01-01,2026-02-01),[2026-03-01,)}"],
    "relation": ["shop.kinds", "pg_class", '"shop"."Odd name"'],
    "mood": ["so, so", 'it\'s "ok"'],
    "home": ['("a ""b"", (c)",)', "(,)", '("",5)'],
    "homes": ['{"(a,1)",NULL}'],
    "point": ["(1e-300,-0)", "(Infinity,NaN)"],
    "meaning": ["[1,2.5,-0]", "[1e-38,0.1,3.4028235e+38]"],
    "half": ["[0.1,65504]"],
    "sparse": ["{1:0.1,5:-2}/5"],
    "found": ["'a b':1A,2 'it''s':3"],
    "asked": ["'a b' & !c <2> d:*A"],
    "address": ["::1/64", "10.0.0.1"],
    "path": ['$."a b"[*] ? (@.x > 1.50)'],
}
"""Texts in which something is easily lost."""

text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


def numbers(width: int) -> st.SearchStrategy[str]:
    floats: st.SearchStrategy[float] = st.floats(width=32 if width == 4 else 64)
    # The table has a column of twice the value, and PostgreSQL refuses an infinite one.
    return floats.filter(lambda value: not 8e307 < abs(value) < math.inf).map(repr)


def quoted(values: list[str | None]) -> str:
    def one(value: str | None) -> str:
        return "NULL" if value is None else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    return "{" + ",".join(map(one, values)) + "}"


def vector(values: list[float]) -> str:
    return "[" + ",".join(map(repr, values)) + "]"


def interval(parts: tuple[int, int, int]) -> str:
    return f"{parts[0]} months {parts[1]} days {parts[2]} microseconds"


moments = st.datetimes(min_value=datetime(1, 1, 1), timezones=st.just(UTC)).map(datetime.isoformat)  # noqa: DTZ001
MADE: dict[str, st.SearchStrategy[str]] = {
    "flag": st.booleans().map(str),
    "small": st.integers(-(2**15), 2**15 - 1).map(str),
    "whole": st.integers(-(2**31), 2**31 - 1).map(str),
    "big": st.integers(-(2**63), 2**63 - 1).map(str),
    "exact": st.decimals(allow_nan=False, allow_infinity=False).map(Decimal.__str__),
    "single": numbers(4),
    "double": numbers(8),
    "words": text,
    "texts": st.lists(st.none() | text, max_size=4).map(quoted),
    "raw": st.binary(max_size=20).map(lambda raw: "\\x" + raw.hex()),
    "instant": moments,
    "moment": moments.map(lambda value: value.removesuffix("+00:00")),
    "span": st.tuples(st.integers(-9999, 9999), st.integers(-9999, 9999), st.integers(-(2**50), 2**50)).map(
        interval
    ),
    "document": st.recursive(
        st.none() | st.booleans() | st.integers() | text,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
        max_leaves=6,
    ).map(json.dumps),
    "meaning": st.lists(
        st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3
    ).map(vector),
    "id": st.uuids().map(str),
}


@pytest.fixture(scope="module")
def kinds(module_pair: Pair) -> Pair:
    """A table with a column of every type, on both sides; the source's settings are not the usual ones."""
    columns = ", ".join(f"{name} {type_}" for name, type_ in TYPES.items())
    module_pair.both(
        "create extension vector; create schema shop;"
        "create type shop.mood as enum ('so, so', 'it''s \"ok\"');"
        "create type shop.home as (street text, floor integer);"
        "create domain shop.percent as integer check (value between 0 and 100);"
        'create table shop."Odd name" (id integer primary key);'
        f"create table shop.kinds (n bigint generated always as identity primary key, {columns},"
        " doubled double precision generated always as (double * 2) stored)"
    )
    module_pair.source.run(
        "set datestyle = 'SQL, DMY'; set intervalstyle = 'sql_standard'; set timezone = 'America/Lima';"
        "set extra_float_digits = -4; set bytea_output = 'escape'; set search_path = shop, public"
    )
    return module_pair


def moved(kinds: Pair, rows: list[dict[str, Any]]) -> None:
    """Hold that rows come out and in as they are."""
    source, target = kinds.source, kinds.target
    source.run('truncate shop.kinds, shop."Odd name"')
    for row in rows:
        names = list(row)
        marks = ", ".join(f"%s::{TYPES[name]}" for name in names)
        source.run(f"insert into shop.kinds ({', '.join(names)}) values ({marks})", *row.values())
    exported = source.export()
    target.load(exported, replace=True)
    # The binary form of these has numbers that differ between databases.
    columns = ", ".join(f"{name}::text" if name in ("relation", "homes") else name for name in TYPES)
    query = f"select n, {columns}, doubled from shop.kinds order by n"
    for side in (source, target):
        side.run("begin; set local search_path = pg_catalog")
    try:
        assert source.binary(query) == target.binary(query)
    finally:
        for side in (source, target):
            side.run("rollback")
    assert target.export() == exported


def test_values_in_which_something_is_easily_lost_are_exact(kinds: Pair) -> None:
    longest = max(map(len, SPECIAL.values()))
    moved(
        kinds,
        [
            {name: values[number] for name, values in SPECIAL.items() if number < len(values)}
            for number in range(longest)
        ],
    )


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.fixed_dictionaries({}, optional=MADE).filter(bool), min_size=1, max_size=5))
def test_any_values_are_exact(kinds: Pair, rows: list[dict[str, str]]) -> None:
    moved(kinds, rows)


def test_every_type_has_a_value_in_these_tests() -> None:
    covered = {*SPECIAL, *MADE}
    plain = {
        "price",
        "short",
        "label",
        "network",
        "card",
        "line",
        "shape",
        "round",
        "matrix",
        "place",
        "percent",
    }
    assert set(TYPES) - covered == plain


PLAIN: dict[str, str] = {
    "price": "1234567890.10",
    "short": "é  ",
    "label": "a name",
    "network": "10.0.0.0/8",
    "card": "08:00:2b:01:02:03:04:05",
    "line": "{1,-0.1,3}",
    "shape": "((0,0),(0.1,1e-20),(1,1))",
    "round": "<(0.1,0.2),0.3>",
    "matrix": "{{0.1,NaN},{Infinity,-0}}",
    "place": "16/B374D848",
    "percent": "100",
}


def test_the_plainer_types_are_exact(kinds: Pair) -> None:
    moved(kinds, [PLAIN, dict.fromkeys(PLAIN)])


def test_json_columns_are_json(kinds: Pair) -> None:
    kinds.source.run("truncate shop.kinds restart identity")
    kinds.source.run(
        "insert into shop.kinds (flag, small, whole, big, words) values (true, 1, -2, 9007199254740993, null)"
    )
    lines = [json.loads(line) for line in kinds.source.export().splitlines()]
    header, row = lines[0], next(line for line in lines if isinstance(line, list))
    table = next(table for table in header["tables"] if table["name"] == "kinds")
    values = dict(zip([column["name"] for column in table["columns"]], row, strict=True))
    assert [values[name] for name in ("n", "flag", "small", "whole", "big", "words")] == [
        "1", True, 1, -2, "9007199254740993", None,
    ]  # fmt: skip
    assert "doubled" not in values
