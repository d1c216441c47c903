"""Statements for which a tempting claim is wrong: the server disproves it, so it is not made."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from plainsql.analysis import Analyser
from tests.analysis.fuzz import judge

LONG = "x" * 70
"""A name that PostgreSQL shortens to its first 63 letters."""

SCHEMA = """
create extension citext;
create extension fuzzystrmatch;
create table a (
  id int primary key, x int, n int not null default 0, ts timestamp not null default 'infinity'
);
create table b (id int primary key, aid int references a, y int, m int not null default 0);
insert into a values (1, null, 0), (2, 5, 1), (3, 1, 9);
insert into b values (1, 1, null, 0), (2, null, 1, 1), (10, 2, null, 3);
create table lists (id int primary key, tags text[] not null);
insert into lists values (1, '{a,null}');
create type pair as (a int, b int);
create table pairs (p pair not null);
insert into pairs values (row(null, null));
create view either as select a.id as aid, b.id as bid from a full join b on b.aid = a.id;
create view each_a as select a.id as aid, b.id as bid from a left join b on b.aid = a.id;
create view deeper as select aid, bid from either;
create function page_size(kind int) returns bigint language sql as 'select kind::bigint + 2';

create function closed_stays() returns trigger language plpgsql as $$
begin if old.n = 9 then return old; end if; return new; end $$;
create function old() returns trigger language plpgsql as $$ begin return old; end $$;
create function never() returns trigger language plpgsql as $$ begin return null; end $$;
create function new() returns trigger language plpgsql as $$ begin return new; end $$;
create function other() returns trigger language plpgsql as $$
declare row record; begin row := new; row.x := null; return row; end $$;
create function caught() returns trigger language plpgsql as $$
begin perform 1 / 0; return new; exception when others then return null; end $$;
create function odd_only() returns trigger language plpgsql as $$
begin if new.id > 0 then if new.x = 2 then return null; end if; end if; return new; end $$;

create table closing (id int primary key, x int, n int not null default 0);
insert into closing values (1, null, 9);
create trigger t before update on closing for each row execute function closed_stays();
create table swallowing (id int primary key, x int);
create trigger t before insert on swallowing for each row execute function old();
create table replaced (id int primary key, x int);
create trigger t before insert on replaced for each row execute function other();
create table caught_rows (id int primary key, x int);
create trigger t before insert on caught_rows for each row execute function caught();
create table odd (id int primary key, x int);
create trigger t before insert on odd for each row execute function odd_only();
create table parted (id int, k int, x int, primary key (id, k)) partition by list (k);
create table parted_1 partition of parted for values in (1);
create table parted_2 partition of parted for values in (2);
insert into parted values (1, 1, null);
create trigger t before insert on parted_2 for each row execute function never();
create table moments (at timestamp primary key, day date unique);
insert into moments values ('2024-03-31 02:30', '2011-12-30'), ('2024-03-31 03:30', '2011-12-31');
create table stamps (id int primary key, moment timestamptz not null);
create extension file_fdw;
create server files foreign data wrapper file_fdw;
create table far (id int, x int check (x is not null)) partition by range (id);
create foreign table far_1 partition of far for values from (0) to (10)
  server files options (program 'echo 1,', format 'csv');
