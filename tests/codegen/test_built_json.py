"""JSON that queries build, arrays with nulls, and whole rows: generated types that both drivers fill."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import GenericAlias, ModuleType
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

import plainsql
from plainsql import codegen
from plainsql.cache.cached_query import Codec
from plainsql.check.project_check import check_project
from plainsql.errors import DecodeError
from plainsql.rows import JsonObject
from plainsql.settings import Project
from tests.codegen.conftest import Made, Sides, of_schema, opened_sides, query

FILES = {
    "cooks": query(
        "c.id, c as whole, array_agg(d) as rows, array_agg(d.stars) as stars,"
        " array_agg(d.stars) filter (where d.id is not null) as known,"
        " coalesce(jsonb_agg(jsonb_build_object('id', d.id, 'total-stars', d.stars) order by d.id)"
        " filter (where d.id is not null), '[]') as dishes,"
        " jsonb_strip_nulls(jsonb_build_object('mail', c.mail, 'name', c.name)) as contact,"
        " array_agg(json_build_object('n', d.id)) as each",
        "many Cook",
        tail="from cooks as c left join dishes as d on d.cook_id = c.id and d.id > 1\n"
        "group by c.id order by c.id\n",
    ),
    "odd": query(
        "json_build_object('at', 'infinity'::timestamptz, 'day', '-infinity'::date,"
        " 'f', '-Infinity'::float8, 'n', '1.50'::numeric,"
        " 'old', '1900-01-01 00:00:00+00:19:32'::timestamptz,"
        " 'pair', json_build_array(1, 'x', null), 'any', '{\"a\": 1.5}'::jsonb, 'class', 1,"
        " 'by', jsonb_object('{k,v}'), 'self', 1, 'for-all', array[1, null])",
        "value",
    ),
    "plain": query(
        "jsonb_build_object('id', c.id) as cook",
        "many Plain",
        "-- column cook: Json\n",
        "from cooks as c order by c.id\n",
    ),
    "claimed": query(
        "array[1, nullif(:n::int, 0)] as n, '{1,null}'::int[] as m",
        "one Claimed",
        "-- column n: not null, elements not null\n-- column m: elements nullable\n",
    ),
    "paired": query(
        "row(c.id, c.mail, 1.50, 'infinity'::date, true, '\\x00'::bytea, interval '1 day', now() - now(),"
        " '2026-01-01 00:00+02'::timestamptz, '\"a,(b)\\'::text) as pair, row(2, null::int) as other",
        "many Paired",
        tail="from cooks as c order by c.id\n",
    ),
    "one_row": query("row(1::bigint, 'x'::text)", "optional value"),
    "owned": query(
        "jsonb_build_object('id', c.id, 'cooks', json_agg(d.cook_id)) as keyed, array_agg(c.id) as ids",
        "many Owned",
        tail="from cooks as c left join dishes as d on d.cook_id = c.id group by c.id order by c.id\n",
    ),
    "first": query("jsonb_build_object('id', 1) as item, jsonb_build_object('id', 1) as thing", "one First"),
    "second": query(
        "jsonb_build_object('id', null::int) as item, jsonb_build_object('x', 1) as thing", "one Second"
    ),
}


@pytest.fixture(scope="module")
def sides(database_url: str) -> Iterator[Sides]:
    with opened_sides(database_url) as sides:
        yield sides


@pytest.fixture(scope="module")
def a(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> Iterator[ModuleType]:
    """The module that is generated from all queries of this file."""
    root = tmp_path_factory.mktemp("built")
    (root / f"own_{root.name}.py").write_text("from typing import NewType\nCookId = NewType('CookId', int)\n")
    types = {"cooks.id": f"own_{root.name}.CookId"}
    folder = Project(root=root, output=f"package_of_{root.name}", types=types)
    files = of_schema({f"a/{name}.sql": text for name, text in (FILES | {"all": ALL}).items()})
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    found = check_project(folder, database_url)
    assert [str(error) for error in found.errors] == []
    codegen.write(found.files, folder.output_folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root)
        yield importlib.import_module(f"{folder.import_name}.a")


def test_both_drivers_fill_the_types_of_what_a_query_builds(a: ModuleType, sides: Sides) -> None:
    first, second = sides.ask(a.cooks)
    annotations = {row: getattr(a, row).__annotations__ for row in ("Cook", "Dish", "Contact", "Dishes")}
    assert annotations == {
        "Cook": {
            "id": "CookId",
            "whole": "Cooks",
            "rows": "list[Dishes | None]",
            "stars": "list[int | None]",
            "known": "list[int] | None",
            "dishes": "Annotated[list[Dish], BUILT_JSON]",
            "contact": "Annotated[Contact, BUILT_JSON]",
            "each": "list[Annotated[Each, BUILT_JSON]]",
        },
        "Dish": {"id": "int", "total_stars": "int"},
        "Contact": {"mail": "str | None", "name": "str"},
        "Dishes": a.Dishes.__annotations__ | {"id": "int", "cook_id": "CookId | None", "stars": "int"},
    }
    assert (first.rows, first.stars, first.known, first.dishes) == ([None], [None], None, [])
    assert second.dishes == [a.Dish(id=2, total_stars=4)]
    assert second.whole == a.Cooks(2, "Bob", "b@b.b")
    assert second.each == [a.Each(2)]
    assert (first.contact, second.contact) == (a.Contact(name="Ana"), a.Contact(name="Bob", mail="b@b.b"))
    assert isinstance(first.contact, JsonObject)

    async def streamed(db: plainsql.Database) -> list[Any]:
        return [row async for row in a.cooks.stream(db)]

    assert sides.run(streamed) == list(a.cooks.stream(sides.sync)) == [first, second]
    assert sides.run(lambda db: a.cooks.batch(db, [{}, {}])) == [[first, second]] * 2
    # A stored result comes back as it was, and as JSON it has the keys that the query gives.
    codec: Codec[Any] = Codec(GenericAlias(list, (a.Cook,)))
    assert codec.decode(codec.encode([first, second])) == [first, second]
    assert b'"total-stars":4' in plainsql.to_json(second)
    assert [row.cook for row in sides.ask(a.plain)] == [{"id": 1}, {"id": 2}]


def test_values_that_json_has_no_form_for_are_those_of_columns(a: ModuleType, sides: Sides) -> None:
    odd = sides.ask(a.odd)
    assert (odd.at, odd.day, odd.f) == (datetime.max, date.min, -math.inf)  # noqa: DTZ901 (as in a column)
    assert odd.n == Decimal("1.50")
    assert odd.n.as_tuple().exponent == -2
    assert odd.old == datetime(1899, 12, 31, 23, 40, 28, tzinfo=UTC)
    assert (odd.pair, odd.any, odd.class_, odd.by) == ((1, "x", None), {"a": 1.5}, 1, {"k": "v"})
    assert (odd.self, odd.for_all) == (1, [1, None])


def test_own_types_are_those_of_elements_and_of_values_in_built_json(a: ModuleType, sides: Sides) -> None:
    assert a.Keyed.__annotations__ == {"id": "CookId", "cooks": "list[CookId | None]"}
    assert a.Owned.__annotations__["ids"] == "list[CookId]"
    assert sides.ask(a.owned)[0] == a.Owned(a.Keyed(1, [1]), [1])


def test_an_anonymous_row_is_a_struct_on_both_drivers(a: ModuleType, sides: Sides) -> None:
    first, second = sides.ask(a.paired)
    assert [text.replace("_", "") for text in a.Pair.__annotations__.values()] == [
        # Parameters of the module have the names of types.
        *("CookId", "str | None", "Decimal", "date", "bool", "bytes", "timedelta", "timedelta"),
        *("datetime", "str"),
    ]
    values = (Decimal("1.50"), date.max, True, b"\0", timedelta(days=1), timedelta(0))
    moment = datetime(2025, 12, 31, 22, tzinfo=UTC)
    assert first.pair == a.Pair(1, None, *values, moment, '"a,(b)\\')
    assert second.pair == a.Pair(2, "b@b.b", *values, moment, '"a,(b)\\')
    assert first.other == a.Other(2, None)
    assert sides.ask(a.one_row) == a.OneRow(1, "x")
    assert list(a.paired.stream(sides.sync)) == [first, second]


def test_an_anonymous_row_that_a_driver_cannot_read_is_refused(make: Made) -> None:
    columns = {
        "row(1, 'x')": ("it holds unknown, which", "cast its text: row('a'::text)"),
        "row(1, array[1])": ("it holds integer[], which", "jsonb_build_object(…) as r"),
        "row(1, '{}'::json)": ("it holds json, which", "jsonb_build_object(…) as r"),
        "row(1, '{x}'::mood)": ("it holds mood, which", "cast it: row(…)::some_type, or"),
        "array_agg(row(1))": ("is a row without a type", "jsonb_build_object(…) as r"),
    }
    files = {f"sql/a/q{n}.sql": query(f"{column} as r", f"one T{n}") for n, column in enumerate(columns)}
    for problem, (message, hint) in zip(make(files).errors, columns.values(), strict=True):
        assert message in problem.message
        assert hint in (problem.hint or "")


def test_an_element_that_the_header_calls_not_null_is_checked(a: ModuleType, sides: Sides) -> None:
    assert a.Claimed.__annotations__ == {"n": "list[int]", "m": "list[int | None]"}
    assert sides.ask(a.claimed, n=2) == a.Claimed([1, 2], [1, None])
    error = sides.refused(a.claimed, DecodeError, n=0)
    assert error.message == "a.claimed: an element of n is null, and the header says that none is"
    assert error.hint.startswith("remove 'elements not null' from ")


def test_objects_of_one_name_are_one_class_if_their_fields_are_the_same(a: ModuleType) -> None:
    assert a.First.__annotations__["item"] == a.Second.__annotations__["item"]
    assert a.Item.__annotations__ == {"id": "int | None"}
    assert a.FirstThing.__annotations__ == {"id": "int"}
    assert a.SecondThing.__annotations__ == {"x": "int"}


TYPES = """
from __future__ import annotations
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Optional, TypedDict
import msgspec

