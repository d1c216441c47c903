"""The inside of values: the proofs about elements, fields and built JSON, and rows that contradict none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import psycopg
import pytest
from psycopg.types.composite import CompositeInfo, register_composite

from plainsql.analysis import Analyser, RefusedError
from plainsql.analysis.model import Shape
from tests.analysis.fuzz import VALUES, build, execute
from tests.analysis.generate import Generator

SCHEMA = """
create type pair as (a int, b text);
create table c (
  id bigint primary key, name text not null, email text, tags text[], d jsonb, p pair,
  tight text[] check (array_position(tight, null) is null),
  removed int[] not null check (removed = array_remove(removed, null))
);
create table o (id bigint primary key, c_id bigint not null references c, total numeric not null, note text);
create view with_orders as
  select c.id, jsonb_agg(o.note) as notes from c left join o on o.c_id = c.id group by c.id;
create materialized view kept as select c.id, to_jsonb(c) as j from c;
insert into c values
  (1, 'a', 'e', '{x,null}', '{"k": null}', row(null, 'b'), '{t}', '{1}'),
  (2, 'b', null, null, null, null, null, '{}');
insert into o values (1, 1, 1.50, null), (2, 1, 2, 'n');
refresh materialized view kept;
"""

# The statement's only column, and its shape: ``?`` may be null, ``~`` is assumed not null, ``k?:`` may be
# missing.
CASES = {
    # Elements of arrays.
    "select array_agg(o.id) from c left join o on o.c_id = c.id": "bigint?[]?",
    "select array_agg(o.id) filter (where o.id is not null) from c left join o on o.c_id = c.id": "bigint[]?",
    "select array_agg(c.id) from c group by c.name": "bigint[]",
    "select array_agg(c.email) from c where c.email is not null": "text[]?",
    "select array_agg(o.id) over () from c left join o on o.c_id = c.id": "bigint?[]",
    "select array[c.name, c.email] from c": "text?[]",
    "select array[c.name, 'x'] from c": "text[]",
    "select array[[c.id], [null::bigint]] from c": "bigint?[][]",
    "select '{1,null}'::int[]": "integer?[]",
    "select array(select o.note from o)": "text?[]",
    "select array(select o.id from o)": "bigint[]",
    "select array_append(c.tight, c.email) from c": "text?[]",
    "select array_remove(array_agg(o.note), null) from o": "text[]?",
    "select array_agg(o.id)::text[] from o": "text[]?",
    "select string_to_array(c.name, ',') from c": "text[]",
    "select string_to_array(c.name, ',', '') from c": "text?[]",
    "select c.tags from c": "text~[]?",
    "select c.tight from c": "text[]?",
    "select c.removed from c": "integer[]",
    "select coalesce(array_agg(o.id), '{}') from o": "bigint[]",
    "select case when c.id > 1 then array[c.id] else array[null::bigint] end from c": "bigint?[]",
    "select array[1] union all select array[null::int]": "integer?[]",
    "with recursive r as (select array[1] as path union all select r.path || 2 from r"
    " where cardinality(r.path) < 3) select r.path from r": "integer[]",
    "with recursive r as (select array[1] as path union all select r.path || null::int from r"
    " where cardinality(r.path) < 3) select r.path from r": "integer?[]",
    # Fields of rows.
    "select o from c left join o on o.c_id = c.id": "(id bigint, c_id bigint, total numeric, note text?)?",
    "select array_agg(o) from c left join o on o.c_id = c.id": (
        "(id bigint, c_id bigint, total numeric, note text?)?[]?"
    ),
    "select c.p from c": "(a integer?, b text?)?",
    "select row(1, c.email)::pair from c": "(a integer, b text?)",
    "delete from o where false returning o": "(id bigint, c_id bigint, total numeric, note text?)",
    # Built JSON.
    "select json_build_object('id', c.id, 'email', c.email) from c": "{id: bigint, email: text?}",
    "select jsonb_build_object('id', c.id, 'id', c.name) from c": "{id: text}",
    "select json_build_object('id', c.id, 'id', c.name) from c": "",
    "select json_build_object(c.name, c.email) from c": "{*: text?}",
    "select json_build_object('tags', c.tags, 'd', c.d) from c": "{tags: [text?]?, d: json}",
    "select to_jsonb(c.tight) from c": "[text]?",
    "select row_to_json(x) from (select c.id, c.email as mail from c) as x": "{id: bigint, mail: text?}",
    "select to_json(o) from c left join o on o.c_id = c.id": (
        "{id: bigint, c_id: bigint, total: numeric, note: text?}?"
    ),
    "select json_agg(o.note) from c left join o on o.c_id = c.id": "[text?]?",
    "select json_agg(json_build_object('id', o.id, 'n', o.note)) filter (where o.id is not null)"
    " from c left join o on o.c_id = c.id": "[{id: bigint, n: text?}]?",
    "select coalesce(jsonb_agg(o.id), '[]') from o": "[bigint]",
    "select coalesce(json_agg(o.id), '[]') from o": "[bigint]",
    "select coalesce(jsonb_build_object('a', c.id), '{}') from c": "{a?: bigint}",
    "select jsonb_object_agg(c.name, c.email) from c": "{*: text?}?",
    "select json_build_array(c.id, c.id + 1) from c": "[bigint]",
    "select jsonb_build_array(c.id, c.email, null) from c": "(bigint, text?, null?)",
    "select jsonb_strip_nulls(jsonb_build_object('id', c.id, 'email', c.email, 'd', c.d)) from c": (
        "{id: bigint, email?: text, d?: json}"
    ),
    "select jsonb_build_object('a', c.email) || jsonb_build_object('a', c.id, 'b', c.name) from c": (
        "{a: bigint, b: text}"
    ),
    "select json_object('a': c.id, 'b': c.email absent on null) from c": "{a: bigint, b?: text}",
    "select json_array(c.id, c.email) from c": "[json]",
    "select json_array(c.id, c.email null on null) from c": "(bigint, text?)",
    "select json_arrayagg(c.email) from c": "[text]?",
    "select json_objectagg(c.name : c.email) from c": "{*: text?}?",
    "select w.notes from with_orders as w": "[text?]",
    "select k.j from kept as k": "",
    "select c.d from c": "",
    "select c.d || jsonb_build_object('a', 1) from c": "",
    "with t as (select jsonb_agg(o.id) as ids from o) select jsonb_build_object('t', t.ids) from t": (
        "{t: [bigint]?}"
    ),
    "select l.j from c, lateral (select json_agg(o.total) as j from o where o.c_id = c.id) as l": (
        "[numeric]?"
    ),
    "select json_build_object('o', (select row_to_json(o) from o where o.id = c.id)) from c": (
        "{o: {id: bigint, c_id: bigint, total: numeric, note: text?}?}"
    ),
    "select case when c.id = 1 then json_build_object('a', 1) end from c": "{a: integer}?",
    "select case when c.id = 1 then json_build_object('a', 1) else json_build_object('b', 1) end from c": (
        "{a?: integer, b?: integer}"
    ),
    "select json_build_object('a', 1) union all select json_build_object('a', null)": "{a: integer?}",
    "select case when c.id = 1 then to_jsonb(c.id) else to_jsonb(c.name) end from c": "",
    "insert into o values (9, 1, 1, null) returning jsonb_build_object('id', o.id, 'note', o.note)": (
        "{id: bigint, note: text?}"
    ),
}


def shown(shape: Shape | None) -> str:
    """A shape in one line; empty if nothing is known."""
    if shape is None:
        return ""
    parts = [shown(part) for part in shape.parts]
    null = "?" if shape.nullable else "~" if shape.assumed else ""
    match shape.kind:
        case "array":
            return f"{parts[0]}[]{null}"
        case "row":
            fields = (f"{part.name} {text}" for part, text in zip(shape.parts, parts, strict=True))
            return f"({', '.join(fields)}){null}"
        case "object":
            keys = (part.name + "?" * part.optional for part in shape.parts)
            pairs = (f"{key}: {text}" for key, text in zip(keys, parts, strict=True))
            return f"{{{', '.join(pairs)}}}{null}"
        case "map":
            return f"{{*: {parts[0]}}}{null}"
        case "list":
            return f"[{''.join(parts)}]{null}"
        case "tuple":
            return f"({', '.join(parts)}){null}"
        case "json":
            return "json"
        case _:
            return f"{shape.type or 'null'}{null}" if shape.kind != "null" else f"null{null}"


def contradiction(shape: Shape, value: Any) -> str:
    """The first part of a value that the shape excludes; rows are tuples, JSON is decoded."""
    if shape.kind == "json" or (shape.kind == "null" and value is None):
        return ""
    if value is None:
        return "" if shape.nullable or shape.assumed else f"{shape} is null"
    inside: list[tuple[Shape, Any]] = []
    match shape.kind:
        case "array" | "list":
            inside = [(shape.parts[0], each) for each in value]
        case "map":
            inside = [(shape.parts[0], each) for each in value.values()]
        case "row" | "tuple":
            inside = list(zip(shape.parts, value, strict=True))
        case "object":
            missing = {part.name for part in shape.parts if not part.optional} - value.keys()
            if missing or value.keys() - {part.name for part in shape.parts}:
                return f"{shape} has the keys {sorted(value)}"
            inside = [(part, value[part.name]) for part in shape.parts if part.name in value]
        case _:
            pass
    return next((found for part, each in inside if (found := contradiction(part, each))), "")


@pytest.fixture(scope="module")
def connection(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        for name in ("pair", "c", "o"):
            info = CompositeInfo.fetch(connection, name)
            assert info is not None
            register_composite(info, connection)
        yield connection


@pytest.fixture(scope="module")
def found(database_url: str, connection: psycopg.Connection[Any]) -> dict[str, Shape | None]:
    """The shape of each case's column."""
    with psycopg.connect(database_url, autocommit=True) as other, Analyser(other) as analyser:
        return {sql: analyser.analyse(sql).columns[0].shape for sql in CASES}


