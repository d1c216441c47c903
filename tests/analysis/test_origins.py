"""The origins of columns and parameters: followed wherever the value is the same, and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable
from typing import Any

import psycopg
import pytest

from plainsql.analysis import Analyser
from plainsql.analysis.merge import merge_column, merge_parameters
from plainsql.analysis.model import Origin

SCHEMA = """
create domain mail as text check (value like '%@%');
create table people (id int primary key, name text not null, mail mail, tags int[]) ;
create table notes (
  id bigint primary key, person_id int references people, parent bigint references notes, size int
);
create table parted (id int, person_id int references people) partition by range (id);
create table part partition of parted for values from (0) to (9);
create view seen as select p.id as person, upper(p.name) as upper, p.mail from people as p;
create materialized view stored as select n.id from notes as n;
create type pair as (a int, b mail);
create function all_people() returns setof people language sql stable as 'select * from people';
"""


COLUMNS = """
select p.id, p.id as other, p.id + 1, p.id::text, p.id::bigint from people as p
=> id id - - id
select person, upper, mail from seen
=> seen.person<people.id seen.upper mail
select s.id from stored as s
=> stored.id<notes.id
select id, person_id from part
=> part.id<parted.id part.person_id<parted.person_id
with x as (select id as i from people) select i from (select x.i from x) as y
=> id
select id from people join (select person_id as id from notes) as n using (id)
=> id
with recursive t as (select n.id, n.parent, 1 as depth from notes as n union all select n.id,
  n.parent, depth + 1 from notes as n join t on t.parent = n.id) select id, parent, depth from t
=> notes.id notes.parent -
select id from people union all select person_id from notes
=> id,notes.person_id
select id from people except select person_id from notes
=> id
select id from people union select 1
=> -
select id from people union select null
=> id
select coalesce(p.id, n.person_id), coalesce(p.id, 0) from people p, notes n
=> id,notes.person_id -
select case when true then p.id end, case when true then p.id else p.id * 2 end from people p
=> id -
select nullif(p.id, 3), greatest(p.id, p.tags[1]), abs(p.id) from people p
=> id id,tags -
select min(p.id), sum(p.id), count(*) from people p
=> id - -
select array_agg(p.id), array_agg(p.id) || array_agg(n.person_id) from people p, notes n
=> id id,notes.person_id
select coalesce(array_agg(p.id), '{}'), array[p.id], array[p.id, 0] from people p group by p.id
=> id id -
select unnest(p.tags), p.tags[1], p.tags[1:2], array_remove(p.tags, 1) from people p
=> tags tags tags tags
select array(select id from people), (select id from people limit 1)
=> id id
select lag(p.id) over (), row_number() over (), first_value(p.id) over () from people p
=> id - id
select f.id, f.mail from all_people() as f
=> id mail
select (row(1, 'a@b')::pair).b, 'a@b'::mail, lower('a@b'::mail)
=> pair.b:mail :mail -
select p, (p).id from people as p
=> - id
insert into people (id, name) values (1, 'a') returning id, mail, id + 1
=> id mail -
update people set id = 2 returning name, id
=> name id
with d as (delete from notes returning person_id) select person_id from d
=> notes.person_id
select $1::int as x, coalesce($1, p.id) from people as p
=> - id
select x.a, x.b from (values ($1::int, 1)) as x (a, b)
=> - -
select to_jsonb(p.id), p.mail || 'x', length(p.mail) from people as p
=> - - -
"""
"""Statements, each with the sources of its columns; a dash is none."""

PARAMETERS = """
select 1 from people where id = $1 and name > $2 and $3 = mail
=> people.id people.name people.mail
select 1 from people where id in ($1, $2) or id = any($3)
=> people.id people.id people.id
select 1 from people where id between $1 and $2
=> people.id people.id
select 1 from people where id is not distinct from $1 and (id, name) < ($2, $3)
=> people.id people.id people.name
select 1 from people where tags @> $1 and $2 = any(tags) and tags || $3::int[] = '{}'
=> people.tags people.tags people.tags
select 1 from people where name like $1 and id + $2 > 3 and name || $3 = '' limit $4
=> - - - -
select 1 from people where id::text = $1 and id = $2::bigint and id = length($3)
=> - people.id -
insert into people (id, name, mail) values ($1, upper($2), $3)
=> people.id - people.mail
insert into people (id, name) select * from unnest($1::int[], $2::text[])
=> people.id people.name
insert into people (id, name) select a, b from (values ($1::int, $2), ($3, $4)) as v (a, b)
=> people.id people.name people.id people.name
insert into people (id, name) values (1, 'a') on conflict (id) do update set name = $1 where
  people.id = $2
=> people.name people.id
update people set name = coalesce($1, name), mail = case when $2 then $3 else mail end
=> people.name - people.mail
update seen set person = $1
=> seen.person<people.id
merge into notes as n using (select $1::bigint as i, $2::int as s) as v on n.id = v.i when
  matched then update set size = v.s when not matched then insert (id, parent) values (v.i, $3)
