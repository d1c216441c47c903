"""The project's own types of columns and parameters, made and sent on both drivers."""

from __future__ import annotations

import importlib
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest

import plainsql
from plainsql import BindError, DecodeError
from plainsql.check.project_check import check_project
from plainsql.errors import SettingsError
from plainsql.settings import Project
from plainsql.types import Range
from tests.codegen.conftest import Load, Made, Sides

SCHEMA = """
create domain phone as text;
create domain score as numeric;
create type scores as range (subtype = numeric);
create type color as enum ('red', 'blue');
create table shops (id bigint primary key, phone phone, color color, note text, window_ daterange);
create table sales (
  id bigint primary key, shop_id bigint not null references shops (id), total numeric not null,
  parts numeric[] not null default '{}', extra jsonb
);
create type bill as (gone integer, sale bigint, total numeric, parts numeric[]);
alter type bill drop attribute gone;
insert into shops values (1, '+34 1', 'red', 'Ana', '[2026-01-01,2026-02-01)'), (2, null, null, null, null);
insert into sales (id, shop_id, total, parts, extra) values
  (10, 1, 1.50, '{2.5,null}', '{"a": 1}'), (11, 1, 3, '{{1},{2}}', null);
"""

MODULE = """
from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, NewType

ShopId = NewType("ShopId", int)
SaleId = NewType("SaleId", int)


class Bare:
    pass


class Color(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Phone:
    text: str


def dial(phone: Phone) -> str:
    return phone.text


@dataclass(frozen=True)
class Money:
    cents: int


def load(value: Decimal) -> Money:
    if value < 0:
        raise ValueError(f"{value} is a debt")
    return Money(int(value * 100))


def dump(money: Money) -> Decimal:
    return Decimal(money.cents) / 100


@dataclass(frozen=True)
class Day:
    number: int


def day(value: dt.date) -> Day:
    return Day(value.toordinal())


def date(value: Day) -> dt.date:
    return dt.date.fromordinal(value.number)


@dataclass
class Extra:
    values: dict[str, Any]


def extras(extra: Extra) -> Any:
    return extra.values
"""

QUERY = "-- One.\n-- returns: value\nselect 1 as one\n"
QUERIES = {
    "sales": """-- Sales with their shops.
-- returns: many Sale
select s.id, s.shop_id, s.total, s.parts, s.extra,
  p.id as "shop.id", p.phone as "shop.phone", p.color as "shop.color"
from sales as s left join shops as p on p.id = s.shop_id and p.phone = :phone
where s.id = any(:ids) and s.total >= :least --?
order by s.id
limit 10
""".replace("and s.total >= :least --?", "\n  and s.total >= :least --?"),
    "add": """-- Add.
-- returns: one Added
insert into sales (id, shop_id, total, parts, extra) values (:id, :shop, :total, :parts, :extra)
returning id, shop_id, total, parts, extra
""",
    "add_all": """-- Add all.
-- returns: count
insert into sales (id, shop_id, total)
select * from unnest(:ids::bigint[], :shops::bigint[], :totals::numeric[])
""",
    "add_rows": """-- Add rows.
-- returns: count
insert into sales (id, shop_id, total)
select * from unnest(:sales.id::bigint[], :sales.shop::bigint[], :sales.total::numeric[])
""",
    "copy_rows": """-- Copy rows.
-- returns: copied
copy sales (id, shop_id, total, extra) from stdin
""",
    "days": """-- Days.
-- returns: many Days
select p.window_ as days, lower(p.window_) as first, array[p.window_] as all_days from shops as p
where p.window_ = :days or p.window_ && :days order by p.id limit 10
""",
    "rows": """-- Whole rows.
-- returns: many Rows
select s as sale, row(s.id, s.total, s.parts)::bill as line,
  :line::bill as given, array[:line::bill] as several,
  to_jsonb(row(s.id, s.total, s.parts)::bill) as document, to_jsonb(s) as whole, row(s.id, s.total) as pair,
  (:line::bill).total as net
from sales as s where s.id = :id limit 1
""",
    "paint": """-- Paint.
-- returns: optional value
update shops set color = coalesce(:color, color), phone = :phone where id = :id returning color
""",
    "header": """-- Named in the header.
-- returns: one Named
-- column id: int
-- column twice: own_{n}.types.Money
-- column note: Decimal
-- param plus: own_{n}.types.Money
-- param id: own_{n}.types.SaleId 1..99 = 10
select s.id, s.total + :plus as twice, s.total as note from sales as s where s.id = :id
""",
    "kept": """-- Kept in the cache.
-- returns: many Kept
-- cache: 5m
select s.id, s.total, s.parts, s.extra, p.id as "shop.id", p.phone as "shop.phone", p.color as "shop.color"
from sales as s left join shops as p on p.id = s.shop_id and p.phone = :phone where s.id = :id limit 1
""",
    "highest": """-- The highest.
-- returns: value
-- cache: 5m
select max(s.total) as highest from sales as s where s.shop_id = :shop
""",
    "built": """-- JSON that the query builds.
-- returns: many Built
-- cache: 5m
select p.id, jsonb_build_object('color', p.color, 'id', p.id) as shop, jsonb_agg(
  jsonb_build_object('id', s.id, 'total', s.total, 'list', jsonb_build_array(s.total, s.id)) order by s.id
) filter (where s.id is not null) as sales,
  to_json(max(s.total)) as most, json_agg(array[s.total]) as totals
from shops as p left join sales as s on s.shop_id = p.id group by p.id order by p.id limit 10
""",
    "dearest": """-- A page at a time.
-- returns: many Dearest
-- page: key
select s.id, s.total, p.phone, p.color
from sales as s left join shops as p on p.id = s.shop_id and s.id <> 22
order by p.color, p.phone nulls first, s.total desc, s.id
""",
    "load": """-- Named like what the module imports.
-- returns: optional Money
select s.total as dump, s.shop_id as "Annotated" from sales as s where s.total = :load and s.id = :dump
""",
    "negative": """-- A converter that raises.
-- returns: value
select s.total from sales as s where s.id = :id
""",
}