def test_the_inside_of_values_is_what_the_query_proves(found: dict[str, Shape | None]) -> None:
    assert {sql: shown(shape) for sql, shape in found.items()} == CASES


def test_no_row_contradicts_a_shape(
    found: dict[str, Shape | None], connection: psycopg.Connection[Any]
) -> None:
    with connection.transaction(force_rollback=True):
        cursor = psycopg.Cursor(connection)
        for sql, shape in found.items():
            rows = cursor.execute(sql.encode(), binary=True).fetchall()
            if shape is not None:
                assert [text for (value,) in rows if (text := contradiction(shape, value))] == [], sql


# Rows of a random query in JSON: one by one, all in a list, and those of an outer join that finds none.
IN_JSON = """
select jsonb_build_object(
  'one', to_jsonb(q), 'all', (select json_agg(r) from ({0}) as r),
  'none', (select json_agg(s) from (values (1)) as v (x) left join ({0}) as s on false)
)
from ({0}) as q
"""


def test_no_row_of_a_random_query_contradicts_its_shape(database_url: str) -> None:
    objects = 0
    with psycopg.connect(database_url, autocommit=True) as connection:
        for number in range(2):
            random = Random(f"shapes/{number}")
            generator = Generator(random, connection.info.server_version)
            if not build(connection, generator.schema()):
                continue
            with Analyser(connection) as analyser:
                for _ in range(20):
                    sql, types = generator.statement()
                    values = [random.choice(VALUES[type]) for type in types]
                    try:
                        (column,) = analyser.analyse(IN_JSON.format(sql)).columns
                    except RefusedError:  # a write
                        continue
                    rows = execute(connection, IN_JSON.format(sql), types, values, [])
                    if rows is None or column.shape is None:
                        continue
                    objects += column.shape.parts[0].kind == "object"
                    for (value,) in rows:
                        assert contradiction(column.shape, json.loads(value)) == "", sql
    assert objects > 8


def test_a_chain_that_doubles_a_shape_ends_in_any_json(connection: psycopg.Connection[Any]) -> None:
    links = "".join(
        f", t{n} as (select jsonb_build_object('a', t{n - 1}.j, 'b', t{n - 1}.j) as j from t{n - 1})"
        for n in range(1, 40)
    )
    sql = f"with t0 as (select jsonb_build_object('x', 1) as j){links} select t39.j from t39"
    with Analyser(connection) as analyser:
        (column,) = analyser.analyse(sql).columns
    assert column.shape is None or len(shown(column.shape)) < 20_000
