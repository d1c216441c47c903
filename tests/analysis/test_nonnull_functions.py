"""All that the table of functions claims never null is called with the edge values of its types."""

from __future__ import annotations

import itertools
from random import Random
from typing import Any

import psycopg
import pytest

from plainsql.analysis.catalogue import Catalogue
from plainsql.analysis.nonnull_functions import never_null
from plainsql.analysis.routines import Function

COMBINATIONS = 12

# Edge values: empty, infinite, not a number, null inside JSON or an array, the ends of the range.
SAMPLES: dict[str, list[str]] = {
    "smallint": ["0", "1", "-1", "32767"],
    "integer": ["0", "1", "-1", "2147483647"],
    "bigint": ["0", "1", "-1", "9223372036854775807"],
    "real": ["0", "1.5", "-1", "'NaN'", "'infinity'"],
    "double precision": ["0", "0.5", "-1", "'NaN'", "'infinity'", "'-infinity'"],
    "numeric": ["0", "1.5", "-1", "'NaN'", "'infinity'", "'-infinity'"],
    "money": ["'0'", "'12.5'"],
    "text": ["''", "'a'", "'a b'", "'%_'", "'1'", "'2026-01-01'", "'UTC'", "'year'", "'{}'"],
    "character varying": ["''", "'a'"],
    "character": ["''", "'a'"],
    '"char"': ["''", "'A'"],
    "name": ["''", "'a'", "'UTF8'"],
    "bytea": ["''", "'\\x00ff'"],
    "boolean": ["true", "false"],
    "date": ["'2026-01-31'", "'infinity'", "'-infinity'"],
    "time without time zone": ["'00:00'", "'24:00'"],
    "time with time zone": ["'00:00+00'", "'24:00+14'"],
    "timestamp without time zone": ["'2026-01-31'", "'infinity'", "'-infinity'"],
    "timestamp with time zone": ["'2026-01-31 00:00+00'", "'infinity'", "'-infinity'"],
    "interval": ["'0'", "'1 month -1 day'", "'infinity'"],
    "uuid": ["'00000000-0000-0000-0000-000000000000'"],
    "json": ["'null'", "'{}'", "'[]'", "'{\"a\": null}'", "'1'"],
    "jsonb": ["'null'", "'{}'", "'[]'", "'{\"a\": null}'", "'[null]'", "'1'", "'\"a\"'"],
    "jsonpath": ["'$'", "'$.a'"],
    "text[]": ["'{}'", "'{a,null}'", "'{a}'", "'{a,b}'"],
    "integer[]": ["'{}'", "'{1,null}'", "'{1}'"],
    "double precision[]": ["'{}'", "'{1}'"],
    "real[]": ["'{}'", "'{1,2}'"],
    "numeric[]": ["'{1}'"],
    "anyarray": [
        "'{}'::integer[]",
        "'{1,null}'::integer[]",
        "'{1}'::integer[]",
        "'{{1,2},{3,4}}'::integer[]",
    ],
    "anycompatiblearray": ["'{}'::integer[]", "'{1,null}'::integer[]", "'{1}'::integer[]"],
    "anyelement": ["1::integer", "2::integer"],
    "anycompatible": ["1::integer", "2::integer"],
    "anynonarray": ["1::integer", "''::text"],
    "anyenum": ["'x'::plainsql_enum", "'y'::plainsql_enum"],
    "record": ["row(null, null)", "row(1, null)", "row(1, 2)"],
    '"any"': ["1::integer", "''::text"],
    "anyrange": ["'empty'::int4range", "'(,)'::int4range", "'[1,2)'::int4range"],
    "anymultirange": ["'{}'::int4multirange", "'{(,)}'::int4multirange", "'{[1,2)}'::int4multirange"],
    "inet": ["'0.0.0.0/0'", "'::1'", "'10.0.0.1/8'"],
    "cidr": ["'0.0.0.0/0'", "'10.0.0.0/8'"],
    "macaddr": ["'00:00:00:00:00:00'"],
    "macaddr8": ["'00:00:00:00:00:00:00:00'"],
    "bit": ["b'0'", "b'1'"],
    "bit varying": ["''", "b'10'"],
    "oid": ["0", "1"],
    "xid": ["'1'"],
    "xid8": ["'1'"],
    "pg_lsn": ["'0/0'", "'1/1'"],
    "tid": ["'(0,1)'"],
    "tsvector": ["''", "'a:1'"],
    "tsquery": ["''", "'a'", "'!a'"],
    "regconfig": ["'simple'"],
    "regclass": ["'plainsql_sequence'"],
    "xml": ["''"],
    "point": ["'(0,0)'", "'(NaN,1)'"],
    "int4range[]": ["'{}'"],
    "vector": ["'[0,0]'", "'[1,2]'"],
    "halfvec": ["'[0,0]'", "'[1,2]'"],
    "sparsevec": ["'{}/2'", "'{1:1}/2'"],
}
POLYMORPHIC = {name for name in SAMPLES if name.startswith("any") or name in ('"any"', "record")}