@pytest.fixture
def folder(tmp_path: Path) -> Project:
    module = f"own_{tmp_path.name}.types"
    (tmp_path / f"own_{tmp_path.name}").mkdir()
    (tmp_path / f"own_{tmp_path.name}" / "types.py").write_text(MODULE)
    pair = {"from_db": f"{module}.load", "to_db": f"{module}.dump"}
    types = {
        "shops.id": f"{module}.ShopId",
        "sales.id": f"{module}.SaleId",
        "sales.total": {"type": f"{module}.Money", **pair},
        "*.parts": {"type": f"{module}.Money", **pair},
        "bill.total": {"type": f"{module}.Money", **pair},
        "domain:phone": {"type": f"{module}.Phone", "from_db": f"{module}.Phone", "to_db": f"{module}.dial"},
        "color": {"type": f"{module}.Color", "from_db": f"{module}.Color"},
        "pg_catalog.date": {"type": f"{module}.Day", "from_db": f"{module}.day", "to_db": f"{module}.date"},
        "sales.extra": {"type": f"{module}.Extra", "from_db": f"{module}.Extra", "to_db": f"{module}.extras"},
    }
    return Project(root=tmp_path, output=f"package_of_{tmp_path.name}", types=types)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    texts = {f"sql/a/{n}.sql": text.replace("{n}", tmp_path.name) for n, text in QUERIES.items()}
    return {"migrations/0001_all.sql": SCHEMA} | texts


