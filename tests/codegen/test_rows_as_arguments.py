"""Rows as arguments: ``returns: copied``, and lists of rows as one parameter of ``unnest``."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

import asyncpg
import msgspec
import psycopg
import pytest

import plainsql
import plainsql.sync
from plainsql import BindError, codegen
from plainsql.check.project_check import check_project
from plainsql.settings import Project
from plainsql.statements import parse
from plainsql.testing import Databases

SCHEMA = """
create type mood as enum ('ok', 'bad');
create type size as (width int, height int);
create table customers (
  id bigint generated always as identity primary key,
  name text not null,
  email text unique,
  mood mood not null default 'ok',
  size size,
  tags jsonb[],
  doc jsonb,
  shout text generated always as (upper(name)) stored
);
create table sales (id int primary key, total numeric not null, note text);
create view names as select name from customers;
create table letters (tenant text not null default current_setting('app.jwt_tenant'), text text not null);
alter table letters enable row level security;
create policy own on letters using (tenant = current_setting('app.jwt_tenant', true));
"""
HEADER = "-- Load them.\n--\n-- returns: copied\n"
FILES = {
    "load": HEADER + "copy customers (name, email, size, tags, doc) from stdin",
    "load_all": HEADER + 'copy public.customers (id, "name") -- the identity as well\nfrom stdin;\n',
    "load_sales": HEADER + "copy sales (id, total, note) from stdin",
    "load_letters": HEADER + "copy letters (text) from stdin",
    "everyone": "-- All.\n-- returns: many Customer\nselect id, name, email from customers order by id",
    "letters": "-- All.\n-- returns: many value\nselect text from letters order by text",
    "add": """-- Add them, all with the same mood.
-- returns: many value
insert into customers (name, email, mood, doc)
select v.name, v.email, :mood, v.doc
from unnest(:customers.name::text[], :customers.email::text[], :customers.doc::jsonb[])
  as v (name, email, doc)
returning name""",
    "pick": """-- Those with one of these names, or all.
-- returns: many value
select c.name
from customers as c
where true
  and c.name in (select v.name from unnest(:marks.name::text[]) as v (name))  --?
