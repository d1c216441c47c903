"""Rows with lists of child rows: grouped by proved keys, over both drivers, however a query is run."""

from __future__ import annotations

import asyncio
import base64
import importlib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import asyncpg
import msgspec
import psycopg
import pytest
from pydantic import TypeAdapter

import plainsql
import plainsql.sync
from plainsql import codegen
from plainsql.check.problems import Problem
from plainsql.check.project_check import ProjectCheck, check_project
from plainsql.crypto import KEYS_VARIABLE
from plainsql.database.caching.cached_queries import cached_query_of
from plainsql.settings import Project
from plainsql.statements.suggestions import row_name
from plainsql.testing import Databases
from tests.codegen.conftest import OWN_TYPES, Sides
from tests.codegen.kitchen.own_types import Money

SCHEMA = """
create table customers (
  id bigint primary key, tenant integer not null, name text not null, email text unique,
  token uuid not null unique, unique (tenant, name)
);
create table products (id bigint primary key, name text not null, color text);
create table orders (
  id bigint primary key, customer_id bigint not null references customers (id), total numeric(9, 2) not null,
  note text, data jsonb, price numeric(9, 2) not null default 1.5, code bytea
);
create table items (
  order_id bigint not null references orders (id), line integer not null, product_id bigint
  references products (id), count integer not null, primary key (order_id, line)
);
create table tags (customer_id bigint not null references customers (id), tag text not null);
create table phones (
  id bigint primary key, customer_id bigint not null references customers (id), number text not null
);
"""

DATA = """
insert into customers values
  (1, 1, 'Ana', 'ana@example.com', '00000000-0000-0000-0000-000000000001'),
  (2, 1, 'Bob', null, '00000000-0000-0000-0000-000000000002'),
  (3, 2, 'Ana', null, '00000000-0000-0000-0000-000000000003');
insert into products values (1, 'pen', 'blue'), (2, 'ink', null);
insert into orders values
  (10, 1, 5, null, '{"a": 1}'), (11, 3, 7.5, 'gift', null), (12, 1, 1, 'late', null), (13, 3, 2, null, null);
insert into items values (10, 1, 1, 2), (10, 2, 2, 1), (12, 1, null, 9), (11, 1, 1, 1);
insert into tags values (1, 'vip'), (1, 'vip'), (3, 'new');
insert into phones values (1, 1, '111'), (2, 1, '222'), (3, 3, '333');
"""

HEAD = "-- It.\n-- returns: {}\n"
LEFT = "from customers as c\nleft join orders as o on o.customer_id = c.id\n"