@pytest.fixture
def types(folder: Project, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module with the project's types."""
    monkeypatch.syspath_prepend(folder.root)
    return importlib.import_module(f"own_{folder.root.name}.types")


@pytest.fixture
def tables(sides: Sides, fresh_database_url: str) -> Sides:
    """The database of both sides, with the tables of these queries."""
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
    return sides


@pytest.fixture
def schema_only(tmp_path: Path) -> Project:
    """A project without queries of its own types."""
    for name, text in {"migrations/0001_all.sql": SCHEMA, "sql/a/one.sql": QUERY}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return Project(root=tmp_path, output=f"package_of_{tmp_path.name}")


def test_values_are_made_and_sent_in_every_form(
    load: Load, files: dict[str, str], types: Any, tables: Sides
) -> None:
    """Alone, in arrays, ranges, composites, nested rows and JSON; null and missing rows stay as they are."""
    a: Any = load("a", files)
    money, day, ask = types.Money, types.Day, tables.ask
    first, second = ask(a.sales, ids=[types.SaleId(10), types.SaleId(11)], phone=types.Phone("+34 1"))
    assert (first.total, first.parts, first.extra) == (money(150), [money(250), None], types.Extra({"a": 1}))
    assert (second.parts, second.extra) == ([[money(100)], [money(200)]], None)
    assert first.shop == a.Shop(1, types.Phone("+34 1"), types.Color.RED)
    assert type(first.shop.color) is types.Color
    assert [row.shop for row in ask(a.sales, ids=[10], phone=types.Phone("?"))] == [None]
    assert [row.id for row in ask(a.sales, ids=[10, 11], phone=types.Phone("?"), least=money(200))] == [11]

    january = Range(day(739617), day(739648))
    (days,) = ask(a.days, days=january)
    assert (days.days, days.first, days.all_days) == (january, day(739617), [january])
    assert ask(a.days, days=Range(empty=True)) == []
    assert [row.days for row in ask(a.days, days=Range(day(739617), None))] == [january]

    line = a.Bill(sale=1, total=money(700), parts=[money(1), None])
    (rows,) = ask(a.rows, id=10, line=line)
    assert (rows.given, rows.several, rows.line.total) == (line, [line], money(150))
    assert (rows.document.total, rows.document.parts) == (money(150), [money(250), None])
    assert (rows.whole.parts, rows.whole.total) == ([money(250), None], money(150))
    assert rows.net == money(700)
    assert (rows.pair.f1, rows.pair.f2) == (10, money(150))
    assert (rows.sale.total, rows.sale.shop_id, rows.sale.extra) == (money(150), 1, types.Extra({"a": 1}))

    one, two = ask(a.built)
    assert [(sale.id, sale.total, sale.list) for sale in one.sales] == [
        (10, money(150), (money(150), 10)),
        (11, money(300), (money(300), 11)),
    ]
    assert (type(one.shop.color), two.shop.color, two.sales) == (types.Color, None, None)
    assert (one.most, one.totals) == (money(300), [[money(150)], [money(300)]])
    assert (two.most, two.totals) == (None, [[None]])

    named = ask(a.header, plus=money(50))
    assert named == a.Named(10, money(200), Decimal("1.50"))
    assert a.header.signature.parameters["id"].default == 10
    assert ask(a.paint, id=1, color=types.Color.BLUE, phone=types.Phone("7")) is types.Color.BLUE
    assert ask(a.paint, id=1, color=None, phone=None) is types.Color.BLUE
    assert ask(a.paint, id=2, color=None, phone=None) is None


def test_names_of_the_project_do_not_hide_those_of_the_queries(
    load: Load, files: dict[str, str], types: Any, tables: Sides
) -> None:
    a: Any = load("a", files)
    assert tables.ask(a.load, load=types.Money(150), dump=10) == a.Money(types.Money(150), 1)


def test_every_way_to_run_a_query_converts(
    load: Load, files: dict[str, str], types: Any, tables: Sides
) -> None:
    a: Any = load("a", files)
    money, db = types.Money, tables.sync

    def sale(id: int) -> dict[str, Any]:
        extra = types.Extra({"n": id})
        return {"id": id, "shop": 1, "total": money(id), "parts": [money(1)], "extra": extra}

    (made,) = a.add.batch(db, [sale(20)])
    assert made == a.Added(20, 1, money(20), [money(1)], types.Extra({"n": 20}))
    a.add.execute_many(db, [sale(21), sale(22)])
    assert a.add_all(db, ids=[23, 24], shops=[1, 1], totals=[money(23), money(24)]) == 2
    assert a.add_rows(db, sales=[{"id": 25, "shop": 1, "total": money(25)}, (26, 1, money(26))]) == 2
    assert a.copy_rows(db, [(27, 1, money(27), types.Extra({"n": 27})), (28, 1, money(28), None)]) == 2
    streamed = list(a.sales.stream(db, ids=range(20, 29), phone=types.Phone("?")))
    assert [row.total for row in streamed] == [money(n) for n in range(20, 29)]
    assert [row.extra for row in streamed[-2:]] == [types.Extra({"n": 27}), None]
    expected = a.dearest(db)
    found: list[Any] = []
    token = None
    while len(found) < len(expected):
        page = a.dearest.page(db, plainsql.PageRequest(2, token))
        found, token = found + page.rows, page.next
    assert found == expected
    assert token is None
    assert {row.phone for row in found} == {None, types.Phone("+34 1")}

    async def asynchronous(db: plainsql.Database) -> list[Any]:
        (made,) = await a.add.batch(db, [sale(30)])
        await a.add.execute_many(db, [sale(31)])
        await a.copy_rows(db, [(32, 1, money(32), None)])
        await a.add_rows(db, sales=[(33, 1, money(33))])
        ids = [30, 31, 32, 33]
        async with db.transaction() as tx:
            streamed = [row.total async for row in a.sales.stream(tx, ids=ids, phone=types.Phone("?"))]
        return [made.extra, *streamed]

    assert tables.run(asynchronous) == [types.Extra({"n": 30}), *map(money, range(30, 34))]


async def test_a_cached_result_is_the_one_that_was_read(
    load: Load, files: dict[str, str], types: Any, fresh_database_url: str, redis_url: str
) -> None:
    """It is stored as the database has it, and made again by the project's functions."""
    a: Any = load("a", files)
    phone, shop = types.Phone("+34 1"), types.ShopId(1)
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode() + b"update sales set parts = '{2.5}' where id = 10")
        async with plainsql.connect(fresh_database_url, redis=redis_url) as db:
            read: Any = None
            built: Any = None
            while db.cache.stats().fills < 3:  # nothing of a table is stored for its first second
                (read,) = await a.kept(db, id=10, phone=phone)
                assert await a.highest(db, shop=shop) == types.Money(300)
                built = await a.built(db)
        connection.execute("delete from sales")  # no cache knows of it
        async with plainsql.connect(fresh_database_url, redis=redis_url) as db:
            assert await a.kept(db, id=10, phone=phone) == [read]
            assert await a.highest(db, shop=shop) == types.Money(300)
            assert await a.built(db) == built
            assert db.cache.stats().hits == 3
    assert (read.total, read.parts) == (types.Money(150), [types.Money(250)])
    assert (read.extra, read.shop) == (types.Extra({"a": 1}), a.Shop(1, phone, types.Color.RED))
    assert type(read.shop.color) is types.Color


