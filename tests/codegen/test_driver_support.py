"""Every type, alone and inside of other types, on both drivers: the values are equal, or `check` refuses
it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import asyncpg
import msgspec
import psycopg
import pytest

from plainsql import codegen
from plainsql.check.problems import Problem
from plainsql.check.project_check import check_project
from plainsql.rows import Composite
from plainsql.settings import Project
from plainsql.testing import Databases
from tests.types.both import Both, both_executors, same
from tests.types.test_every_type import NO_INPUT, SAMPLES

TYPES = {name: text for name, text in SAMPLES.items() if name not in ("oid8", "regdatabase", "xml")} | {
    "citext": "Abc",
    "ltree": "Top.Science",
    "lquery": "Top.*",
    "hstore": "a=>1",
    "mood": "ok",
    "positive": "3",
    "tags": "{a,b}",
    "mail": "A@b.c",
    "address": '("x, y",1)',
    "nothing": "()",
    "documents": "{[1],[2]}",
    "vector": "[1,2]",
    "halfvec": "[1,2]",
    "sparsevec": "{1:1,3:2}/5",
    "int4range": "[1,5)",
    "int4multirange": "{[1,5),[7,9)}",
    "int2vector": "1 2",
}
SCHEMA = """
create extension vector; create extension citext; create extension ltree; create extension hstore;
create type mood as enum ('sad', 'ok');
create domain positive as integer;
create domain tags as text[];
create domain mail as citext;
create domain documents as jsonb[];
create type address as (street text, number integer);
create type nothing as ();
"""
KINDS = (
    *("plain", "array", "composite", "array_of_composite", "array_in_composite"),
    *("row", "range", "multirange", "array_of_multirange"),
)


class Case(NamedTuple):
    """A type, and a value of it as SQL."""

    type: str
    literal: str


def _cases(name: str) -> dict[str, Case]:
    type = '"char"' if name == "char" else name
    one = f"'{TYPES[name].replace(chr(39), chr(39) * 2)}'::{type}"
    many = f"mr_{name}(r_{name}({one}, null))"
    return {
        "plain": Case(type, one),
        "array": Case(f"{type}[]", f"array[{one}, null]::{type}[]"),
        "composite": Case(f"c_{name}", f"row({one}, 2)::c_{name}"),
        "array_of_composite": Case(f"c_{name}[]", f"array[row({one}, 2)::c_{name}, null]"),
        "array_in_composite": Case(f"a_{name}", f"row(array[{one}]::{type}[], 2)::a_{name}"),
        "row": Case(f"t_{name}", f"(select t from t_{name} as t)"),
        "range": Case(f"r_{name}", f"r_{name}({one}, null)"),
        "multirange": Case(f"mr_{name}", many),
        "array_of_multirange": Case(f"mr_{name}[]", f"array[{many}]"),
    }


class Checked(NamedTuple):
    """The problems that `check` reports for all of them."""

    cases: dict[str, Case]
    module: ModuleType
    refused: dict[str, Problem]
    both: Both


@pytest.fixture(scope="module")
def checked(plainsql_databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checked]:
    with plainsql_databases.clone() as url:
        schema, cases = _schema(url)
        root = tmp_path_factory.mktemp("carried")
        project = Project(root=root, output="package_of_carried_types")
        for folder in ("migrations", "sql/of"):
            (root / folder).mkdir(parents=True)
        (root / "migrations" / "0001_all.sql").write_text(schema)
        for name, case in cases.items():
            for query, text in _queries(name, case).items():
                (root / "sql" / "of" / f"{query}.sql").write_text(f"-- It.\n-- returns: {text}\n")
        refused = _refused(project, url)
        with both_executors(url, statements="") as both, pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(root)
            yield Checked(cases, importlib.import_module("package_of_carried_types.of"), refused, both)


def _schema(url: str) -> tuple[str, dict[str, Case]]:
    """Make the types in the database; return the migration and the cases that exist."""
    statements: list[str] = [SCHEMA]
    cases: dict[str, Case] = {}
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        for name in TYPES:
            of_name = _cases(name)
            type, one = of_name["plain"]
            for kinds, statement in (
                (KINDS[:4], f"create type c_{name} as (a {type}, b integer)"),
                (KINDS[4:5], f"create type a_{name} as (a {type}[], b integer)"),
                (KINDS[5:6], f"create table t_{name} (id integer primary key, a {type})"),
                ((), f"insert into t_{name} values (1, {one})"),
                (
                    KINDS[6:],
                    f"create type r_{name} as range (subtype = {type}, multirange_type_name = mr_{name})",
                ),
            ):
                try:
                    connection.execute(statement.encode())
                except (psycopg.errors.UndefinedObject, psycopg.errors.FeatureNotSupported):
                    continue  # a type without an order has no range
                statements.append(statement)
                cases |= {f"{name}_{kind}": of_name[kind] for kind in kinds}
    return ";\n".join(statement.strip().removesuffix(";") for statement in statements) + ";\n", cases


def _queries(name: str, case: Case) -> dict[str, str]:
    return {
        f"read_{name}": f"value\nselect {case.literal} as v",
        f"send_{name}": f"value\nselect (:a::{case.type})::text as v",
    }


def _refused(project: Project, url: str) -> dict[str, Problem]:
    """Generate the module of all accepted cases; return the refused ones, by query."""
    found = check_project(project, url)
    refused = {Path(problem.path).stem: problem for problem in found.errors}
    codegen.write(found.files, project.output_folder)
    return refused


def _plain(value: Any) -> Any:
    """Return the value without the generated classes, so that both drivers' values are compared type by
    type.
    """
    if isinstance(value, Composite):
        return tuple(map(_plain, msgspec.structs.astuple(value)))
    if isinstance(value, asyncpg.Record):
        return tuple(map(_plain, value))
    return [_plain(part) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", TYPES)
def test_it_arrives_the_same_on_both_or_is_refused(checked: Checked, name: str) -> None:
    asked = 0
    for kind in KINDS:
        query = f"read_{name}_{kind}"
        if f"{name}_{kind}" not in checked.cases or query in checked.refused:
            continue
        read, asked = getattr(checked.module, query), asked + 1
        over_asyncpg = checked.both.runner.run(read(checked.both.over_asyncpg))
        over_psycopg = read(checked.both.over_psycopg)
        assert type(over_asyncpg) is type(over_psycopg) or kind == "plain"
        assert same(_plain(over_asyncpg), _plain(over_psycopg)), (kind, over_asyncpg, over_psycopg)
    assert asked or name in UNKNOWN


def _text(both: Both, case: Case) -> str:
    (text,) = both.over_psycopg.connection.execute(f"select ({case.literal})::text".encode()).fetchone() or (
        "",
    )
    return str(text)


@pytest.mark.parametrize("name", TYPES)
def test_received_values_can_be_sent_on_both_or_are_refused(checked: Checked, name: str) -> None:
    for kind in KINDS:
        query = f"send_{name}_{kind}"
        if f"{name}_{kind}" not in checked.cases or query in checked.refused:
            continue
        value = getattr(checked.module, f"read_{name}_{kind}")(checked.both.over_psycopg)
        text = _text(checked.both, checked.cases[f"{name}_{kind}"])
        send = getattr(checked.module, query)
        over_psycopg = send(checked.both.over_psycopg, a=value)
        assert over_psycopg == checked.both.runner.run(send(checked.both.over_asyncpg, a=value)), kind
        # JSON is written without the blanks that it was read with.
        assert over_psycopg.replace(" ", "") == text.replace(" ", "")


UNKNOWN = {"aclitem", "refcursor", "lquery", "nothing"}
"""Types without an annotation, inside of any other type too."""
TEXT_ONLY = {"macaddr", "macaddr8", "money", "tsquery", "tsvector"} | {
    name for name in TYPES if name.startswith("reg")
}
"""Types that asyncpg knows as text only: refused in composite types and ranges, and accepted elsewhere."""

NOT_IN_RANGES = {"json", "jsonb", "documents", "address"}
"""Types whose values are made with the row, which looks into lists and composite types only."""


def test_only_types_that_a_driver_does_not_support_are_refused(checked: Checked) -> None:
    inside = set(KINDS) - {"plain", "array"}
    expected = {f"{way}_{name}_{kind}" for way in ("read", "send") for name in UNKNOWN for kind in KINDS}
    expected |= {f"{way}_{name}_{kind}" for way in ("read", "send") for name in TEXT_ONLY for kind in inside}
    ranges = ("range", "multirange", "array_of_multirange")
    expected |= {
        f"{way}_{name}_{kind}" for way in ("read", "send") for name in NOT_IN_RANGES for kind in ranges
    }
    # asyncpg cannot distinguish a list of paths from one path of points.
    expected |= {"send_path_array", "send_path_array_in_composite"}
    expected |= {"send_documents_array", "send_documents_array_in_composite"}
    expected |= {f"send_int2vector_{kind}" for kind in KINDS}
    there = {query for name, case in checked.cases.items() for query in _queries(name, case)}
    assert set(checked.refused) == expected & there
    assert not NO_INPUT.keys() & TYPES.keys()


@pytest.mark.parametrize(
    ("query", "message", "hint"),
    [
        (
            "read_money_row",
            "v is t_money: it holds money in the composite type t_money, which asyncpg cannot carry there",
            "cast it: v::text",
        ),
        (
            "send_money_composite",
            ":a is c_money: it holds money in the composite type c_money, which asyncpg cannot carry there",
            "take it as text: :a::text::c_money",
        ),
        (
            "read_money_array_of_composite",
            "v is c_money[]: it holds money in the composite type c_money, which asyncpg cannot carry there",
            "cast it: v::text[]",
        ),
        (
            "read_macaddr_range",
            "v is r_macaddr: it holds macaddr in the range r_macaddr, which asyncpg cannot carry there",
            "cast it: v::text",
        ),
        (
            "read_nothing_plain",
            "v is nothing: it holds nothing, a composite type without fields, which asyncpg cannot read",
            "cast it: v::text",
        ),
        (
            "send_path_array",
            ":a is path[]: it has paths in an array, which asyncpg cannot send",
            "take it as text: :a::text[]::path[]",
        ),
        (
            "read_lquery_composite",
            "v is c_lquery: it holds lquery, which plainsql has no Python type for",
            "cast it: v::text",
        ),
    ],
)
def test_it_is_refused_with_a_hint(checked: Checked, query: str, message: str, hint: str) -> None:
    problem = checked.refused[query]
    assert (problem.message, problem.hint) == (f"of.{query}: {message}", hint)
    assert problem.line == 3
    assert problem.column


def test_the_remedy_works(checked: Checked) -> None:
    both = checked.both
    assert both.value("select (row('1'::money, 2)::c_money)::text") == "($1.00,2)"
    assert both.value("select (:a::text::c_money)::text", a="($1.00,2)") == "($1.00,2)"
    assert both.value("select array[row('int4in'::regproc, 2)::c_regproc]::text[]") == ["(int4in,2)"]
    assert both.value("select (:a::text[]::path[])::text", a=["[(1,2)]"]) == '{"[(1,2)]"}'