# Wait, block, or would end the run.
LEFT_OUT = ("pg_sleep", "pg_advisory", "pg_try_advisory")


def calls(function: Function) -> list[str]:
    """Some calls of a function with combinations of edge values; none where a type has no samples."""
    types = function.arguments.split(", ") if function.arguments else []
    if not all(type_ in SAMPLES or (type_.endswith("[]") and type_ in SAMPLES) for type_ in types):
        return []
    each = [[value if t in POLYMORPHIC else f"{value}::{t}" for value in SAMPLES[t]] for t in types]
    every = list(itertools.islice(itertools.product(*each), 2000))
    chosen = every if len(every) <= COMBINATIONS else Random(function.oid).sample(every, COMBINATIONS)
    name = f'{function.schema}."{function.name}"'
    return [
        f"select {name}({', '.join(values)}) is null, {name}({', '.join(values)})::text" for values in chosen
    ]


@pytest.fixture(scope="module")
def prepared(database_url: str) -> Any:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("create type plainsql_enum as enum ('x', 'y')")
        connection.execute("create sequence plainsql_sequence")
        for extension in ("vector", "pg_trgm"):
            connection.execute(f"create extension if not exists {extension}".encode())
        connection.execute("select nextval('plainsql_sequence')")
        yield connection


def test_no_listed_function_returns_null_for_edge_values(prepared: psycopg.Connection[Any]) -> None:
    """A function that does return null for arguments that are not null may not be in the table."""
    catalogue = Catalogue(prepared)
    wrong: list[str] = []
    called = 0
    for function in catalogue.routines.functions.values():
        if never_null(catalogue, function.oid) is None or function.name.startswith(LEFT_OUT):
            continue
        for sql in calls(function):
            try:
                row = prepared.execute(sql.encode()).fetchone()
            except psycopg.Error:
                continue
            called += 1
            # A row of nulls `is null` as well: only the text of a null is none.
            if row is not None and row[0] and row[1] is None:
                wrong.append(sql)
                break
    assert not wrong
    assert called > 5_000


@pytest.mark.parametrize(
    "call",
    [
        "array_length('{}'::integer[], 1)",
        "substring('a' from 'b')",
        "to_char('infinity'::timestamp, 'YYYY')",
        "to_char(now(), '')",
        "lower('empty'::int4range)",
        "upper('(,)'::int4range)",
        "scale('NaN'::numeric)",
        "'infinity'::timestamp::time",
        "extract(hour from 'infinity'::timestamp)",
        "jsonb_path_query_first('{}', '$.a')",
        "regexp_match('a', 'b')",
        "regexp_substr('a', 'b')",
        "array_position('{}'::integer[], 1)",
        "to_regclass('nothing')",
        "current_setting('nothing.here', true)",
        "jsonb_path_exists('{}', 'strict $.a', '{}', true)",
    ],
)
def test_functions_that_return_null_without_null_arguments_are_left_out(
    prepared: psycopg.Connection[Any], call: str
) -> None:
    """Each of these is null on the server, so the analysis must not claim otherwise."""
    from plainsql.analysis import Analyser

    assert prepared.execute(f"select ({call}) is null".encode()).fetchone() == (True,)
    with Analyser(prepared) as analyser:
        assert analyser.analyse(f"select {call}").columns[0].nullable
