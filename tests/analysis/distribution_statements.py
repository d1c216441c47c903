"""Statements on tables that are partitioned by their tenant, with the tenants that they reach.

PostgreSQL is the oracle: a statement that is said to be bound to one tenant scans one of the partitions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import RawCursor

__all__ = ["SCHEMA", "STATEMENTS", "TENANT", "rows_of", "scanned_partitions"]

TENANT = 7
PARTITIONS = 5

_TABLES = {
    "customers": "tenant_id int not null, id int not null, name text, primary key (tenant_id, id)",
    "orders": (
        "tenant_id int not null default nullif(current_setting('app.jwt_tenant', true), '')::int,"
        " id int not null, customer_id int, total int, parent_id int, primary key (tenant_id, id)"
    ),
    "letters": "tenant_id int not null, id int not null, body text, primary key (tenant_id, id)",
}

SCHEMA = (
    "".join(
        f"create table {table} ({columns}) partition by hash (tenant_id);"
        + "".join(
            f"create table {table}_{n} partition of {table}"
            f" for values with (modulus {PARTITIONS}, remainder {n});"
            for n in range(PARTITIONS)
        )
        for table, columns in _TABLES.items()
    )
    + """
create table countries (code text primary key);
insert into countries values ('pe');
insert into customers select t, i, 'a' from generate_series(1, 30) as t, generate_series(1, 4) as i;
insert into orders
select t, i, i, i, nullif(i - 1, 0) from generate_series(1, 30) as t, generate_series(1, 4) as i;
insert into letters select t, i, 'hello' from generate_series(1, 30) as t, generate_series(1, 4) as i;
create function the_tenant() returns int language sql stable
  return nullif(current_setting('app.jwt_tenant', true), '')::int;
alter table letters enable row level security;
create policy letters_of_tenant on letters using (tenant_id = (select the_tenant()));
create view open_orders as select o.tenant_id, o.id, o.total from orders as o where o.total > 0;
create view first_order as select o.tenant_id, o.id from orders as o order by o.tenant_id, o.id limit 1;
create materialized view totals as select o.tenant_id, sum(o.total) from orders as o group by o.tenant_id;
create function some_orders() returns setof int language plpgsql stable
  as $$ begin return query select o.id from orders as o; end $$;
comment on function some_orders() is 'plainsql: reads public.orders';
create function own_orders() returns setof int language plpgsql stable
  as $$ begin return query select o.id from orders as o where o.tenant_id = the_tenant(); end $$;
comment on function own_orders() is 'plainsql: reads public.orders; keeps tenant_id';
create function secret() returns int language plpgsql as $$ begin return 1; end $$;
create table logged (tenant_id int not null, id int not null, primary key (tenant_id, id));
create function logs() returns trigger language plpgsql
  as $$ begin update orders set total = 0; return null; end $$;
comment on function logs() is 'plainsql: writes public.orders';
create trigger logs after insert on logged for each row execute function logs();
create table kept (tenant_id int not null, id int not null, primary key (tenant_id, id));
create function logs_own() returns trigger language plpgsql
  as $$ begin update orders set total = 0 where tenant_id = new.tenant_id; return null; end $$;
comment on function logs_own() is 'plainsql: writes public.orders; keeps tenant_id';
create trigger logs_own after insert on kept for each row execute function logs_own();
create table listed (tenant_id int not null, id int primary key);
create table stamped (tenant_id int, id int, total int, at timestamptz, primary key (tenant_id, id));
create function stamps() returns trigger language plpgsql as $$ begin new.at := now(); return new; end $$;
create trigger stamps before update on stamped for each row execute function stamps();
create table moved (tenant_id int not null, id int not null, primary key (tenant_id, id));
create function moves() returns trigger language plpgsql
  as $$ begin new.tenant_id := 1; return new; end $$;
