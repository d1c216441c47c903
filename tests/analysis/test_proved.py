"""Proofs by keys and conditions, each next to a similar case that proves nothing.

Every statement also runs, and its rows are compared with all claims about it.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import psycopg
import pytest

from plainsql.analysis import Analyser, Analysis
from tests.analysis.fuzz import judge

SCHEMA = """
create table users (
  id int primary key, email text not null, org int not null, nick text, note text,
  deleted_at timestamptz, active bool, name varchar(20), data jsonb, level int, state text
);
create unique index users_lower on users (lower(email), org);
create unique index users_nick on users (nick) where note is null;
create unique index users_email on users (email) where deleted_at is null and active;
create unique index users_name on users (lower(name));
create unique index users_data on users ((data ->> 'a')) where state = 'open';
create unique index users_level on users (coalesce(level, 0)) where nick is not null;
create view live as select * from users where deleted_at is null and active;
insert into users (id, email, org, nick, note, level) values
  (1, 'a', 1, 'n', null, null), (2, 'A', 2, 'n', 'x', 7),
  (3, 'b', 2, null, null, 0), (4, 'b', 3, null, null, 0);
create table pairs (a int, b int, c int not null, unique nulls not distinct (a, b));
insert into pairs values (1, null, 1), (null, null, 2), (null, 1, 3);

create table orgs (id int primary key, name text not null);
create table people (id int primary key, email text not null, org int references orgs);
create table hidden (id int primary key, word text not null);
alter table hidden enable row level security;
create table posts (
  id int primary key,
  author int not null references people,
  editor int references people,
  later int not null references people deferrable,
  secret int not null references hidden,
  loose int not null
);
alter table posts add constraint unchecked foreign key (loose) references people not valid;
create function never() returns trigger language plpgsql as $$ begin return null; end $$;
create table kept (id int primary key, author int not null references people on delete cascade);
create trigger t before delete on kept for each row execute function never();
create table gone (id int primary key, author int not null references people on delete cascade);
create table parts (a int not null, b int not null, x text not null, primary key (a, b));
create table uses (id int primary key, a int not null, b int not null, foreign key (a, b) references parts);
create table notes (author int not null references people);
create table more_notes () inherits (notes);
create table days (id int primary key, author int not null references people) partition by range (id);
create table days_1 partition of days default;
insert into orgs values (1, 'o');
insert into people values (1, 'e', 1), (2, 'f', null);
insert into hidden values (1, 'w');
insert into posts values (1, 1, null, 1, 1, 1), (2, 1, 1, 1, 1, 1);
insert into kept values (1, 2);
insert into gone values (1, 2);
insert into parts values (1, 1, 'x');
insert into uses values (1, 1, 1);
insert into more_notes values (77);
insert into days values (1, 1);
delete from people where id = 2;