QUERIES = {
    "all": HEAD.format("many Customer")
    + 'select\n  c.id,\n  c.name,\n  o.id as "orders[].id",\n  o.total as "orders[].total",\n'
    + f'  o.note as "orders[].note"\n{LEFT}order by c.name, c.id, o.total\n',
    "get": HEAD.format("optional Customer")
    + "-- cache: 5m\n"
    + 'select\n  c.id,\n  c.name,\n  o.id as "orders[].id",\n  o.total as "orders[].total",\n'
    + f'  o.note as "orders[].note"\n{LEFT}where c.id = :id\norder by o.id\n',
    "scattered": HEAD.format("many Scattered")
    + 'select\n  o.id as "orders[].id",\n  o.data as "orders[].data",\n  c.email,\n  c.id\n'
    + f"{LEFT}order by o.total, c.id\n",
    "deep": HEAD.format("many Deep")
    + 'select\n  c.id,\n  o.id as "orders[].id",\n  i.line as "orders[].items[].line",\n'
    + '  p.id as "orders[].items[].product.id",\n  p.color as "orders[].items[].product.color",\n'
    + '  i.count as "orders[].items[].count",\n  o.total as "orders[].total"\n'
    + f"{LEFT}left join items as i on i.order_id = o.id\nleft join products as p on p.id = i.product_id\n"
    + "order by c.id, o.id, i.line\n",
    "siblings": HEAD.format("many Sibling")
    + 'select\n  c.id,\n  o.id as "orders[].id",\n  h.id as "phones[].id",\n  h.number as "phones[].number"\n'
    + f"{LEFT}left join phones as h on h.customer_id = c.id\norder by c.id, o.id, h.id\n",
    "inner": HEAD.format("many Tagged")
    + 'select\n  c.token,\n  c.email,\n  t.tag as "tags[].tag"\nfrom customers as c\n'
    + "inner join tags as t on t.customer_id = c.id\norder by c.token, t.tag\n",
    "named": HEAD.format("many Named")
    + "-- column orders[]: Purchase\n"
    + 'select\n  c.tenant,\n  c.name,\n  o.id as "orders[].id",\n  c.name as "orders[].buyer"\n'
    + f"{LEFT}where c.tenant = :tenant\norder by c.name, o.id\n",
    "wide": HEAD.format("many Wide")
    + "select\n  c.id,\n  (select count(*) from tags as t where t.customer_id = c.id) as tags,\n"
    + '  h.id as "phone.id",\n  h.number as "phone.number",\n  o.id as "orders[].id"\n'
    + f"{LEFT}left join phones as h on h.id = c.id\nwhere true\n  and c.tenant = :tenant  --?\n"
    + "order by c.id, o.id\n",
    "typed": HEAD.format("many Typed")
    + "-- column orders[].code: encrypted as public.orders.code (id)\n"
    + 'select\n  c.id,\n  o.id as "orders[].id",\n  o.price as "orders[].price",\n'
    + '  o.code as "orders[].code",\n'
    + "  jsonb_build_object('note', o.note) as \"orders[].built\"\n"
    + f"{LEFT}where c.id = any(:ids)\norder by c.id, o.id\n",
    "set_code": HEAD.format("count")
    + "-- param code: encrypted as public.orders.code (id)\n"
    + "update orders as o\nset code = :code\nwhere o.id = :id\n",
    "written": HEAD.format("many Written")
    + "with w as (update orders set note = note where id = any(:ids) returning id, total)\n"
    + 'select\n  w.id,\n  w.total,\n  i.line as "lines[].line"\nfrom w\n'
    + "left join items as i on i.order_id = w.id\norder by w.id, i.line\n",
    "paged": HEAD.format("many Customer")
    + 'select\n  c.id,\n  c.name,\n  o.id as "orders[].id",\n  o.total as "orders[].total",\n'
    + '  o.note as "orders[].note"\nfrom (select id, name from customers order by id limit :limit) as c\n'
    + "left join orders as o on o.customer_id = c.id\norder by c.id, o.id\n",
}


FOUND = {
    "no_key": (
        f'c.name, o.id as "orders[].id" {LEFT}order by c.name, o.id',
        (
            "children-without-key",
            1,
            "no key of the parent is selected: two of them may be equal",
            "select c.id",
        ),
    ),
    "nullable_key": (
        f'c.email, o.id as "orders[].id" {LEFT}order by c.email, o.id',
        ("children-without-key", 1, "no key of the parent is selected", "select c.id"),
    ),
    "not_of_key": (
        f'c.id,\n  o.total, o.id as "orders[].id" {LEFT}order by c.id, o.id',
        (
            "children-without-key",
            2,
            "total is not determined by the key of the parent (id)",
            "orders[].total",
        ),
    ),
    "limited": (
        f'c.id, o.id as "orders[].id" {LEFT}order by c.id, o.id\nlimit 9',
        (
            "limited-children",
            4,
            "the limit counts joined rows, not parents",
            "limit the parents in a subquery",
        ),
    ),
    "no_witness": (
        f'c.id, o.note as "orders[].note" {LEFT}order by c.id, o.id',
        (
            "children-without-key",
            1,
            "no column of orders[] shows whether there is one",
            'o.id as "orders[].id"',
        ),
    ),
    "no_inner_key": (
        (
            f'c.id, o.total as "orders[].total", i.line as "orders[].items[].line" {LEFT}'
            "left join items as i on i.order_id = o.id\norder by c.id, o.id, i.line"
        ),
        ("children-without-key", 1, "no key of orders[] is selected", 'select o.id, as "orders[].id"'),
    ),
    "product": (
        (
            f'c.id, o.id as "orders[].id", t.tag as "tags[].tag" {LEFT}'
            "left join tags as t on t.customer_id = c.id\norder by c.id, o.id"
        ),
        (
            "children-without-key",
            1,
            "the join makes every pair of tags[] and orders[], a Cartesian product",
            "a unique key of tags[]",
        ),
    ),
    "orphan": (
        (
            f'c.id, o.id as "orders[].id", h.id as "orders[].phones[].id" {LEFT}'
            "left join phones as h on h.customer_id = c.id\norder by c.id, o.id, h.id"
        ),
        (
            "children-without-key",
            1,
            "a row of orders[].phones[] may come without a row of orders[]",
            "join it on",
        ),
    ),
    "union": (
        'c.id, 1 as "orders[].id" from customers as c union all select 1, 2 order by 1',
        ("children-without-key", 1, "no key of the rows of a union is known", "select from it"),
    ),
    "written_without_key": (
        (
            'w.total, i.line as "items[].line" from (select 1) as one (n)\ncross join w\n'
            "left join items as i on i.order_id = w.id\norder by w.total, i.line"
        ),
        ("children-without-key", 1, "no key of the parent is selected", "a unique key of the parent"),
    ),
    "several": (
        f'c.id, o.id as "orders[].id" {LEFT}where c.tenant = :tenant\norder by c.id, o.id',
        ("unproved-one", 1, "more than one row may come back", "compare a unique key of c"),
    ),
}
"""Findings: the text of a query behind ``select``, and what is found: name, line below, message, hint."""