create trigger moves before insert on moved for each row execute function moves();
"""
)

STATEMENTS: tuple[tuple[str, str], ...] = (
    # One table.
    ("tenant", "select o.id from orders as o where o.tenant_id = $1"),
    ("tenant", "select o.id from orders as o where $1 = o.tenant_id and o.id > 1"),
    ("tenant", "select o.id from orders as o where o.tenant_id = 7"),
    ("tenant", "select o.id from orders as o where o.tenant_id = (select the_tenant())"),
    ("tenant", "select o.id from orders as o where o.tenant_id = the_tenant()"),
    ("joined", "select o.id from orders as o where o.id = $1"),
    ("joined", "select o.id from orders as o where o.tenant_id = $1 or o.id = 2"),
    ("joined", "select o.id from orders as o where o.tenant_id <> $1"),
    ("joined", "select o.id from orders as o where o.tenant_id = any(array[$1, 2, 3])"),
    ("joined", "select o.id from orders as o where o.tenant_id >= $1"),
    ("joined", "select o.id from orders as o where o.tenant_id = (random() * 30)::int"),
    ("joined", "select o.id from orders as o where o.tenant_id = o.id and o.total > $1"),
    ("policy", "select l.id from letters as l where l.id = $1"),
    ("tenant", "select l.id from letters as l where l.tenant_id = $1"),
    ("reference", "select c.code from countries as c where c.code = $1::text"),
    ("none", "select $1::int + 1"),
    ("unseen", "select o.id from orders as o where o.tenant_id is not distinct from $1"),
    # Joins.
    (
        "tenant",
        (
            "select o.id from orders as o inner join customers as c"
            " on c.tenant_id = o.tenant_id and c.id = o.customer_id where o.tenant_id = $1"
        ),
    ),
    (
        "tenant",
        (
            "select o.id from orders as o left join customers as c"
            " on c.tenant_id = o.tenant_id and c.id = o.customer_id where o.tenant_id = $1"
        ),
    ),
    (
        "across",
        (
            "select o.id from orders as o left join customers as c"
            " on c.tenant_id = o.tenant_id and c.tenant_id = $1 where o.total > 0"
        ),
    ),
    (
        "tenant",
        "select o.id from orders as o cross join countries as c where o.tenant_id = $1",
    ),
    (
        "joined",
        (
            "select o.id from orders as o inner join customers as c"
            " on c.tenant_id = o.tenant_id and c.id = o.customer_id where o.total > $1"
        ),
    ),
    (
        "across",
        "select o.id from orders as o join customers as c on c.id = o.customer_id where o.tenant_id = $1",
    ),
    (
        "joined",
        (
            "select o.id from orders as o full join customers as c"
            " on c.tenant_id = o.tenant_id and c.id = o.customer_id where o.total = $1"
        ),
    ),
    (
        "across",
        "select o.id from orders as o, customers as c where o.tenant_id = $1 and c.tenant_id = 2",
    ),
    (
        "unseen",
        (
            "select o.id from orders as o, lateral (select c.id from customers as c"
            " where c.tenant_id = o.tenant_id and c.id = o.customer_id limit 1) as c where o.tenant_id = $1"
        ),
    ),
    # Sub-selects, subqueries, common table expressions, unions.
    (
        "tenant",
        (
            "select o.id from orders as o where o.tenant_id = $1 and exists"
            " (select from customers as c where c.tenant_id = o.tenant_id and c.id = o.customer_id)"
        ),
    ),
    (
        "across",
        (
            "select o.id from orders as o where o.tenant_id = $1 and exists"
            " (select from customers as c where c.id = o.customer_id)"
        ),
    ),
    (
        "tenant",
        (
            "select o.id from orders as o where o.tenant_id = $1 and not exists"
            " (select from customers as c where c.tenant_id = $1 and c.id = o.customer_id and c.name = 'b')"
        ),
    ),
    (
        "tenant",
        (
            "select o.id from orders as o where o.tenant_id = $1 and (o.tenant_id, o.customer_id) in"
            " (select c.tenant_id, c.id from customers as c)"
        ),
    ),
    (
        "across",
        (
            "select o.id from orders as o where o.tenant_id = $1 and o.customer_id in"
            " (select c.id from customers as c)"
        ),
    ),
    (
        "tenant",
        "select s.id from (select o.tenant_id, o.id from orders as o) as s where s.tenant_id = $1",
    ),
    (
        "across",
        (
            "select s.id from (select o.tenant_id, o.id from orders as o order by o.id limit 5) as s"
            " inner join customers as c on c.tenant_id = s.tenant_id where s.tenant_id = $1"
        ),
    ),
    (
        "tenant",
        (
            "with recent as (select o.tenant_id, o.customer_id from orders as o where o.tenant_id = $1)"
            " select c.id from recent as r inner join customers as c"
            " on c.tenant_id = r.tenant_id and c.id = r.customer_id"
        ),
    ),
    (
        "unseen",
        (
            "with recent as materialized (select o.tenant_id, o.id from orders as o)"
            " select r.id from recent as r where r.tenant_id = $1"
            " union all select c.id from customers as c where c.tenant_id = $1"
        ),
    ),
    (
        "tenant",
        (
            "select o.id from orders as o where o.tenant_id = $1"
            " union all select c.id from customers as c where c.tenant_id = $1"
        ),
    ),
    (
        "across",
        "select o.id from orders as o where o.tenant_id = $1 union all select c.id from customers as c",
    ),
    (
        "tenant",
        (
            "select u.id from (select o.tenant_id, o.id from orders as o union all"
            " select c.tenant_id, c.id from customers as c) as u where u.tenant_id = $1"
        ),
    ),
    (
        "tenant",
        (
            "with recursive chain as (select o.tenant_id, o.id, o.parent_id from orders as o"
            " where o.tenant_id = $1 and o.id = 4 union all select o.tenant_id, o.id, o.parent_id"
            " from chain as c inner join orders as o on o.tenant_id = c.tenant_id and o.id = c.parent_id"
            " and o.tenant_id = $1) select c.id from chain as c"
        ),
    ),
    (
        "across",
        (
            "with recursive chain as (select o.tenant_id, o.id, o.parent_id from orders as o"
            " where o.tenant_id = $1 and o.id = 4 union all select o.tenant_id, o.id, o.parent_id"
            " from chain as c inner join orders as o on o.id = c.parent_id) select c.id from chain as c"
        ),
    ),
    (
        "unseen",
        (
            "with recursive chain as (select o.tenant_id, o.id, o.parent_id from orders as o"
            " where o.tenant_id = $1 and o.id = 4 union all select o.tenant_id, o.id, o.parent_id"
            " from chain as c inner join orders as o on o.tenant_id = c.tenant_id and o.id = c.parent_id)"
            " select c.id from chain as c"
        ),
    ),
    (
        "across",
        (
            "with recursive chain as (select o.tenant_id, o.id, o.parent_id from orders as o"
            " where o.tenant_id = $1 and o.id = 4 union all select o.total, o.id, o.parent_id"
            " from chain as c inner join orders as o on o.tenant_id = c.tenant_id and o.id = c.parent_id)"
            " select c.id from chain as c"
        ),
    ),
    (
        "unseen",
        (
            "with recent as (select o.tenant_id, o.customer_id from orders as o where o.tenant_id = $1)"
            " select c.id from recent as r inner join customers as c"
            " on c.tenant_id = r.tenant_id and c.id = r.customer_id where exists (select from recent)"
        ),
    ),
    (
        "unseen",
        (
            "select c.id from (select o.tenant_id, max(o.customer_id) as id from orders as o"
            " where o.tenant_id = $1 group by o.tenant_id) as s inner join customers as c"
            " on c.tenant_id = s.tenant_id and c.id = s.id"
        ),
    ),
    (
        "unseen",
        (
            "select o.id, (select c.name from customers as c where c.tenant_id = o.tenant_id"
            " and c.id = o.customer_id) from orders as o where o.tenant_id = $1"
        ),
    ),
    (
        "across",
        (
            "select c.id from (select o.tenant_id, o.id from orders as o where o.tenant_id = $1 union all"
            " select o.total, o.id from orders as o where o.tenant_id = $1) as u"
            " inner join customers as c on c.tenant_id = u.tenant_id"
        ),
    ),
    (
        "across",
        (
            "select o.id from orders as o left join customers as c on c.tenant_id = o.tenant_id"
            " and o.tenant_id in (select x.tenant_id from customers as x where x.tenant_id = $1)"
        ),
    ),
    ("tenant", "select v.id from open_orders as v where v.tenant_id = $1"),
    ("joined", "select v.id from first_order as v where v.tenant_id = $1"),
    ("unknown", "select t.sum from totals as t where t.tenant_id = $1"),
    # Functions and triggers.
    ("unknown", "select f from some_orders() as f where f = $1"),
    ("reference", "select f from own_orders() as f where f = $1"),
    ("unknown", "select o.id from orders as o where o.tenant_id = $1 and o.id = secret()"),
    ("unknown", "insert into logged (tenant_id, id) values ($1, 1)"),
    ("tenant", "insert into kept (tenant_id, id) values ($1, 1)"),
    ("tenant", "update stamped as s set total = 1 where s.tenant_id = $1"),
    (
        "across",
        "insert into listed (tenant_id, id) values ($1, 1) on conflict (id) do update set id = 1",
    ),
    ("unknown", "insert into moved (tenant_id, id) values ($1, 1)"),
    # Writes.
    ("tenant", "insert into orders (tenant_id, id) values ($1, 9)"),
    ("tenant", "insert into orders (id) values ($1)"),
    ("tenant", "insert into orders (tenant_id, id) values ($1, 9), ($1, 10) returning id"),
    ("across", "insert into orders (tenant_id, id) values ($1, 9), (2, 10)"),
    (
        "tenant",
        (
            "insert into orders (tenant_id, id) select c.tenant_id, c.id + 10 from customers as c"
            " where c.tenant_id = $1"
        ),
    ),
    (
        "across",
        "insert into orders (tenant_id, id) select $1, c.id + 10 from customers as c where c.id = 5",
    ),
    (
        "joined",
        (
            "insert into orders (tenant_id, id) select c.tenant_id, c.id + 10 from customers as c"
            " where c.name = $1::text"
        ),
    ),
    (
        "tenant",
        (
            "insert into orders (tenant_id, id) values ($1, 1) on conflict (tenant_id, id)"
            " do update set total = 5 returning id"
        ),
    ),
    ("tenant", "insert into orders (tenant_id, id) values ($1, 1) on conflict do nothing"),
    (
        "across",
        (
            "insert into orders (tenant_id, id) values ($1, 1) on conflict (tenant_id, id)"
            " do update set tenant_id = 2"
        ),
    ),
    ("tenant", "update orders as o set total = 3 where o.tenant_id = $1 and o.id = 2"),
    ("joined", "update orders as o set total = 3 where o.id = $1"),
    ("across", "update orders as o set tenant_id = 3 where o.tenant_id = $1 and o.id = 2"),
    (
        "tenant",
        (
            "update orders as o set total = c.id from customers as c where o.tenant_id = $1"
            " and c.tenant_id = o.tenant_id and c.id = o.customer_id"
        ),
    ),
    ("tenant", "delete from orders as o where o.tenant_id = $1 returning o.id"),
    (
        "tenant",
        (
            "with gone as (delete from orders as o where o.tenant_id = $1 returning o.tenant_id, o.id)"
            " insert into orders (tenant_id, id) select g.tenant_id, g.id + 100 from gone as g"
        ),
    ),
    ("across", "truncate orders"),
    (
        "unknown",
        (
            "merge into orders as o using customers as c on o.tenant_id = c.tenant_id and o.id = c.id"
            " when matched and c.tenant_id = $1 then update set total = 1"
        ),
    ),
)
"""Each statement with the kind of its distribution; ``$1`` is an integer."""


def scanned_partitions(connection: psycopg.Connection[Any], sql: str) -> set[str]:
    """Run a statement for one tenant, undo it, and return the partitions that it scanned."""
    with connection.transaction(force_rollback=True), RawCursor(connection) as cursor:
        _run(cursor, f"explain (analyze, costs off, timing off, summary off, format json) {sql}")
        row = cursor.fetchone()
    assert row is not None
    return {name.rpartition("_")[2] for name in _scans(row[0][0]["Plan"])}


def rows_of(connection: psycopg.Connection[Any], sql: str) -> list[str]:
    """Run a statement for one tenant, undo it, and return its rows, or their number, in one order."""
    with connection.transaction(force_rollback=True), RawCursor(connection) as cursor:
        _run(cursor, sql)
        return sorted(map(str, cursor.fetchall())) if cursor.description else [str(cursor.rowcount)]


def _run(cursor: RawCursor[Any], sql: str) -> None:
    cursor.execute("select set_config('app.jwt_tenant', $1, true)", [str(TENANT)])
    # As text, so that the server decides on the type, as it does in an analysis.
    value = ["a" if "$1::text" in sql else str(TENANT)] if "$1" in sql else []
    cursor.execute(sql.encode(), value)


def _scans(plan: dict[str, Any]) -> Iterator[str]:
    name = plan.get("Relation Name", "")
    # The table below a modification is named as a whole: its scan names the partition.
    if plan["Actual Loops"] and name.rpartition("_")[2].isdecimal() and plan["Node Type"] != "ModifyTable":
        yield name
    for part in plan.get("Plans", ()):
        yield from _scans(part)
