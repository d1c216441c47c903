"""Every function that the table claims never null is called with the edge values of its types."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from random import Random
from typing import Any

import psycopg
import pytest

from plainsql.analysis.catalog.routines import Function
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.nullability.nonnull_functions import Rule, never_null

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
    "text": [
        "''",
        "'a'",
        "'a b'",
        "'%_'",
        "'1'",
        "'2026-01-01'",
        "'UTC'",
        "'year'",
        "'{}'",
        "'hex'",
        "'[)'",
        "'i'",
    ],
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
    '"char"[]': ["'{}'", "'{a}'"],
    "bigint[]": ["'{}'", "'{1}'"],
    "smallint[]": ["'{}'", "'{1}'"],
    "boolean[]": ["'{}'", "'{true}'"],
    "interval[]": ["'{}'"],
    "aclitem": ["'=r/postgres'"],
    "int4range": ["'empty'", "'(,)'", "'[1,2]'"],
    "int4multirange": ["'{}'", "'{(,)}'"],
    "int8range": ["'empty'", "'(,)'", "'[1,2]'"],
    "int8range[]": ["'{}'", "'{empty}'"],
    "int8multirange": ["'{}'", "'{(,)}'"],
    "numrange": ["'empty'", "'(,)'", "'[1,2]'"],
    "numrange[]": ["'{}'", "'{empty}'"],
    "nummultirange": ["'{}'", "'{(,)}'"],
    "daterange": ["'empty'", "'(,)'", "'[2026-01-01,2026-01-02]'"],
    "daterange[]": ["'{}'", "'{empty}'"],
    "datemultirange": ["'{}'", "'{(,)}'"],
    "tsrange": ["'empty'", "'(,)'", "'[2026-01-01,2026-01-02]'"],
    "tsrange[]": ["'{}'", "'{empty}'"],
    "tsmultirange": ["'{}'", "'{(,)}'"],
    "tstzrange": ["'empty'", "'(,)'", "'[2026-01-01,2026-01-02]'"],
    "tstzrange[]": ["'{}'", "'{empty}'"],
    "tstzmultirange": ["'{}'", "'{(,)}'"],
    "jsonb[]": ["'{}'", "'{null}'"],
    "bytea[]": ["'{}'"],
    "uuid[]": ["'{}'"],
    "tsquery[]": ["'{}'"],
    "tid[]": ["'{}'"],
    "circle": ["'((0,0),0)'", "'((0,0),1)'"],
    "lseg": ["'[(0,0),(0,0)]'", "'[(0,0),(1,1)]'", "'[(0,1),(1,2)]'"],
    "line": ["'{1,0,0}'", "'{1,-1,0}'", "'{1,-1,2}'"],
    "box": ["'(0,0),(0,0)'", "'(1,1),(2,2)'"],
    "path": ["'[(0,0)]'", "'((0,0),(1,1))'"],
    "polygon": ["'((0,0))'", "'((0,0),(1,0),(1,1))'"],
    "regtype": ["'integer'"],
    "regproc": ["'now'"],
    "regdictionary": ["'simple'"],
    "oidvector": ["''", "'1 2'"],
    "int2vector": ["''", "'1 2'"],
    "txid_snapshot": ["'1:1:'"],
    "pg_snapshot": ["'1:1:'"],
    "cid": ["'0'"],
    "unknown": ["''"],
    "citext": ["''", "'a'", "'A b'", "'%_'", "'1'"],
    "citext[]": ["'{}'", "'{a,null}'"],
    "hstore": ["''", "'a=>1'", "'a=>null'"],
    "hstore[]": ["'{}'"],
    "ltree": ["''", "'a'", "'a.b'"],
    "ltree[]": ["'{}'", "'{a}'"],
    "lquery": ["'a'", "'*'"],
    "lquery[]": ["'{}'", "'{a}'"],
    "ltxtquery": ["'a'", "'!a'"],
    "cube": ["'()'", "'(0)'", "'(0,1),(1,2)'"],
    "earth": ["'(0,0,6378168)'"],
    "seg": ["'1'", "'1..2'", "'..'"],
    "query_int": ["'1'", "'!1'", "'1&2'"],
    "gtrgm": [],
    "lo": ["0"],
    "isbn": ["'1-56619-909-3'"],
    "isbn13": ["'978-1-56619-909-4'"],
    "issn": ["'1436-4522'"],
    "issn13": ["'977-1436-452-00-8'"],
    "ismn": ["'M-2306-7118-7'"],
    "ismn13": ["'979-0-2306-7118-7'"],
    "upc": ["'220356483481'"],
    "ean13": ["'9780393040029'"],
    "vector": ["'[0,0]'", "'[1,2]'"],
    "vector[]": ["'{}'"],
    "halfvec[]": ["'{}'"],
    "halfvec": ["'[0,0]'", "'[1,2]'"],
    "sparsevec": ["'{}/2'", "'{1:1}/2'"],
}
CONCRETE = {
    "anyarray": "integer[]",
    "anycompatiblearray": "integer[]",
    "anyelement": "integer",
    "anycompatible": "integer",
    "anynonarray": "integer",
    '"any"': "integer",
}
POLYMORPHIC = {name for name in SAMPLES if name.startswith("any") or name in ('"any"', "record")}

# They wait, block, or would end the run.
LEFT_OUT = ("pg_sleep", "pg_advisory", "pg_try_advisory")

NOT_CALLED = ["text(xml)"]
"""Claims that are not tried: the embedded server is built without XML."""

BY_HAND: dict[str, list[tuple[str, ...]]] = {
    "current_setting(text)": [("'TimeZone'",)],
    "is_normalized(text, text)": [("''", "'NFC'"), ("'a'", "'NFKD'")],
    "normalize(text, text)": [("''", "'NFC'"), ("'a'", "'NFKD'")],
    "pg_input_is_valid(text, text)": [("''", "'integer'"), ("'1'", "'integer'")],
    'json_build_object("any")': [("'a'", "null::integer")],
    'jsonb_build_object("any")': [("'a'", "null::integer")],
    "macaddr(macaddr8)": [("'00:00:00:ff:fe:00:00:00'::macaddr8",)],
    "set_config(text, text, boolean)": [("'plainsql.test'", "''", "true")],
    "regclass(text)": [("'plainsql_sequence'::text",)],
    "ts_rank(real[], tsvector, tsquery)": [("'{0,0,0,0}'::real[]", "''::tsvector", "''::tsquery")],
    "ts_rank(real[], tsvector, tsquery, integer)": [
        ("'{0,0,0,0}'::real[]", "''::tsvector", "''::tsquery", "1")
    ],
    "ts_rank_cd(real[], tsvector, tsquery)": [("'{0,0,0,0}'::real[]", "''::tsvector", "''::tsquery")],
    "ts_rank_cd(real[], tsvector, tsquery, integer)": [
        ("'{0,0,0,0}'::real[]", "''::tsvector", "''::tsquery", "1")
    ],
    "ts_headline(regconfig, json, tsquery, text)": [("'simple'", "'{}'", "'a'", "''")],
    "ts_headline(regconfig, jsonb, tsquery, text)": [("'simple'", "'{}'", "'a'", "''")],
    "make_timestamp(integer, integer, integer, integer, integer, double precision)": [
        ("2026", "1", "1", "0", "0", "0")
    ],
    "make_timestamptz(integer, integer, integer, integer, integer, double precision)": [
        ("2026", "1", "1", "0", "0", "0")
    ],
    "make_timestamptz(integer, integer, integer, integer, integer, double precision, text)": [
        ("2026", "1", "1", "0", "0", "0", "'UTC'")
    ],
    "width_bucket(double precision, double precision, double precision, integer)": [("'NaN'", "0", "1", "1")],
    "width_bucket(numeric, numeric, numeric, integer)": [("5", "0", "1", "1"), ("0", "1", "0", "2")],
}

# Extensions of the server that cannot be made here: they need a preload, or are languages that exist already.
NOT_MADE = {"plpgsql", "pg_logicalinspect"}


def may_be_null(rule: Rule, position: int) -> bool:
    """Return whether the rule claims a result that is not null even if this argument is null."""
    return rule.needs in ("none", "any") or (isinstance(rule.needs, tuple) and position not in rule.needs)


def calls(function: Function, rule: Rule) -> Iterator[tuple[str, ...]]:
    """Yield the arguments of calls with combinations of edge values; none if a type has no samples."""
    types = function.arguments.split(", ") if function.arguments else []
    yield from BY_HAND.get(str(function).removeprefix("public."), ())
    if not all(type_ in SAMPLES for type_ in types):
        return
    each = [[value if t in POLYMORPHIC else f"{value}::{t}" for value in SAMPLES[t]] for t in types]
    for position, (type_, values) in enumerate(zip(types, each, strict=True)):
        if may_be_null(rule, position) and (rule.needs != "any" or position):
            values.append(f"null::{CONCRETE.get(type_, type_)}")
    every = list(itertools.islice(itertools.product(*each), 2000))
    Random(function.oid).shuffle(every)
    for arguments in every:
        yield arguments
        if types[-1:] and types[-1].endswith("[]"):
            yield (*arguments[:-1], f"variadic {arguments[-1]}")


def extensions(connection: psycopg.Connection[Any]) -> list[str]:
    """Return the extensions that come with the server."""
    rows = connection.execute("select name from pg_available_extensions order by name").fetchall()
    return [name for (name,) in rows if name not in NOT_MADE]


@pytest.fixture(scope="module")
def prepared(database_url: str) -> Any:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("create type plainsql_enum as enum ('x', 'y')")
        connection.execute("create sequence plainsql_sequence")
        for extension in extensions(connection):
            connection.execute(f'create extension if not exists "{extension}" cascade'.encode())
        connection.execute("select nextval('plainsql_sequence')")
        yield connection


def test_no_listed_function_returns_null_for_edge_values(prepared: psycopg.Connection[Any]) -> None:
    """A function that does return null for arguments that are not null may not be in the table."""
    catalog = Catalog(prepared)
    wrong: list[str] = []
    uncalled: list[str] = []
    for function in catalog.routines.functions.values():
        rule = never_null(catalog, function.oid)
        if rule is None or function.name.startswith(LEFT_OUT):
            continue
        succeeded = 0
        for tried, arguments in enumerate(calls(function, rule)):
            if tried >= COMBINATIONS and succeeded:
                break
            call = f'{function.schema}."{function.name}"({", ".join(arguments)})'
            try:
                row = prepared.execute(f"select {call} is null, {call}::text".encode()).fetchone()
            except psycopg.Error:
                continue
            succeeded += 1
            # A row of nulls `is null` as well: only the text of a null is none.
            if row is not None and row[0] and row[1] is None:
                wrong.append(call)
                break
        if not succeeded:
            uncalled.append(str(function))
    assert not wrong
    # A claim that no call has tried is a guess.
    assert sorted(uncalled) == NOT_CALLED


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