def test_a_converter_that_raises_is_named_without_the_value(
    load: Load, files: dict[str, str], types: Any, tables: Sides, fresh_database_url: str
) -> None:
    a: Any = load("a", files)
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        connection.execute("insert into sales (id, shop_id, total, parts) values (99, 1, -7654, '{-7654}')")
    error = tables.refused(a.negative, DecodeError, id=99)
    place = f"{types.__file__}:{MODULE[: MODULE.index('raise ValueError')].count(chr(10)) + 1}"
    assert error.message == f"a.negative: load raised ValueError at {place}"
    error = tables.refused(a.sales, DecodeError, ids=[99], phone=types.Phone("?"))
    assert error.message.startswith("Sale.total: load raised ValueError")
    assert "7654" not in f"{error!r}{error}{error.__cause__}"
    error = tables.refused(a.add_all, BindError, ids=[1], shops=[1], totals=["7654"])
    assert error.message.startswith("a.add_all: totals: dump raised AttributeError at ")
    line = a.Bill(sale=1, total="7654", parts=None)
    error = tables.refused(a.rows, BindError, id=10, line=line)
    assert error.message.startswith("a.rows: Bill.total: dump raised AttributeError at ")
    assert error.__cause__ is None
    good = (40, 1, types.Money(1), None)
    with pytest.raises(
        BindError, match=r"a\.copy_rows: row 2: total: dump raised AttributeError at "
    ) as raised:
        a.copy_rows(tables.sync, [good, (41, 1, "7654", None)])
    assert "7654" not in f"{raised.value}"