class Base(msgspec.Struct):
    id: int

class Fits(Base):
    name: str
    mail: Optional[str]
    stars: list[int | None] | None = None
    extra: int = 0

class Differs(Base):
    name: int
    mail: str
    missing: str
    stars: list[str]

class Renamed(msgspec.Struct, rename="camel"):
    nothing: int

class Keyed(TypedDict, total=False):
    id: str
    absent: int

@dataclass
class Inner:
    cook: Differs

Alias = Optional[str]

class Aliased(msgspec.Struct):
    mail: Alias
    name: Literal["Ana", "Bob"]
"""

BUILT = (
    "jsonb_build_object('id', c.id, 'name', c.name, 'mail', c.mail,"
    " 'stars', (select json_agg(d.stars) from dishes as d)) as j"
)


DECLARED = {
    "Fits": [],
    "Renamed": [],
    "Aliased": [],
    "dict[str, Json]": [],
    "Differs": [
        "j.name: expected int, got text",
        "j.mail: expected str, got null (nullable column)",
        "j.missing: expected str, got no such key",
        "j.stars: expected list[str], got null (json_agg over no rows)",
        "j.stars[]: expected str, got integer",
    ],
    "Keyed": ["j.id: expected str, got bigint"],
    "Inner": ["j.cook: expected Differs, got no such key"],
    "list[Fits]": ["j: expected list[Fits], got an object"],
    "str": ["j: expected str, got an object"],
}


def test_a_declared_type_that_the_query_does_not_build_is_found(make: Made, folder: Project) -> None:
    files = {f"{folder.output}/a/types.py": TYPES}
    for number, declared in enumerate(DECLARED):
        tail = "from cooks as c where c.id = 1\n"
        text = query(BUILT, f"optional Thing{number}", f"-- column j: {declared}\n", tail)
        files[f"sql/a/q{number}.sql"] = text
    found = make(files)
    assert found.errors == ()
    problems: dict[str, list[str]] = {declared: [] for declared in DECLARED}
    for problem in found.findings:
        assert (problem.name, problem.line, problem.column) == ("json-type", 3, 11)
        said, part = problem.message.split(", which the query does not build: ")
        problems[said.removeprefix("the header gives j the type ")].append(part)
    assert problems == DECLARED


def test_elements_of_no_array_are_refused(make: Made) -> None:
    (problem,) = make({"sql/a/q.sql": query("1 as n", "one T", "-- column n: elements not null\n")}).errors
    assert problem.message == "a.q: the header speaks of the elements of n, but it is integer"


def _numbers(**options: Any) -> SearchStrategy[str]:
    return (
        st.decimals(allow_nan=True, **options)
        .map(str)
        .filter(lambda text: text not in ("-NaN", "sNaN", "-sNaN"))
    )


_FLOATS = st.floats(width=64).map(repr)
_DAYS = st.dates(date(1, 1, 3), date(9999, 12, 29)).map(str) | st.sampled_from(["infinity", "-infinity"])
_FIRST, _LAST = (datetime(1, 1, 3), datetime(9999, 12, 29))  # noqa: DTZ001 (a timestamp has no zone)
_MOMENTS = st.datetimes(_FIRST, _LAST).map(str) | st.just("infinity")
_TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
# The type → texts of its values. Each is read as a column and inside of JSON.
SCALARS: dict[str, SearchStrategy[str]] = {
    "bool": st.booleans().map(str),
    "int2": st.integers(-(2**15), 2**15 - 1).map(str),
    "int4": st.integers(-(2**31), 2**31 - 1).map(str),
    "int8": st.integers(-(2**63), 2**63 - 1).map(str),
    "float4": st.floats(width=32).map(repr),
    "float8": _FLOATS,
    "numeric": _numbers(places=3, allow_infinity=True),
    "oid": st.integers(0, 2**32 - 1).map(str),
    "text": _TEXTS,
    "varchar": _TEXTS,
    "bytea": st.binary(max_size=4).map(lambda data: f"\\x{data.hex()}"),
    "uuid": st.uuids().map(str),
    "date": _DAYS,
    "time": st.times().map(str),
    "timetz": st.times().map(lambda time: f"{time}+02"),
    "timestamp": _MOMENTS,
    "timestamptz": _MOMENTS.map(lambda text: text if text == "infinity" else f"{text}+00"),
    "interval": st.integers(0, 10**6).map(lambda seconds: f"{seconds} seconds"),
    "inet": st.ip_addresses().map(str),
    "int4range": st.integers(0, 9).map(lambda low: f"[{low},)"),
    "bit": st.sampled_from("01"),
    "money": st.integers(0, 99).map(str),
    "point": st.just("(1,2)"),
    "jsonb": st.sampled_from(["null", "1.5", '{"a": [1]}', '"NaN"', "12345678901234567890"]),
    "mood": st.sampled_from(['a"b', "tab\there", "{x}", ""]),
}
_SAME = {"bool", "int2", "int4", "int8", "float8", "numeric", "text", "varchar", "uuid", "date", "time"} | {
    "timestamp",
    "timestamptz",
    "mood",
    "jsonb",
}
"""The types whose values are the same in JSON as in a column."""


def _of_scalars() -> str:
    values = {name: f"cast(cast(:{name} as text) as {name})" for name in SCALARS}
    pairs = ", ".join(f"'{name}', {value}" for name, value in values.items())
    lists = ", ".join(f"'{name}', array[{value}, null]" for name, value in values.items())
    columns = ", ".join(f"{value} as c_{name}" for name, value in values.items())
    return f"json_build_object({pairs}) as j, jsonb_build_object({lists}) as b, {columns}"


ALL = query(f"\n{_of_scalars()}".replace(", ", ",\n  "), "one All")


def _same(one: object, other: object) -> bool:
    nan = [isinstance(each, float | Decimal) and math.isnan(each) for each in (one, other)]
    return all(nan) or one == other


def test_built_json_of_any_value_decodes_into_its_generated_type(a: ModuleType, sides: Sides) -> None:
    @settings(max_examples=40, deadline=None, suppress_health_check=[*HealthCheck])  # pyright: ignore[reportArgumentType]
    @given(st.fixed_dictionaries(SCALARS))
    def decoded(values: dict[str, str]) -> None:
        row = a.all(sides.sync, **values)
        for name in SCALARS:
            found, (element, null) = getattr(row.j, name), getattr(row.b, name)
            assert null is None
            column = getattr(row, f"c_{name}")
            if name in _SAME:
                assert _same(found, column), (name, found, column)
            assert _same(element, found), (name, element, found)
        msgspec.json.encode(row.j)

    decoded()