=> notes.id notes.size notes.parent
with x as (select $1::int as i) select p.name from people as p join x on p.id = x.i
=> people.id
select id from people union all select $1
=> people.id
select 1 from people where id in (select person_id from notes where size = $1) and $2 in (select
  id from notes)
=> notes.size notes.id
select case id when $1 then $2 else name end, nullif(id, $3), array[id, $4] from people
=> people.id people.name people.id people.id
select row($1, $2)::pair, $3::mail
=> pair.a pair.b -
select exists (select from people where id = $1) from notes where person_id = $1
=> notes.person_id,people.id
select unnest($1::int[]) union select id from people
=> people.id
select n.id from people p, lateral (select * from notes where person_id = $1 limit $2) n
=> notes.person_id -
"""
"""Statements, each with the columns that its parameters are compared with or stored in."""


def cases(text: str) -> list[tuple[str, str]]:
    parts = (case.partition("\n=> ") for case in re.split(r"\n(?=[a-z])", text.strip()))
    return [(sql.replace("\n ", ""), answer) for sql, _, answer in parts]


@pytest.fixture(scope="module")
def of_people(database_url: str) -> Generator[Analyser]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        with Analyser(connection) as analyser:
            yield analyser


def shown(origins: Iterable[Origin]) -> str:
    def one(origin: Origin) -> str:
        columns = [str(column).removeprefix("public.") for column in origin.columns]
        return " < ".join([*columns, *(f"domain {name.removeprefix('public.')}" for name in origin.domains)])

    return ", ".join(map(one, origins))


@pytest.mark.parametrize(("sql", "columns"), cases(COLUMNS))
def test_a_column_has_the_sources_of_its_values(of_people: Analyser, sql: str, columns: str) -> None:
    names = {
        "id": "people.id",
        "name": "people.name",
        "tags": "people.tags",
        "mail": "people.mail < domain mail",
    }

    def expected(written: str) -> str:
        if written == "-":
            return ""
        if written == "mail" and "seen" in sql:
            return "seen.mail < people.mail < domain mail"
        found = []
        for one in written.split(","):
            column, _, domain = one.partition(":")
            parts = [names.get(column, " < ".join(column.split("<")))] if column else []
            found.append(" < ".join([*parts, *([f"domain {domain}"] if domain else [])]))
        return ", ".join(sorted(found, key=lambda text: text.split(" ")[0].split(".")))

    analysis = of_people.analyse(sql)
    assert [shown(column.origins) for column in analysis.columns] == list(map(expected, columns.split()))


@pytest.mark.parametrize(("sql", "parameters"), cases(PARAMETERS))
def test_a_parameter_has_the_columns_it_is_used_with(of_people: Analyser, sql: str, parameters: str) -> None:
    def found(origins: Iterable[Origin]) -> str:
        return ",".join("<".join(str(c).removeprefix("public.") for c in o.columns) for o in origins) or "-"

    facts = of_people.analyse(sql).parameters
    assert [found(fact.origins) for fact in facts] == parameters.split()


def test_a_column_knows_what_its_foreign_keys_lead_to(of_people: Analyser) -> None:
    columns = of_people.analyse("select person_id, parent, id from notes").columns
    assert [[str(c) for c in column.origins[0].references] for column in columns] == [
        ["public.people.id"],
        ["public.notes.id"],
        [],
    ]
    (origin,) = of_people.analyse("select person_id from part").columns[0].origins
    assert str(origin.references[0]) == "public.people.id"


def test_variants_together_have_the_sources_of_each(of_people: Analyser) -> None:
    def analysed(sql: str) -> Any:
        return of_people.analyse(sql, ("x",))

    one = analysed("select id from people where id = $1")
    other = analysed("select person_id as id from notes where person_id = $1")
    computed = analysed("select id + 1 as id from people where id + 1 = $1")
    assert shown(merge_column([one, other], 0).origins) == "notes.person_id, people.id"
    assert merge_column([one, computed], 0).origins == ()
    assert shown(merge_parameters([one, other])["x"].origins) == "notes.person_id, people.id"
    assert shown(merge_parameters([one, computed])["x"].origins) == "people.id"


def test_many_nested_queries_are_followed_in_time(of_people: Analyser) -> None:
    query = "select id from people"
    for depth in range(40):
        query = f"select id from ({query}) as q{depth}"
    chain = "with c0 as (select id from people)" + "".join(
        f", c{n} as (select a.id from c{n - 1} as a join c{n - 1} as b using (id))" for n in range(1, 30)
    )
    for sql in (query, f"{chain} select id from c29 where id = $1"):
        assert shown(of_people.analyse(sql).columns[0].origins) == "people.id"
