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
create unique index users_state on users (org) where state in ('open', 'held');
create unique index users_off on users (note, org) where not active;
create view people_only as select * from users;
create view lowered as select id, lower(email) as address, org as team, nick, note from users;
create view first_open as select * from (select * from lowered where note is null limit 5) as l;
create table pairs (a int, b int, c int not null, unique nulls not distinct (a, b));
insert into pairs values (1, null, 1), (null, null, 2), (null, 1, 3);
create table needed (a int not null, b int, unique (a));
insert into needed values (1, null), (2, 2);
create extension btree_gist;
create table prices (
  item int, during tsrange, price int not null, primary key (item, during without overlaps)
);
insert into prices values (1, '[2020-01-01,2021-01-01)', 1), (1, '[2021-01-01,)', 2), (2, '(,)', 3);
create table stays (
  room int, during tsrange, guest int not null, unique (room, during without overlaps)
);
insert into stays values (1, '[2020-01-01,)', 1), (1, null, 2), (1, null, 3), (null, '[2020-01-01,)', 4),
  (null, '[2020-01-01,)', 5);
create table bookings (
  room int not null, during int4range not null, guest int not null,
  exclude using gist (room with =, during with &&)
);
insert into bookings values (1, '[1,3)', 1), (1, '[3,)', 2), (1, 'empty', 3), (1, 'empty', 4);
create table tentative (
  room int not null, during int4range not null,
  exclude using gist (room with =, during with &&) deferrable
);
insert into tentative values (1, '[1,3)');
create table shifts (
  room int not null, during int4range not null, kind int not null,
  exclude using gist (room with =, during with &&) where (kind = 1)
);
insert into shifts values (1, '[1,3)', 2), (1, '[1,3)', 2);
create view now_priced as select item, price, during as span from prices;

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