SEVERAL = (
    ":x has several types: {m}.SaleId by the column public.sales.id "
    "and {m}.ShopId by a foreign key to public.shops.id"
)
HEADERS = {
    "plain": (
        "-- column total: {m}.Bare\n",
        "total is {m}.Bare: Bare is a class, and its values would not be made: numeric arrives as Decimal",
    ),
    "base": (
        "-- column id: {m}.SaleId\n-- column total: {m}.SaleId\n",
        "total is {m}.SaleId: SaleId is a NewType of int, and numeric is Decimal in Python",
    ),
    "name": ("-- column id: {m}.Nothing\n", "id is {m}.Nothing: {m} does not define Nothing"),
    "module": ("-- param x: nothing.at.All\n", ":x is nothing.at.All: there is no module nothing.at"),
    "list": (
        "-- column parts: {m}.Money\n",
        "the header gives parts the type {m}.Money, but it is numeric[]",
    ),
    "several": (
        "",
        SEVERAL,
    ),
}


def test_a_type_that_does_not_fit_is_refused_at_its_place(make: Made, types: Any) -> None:
    body = "select s.id, s.total, s.parts from sales as s where s.id = :x"
    texts = {
        f"sql/a/{name}.sql": f"-- It.\n-- returns: many Row{name.title()}\n"
        f"{header.replace('{m}', types.__name__)}{body}{' and s.shop_id = :x' if name == 'several' else ''}\n"
        for name, (header, _) in HEADERS.items()
    }
    found = make({"migrations/0001_all.sql": SCHEMA} | texts)
    assert {error.message for error in found.errors} == {
        f"a.{name}: {message.replace('{m}', types.__name__)}" for name, (_, message) in HEADERS.items()
    }
    lines = {error.path.rpartition("/")[2]: error.line for error in found.errors}
    assert lines == dict.fromkeys((f"{name}.sql" for name in HEADERS), 3) | {"base.sql": 4}


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ({"sales.idd": "a.b"}, "'sales.idd' matches nothing: there is no such column or type"),
        ({"*.nope": "a.b"}, "'*.nope' matches nothing: no table has a column of this name"),
        ({"domain:color": "a.b"}, "'domain:color': public.color is no domain"),
        ({"_numeric": "a.b"}, "'_numeric' is a type of arrays"),
        (
            {"sales.id": "a.b", "public.sales.id": "a.c"},
            "'sales.id' and 'public.sales.id' mean the same, and differ: a.b, a.c",
        ),
        ({"sales.id": 3}, "'sales.id': expected the path of a type, or a table with type, got int"),
        (
            {"sales": {"id": "a.b"}},
            "'sales': expected the path of a type, or a table with type, got a table without it",
        ),
        ({"sales.id": "SaleId"}, "'sales.id': expected an import path for type, got 'SaleId'"),
        ({"sales.id": {"type": "a.b", "to_db": "a.c"}}, "'sales.id': expected from_db with to_db, got none"),
        ({"sales.id": {"type": "a.b", "load": "a.c"}}, "'sales.id': unknown key 'load'"),
    ],
)
def test_a_wrong_setting_is_refused_at_its_place(
    schema_only: Project, database_url: str, types: dict[str, Any], message: str
) -> None:
    file = schema_only.root / "pyproject.toml"
    file.write_text("[tool.plainsql.types]\n" + "".join(f'"{key}" = 1\n' for key in types))
    with pytest.raises(SettingsError) as raised:
        check_project(replace(schema_only, types=types), database_url)
    assert raised.value.message == f"[tool.plainsql.types]: {message}"
    assert raised.value.place is not None
    assert (raised.value.place.path, raised.value.place.line) == (str(file), len(types) + 1)


def test_a_setting_without_its_definition_is_refused_if_unused(
    schema_only: Project, database_url: str
) -> None:
    (schema_only.root / "mine.py").write_text("from other import *\n")
    types = {"sales.id": "mine.Whatever", "shops.id": "no.where.Id"}
    (error,) = check_project(replace(schema_only, types=types), database_url).errors
    assert error.message == "[tool.plainsql.types]: no.where.Id: there is no module no.where"
