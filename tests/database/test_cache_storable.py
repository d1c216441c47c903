"""Types that the analysis calls unstorable are not stored, and all others come back unchanged."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg
import pytest

import plainsql
from plainsql.analysis import Analyser
from plainsql.analysis.findings.storable_types import is_storable
from plainsql.codegen.python_types import annotate
from plainsql.dependencies import CachedRead
from plainsql.query import Args, one

_VALUES = """
true; 1::smallint; 1; 1::bigint;
1.5::real; 1.5::float8; 1.50::numeric; 'a'::text; 'a'::varchar; 'a'::bpchar
'a'::name; '\\x01'::bytea; gen_random_uuid(); '2020-01-01'::date; '12:00'::time; '12:00+01'::timetz
'2020-01-01 12:00'::timestamp; '2020-01-01 12:00+00'::timestamptz; '1 day 01:00'::interval
'{"a": [1]}'::jsonb; '{"a": 1}'::json; 'a'::tsvector; '<a/>'::text
'1'::money; '08:00:2b:01:02:03'::macaddr; 5::oid
array[1, 2]; array['a']; array['2020-01-01'::date]; 'sad'::storable_mood; array['sad'::storable_mood]
int4range(1, 5); tstzrange('2020-01-01', null); int4multirange(int4range(1, 5)); array[int4range(1, 5)]
B'101'; B'101'::varbit; '10.0.0.1'::inet; '10.0.0.0/8'::cidr; array['10.0.0.1'::inet]; point(1, 2)
'((1,2),(3,4))'::box; '<(1,2),3>'::circle; '{1,2,3}'::line; '[(1,2),(3,4)]'::lseg; '((1,2),(3,4))'::path
'((1,2),(3,4))'::polygon; '[1,2]'::vector; array['[1,2]'::vector]; '[1,2]'::halfvec; '{1:1}/3'::sparsevec
1::storable_number; int4range(1, 5)::storable_span
""".replace("\n", ";")


@pytest.fixture
def types_url(fresh_database_url: str) -> str:
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        connection.execute("create extension vector")
        connection.execute("create type storable_mood as enum ('sad', 'glad')")
        connection.execute("create domain storable_number as integer")
        connection.execute("create domain storable_span as int4range")
    return fresh_database_url


async def test_what_the_analysis_calls_storable_is_stored_and_nothing_else(types_url: str) -> None:
    values = [value.strip() for value in _VALUES.split(";") if value.strip()]
    with psycopg.connect(types_url) as connection, Analyser(connection) as analyser:
        columns = [analyser.analyse(f"select {value} as v").columns[0] for value in values]
    wrong = []
    async with plainsql.connect(types_url) as db:
        for value, column in zip(values, columns, strict=True):
            annotation = annotate(column.type)
            names: dict[str, object] = {}
            for module, name in annotation.imports:
                exec(f"from {module} import {name}", names)
            type_: Any = eval(annotation.text, names)
            query: Any = one[type_](
                f"s.{uuid4().hex}",
                "s.sql",
                1,
                f"select {value} as v",
                read_only=True,
                session_clean=True,
                cache=CachedRead(60, ()),
            )(_no_arguments)
            hits = db.cache.stats().hits
            first = await query.fresh(db) if "random" not in value else await query(db)
            found = [await query(db) for _ in range(3)]
            if (db.cache.stats().hits > hits) != is_storable(column.type):
                wrong.append(value)
            if is_storable(column.type) and found != [first] * 3:
                wrong.append(f"{value}: {first!r}, {found!r}")
    assert wrong == []
    assert {is_storable(column.type) for column in columns} == {True, False}


def _no_arguments() -> Args:
    return ()