REFUSED = {
    "apart": (
        f'c.id, o.id as "orders[].id", c.name, o.total as "orders[].total" {LEFT}where c.id = 1',
        "the columns of orders[] are not next to each other",
    ),
    "values": (f'c.id, o.id as "orders[]" {LEFT}where c.id = 1', "name a field of the list's rows"),
    "in_nested": (f'c.id, o.id as "owner.orders[].id" {LEFT}where c.id = 1', "a nested row has no lists"),
    "keyword": (
        f'c.id, o.id as "orders[].class" {LEFT}where c.id = 1',
        "'class' cannot be the name of a field",
    ),
    "twice": (
        f'c.id, c.id as orders, o.id as "orders[].id" {LEFT}where c.id = 1',
        "two fields are called 'orders'",
    ),
    "paged": (
        f'c.id, o.id as "orders[].id" {LEFT}where c.tenant = 1\norder by c.id, o.id',
        "a page of it would count children, not parents",
    ),
    "type": (
        f'c.id, o.id as "orders[].id" {LEFT}where c.id = 1',
        "orders[] is a list of rows, and its line can only name their class",
    ),
}
"""Errors: the text behind ``select``, and a part of what is said."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("children")
    return Project(root=root, output="children_package", types={"*.price": OWN_TYPES["*.price"]})


@pytest.fixture(scope="module")
def checked(project: Project, database_url: str) -> ProjectCheck:
    """The check of all queries; those of ``FOUND`` have findings."""
    found = {name: f"-- It.\n-- returns: many {row_name(name)}\nselect {q[0]}\n" for name, q in FOUND.items()}
    found["several"] = found["several"].replace("many", "optional")
    found["written_without_key"] = found["written_without_key"].replace(
        "select", "with w as (update orders set note = '' returning id + 0 as id, total) select", 1
    )
    write(
        project.root,
        {**{f"shop/{n}": q for n, q in QUERIES.items()}, **{f"found/{n}": q for n, q in found.items()}},
    )
    return check_project(project, database_url)


def write(root: Path, queries: dict[str, str]) -> None:
    for name, text in {"migrations/0001_all": SCHEMA, **{f"sql/{n}": q for n, q in queries.items()}}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{name}.sql").write_text(text)


@pytest.fixture(scope="module")
def package(project: Project, checked: ProjectCheck) -> Iterator[ModuleType]:
    assert [str(error) for error in checked.errors] == []
    codegen.write(checked.files, project.output_folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(project.root)
        yield importlib.import_module("children_package")


@pytest.fixture(scope="module")
def shop(package: ModuleType) -> Any:
    return importlib.import_module(f"{package.__name__}.shop")


@pytest.fixture(scope="module")
def loaded(project: Project, checked: ProjectCheck) -> Any:
    return plainsql.load(project.sql_folder)


@pytest.fixture(scope="module")
def url(plainsql_databases: Databases) -> Iterator[str]:
    with plainsql_databases.clone() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute((SCHEMA + DATA).encode())
        yield url


@pytest.fixture(scope="module")
def sides(url: str) -> Iterator[Sides]:
    with asyncio.Runner() as runner, plainsql.sync.connect(url, prefetch=2) as second:
        first = runner.run(plainsql.connect(url, min_size=1, max_size=2, prefetch=2)._open())
        try:
            yield Sides(runner, first, second)
        finally:
            runner.run(first.close())


def test_children_are_grouped_by_the_key_in_the_order_of_the_query(shop: Any, sides: Sides) -> None:
    order = shop.CustomerOrder
    one, two = order(10, Decimal(5), None), order(12, Decimal(1), "late")
    assert sides.ask(shop.all) == [
        shop.Customer(1, "Ana", [two, one]),
        shop.Customer(3, "Ana", [order(13, Decimal(2), None), order(11, Decimal("7.5"), "gift")]),
        shop.Customer(2, "Bob", []),
    ]
    # The rows of a parent need not follow one another, and its columns need not come first.
    assert [(c.id, c.email, [o.id for o in c.orders]) for c in sides.ask(shop.scattered)] == [
        (1, "ana@example.com", [12, 10]),
        (3, None, [13, 11]),
        (2, None, []),
    ]
    assert sides.ask(shop.scattered)[0].orders[1].data == {"a": 1}
    assert sides.ask(shop.get, id=1) == shop.Customer(1, "Ana", [one, two])
    assert sides.ask(shop.get, id=2) == shop.Customer(2, "Bob", [])
    assert sides.ask(shop.get, id=9) is None
    assert sides.ask(shop.paged, limit=1) == [shop.Customer(1, "Ana", [one, two])]
    assert sides.ask(shop.named, tenant=1)[0].orders == [shop.Purchase(10, "Ana"), shop.Purchase(12, "Ana")]


def test_lists_are_nested_and_duplicates_are_kept_in_a_chain(shop: Any, sides: Sides) -> None:
    first, second, third = sides.ask(shop.deep)
    blue, ink = shop.Product(1, "blue"), shop.Product(2, None)
    assert first.orders == [
        shop.DeepOrder(10, [shop.Item(1, blue, 2), shop.Item(2, ink, 1)], Decimal(5)),
        shop.DeepOrder(12, [shop.Item(1, None, 9)], Decimal(1)),
    ]
    assert second.orders == []
    assert [(order.id, len(order.items)) for order in third.orders] == [(11, 1), (13, 0)]
    assert [[tag.tag for tag in each.tags] for each in sides.ask(shop.inner)] == [["vip", "vip"], ["new"]]


def test_rows_that_a_with_item_writes_have_the_keys_of_their_table(shop: Any, sides: Sides) -> None:
    found = sides.ask(shop.written, ids=[10, 12, 13])
    assert [(order.id, [line.line for line in order.lines]) for order in found] == [
        (10, [1, 2]),
        (12, [1]),
        (13, []),
    ]


def test_all_that_the_key_determines_may_be_of_the_parent(shop: Any, sides: Sides) -> None:
    ana, bob, other = sides.ask(shop.wide)
    assert ana == shop.Wide(1, 2, shop.Phone(1, "111"), [shop.WideOrder(10), shop.WideOrder(12)])
    assert (bob.tags, bob.phone, bob.orders) == (0, shop.Phone(2, "222"), [])
    assert sides.stream(shop.wide, tenant=2) == [other]


def test_columns_of_children_are_converted_decoded_and_decrypted(
    shop: Any, sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, f"one:{base64.b64encode(b'o' * 32).decode()}")
    sides.ask(shop.set_code, id=10, code="secret")
    ana, bob = sides.ask(shop.typed, ids=[1, 2])
    assert bob.orders == []
    first, second = ana.orders
    assert (first.price, first.code, second.code) == (Money(150), "secret", None)
    assert [order.built.note for order in ana.orders] == [None, "late"]
    assert sides.stream(shop.typed, ids=[1, 2]) == [ana, bob]


def test_two_lists_of_a_parent_have_each_row_once(shop: Any, sides: Sides) -> None:
    found = [([o.id for o in c.orders], [p.number for p in c.phones]) for c in sides.ask(shop.siblings)]
    assert found == [([10, 12], ["111", "222"]), ([], []), ([11, 13], ["333"])]


def test_loaded_queries_group_by_all_columns_of_the_parent(shop: Any, loaded: Any, sides: Sides) -> None:
    for name, parameters in {
        "all": {},
        "scattered": {},
        "deep": {},
        "siblings": {},
        "get": {"id": 1},
    }.items():
        known = msgspec.to_builtins(sides.ask(getattr(shop, name), **parameters))
        assert msgspec.to_builtins(sides.ask(loaded.shop[name], **parameters)) == known
    # Two customers of one name are one without a key, which the check reports.
    assert [len(each.orders) for each in sides.ask(loaded.found.no_key)] == [4, 0]
    error = sides.refused_stream(loaded.shop.all)
    assert "cannot be streamed" in error.message
    assert "generate its module" in error.hint


def test_streams_batches_and_transactions_group_too(shop: Any, sides: Sides, url: str) -> None:
    for query in (shop.all, shop.deep, shop.siblings):
        assert sides.stream(query) == sides.ask(query)  # two records at a time
    assert sides.stream(shop.get, id=1) == [sides.ask(shop.get, id=1)]
    error = sides.refused_stream(shop.scattered)
    assert error.message.startswith("shop.scattered: its parents cannot be streamed")
    assert error.hint.startswith("order by the key of the parent first")

    async def use(db: plainsql.Database) -> Any:
        found = [await shop.get.batch(db, [{"id": n} for n in (1, 9, 2)])]
        async with db.transaction() as tx:
            found += [await shop.deep(tx), [c async for c in shop.all.stream(tx)]]
        connection = await asyncpg.connect(url)
        try:
            found += [await shop.all(plainsql.over(connection)), await shop.all.fresh(db)]
        finally:
            await connection.close()
        return found

    ana, bob = sides.ask(shop.get, id=1), sides.ask(shop.get, id=2)
    everyone = sides.ask(shop.all)
    assert sides.run(use) == [[ana, None, bob], sides.ask(shop.deep), everyone, everyone, everyone]
    assert shop.get.batch(sides.sync, [{"id": 1}, {"id": 9}]) == [ana, None]
    with sides.sync.transaction() as tx, psycopg.connect(url) as connection:
        assert shop.all(tx) == shop.all(plainsql.sync.over(connection)) == everyone


def test_what_is_stored_sent_and_copied_has_the_lists(shop: Any, sides: Sides, tmp_path: Path) -> None:
    ana = sides.ask(shop.get, id=1)
    cached: Any = cached_query_of(shop.get.compiled, "a database")
    assert cached.codec.decode(cached.codec.encode(ana)) == ana
    adapter = TypeAdapter(shop.Customer)
    assert adapter.validate_json(plainsql.to_json(ana)) == ana
    assert adapter.json_schema()["properties"]["orders"]["type"] == "array"
    # COPY sends the rows of the join.
    sides.run(lambda db: db.copy_out(shop.get, tmp_path / "ana.csv", {"id": 1}))
    assert (tmp_path / "ana.csv").read_text() == (
        "id,name,orders[].id,orders[].total,orders[].note\n1,Ana,10,5.00,\n1,Ana,12,1.00,late\n"
    )


def test_one_and_optional_count_parents(package: ModuleType, sides: Sides, checked: ProjectCheck) -> None:
    found = importlib.import_module(f"{package.__name__}.found")
    error = sides.refused(found.several, plainsql.TooManyRowsError, tenant=1)
    assert error.message == "found.several: expected at most one row, got 2"
    get = next(each for each in checked.inspection.checked if each.statement.name == "shop.get")
    assert (get.analysis.rows, get.analysis.rows_because) == (
        "optional",
        "equality on the unique key customers_pkey (id)",
    )


def test_a_key_that_is_not_proved_is_a_finding_at_its_place(checked: ProjectCheck) -> None:
    found: dict[str, list[Problem]] = {}
    for problem in checked.findings:
        if problem.name not in ("unbounded", "partial-order"):
            found.setdefault(Path(problem.path).stem, []).append(problem)
    for name, (_, (finding, line, message, hint)) in FOUND.items():
        (problem,) = found.pop(name)
        assert (problem.name, problem.line) == (finding, line + 2), problem
        assert message in problem.message
        assert hint in (problem.hint or ""), problem
    assert found == {}


def test_names_that_make_no_lists_are_refused(tmp_path: Path, database_url: str) -> None:
    queries = {
        f"a/{name}": f"-- It.\n-- returns: many {row_name(name)}\nselect {text}\n"
        for name, (text, _) in REFUSED.items()
    }
    queries["a/paged"] = queries["a/paged"].replace("select", "-- page: key\nselect")
    queries["a/type"] = queries["a/type"].replace("select", '-- column "orders[]": list[int]\nselect')
    write(tmp_path, queries)
    errors = check_project(Project(root=tmp_path), database_url).errors
    said = {Path(error.path).stem: f"{error.message} {error.hint}" for error in errors}
    assert said.keys() == REFUSED.keys()
    for name, (_, message) in REFUSED.items():
        assert message in said[name], name