order by c.name""",
    "count": "-- How many.\n-- returns: value\n-- cache: 5m\nselect count(*) as total from customers",
}


class Named(msgspec.Struct, frozen=True):
    email: str | None
    name: str
    size: Any = None
    tags: Any = None
    doc: Any = None
    other: int = 1


@dataclass
class Plain:
    name: str
    email: str | None
    size: Any = None
    tags: Any = None
    doc: Any = None


@pytest.fixture(scope="module")
def loaded(
    plainsql_databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Any, str, Project]]:
    """The generated module, the URL of its database, and the project."""
    root = tmp_path_factory.mktemp("copied")
    for name, text in FILES.items():
        (root / "sql").mkdir(exist_ok=True)
        (root / "sql" / f"{name}.sql").write_text(text)
    (root / "migrations").mkdir()
    (root / "migrations" / "0001_all.sql").write_text(SCHEMA)
    (root / "copied_types.py").write_text(
        "from typing import NewType\n"
        "SaleId = NewType('SaleId', int)\n"
        "class Money:\n"
        "    def __init__(self, cents: int) -> None: self.cents = cents\n"
        "def load(value): return Money(int(value * 100))\n"
        "def dump(money): return money.cents / 100\n"
    )
    types: dict[str, Any] = {
        "sales.id": "copied_types.SaleId",
        "sales.total": {
            "type": "copied_types.Money",
            "from_db": "copied_types.load",
            "to_db": "copied_types.dump",
        },
    }
    project = Project(root=root, output="copied_package", types=types)
    with plainsql_databases.clone() as url, pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root)
        found = check_project(project, url)
        assert [str(error) for error in found.errors] == []
        codegen.write(found.files, project.output_folder)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(SCHEMA.encode())
        import copied_package.queries as module  # type: ignore[import-not-found]

        yield module, url, project


def rows(module: Any) -> list[Any]:
    return [
        Named("a@x", "Ana"),
        {"name": "Bob", "email": None, "size": (1, 2), "tags": [[1], {"a": 1}], "doc": {"k": [1]}},
        ("Carla", "c@x", None, None, [1, 2]),
        Plain("Dan", None, size=module.Size(3, 4)),
    ]


async def test_rows_of_every_form_are_copied_over_both_drivers(loaded: tuple[Any, str, Project]) -> None:
    q, url, _ = loaded
    names = ["Ana", "Bob", "Carla", "Dan"]
    seen: list[int] = []

    async def one_by_one() -> AsyncIterator[Any]:
        for row in rows(q):
            yield row

    calls: list[Any] = []
    async with plainsql.connect(url, on_call=calls.append) as db:
        assert await q.load(db, rows(q), progress=seen.append) == 4
        assert [each.name for each in await q.everyone(db)] == names
        assert [(call.query.name, call.operation, call.rows) for call in calls[:1]] == [
            ("load", "copy_in", 4)
        ]
        with pytest.raises(asyncpg.UniqueViolationError) as raised:
            await q.load(db, one_by_one())
        assert "query: load (sql/load.sql)" in raised.value.__notes__
        with pytest.raises(BindError, match="row 2: size: expected size, got"):
            await q.load(db, [Named(None, "Eve"), Named(None, "Fay", size=7)])
        async with db.transaction() as tx:
            assert await q.load(tx, [Named(None, "Gil")]) == 1
            async with tx.transaction() as inner:
                assert await q.load(inner, []) == 0
        assert await q.load_all(db, [(100, "Hal")]) == 1  # as COPY does, into an identity column
        connection = await asyncpg.connect(url)
        try:
            assert await q.load(plainsql.over(connection), [Named(None, "Ida")]) == 1
        finally:
            await connection.close()
        found = [each.name for each in await q.everyone(db)]
    assert found == [*names, "Gil", "Ida", "Hal"]
    with plainsql.sync.connect(url) as script:
        script.connection.execute("truncate customers")
        assert q.load(script, iter(rows(q)), progress=seen.append) == 4
        with pytest.raises(psycopg.errors.UniqueViolation) as again:
            q.load(script, rows(q))
        assert "query: load (sql/load.sql)" in again.value.__notes__
        with pytest.raises(BindError, match="row 2: size: expected"):
            q.load(script, [Named(None, "Eve"), Named(None, "Fay", size=7)])
        with script.transaction() as own_tx:
            assert q.load(own_tx, [Named(None, "Gil")]) == 1
        assert q.load_all(script, [(100, "Hal")]) == 1
        with psycopg.connect(url) as own:
            assert q.load(plainsql.sync.over(own), [Named(None, "Ida")]) == 1
        assert [each.name for each in q.everyone(script)] == [*names, "Gil", "Ida", "Hal"]
        stored = script.connection.execute("select size::text, tags::text, doc::text from customers")
        assert stored.fetchall()[1] == ("(1,2)", '{[1],"{\\"a\\": 1}"}', '{"k": [1]}')
    assert seen == [4, 4]


async def test_every_executor_analyzes_after_a_copy(loaded: tuple[Any, str, Project]) -> None:
    q, url, _ = loaded
    with psycopg.connect(url, autocommit=True) as admin:

        def analyzed() -> int:
            """Return the rows that the planner knows of, and forget them."""
            [[rows]] = admin.execute("select reltuples from pg_class where relname = 'customers'").fetchall()
            admin.execute("truncate customers")
            return int(rows)

        def people(count: int) -> list[Named]:
            return [Named(None, f"P{number}") for number in range(count)]

        analyzed()
        async with plainsql.connect(url) as db:
            assert await q.load(db, people(3)) == 3
            assert analyzed() <= 0
            assert await q.load(db, people(4), analyze=True) == 4
            assert analyzed() == 4
            async with db.transaction() as tx:
                await q.load(tx, people(5), analyze=True)
            assert analyzed() == 5
            await q.load(db.tenant("a"), people(6), analyze=True)
            assert analyzed() == 6
            with pytest.raises(BindError, match="load: analyze: expected True or False, got str"):
                await q.load(db, people(1), analyze="yes")
        connection = await asyncpg.connect(url)
        await q.load(plainsql.over(connection), people(7), analyze=True)
        await connection.close()
        assert analyzed() == 7
        with plainsql.sync.connect(url) as script, plainsql.sync.Pool(url) as pool:
            for count, executor in enumerate((script, script.tenant("a"), pool, pool.tenant("a")), 8):
                q.load(executor, people(count), analyze=True)
                assert analyzed() == count
            with script.transaction() as own_tx:
                q.load(own_tx, people(2), analyze=True)
            assert analyzed() == 2
            q.load(plainsql.sync.over(admin), people(3), analyze=True)
            assert analyzed() == 3


async def test_a_copy_converts_the_values_of_own_types(loaded: tuple[Any, str, Project]) -> None:
    q, url, _ = loaded
    money = __import__("copied_types").Money

    async def later() -> AsyncIterator[Any]:
        yield {"id": 2, "total": money(250), "note": None}

    async with plainsql.connect(url) as db:
        assert await q.load_sales(db, [(1, money(150), "a")]) == 1
        assert await q.load_sales(db, later()) == 1
        with pytest.raises(BindError, match="copy into sales: row 2: it has no 'note'"):
            await q.load_sales(db, [(8, money(1), "a"), {"id": 9, "total": money(1)}])
    with plainsql.sync.connect(url) as script:
        assert q.load_sales(script, [(3, money(350), None)]) == 1
        with pytest.raises(psycopg.errors.NotNullViolation):
            q.load_sales(script, [(4, None, None)])
        stored = script.sql("select total::text from sales order by id", type=str)
    assert stored == ["1.5", "2.5", "3.5"]


async def test_a_row_that_is_none_is_refused_by_its_number(loaded: tuple[Any, str, Project]) -> None:
    q, url, _ = loaded
    async with plainsql.connect(url) as db:
        for wrong, text in (
            ({"name": "Ana"}, "row 1: it has no 'email'"),
            (
                {"name": "A", "email": None, "size": None, "tags": None, "doc": None, "nam": 1},
                "row 1: there is no column 'nam'",
            ),
            (7, "row 1: expected a struct or a sequence of values, got int"),
            (("Ana",), "row 1: expected 5 values, got 1"),
        ):
            with pytest.raises(BindError) as raised:
                await q.load(db, [wrong])
            assert text in str(raised.value)
        with pytest.raises(BindError, match=r"load: expected an iterable of rows, got int"):
            await q.load(db, 1)
        with pytest.raises(AttributeError, match=r"load has no batch: it takes all its rows in one call"):
            q.load.batch(db, [])
        with pytest.raises(BindError, match="the first argument is an executor"):
            q.load("db", [])


async def test_a_copy_invalidates_cached_reads_of_its_table(
    loaded: tuple[Any, str, Project], redis_url: str
) -> None:
    q, url, _ = loaded
    async with plainsql.connect(url, redis=redis_url) as db:
        before = await q.count(db)
        assert await q.count(db) == before
        await q.load(db, [Named(None, "Kim")])
        assert await q.count(db) == before + 1
        async with db.transaction() as tx:
            await q.load(tx, [Named(None, "Lea"), Named(None, "Mia")])
        assert await q.count(db) == before + 3

        await db.sql("insert into customers (name) values (:name)", name="Pam")  # nothing is known of it
        assert await q.count(db) == before + 4

        def script() -> None:
            with plainsql.sync.connect(url, redis=redis_url) as sync:
                q.load(sync, [Named(None, "Noa")])

        await asyncio.to_thread(script)
        assert await q.count(db) == before + 5


async def test_a_tenant_copies_its_own_rows_alone(
    loaded: tuple[Any, str, Project], plainsql_databases: Databases
) -> None:
    q, url, _ = loaded
    name = "plainsql_copied_tenant"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            f"do $$ begin create role {name} login nosuperuser; "
            "exception when duplicate_object then null; end $$"
        )
        connection.execute(f"grant select, insert on letters to {name}")
    async with plainsql.connect(url, server_settings={"role": name}) as db:
        assert await q.load_letters(db.tenant("a"), [("one",), ("two",)]) == 2
        assert await q.letters(db.tenant("a")) == ["one", "two"]
        assert await q.letters(db.tenant("b")) == []
        with pytest.raises(plainsql.PlainsqlError, match="tenant"):
            await q.load_letters(db, [("three",)])


async def test_a_list_of_rows_is_one_parameter_over_both_drivers(loaded: tuple[Any, str, Project]) -> None:
    q, url, project = loaded
    given = [
        Named("p@x", "Pia", doc=[1]),
        {"name": "Quin", "email": None, "doc": {"a": 1}},
        ("Ria", None, None),
    ]
    lists = plainsql.load(project.root / "sql")
    async with plainsql.connect(url) as db:
        await db.copy_in("customers", [("Xu",)], columns=["name"])
        assert await q.add(db, mood="ok", customers=iter(given)) == ["Pia", "Quin", "Ria"]
        assert await q.add(db, mood="ok", customers=[]) == []
        assert await lists.add(db, mood="bad", customers=[("Sam", None, None)]) == ["Sam"]
        assert await q.pick(db, marks=[("Pia",), {"name": "Sam"}]) == ["Pia", "Sam"]
        assert {"Pia", "Quin", "Ria", "Sam", "Xu"} <= {*await q.pick(db)}
        sets = [{"mood": "ok", "customers": [("Tea", None, None)]}, {"mood": "bad", "customers": []}]
        assert await q.add.batch(db, sets) == [["Tea"], []]
        for wrong, text in (
            ([("Ana",)], "add: customers: row 1: expected 3 values, got 1"),
            ([given[0], {"name": "A", "email": None}], "add: customers: row 2: it has no 'doc'"),
            ([{"nam": "A"}], "add: customers: row 1: there is no field 'nam'"),
            ([7], "add: customers: row 1: int has no field 'name'"),
            ({"name": "A"}, "add: customers: expected an iterable of rows, got dict"),
            ([(7, None, None)], "add: customers.name: expected text[], got list"),
            # Two lists of two would be four rows.
            ([("A", ["a", "b"], []), ("B", ["a", "b"], [])], "row 1: email: expected one value, got list"),
            ([("A", None, []), (("B", "C"), None, [])], "row 2: name: expected one value, got tuple"),
        ):
            with pytest.raises(BindError) as raised:
                await q.add(db, mood="ok", customers=wrong)
            assert text in str(raised.value)
    with plainsql.sync.connect(url) as script:
        script.connection.execute("delete from customers where email is not null")
        assert q.add(script, mood="ok", customers=given) == ["Pia", "Quin", "Ria"]
        assert lists.pick(script, marks=[Named(None, "Sam")]) == ["Sam"]
        stored = script.connection.execute("select doc::text from customers where name = 'Pia'")
        assert stored.fetchall() == [("[1]",)]
    hints = get_type_hints(q.AddParameters)  # at run time as well
    assert hints["customers"] == Iterable[Any]
    assert get_type_hints(q.AddCustomersDict) == {"name": str, "email": str | None, "doc": Any | None}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("unnest(:a.x, :a.y::int[])", "the type of :a.x is missing"),
        ("unnest(:a.x::int[], :b::int[], :a.y::int[])", "the columns of :a are not next to each other"),
        ("unnest(:a.x::int[], :a::int[])", ":a is a list of rows, and cannot be a value as well"),
        ("unnest(:a.class::int[])", "'class' cannot be the name of a field in Python"),
    ],
)
def test_the_columns_of_a_list_of_rows_are_refused(text: str, message: str) -> None:
    with pytest.raises(plainsql.PlainsqlError, match=re.escape(message)):
        parse(f"-- A.\n-- returns: many X\nselect 1 as x from {text} as v", name="a.b", path="b.sql")


def test_check_refuses_a_copy_that_postgresql_would_refuse(
    loaded: tuple[Any, str, Project], database_url: str, tmp_path: Any
) -> None:
    wrong: Mapping[str, tuple[str, str]] = {
        "no_table": ("copy nowhere (id) from stdin", '4:6: relation "nowhere" does not exist'),
        "no_column": ("copy customers (name, mail) from stdin", '4:23: column "mail" of relation'),
        "generated": ("copy customers (name, shout) from stdin", "cannot insert a non-DEFAULT value"),
        "view": ("copy names (name) from stdin", "4:6: names is a view, and COPY stores no rows in one"),
    }
    for name, (text, _) in wrong.items():
        (tmp_path / "sql").mkdir(exist_ok=True)
        (tmp_path / "sql" / f"{name}.sql").write_text(HEADER + text)
    (tmp_path / "sql" / "no_email.sql").write_text(HEADER + "copy letters (tenant) from stdin")
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "0001_all.sql").write_text(SCHEMA)
    found = check_project(Project(root=tmp_path, output="wrong_package"), database_url)
    errors = [str(error) for error in found.errors]
    for name, (_, message) in wrong.items():
        assert any(f"{name}.sql" in error and message in error for error in errors), (name, errors)
    # A column that is not null and has no default is a finding, as in an insert.
    (problem,) = (each for each in found.findings if each.path.endswith("no_email.sql"))
    assert (problem.name, "no value for text" in problem.message) == ("insert-fails", True)


def test_a_loaded_query_copies_as_well(loaded: tuple[Any, str, Project]) -> None:
    _, url, project = loaded
    q = plainsql.load(project.root / "sql")
    with plainsql.sync.connect(url) as script:
        assert q.load(script, [("Olga", None, None, None, None)]) == 1