create table parent (id int primary key, name text not null);
create table child (id int primary key, parent int not null references parent, label text);
insert into parent values (1, 'p');
insert into child values (1, 1, 'c');
create table divided (id int primary key, parent int not null references parent) partition by range (id);
create table divided_1 partition of divided for values from (0) to (100);
alter table divided_1 disable trigger all;
insert into divided values (1, 77);
create table divided_parent (id int primary key, name text not null) partition by range (id);
create table divided_parent_1 partition of divided_parent for values from (0) to (100);
create table of_divided (id int primary key, parent int not null references divided_parent);
insert into divided_parent values (1, 'p');
insert into of_divided values (1, 1);
alter table divided_parent_1 disable trigger all;
delete from divided_parent;
create table capital (id int primary key, "Änderung" int);
create function capital() returns trigger language plpgsql as $$
begin new.Änderung := null; return new; end $$;
create trigger t before insert on capital for each row execute function capital();
create table long_name (id int primary key, {LONG} int);
create function long_name() returns trigger language plpgsql as $$
begin new.{LONG} := null; return new; end $$;
create trigger t before insert on long_name for each row execute function long_name();
create table later (id int, x int);
insert into later values (1, null), (1, 2);
create materialized view filled as select id, x from later;
delete from later;
alter table later alter column x set not null, add primary key (id);
create view passing as select id, x from closing;
create trigger t instead of update on passing for each row execute function old();
""".replace("{LONG}", LONG)

NULL = [
    (
        "the two readers of a view have rows of their own",
        "select coalesce(v1.aid, v2.bid) from either as v1 cross join either as v2",
    ),
    (
        "the two readers of a `with` item have rows of their own",
        (
            "with v as (select a.id as aid, b.id as bid from a full join b on b.aid = a.id)"
            " select coalesce(v1.aid, v2.bid) from v as v1 cross join v as v2"
        ),
    ),
    (
        "the two readers of a view of a view have rows of their own",
        "select coalesce(v1.aid, v2.bid) from deeper as v1 cross join deeper as v2",
    ),
    (
        "subqueries over the same view have rows of their own",
        "select coalesce(v1.aid, v2.bid) from (select * from either) as v1, (select * from either) as v2",
    ),
    (
        "what is known inside one branch of a case is not known of the sub-select elsewhere",
        (
            "select s.x from (select case when a.x is not null then (select a.x) end, (select a.x) as x"
            " from a group by a.x, (select a.x)) as s"
        ),
    ),
    ("a materialised view has rows from before a constraint", "select x from filled"),
    ("an update may keep the old row", "update closing set x = 5 where id = 1 returning x"),
    (
        "the update of a conflict may keep the old row",
        "insert into closing (id, x) values (1, 5) on conflict (id) do update set x = 6 returning x",
    ),
    ("a trigger may return another row", "insert into replaced (id, x) values (1, 5) returning x"),
    ("a trigger instead of the update returns what it likes", "update passing set x = 5 returning x"),
    (
        "the cast of an element may give null",
        "select unnest(array(select a.ts from a)::time[])",
    ),
    (
        "an array's element may be null after its cast",
        "select '10:00' = any (array(select a.ts from a)::time[])",
    ),
    (
        "an array of arrays has their elements",
        "select unnest(array(select l.tags from lists as l))",
    ),
    (
        "an array of arrays is compared with their elements",
        "select 'z' = any (array(select l.tags from lists as l))",
    ),
    (
        "in `from`, a composite is taken apart",
        "select u.a from unnest(array(select p.p from pairs as p)) as u",
    ),
    ("a set of no rows is null as a value", "select (select generate_series(1, 0))"),
    (
        "a set of no rows matches nothing",
        "select g.n from a left join lateral (select generate_series(1, 0)) as g (n) on true",
    ),
    ("citext's split_part gives null where text's gives ''", "select split_part('a'::citext, '@', 2)"),
    (
        "the row that meets a conflict need not refer to a row that is there",
        (
            "insert into child values (1, 99, 'z') on conflict (id) do update"
            " set label = (select p.name from parent as p where p.id = excluded.parent) returning label"
        ),
    ),
    (
        "the row that meets a conflict need not refer to a row that is there, joined or not",
        (
            "insert into child values (1, 99, 'z') on conflict (id) do update set label = (select p.name"
            " from (select) as one left join parent as p on p.id = excluded.parent) returning label"
        ),
    ),
    (
        "a foreign key whose triggers one partition has disabled may not hold",
        "select p.name from divided as d left join parent as p on p.id = d.parent",
    ),
    (
        "a foreign key to a partition whose triggers are disabled may not hold",
        "select (select p.name from divided_parent as p where p.id = c.parent) from of_divided as c",
    ),
    (
        "a capital letter that is not ASCII stays one in a trigger",
        'insert into capital values (1, 5) returning "Änderung"',
    ),
    (
        "a name that is too long is another column's",
        f"insert into long_name values (1, 5) returning {LONG}",
    ),
    ("a check is not enforced in a partition that is a foreign table", "select far.x from far"),
    ("a text without letters has no code", "select daitch_mokotoff('1')"),
]

NO_ROW = [
    ("an inserted row has no old one", "insert into swallowing (id) values (1) returning id"),
    ("an exception may end in null", "insert into caught_rows (id) values (1) returning id"),
    ("one of the branches returns null", "insert into odd (id, x) values (1, 2) returning id"),
    ("a limit is rounded", "select count(*) from a limit 0.4"),
    ("an offset is rounded", "select count(*) from a offset 0.6"),
    ("an offset may be computed", "select count(*) from a offset page_size(0)"),
    ("no element, no row", "insert into a (id) values (unnest('{}'::int[])) returning id"),
    ("a set may be empty", "select count(*) as n from a group by generate_series(1, 0)"),
    (
        "a row that moves may be dropped by the other partition's trigger",
        "insert into parted (id, k) values (7, 2) returning id",
    ),
]

MANY_ROWS = [
    ("each element is a row", "insert into a (id) values (unnest('{20,21}'::int[])) returning id"),
    ("each number is a row", "insert into a (id) values (generate_series(20, 22)) returning id"),
    (
        "each number is a row, also through a `with` item",
        "with w as (insert into a (id) values (generate_series(20, 22)) returning id) select w.id from w",
    ),
    (
        "each number is a row, also with a conflict",
        "insert into a (id) values (generate_series(1, 3)) on conflict (id) do update set x = 7 returning id",
    ),
    ("each number is a group", "select 1 as one from a where id = 1 group by generate_series(1, 5)"),
    (
        "each number is a group beside the key",
        "select id from a where id = 1 group by id, generate_series(1, 3)",
    ),
    (
        "each number is a group inside a subquery",
        "select s.id from (select id from a where id = 1 group by id, generate_series(1, 3)) as s",
    ),
    ("a limit may be computed", "select id from a limit page_size(1)"),
    ("a limit may be computed by the server's function", "select id from a limit abs('-5'::int8)"),
    ("a fraction is rounded up", "select id from a limit 1.5"),
]


# Zone, column, a moment with a zone, and the number of its column's values that are equal to it.
MOMENTS = [
    ("Europe/Berlin", "at", "2024-03-31 01:30Z", 2),
    ("Pacific/Apia", "day", "2011-12-30 10:00Z", 2),
]


@pytest.fixture(scope="module")
def prepared(database_url: str) -> Generator[tuple[psycopg.Connection[Any], Analyser]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        with Analyser(connection) as analyser:
            yield connection, analyser


def run(connection: psycopg.Connection[Any], sql: str) -> list[tuple[Any, ...]]:
    """Return the statement's rows; its writes are undone."""
    with connection.transaction(force_rollback=True):
        return connection.execute(sql.encode()).fetchall()


