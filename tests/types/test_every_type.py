"""Every base type of PostgreSQL makes a round trip, or is listed here with the reason why not."""

from __future__ import annotations

import psycopg
import pytest

from plainsql.query import Binder, ManyQuery
from tests.types.both import Both

# A value of each type as the server reads it. The Python value is sent back, and must be the same.
SAMPLES = {
    "aclitem": "=r/postgres",
    "bit": "1",
    "bool": "t",
    "box": "(3,4),(1,2)",
    "bpchar": "a",
    "bytea": r"\x00ff5c",
    "char": "x",
    "cid": "7",
    "cidr": "10.1.0.0/16",
    "circle": "<(1,2),3>",
    "date": "2026-11-21",
    "float4": "0.1",
    "float8": "0.1",
    "inet": "10.1.2.3/16",
    "int2": "-7",
    "int4": "-7",
    "int8": "-7",
    "interval": "3 days 04:05:06.000007",
    "json": '{"a": [1, null]}',
    "jsonb": '{"a": [1, null]}',
    "jsonpath": '$."a"',
    "line": "{1,2,3}",
    "lseg": "[(1,2),(3,4)]",
    "macaddr": "08:00:2b:01:02:03",
    "macaddr8": "08:00:2b:01:02:03:04:05",
    "money": "$1.50",
    "name": "a name",
    "numeric": "1.50",
    "oid": "7",
    "oid8": "7",
    "path": "[(1,2),(3,4)]",
    "pg_lsn": "16/B374D848",
    "pg_snapshot": "10:20:10,14",
    "point": "(1,2)",
    "polygon": "((1,2),(3,4))",
    "refcursor": "c",
    "regclass": "pg_type",
    "regcollation": '"C"',
    "regconfig": "english",
    "regdatabase": "postgres",
    "regdictionary": "simple",
    "regnamespace": "pg_catalog",
    "regoper": "||/",
    "regoperator": "+(integer,integer)",
    "regproc": "int4in",
    "regprocedure": "int4in(cstring)",
    "regrole": "pg_read_all_data",
    "regtype": "integer",
    "text": "a",
    "tid": "(1,2)",
    "time": "01:02:03.000004",
    "timestamp": "2026-11-21 01:02:03.000004",
    "timestamptz": "2026-11-21 01:02:03.000004+00",
    "timetz": "01:02:03.000004+05:30",
    "tsquery": "'a' & !'b'",
    "tsvector": "'a':1 'b':2A",
    "txid_snapshot": "10:20:10,14",
    "uuid": "0190c6a3-0f7e-7cc3-98c4-dc0c0c07398f",
    "varbit": "10101",
    "varchar": "a",
    "xid": "7",
    "xid8": "7",
    "xml": "<a>b</a>",
}

# The server takes no values of these types from a client.
NO_INPUT = {
    "gtsvector": "a page of an index on tsvector",
    "pg_brin_bloom_summary": "a page of a BRIN index",
    "pg_brin_minmax_multi_summary": "a page of a BRIN index",
    "pg_dependencies": "extended statistics",
    "pg_mcv_list": "extended statistics",
    "pg_ndistinct": "extended statistics",
    "pg_node_tree": "an expression in the catalog",
}

# They can be read. As a parameter, asyncpg sends an array whose lower bound is 1, and the server wants 0.
ONLY_READ = {"int2vector": ("1 2", [1, 2]), "oidvector": ("1 2", [1, 2])}


def test_every_base_type_is_known(both: Both) -> None:
    names = ManyQuery[..., str](
        "test.types.names",
        "sql/test/types/names.sql",
        1,
        "select t.typname::text from pg_type as t"
        " where t.typtype = 'b' and t.typnamespace = 'pg_catalog'::regnamespace"
        " and not exists (select from pg_type as element where element.typarray = t.oid) order by 1",
        Binder([], {}, {}, None),
        object,
    )
    found = set(names(both.over_psycopg))
    assert found - SAMPLES.keys() - NO_INPUT.keys() - ONLY_READ.keys() == set()


def _has_xml(both: Both) -> bool:
    try:
        both.over_psycopg.connection.execute("select '<a/>'::xml")
    except psycopg.errors.FeatureNotSupported:
        return False
    return True


@pytest.mark.parametrize("name", SAMPLES)
def test_a_value_and_arrays_of_it_make_a_round_trip(both: Both, name: str) -> None:
    type_name = '"char"' if name == "char" else name
    exists = both.value("select to_regtype(:a) is not null", a=type_name)
    if not exists:
        pytest.skip(f"this server has no {name}")
    text = SAMPLES[name]
    literal = f"'{text.replace(chr(39), chr(39) * 2)}'::{type_name}"
    if name == "xml" and not _has_xml(both):
        pytest.skip("this server was built without XML")
    value = both.value(f"select {literal}")
    sent: object = value
    if name in ("json", "jsonb"):
        sent = {"a": [1, None]}
    back = both.value(f"select :a::{type_name}", a=sent)
    assert (
        both.value(f"select (:a::{type_name})::text = ({literal})::text or '{name}' = 'json'", a=sent) is True
    )
    assert back == value or name == "json"
    if name in ("path", "polygon", "json", "jsonb"):  # other tests have lists and paths in arrays
        return
    assert both.sent_back(f"{type_name}[]", [sent, None]) == [value, None]


@pytest.mark.parametrize("name", ONLY_READ)
def test_integer_vectors_can_be_read(both: Both, name: str) -> None:
    text, value = ONLY_READ[name]
    assert both.read(f"'{text}'", name) == value


def test_values_of_the_catalog_can_be_read(both: Both) -> None:
    both.over_psycopg.connection.execute(
        "create table defaults (a int default 7, b int); "
        "insert into defaults select 1, 2 from generate_series(1, 100); "
        "create statistics abc (ndistinct, dependencies) on a, b from defaults; analyze defaults"
    )
    assert "CONST" in both.value("select adbin from pg_attrdef")
    assert both.value("select stxdndistinct from pg_statistic_ext_data") != ""
    assert both.value("select stxddependencies from pg_statistic_ext_data") != ""


@pytest.mark.parametrize("name", ["citext", "ltree"])
def test_types_of_extensions_travel_as_their_text(both: Both, name: str) -> None:
    both.round_trip(name, "Top.Science")
    both.round_trip(f"{name}[]", ["Top", None])


def test_the_error_of_an_unfit_value_names_a_type_of_an_extension(both: Both) -> None:
    assert both.refusals("select :a::ltree", a=7) == "test.types.value: a: expected ltree, got int"


def test_void_is_none(both: Both) -> None:
    assert both.value("select pg_notify('nobody', '')") is None