create table a (id int primary key, x int, n int not null default 0);
create table b (id int primary key, aid int references a, y int, m int not null default 0);
insert into a values (1, null, 0), (2, 5, 1), (3, 1, 9);
insert into b values (1, 1, null, 0), (2, null, 1, 1), (10, 2, null, 3);
create view joined as select a.id as aid, b.id as bid, b.m, b.y from a left join b on b.aid = a.id;
create function empties() returns trigger language plpgsql as $$ begin new.x := null; return new; end $$;
create table emptied (id int primary key, x int, z int);
create trigger t before insert on emptied for each row execute function empties();
insert into emptied values (1, 1);
"""

ONE_ROW = [
    "select u.id from users as u where lower(u.email) = lower('A') and u.org = 1",
    "select u.id from users as u where lower('A') = lower(u.email) and u.org = 1",
    "select u.id from users as u where (lower(u.email), u.org) = (lower('A'), 1)",
    "select u.id from users as u, orgs as o where lower(u.email) = o.name and u.org = o.id and o.id = 1",
    "delete from users as u where lower(u.email) = lower('A') and u.org = 1 returning u.id",
    "select u.id from users as u where lower(u.name) = lower('x')",
    "select u.id from users as u where u.data ->> 'a' = 'x' and u.state = 'open'",
    "select u.id from users as u where coalesce(u.level, 0) = 0 and u.nick is not null",
    "select u.id from users as u where coalesce(u.level, 0) = 0 and u.nick > 'a'",
    "select u.id from users as u where u.nick = 'n' and u.note is null",
    "update users as u set note = 'y' where u.nick = 'n' and u.note is null returning u.id",
    "select u.id from users as u where u.email = 'b' and u.deleted_at is null and u.active",
    "select u.id from users as u where u.email = 'b' and u.deleted_at is null and u.active is true",
    "select l.id from live as l where l.email = 'b'",
    "select o.id from orgs as o left join users as u on u.nick = o.name and u.note is null where o.id = 1",
    "select p.c from pairs as p where p.a = 1 and p.b is null",
    "select p.c from pairs as p where p.a is null and p.b is null",
    "select o.id from orgs as o left join pairs as p on p.a = o.id and p.b is null where o.id = 1",
]

MANY_ROWS = [
    "select u.id from users as u where lower(u.email) = lower('A')",
    "select u.id from users as u where upper(u.email) = lower('A') and u.org = 1",
    "select u.id from users as u where lower(u.email collate \"C\") = lower('A') and u.org = 1",
    "select u.id from users as u where lower(u.email) = any ('{a,b}') and u.org = 2",
    "select u.id from users as u where lower(u.email) = lower('A') or u.org = 1",
    "select u.id from users as u where u.data ->> 'a' = 'x' and u.state = 'closed'",
    "select u.id from users as u where u.data ->> 'b' = 'x' and u.state = 'open'",
    "select u.id from users as u where coalesce(u.level, 0) = 0",
    "select u.id from users as u where coalesce(u.level, 1) = 0 and u.nick is not null",
    "select u.id from users as u where u.nick = 'n'",
    "select u.id from users as u where u.nick = 'n' and u.note is not null",
    "select u.id from users as u where u.nick is null and u.note is null",
    "select u.id from users as u where u.email = 'b' and u.deleted_at is null",
    "select u.id from users as u where u.email = 'b' and u.deleted_at is null and u.active is not false",
    "select u.id from users as u where u.email = 'b' and (u.deleted_at is null and u.active or u.id = 3)",
    (
        "select o.id from orgs as o left join users as u on u.id = o.id and u.nick = 'x'"
        " where coalesce(u.level, 0) = 0"
    ),
    "select p.c from pairs as p where p.a is null",
    "select p.c from pairs as p where p.a = 1 and p.b is not null",
]

NEVER_NULL = [
    "select u.email from posts as p left join people as u on u.id = p.author",
    "select u.email from people as u right join posts as p on p.author = u.id",
    "select u.email from posts as p left join people as u on u.id = p.editor where p.editor > 0",
    "select (select u.email from people as u where u.id = p.author) from posts as p",
    "select (select u.email from people as u where u.id = p.author limit 1) from posts as p",
    "select u.email from days as p left join people as u on u.id = p.author",
    "select u.email from gone as p left join people as u on u.id = p.author",
    "select u.email from only notes as p left join people as u on u.id = p.author",
    "select x.x from uses as p left join parts as x on x.a = p.a and x.b = p.b",
    (
        "select o.name from posts as p left join people as u on u.id = p.author"
        " left join orgs as o on o.id = u.org where u.org is not null"
    ),
    (
        "with s as (select b.id, b.m from a left join b on b.aid = a.id)"
        " select s.m from s where s.id is not null"
    ),
    "select s.m from joined as s where s.bid is not null",
    "select s.m from (select * from (select * from joined) as t) as s where s.bid > 0",
    "select case when s.bid is not null then s.m else 0 end from joined as s",
    "select s.l from (select b.y, array_agg(b.y) as l from b group by b.y) as s where s.y is not null",
    "insert into a (id, x) values (1, 5) on conflict (id) do update set x = excluded.x returning x",
    "select a.x from a where a is not null",
    "select a.x from b left join a on a.id = b.id where a is not null",
    "select a.x from a where (a.x, a.n) is not null",
    "select (a.id, a.n) in (select b.id, b.m from b) from a",
    "select (a.id, a.n) not in (select b.id, b.m from b) from a",
    "update a set x = null where a.x > 0 returning old.x",
    "delete from a where a.x > 0 and a.id > 2 returning old.x",
    "insert into a (id) values (1) on conflict (id) do update set n = 2 returning (xmax = 0)",
    "select t.y from unnest(array[1, 2], array['a', 'b']) as t (x, y)",
    "select t.y from unnest('{1,2}'::int[], '{a,b}'::text[]) as t (x, y)",
    "select t.n from json_table('[1]'::jsonb, '$[*]' columns (n for ordinality, x int path '$')) as t",
]

MAY_BE_NULL = [
    "select u.email from posts as p left join people as u on u.id = p.later",
    "select u.email from posts as p left join people as u on u.id = p.editor",
    "select u.email from posts as p left join people as u on u.id = p.loose",
    "select u.email from posts as p left join people as u on u.id = p.id",
    "select u.email from posts as p left join people as u on u.id = p.author and u.email > 'z'",
    "select u.email from posts as p left join people as u on u.email = p.author::text",
    "select u.email from posts as p left join people as u tablesample system (0) on u.id = p.author",
    "select u.email from posts as p left join people as u on u.id = p.author for update of p",
    "select h.word from posts as p left join hidden as h on h.id = p.secret",
    "select (select u.email from people as u where u.id = p.author limit 0) from posts as p",
    "select (select u.email from people as u where u.id = p.author offset 1) from posts as p",
    "select (select u.email from people as u where u.id = p.author and u.id > 9) from posts as p",
    "select u.email from kept as p left join people as u on u.id = p.author",
    "select u.email from notes as p left join people as u on u.id = p.author",
    "select x.x from uses as p left join parts as x on x.a = p.b and x.b = p.a",
    "select x.x from uses as p left join parts as x on x.a = p.a",
    "select u.email from a left join posts as p on p.id = 99 left join people as u on u.id = p.author",
    (
        "with n as (insert into people values (50, 'z') returning id)"
        " insert into gone select 9, n.id from n"
        " returning (select u.email from people as u where u.id = gone.author)"
    ),
    "select t.m from joined as s cross join joined as t where s.bid is not null",
    "select s.y from joined as s where s.bid is not null",
    (
        "select s.l from (select b.y, lag(b.y, 1, 0) over (order by b.id) as l from b) as s"
        " where s.y is not null or s.l is null"
    ),
    (
        "select s.l from (select b.y, lag(b.y, 1, 0) over (order by b.id) as l from b) as s"
        " where s.y is not null"
    ),
    "select s.m from (select b.m, b.id from b union all select null, 1) as s where s.id is not null",
    "insert into emptied (id, x) values (1, 5) on conflict (id) do update set x = excluded.x returning x",
    "insert into emptied values (1, 5, 6) on conflict (id) do update set z = excluded.x returning z",
    "insert into a (id, x) values (1, null) on conflict (id) do update set x = excluded.x returning x",
    "insert into a (id) values (1) on conflict (id) do update set x = excluded.x returning x",
    "select a.x from a where not (a is null)",
    "select (a.id, a.x) in (select b.id, b.m from b) from a",
    "select (a.id, a.n) in (select b.id, b.y from b) from a",
    "update a set x = null where a.x > 0 returning new.x",
    "delete from a where a.x > 0 and a.id > 2 returning new.x",
    "select t.y from unnest(array[1, 2], array['a']) as t (x, y)",
    "select t.y from unnest('{1,2}'::int[], '{}'::text[]) as t (x, y)",
    "select t.y from unnest('{{1,2},{3,4}}'::int[], '{a,b}'::text[]) as t (x, y)",
    "select t.y from unnest('{1,2}'::int[], array(select 1)) as t (x, y)",
    "select t.y from unnest(array[1, 2], array['a', null]) as t (x, y)",
    (
        "select t.m from json_table('[{\"y\": []}]'::jsonb, '$[*]' columns ("
        "n for ordinality, nested path '$.y[*]' columns (m for ordinality))) as t"
    ),
]


@pytest.fixture(scope="module")
def prepared(database_url: str) -> Generator[tuple[psycopg.Connection[Any], Analyser]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        with Analyser(connection) as analyser:
            yield connection, analyser


def hold(prepared: tuple[psycopg.Connection[Any], Analyser], sql: str) -> Analysis:
    """Analyse a statement, and compare its rows with the claims."""
    connection, analyser = prepared
    analysis = analyser.analyse(sql)
    with connection.transaction(force_rollback=True):
        assert judge(analysis, connection.execute(sql.encode()).fetchall()) is None
    return analysis


@pytest.mark.parametrize("sql", ONE_ROW)
def test_a_key_and_its_condition_prove_one_row(
    prepared: tuple[psycopg.Connection[Any], Analyser], sql: str
) -> None:
    assert hold(prepared, sql).rows == "optional"


@pytest.mark.parametrize("sql", MANY_ROWS)
def test_less_than_the_key_and_its_condition_proves_nothing(
    prepared: tuple[psycopg.Connection[Any], Analyser], sql: str
) -> None:
    assert hold(prepared, sql).rows == "many"


@pytest.mark.parametrize("sql", NEVER_NULL)
def test_keys_and_conditions_exclude_null(
    prepared: tuple[psycopg.Connection[Any], Analyser], sql: str
) -> None:
    assert not hold(prepared, sql).columns[0].nullable


@pytest.mark.parametrize("sql", MAY_BE_NULL)
def test_a_condition_that_does_not_exclude_null_proves_nothing(
    prepared: tuple[psycopg.Connection[Any], Analyser], sql: str
) -> None:
    assert hold(prepared, sql).columns[0].nullable