@pytest.mark.parametrize(("why", "sql"), NULL, ids=[why for why, _ in NULL])
def test_a_null_comes_if_none_is_ruled_out(
    prepared: tuple[psycopg.Connection[Any], Analyser], why: str, sql: str
) -> None:
    connection, analyser = prepared
    assert None in [row[0] for row in run(connection, sql)]
    assert analyser.analyse(sql).columns[0].nullable


@pytest.mark.parametrize(("why", "sql"), NO_ROW, ids=[why for why, _ in NO_ROW])
def test_no_row_comes_if_none_is_promised(
    prepared: tuple[psycopg.Connection[Any], Analyser], why: str, sql: str
) -> None:
    connection, analyser = prepared
    assert not run(connection, sql)
    assert analyser.analyse(sql).rows != "one"


@pytest.mark.parametrize(("why", "sql"), MANY_ROWS, ids=[why for why, _ in MANY_ROWS])
def test_many_rows_come_if_no_other_number_is_proved(
    prepared: tuple[psycopg.Connection[Any], Analyser], why: str, sql: str
) -> None:
    connection, analyser = prepared
    assert len(run(connection, sql)) > 1
    assert analyser.analyse(sql).rows == "many"


@pytest.mark.parametrize(("zone", "column", "moment", "count"), MOMENTS)
def test_times_of_different_clocks_may_be_one_moment(
    prepared: tuple[psycopg.Connection[Any], Analyser], zone: str, column: str, moment: str, count: int
) -> None:
    """Two local times are one moment when clocks go forward; a key distinguishes them."""
    connection, analyser = prepared
    sql = f"select m.at from moments as m where m.{column} = $1::timestamptz"
    joined = f"select m.at from moments as m, stamps as s where s.id = $1::int and m.{column} = s.moment"
    with connection.transaction(force_rollback=True):
        connection.execute(f"set local timezone to '{zone}'".encode())
        rows = connection.execute(sql.replace("$1", f"'{moment}'").encode()).fetchall()
    assert len(rows) == count
    for text in (sql, joined):
        assert analyser.analyse(text).rows == "many"
        assert not analyser.analyse(text).by_key
    same = analyser.analyse(f"select m.at from moments as m where m.{column} = $1")
    assert same.rows == "optional"
    assert same.by_key