create view people_seen as select id as person, email from people;
create view some_people as select id, email from people where id < 2;
create view posts_seen as select id as post, author as writer, editor from posts where id > 0;
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
    "select u.id from users as u where u.email = 'b' and u.deleted_at is null and u.active = true",
    "select u.id from users as u where u.email = 'b' and u.deleted_at is null and true = u.active",
    "select u.id from users as u where u.note = 'x' and u.org = 1 and not u.active",
    "select u.id from users as u where u.note = 'x' and u.org = 1 and u.active = false",
    "select u.id from users as u where u.note = 'x' and u.org = 1 and u.active is false",
    "select u.id from users as u where u.org = 1 and u.state = 'held'",
    "select u.id from users as u where u.org = 1 and u.state in ('open', 'held')",
    "select u.id from people_only as u where lower(u.email) = lower('A') and u.org = 1",
    "select u.id from people_only as u where u.nick = 'n' and u.note is null",
    "select u.id from people_only as u where u.email = 'b' and u.deleted_at is null and u.active",
    "select u.id from lowered as u where u.address = lower('A') and u.team = 1",
    "select u.id from first_open as u where u.nick = 'n'",
    "with w as (select * from lowered) select u.id from w as u where u.address = 'a' and u.team = 1",
    "select u.id from (select * from users) as u where u.nick = 'n' and u.note is null",
    (
        "select u.id from orgs as o inner join lowered as u on u.address = o.name and u.team = o.id"
        " where o.id = 1"
    ),
    "select o.id from orgs as o left join lowered as u on u.address = 'a' and u.team = 1 where o.id = 1",
    "update people_only as u set note = 'y' where u.nick = 'n' and u.note is null returning u.id",
    "select p.c from pairs as p where p.a is not distinct from 1 and p.b is not distinct from null::int",
    "select p.c from pairs as p where (p.a, p.b) is not distinct from (1, null::int)",
    "select p.c from pairs as p where p.a is null and p.b is not distinct from 1",
    "select n.b from needed as n where n.a is not distinct from 1",
    "select n.a from needed as n where n.a is not distinct from 1",
    "select p.price from prices as p where p.item = 1 and p.during = '[2021-01-01,)'",
    "select p.price from prices as p where p.item = 1 and p.during @> '2021-01-01'::timestamp",
    "select p.price from prices as p where p.item = 1 and '2021-01-01'::timestamp <@ p.during",
    "select p.price from prices as p where p.item = 1 and upper_inf(p.during)",
    "select p.price from prices as p where p.item = 1 and lower_inf(p.during)",
    "select p.price from prices as p where p.item = 1 and upper(p.during) is null",
    "select s.guest from stays as s where s.room = 1 and s.during @> '2021-01-01'::timestamp",
    "select s.guest from stays as s where s.room = 1 and upper_inf(s.during)",
    "select b.guest from bookings as b where b.room = 1 and b.during @> 3",
    "select b.guest from bookings as b where b.room = 1 and upper_inf(b.during)",
    "select p.price from now_priced as p where p.item = 1 and p.span @> '2021-01-01'::timestamp",
    (
        "select o.id from orgs as o left join prices as p on p.item = o.id"
        " and p.during @> '2021-01-01'::timestamp where o.id = 1"
    ),
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
    "select u.id from users as u where u.note = 'x' and u.org = 1 and u.active is not true",
    "select u.id from users as u where u.org = 1 and u.state = 'closed'",
    "select u.id from users as u where u.org = 1 and u.state <> 'held'",
    "select u.id from users as u where u.org = 1 and u.state in ('open', 'closed')",
    "select u.id from people_only as u where lower(u.email) = lower('A')",
    "select u.id from people_only as u where u.nick = 'n'",
    "select u.id from lowered as u where u.address = 'A'",
    "select u.id from (select * from users union all select * from users) as u where u.id = 1",
    (
        "select u.id from (select * from users union all select * from users) as u"
        " where u.nick = 'n' and u.note is null"
    ),
    (
        "select u.id from (select u.*, generate_series(1, 2) from users as u) as u"
        " where u.nick = 'n' and u.note is null"
    ),
    "select u.id from lowered as u, orgs as o where u.address = o.name and u.team = 1",
    "select p.c from pairs as p where p.a is not distinct from 1",
    "select p.c from pairs as p where p.a is distinct from 1 and p.b is not distinct from 1",
    "select p.c from pairs as p where (p.a, p.b) is distinct from (1, null::int)",
    "select p.c from pairs as p where p.a is not distinct from p.c and p.b is not distinct from null::int",
    "select n.a from needed as n where n.b is not distinct from null::int",
    "select p.price from prices as p where p.item = 1 and p.during @> '[2020-06-01,2020-06-02)'::tsrange",
    "select p.price from prices as p where p.item = 1 and p.during @> 'empty'::tsrange",
    "select p.price from prices as p where p.item = 1 and p.during && '[2020-06-01,2022-01-01)'",
    "select p.price from prices as p where p.item = 1",
    "select p.price from prices as p where p.during @> '2021-01-01'::timestamp",
    "select p.price from prices as p where p.item = 1 and not upper_inf(p.during)",
    "select p.price from prices as p where p.item = 1 and upper(p.during) is not null",
    "select p.price from prices as p where p.item = 1 and lower(p.during) = '2020-01-01'",
    "select p.price from prices as p where p.item is not null and p.during @> '2021-01-01'::timestamp",
    "select s.guest from stays as s where s.room is null and s.during @> '2021-01-01'::timestamp",
    "select s.guest from stays as s where s.room = 1 and upper(s.during) is null",
    "select s.guest from stays as s where s.room is not distinct from null::int and upper_inf(s.during)",
    "select b.guest from bookings as b where b.room = 1 and b.during = 'empty'",
    "select b.guest from bookings as b where b.room = 1 and upper(b.during) is null",
    "select t.room from tentative as t where t.room = 1 and t.during @> 1",
    "select s.kind from shifts as s where s.room = 1 and s.during @> 1",
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
    "select u.email from posts as p left join people_seen as u on u.person = p.author",
    "select u.email from posts_seen as p left join people as u on u.id = p.writer",
    "select u.email from posts_seen as p left join people_seen as u on u.person = p.writer",
    "select u.email from posts_seen as p left join people as u on u.id = p.editor where p.editor > 0",
    "select (select u.email from people_seen as u where u.person = p.author) from posts as p",
    "select (select u.email from people as u where u.id = p.writer) from posts_seen as p",
    (
        "with u as (select id, email from people), p as (select author as w from posts where id < 9)"
        " select u.email from p left join u on u.id = p.w"
    ),
    "select u.email from posts as p left join (select email, id from people) as u on u.id = p.author",
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
    "select json_exists('{}'::jsonb, '$.a')",
    "select json_exists('{}'::jsonb, '$.a ? (@ > $x)' passing 1 as x) from a",
    "select json_exists('{}'::jsonb, '$.a ? (@ > $x)' passing a.x as x error on error) from a",
    "select json_query('{}'::jsonb, '$.a' empty array on empty empty array on error)",
    "select json_query('[1,2]'::jsonb, '$[*]' empty array on empty empty object on error)",
    "select json_query('[1]'::jsonb, '$[*]' with wrapper empty array on empty error on error)",
    "select json_query('{}'::jsonb, '$.a' default '[0]'::jsonb on empty error on error)",
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
    "select json_exists('{}'::jsonb, null::jsonpath)",
    "select json_exists('{}'::jsonb, u.data::text::jsonpath) from users as u",
    "select json_exists(u.data, '$.a') from users as u",
    "select json_exists('{}'::jsonb, 'strict $.a' unknown on error)",
    "select json_query('{}'::jsonb, '$.a')",
    "select json_query('{}'::jsonb, '$.a' error on error)",
    "select json_query('[1,2]'::jsonb, '$[*]' empty array on empty)",
    "select json_query('{}'::jsonb, '$.a' default null on empty error on error)",
    "select json_query(u.data, '$.a' empty array on empty error on error) from users as u",
    "select json_query('null'::jsonb, '$' returning jsonb omit quotes empty array on empty error on error)",
    "select json_value('null'::jsonb, '$' default 'x' on empty error on error)",
    (
        "select t.m from json_table('[{\"y\": []}]'::jsonb, '$[*]' columns ("
        "n for ordinality, nested path '$.y[*]' columns (m for ordinality))) as t"
    ),
    "select u.email from posts as p left join some_people as u on u.id = p.author",
    "select u.email from posts as p left join (select * from people limit 1) as u on u.id = p.author",
    "select u.email from posts as p left join (select * from people offset 1) as u on u.id = p.author",
    "select u.email from posts as p left join (select distinct * from people) as u on u.id = p.author",
    (
        "select u.email from posts as p"
        " left join (select * from people tablesample system (0)) as u on u.id = p.author"
    ),
    "select u.email from posts_seen as p left join people as u on u.id = p.editor",
    "select u.email from posts_seen as p left join people as u on u.id = p.post",
    (
        "select u.email from posts as p"
        " left join (select id + 1 as id, email from people) as u on u.id = p.author"
    ),
    "select u.email from (select later as a from posts) as p left join people as u on u.id = p.a",
    "select h.word from posts as p left join (select * from hidden) as h on h.id = p.secret",
    "select u.email from (select author from notes) as p left join people as u on u.id = p.author",
    (
        "with n as (insert into people values (50, 'z') returning id)"
        " , g as (insert into gone select 9, n.id from n returning author)"
        " select u.email from g left join people as u on u.id = g.author"
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