def test_columns_of_two_readers_are_no_nested_row(
    prepared: tuple[psycopg.Connection[Any], Analyser],
) -> None:
    """Each reader of the view has its own outer joins, and the columns of one reader stay together."""
    connection, analyser = prepared
    for sql, groups in (
        ("select v1.bid, v2.bid from each_a as v1 cross join each_a as v2", 2),
        ("select v1.bid, v1.bid from each_a as v1 cross join each_a as v2", 1),
        ("with v as (select * from each_a) select v1.bid, v2.bid from v as v1 cross join v as v2", 2),
        ("select v1.bid, v2.bid from each_a as v1 left join each_a as v2 on v2.bid = v1.bid", 2),
    ):
        analysis = analyser.analyse(sql)
        assert judge(analysis, run(connection, sql)) is None
        assert len({column.nullable_group for column in analysis.columns}) == groups


def test_a_full_join_read_once_keeps_its_proof(
    prepared: tuple[psycopg.Connection[Any], Analyser],
) -> None:
    """The two sides of one reader still belong to one row."""
    _, analyser = prepared
    sql = "select coalesce(v1.aid, v1.bid) from deeper as v1 cross join deeper as v2"
    assert not analyser.analyse(sql).columns[0].nullable


LOCKED = [
    "select v.name from with_name as v for update",
    "select s.name from (select v.name from with_name as v) as s for update",
    "with s as materialized (select v.name from with_name as v for update) select s.name from s",
    "select v.name from locked_with_name as v",
]


@pytest.mark.parametrize("sql", LOCKED)
def test_a_row_locked_through_a_view_refers_to_an_unseen_row(database_url: str, sql: str) -> None:
    """After a wait for a lock the new version of a row is read, but not the row that it refers to."""
    with (
        psycopg.connect(database_url, autocommit=True) as connection,
        psycopg.connect(database_url, autocommit=True) as waiting,
        ThreadPoolExecutor() as threads,
    ):
        connection.execute(
            """
            drop schema if exists locking cascade;
            create schema locking;
            set search_path = locking;
            create table parent (id int primary key, name text not null);
            create table child (id int primary key, parent int not null references parent);
            insert into parent values (1, 'p');
            insert into child values (1, 1);
            create view with_name as
              select c.id, (select p.name from parent as p where p.id = c.parent) as name from child as c;
            create view locked_with_name as select v.name from with_name as v for update;
            """
        )
        waiting.execute("set search_path = locking")
        with connection.transaction():
            connection.execute("insert into parent values (2, 'q')")
            connection.execute("update child set parent = 2")
            answer = threads.submit(lambda: waiting.execute(sql.encode()).fetchall())
            blocked = False
            while not blocked and not answer.done():
                (blocked,) = connection.execute(
                    "select pg_backend_pid() = any (pg_blocking_pids(%s))", [waiting.info.backend_pid]
                ).fetchone() or (False,)
        assert answer.result() == [(None,)]
        with Analyser(connection) as analyser:
            assert analyser.analyse(sql).columns[0].nullable
