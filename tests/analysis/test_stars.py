"""The ``star`` finding: a star is allowed if each of its columns is written out in the statement."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import psycopg
import pytest
from psycopg import pq

from plainsql.analysis import Analyser, Finding

SCHEMA = """
create type place as (street text, city text);
create table town (id integer primary key, name text not null, place place);
create table home (id integer primary key, town_id integer not null references town (id), street text);
create view small_town as select t.id, t.name from town as t;
create function town_names() returns table (name text) language sql stable as 'select t.name from town as t';
"""
GROWN = """
alter table town add column mayor text;
alter table home add column rooms integer;
create or replace view small_town as select t.id, t.name, t.place from town as t;
drop function town_names();
create function town_names() returns table (name text, id integer)
language sql stable as 'select t.name, t.id from town as t';
alter type place add attribute country text;
"""
"""The same schema some migrations later: every table, view, function and type has another column."""

T = "t as (select town.id, town.name from town)"
WRITTEN_OUT = {
    "a with item": f"with {T} select t.* from t",
    "an alias of a with item": f"with {T} select x.* from t as x",
    "a quoted alias": f'with {T} select "T 1".* from t as "T 1"',
    "blanks and comments in the star": f"with {T} select t . /* all */ * from t",
    "a sub-select": "select t.* from (select town.id, town.name from town) as t",
    "a star of a with item that is written out": f"with {T}, u as (select t.*, 1 from t) select u.* from u",
    "a materialized with item": "with t as materialized (select town.id from town) select t.* from t",
    "a with item inside of a with item": f"with u as (with {T} select t.* from t) select u.* from u",
    "a with item of an outer query": f"with {T} select u.* from (select t.* from t) as u",
    "a with item with a table's name": "with home as (select town.id from town) select home.* from home",
    "an inner with item hides an outer one": (
        "with t as (select town.* from town) "
        "select u.* from (with t as (select town.id from town) select t.* from t) as u"
    ),
    "column aliases": "with t (a, b) as (select town.id, town.name from town) select t.* from t",
    "next to other columns": f"with {T} select h.street, t.*, 1 from t inner join home as h on h.id = t.id",
    "two stars": f"with {T} select t.*, u.* from t cross join (select home.street from home) as u",
    "after an outer join": f"with {T} select t.* from home left join t on t.id = home.id",
    "after a join by using": f"with {T} select t.* from home full join t using (id)",
    "a recursive with item": (
        "with recursive t as (select 1 as n union all select t.n + 1 from t where t.n < 3) select t.* from t"
    ),
    "a recursive part with a star": (
        "with recursive t as (select 1 as n union all (select t.* from t where t.n < 0)) select t.* from t"
    ),
    "the columns of search and cycle": (
        "with recursive t (n) as (select 1 union all select t.n + 1 from t where t.n < 3) "
        "search depth first by n set seen cycle n set looped using trail select t.* from t"
    ),
    "a union": "select u.* from (select home.id from home union all select town.id from town) as u",
    "an except of stars": f"with {T} (select t.* from t) except select t.* from t where t.id = 1",
    "a lateral sub-select": (
        "select u.* from town cross join lateral (select h.id from home as h where h.id = town.id) as u"
    ),
    "a star of an outer query": f"with {T} select u.* from t cross join lateral (select t.*) as u",
    "a values list": "select v.* from (values (1, 2)) as v (a, b)",
    "a values list with one name": "select v.* from (values (1, 2), (3, 4)) as v (a)",
    "a values list with a star": f"with {T} select v.* from t cross join lateral (values (t.*)) as v",
    "a column definition list": "select j.* from json_to_recordset('[]') as j (a integer, b text)",
    "a json table": "select x.* from json_table('[]', '$[*]' columns (a integer path '$.a')) as x",
    "rows that a delete returns": "with d as (delete from home returning home.id) select d.* from d",
    "rows that an insert returns": (
        "with i as (insert into town (id, name) values (1, 'a') returning id, name as n) select i.* from i"
    ),
    "grouped columns": f"with {T} select t.* from t group by t.id, t.name",
    "distinct rows": f"with {T} select distinct on (t.id) t.* from t order by t.id",
    "an aggregate": "with t as (select count(*) as n, max(town.id) as last from town) select t.* from t",
    "a column that is a row": "with t as (select town.place from town) select t.* from t",
}
FROM_THE_DATABASE = {
    "a table": "select {t.*} from town as t",
    "a table without an alias": "select {*} from town",
    "a table with its schema": "select {public.town.*} from public.town",
    "a table next to a with item": f"with {T} select t.*, {{h.*}} from t inner join home as h on h.id = t.id",
    "a view": "select {v.*} from small_town as v",
    "a function": "select {f.*} from town_names() as f",
    "a function's columns with other names": "select {f.*} from town_names() as f (called)",
    "a function of PostgreSQL": "select {g.*} from generate_series(1, 2) as g (n)",
    "a function next to a column definition list": (
        "select {r.*} from rows from (json_to_recordset('[]') as (a integer), town_names()) as r"
    ),
    "a with item over a table": "with t as (select town.* from town) select {t.*} from t",
    "a with item over a with item over a table": (
        "with t as (select * from town), u as (select t.* from t) select {u.*} from u"
    ),
    "a materialized with item over a table": (
        "with t as materialized (select * from town) select {t.*} from t"
    ),
    "a with item over `table`": "with t as (table town) select {t.*} from t",
    "a with item with one star": "with t as (select 1 as one, town.* from town) select {t.*} from t",
    "a with item with aliases for some": "with t (a, b) as (select * from town) select {t.*} from t",
    "a table whose name a with item has": "with home as (select 1) select {home.*} from public.home",
    "a table where the with item is out of sight": (
        f"with h as (with {T} select t.id from t), u as (select town.* from town) select {{u.*}} from u"
    ),
    "an outer with item that is not hidden": (
        "with t as (select town.* from town) "
        "select {u.*} from (with v as (select town.id from town) select t.* from t) as u"
    ),
    "a sub-select": "select {t.*} from (select * from town) as t",
    "a union": "select {u.*} from (select * from small_town union all select * from small_town) as u",
    "the second part of a union": (
        "select {u.*} from (select 1 as id, 'a' as name union all select v.* from small_town as v) as u"
    ),
    "a part deep in a union": (
        "select {u.*} from ((select 1 as id, '' as name except select 2, '') "
        "union (select 3, '' intersect select * from small_town)) as u"
    ),
    "both parts of the result": "select {a.*} from small_town as a union select {b.*} from small_town as b",
    "the second part of the result": "select 1 as id, '' as name union select {v.*} from small_town as v",
    "the first part of a recursive with item": (
        "with recursive t as (select * from small_town union all select t.* from t where t.id < 0) "
        "select {t.*} from t"
    ),
    "the second part of a recursive with item": (
        "with recursive t as (select 1 as id, '' as name union all "
        "(select v.* from t inner join small_town as v on v.id > t.id)) select {t.*} from t"
    ),
    "a lateral sub-select": "select {u.*} from town as t cross join lateral (select t.*) as u",
    "a values list with a star": "select {v.*} from town cross join lateral (values (1, town.*)) as v (a, b)",
    "a later row of a values list with a star": (
        "select {v.*} from town as t cross join lateral (values (1, 'a', null::place), (t.*)) as v"
    ),
    "a composite type": "select {(t.place).*} from town as t",
    "a composite type in a with item": "with t as (select (town.place).* from town) select {t.*} from t",
    "an element of an array of rows": "select {(array_agg(t.place))[1].*} from town as t",
    "a sub-select that is one row": "select {(select t.place from town as t limit 1).*}",
    "rows that a delete returns": "with d as (delete from home returning *) select {d.*} from d",
    "rows that an update returns": (
        "with u as (update town as t set name = 'a' from home as h where h.id = t.id returning t.id, h.*) "
        "select {u.*} from u"
    ),
    "rows that are returned": "delete from home returning {home.*}",
    "a join with a name": "select {j.*} from (town as t inner join home as h on h.id = t.id) as j",
    "a join of a with item and a table": f"with {T} select {{j.*}} from (t left join home using (id)) as j",
    "a grouped table": "select {t.*} from town as t group by t.id",
}
NOT_NAMED = {
    "a star alone": (f"with {T} select {{*}} from t", "write t.*"),
    "a star alone over an alias": (f'with {T} select {{*}} from t as "T 1"', 'write "T 1".*'),
    "a star alone in a with item": (f"with {T}, u as (select {{*}} from t) select u.* from u", "write t.*"),
    "a star alone over two": (
        f"with {T} select {{*}} from t as a cross join t as b",
        "name them: a.id, a.name, b.id, b.name",
    ),
    "a star alone over values": ("select {*} from (values (1, 2)) as v (a, b)", "write v.*"),
    "`table`": (f"with {T} {{table}} t", "write t.*"),
    "a row of a with item": (f"with {T} select {{(t).*}} from t", "write t.*"),
    "a join with a name": (
        f"with {T} select {{j.*}} from (t as a inner join t as b using (id)) as j",
        "name them: j.id, j.name, j.name",
    ),
    "a join with a table that adds no column": (
        f"with {T} select {{j.*}} from (t natural join small_town) as j",
        "name them: j.id, j.name",
    ),
    "a full join that merges its columns": (
        "with t as (select town.id from town) select {*} from t full join t as u using (id)",
        "name them: id",
    ),
}


@pytest.fixture(scope="module")
def town(database_url: str) -> Generator[psycopg.Connection[Any]]:
    """A connection to a database with the schema, in autocommit mode."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        yield connection


@pytest.fixture(scope="module")
def town_analyser(town: psycopg.Connection[Any]) -> Generator[Analyser]:
    """An analyser of the schema."""
    with Analyser(town) as analyser:
        yield analyser


@pytest.fixture(scope="module")
def columns(town: psycopg.Connection[Any]) -> dict[str, tuple[list[str] | None, list[str] | None]]:
    """The columns of each statement, now and in the grown schema."""
    statements = [_unmarked(each) for each in (*WRITTEN_OUT.values(), *FROM_THE_DATABASE.values())]
    with psycopg.connect(town.info.dsn) as connection:
        now = [_columns(connection, statement) for statement in statements]
        connection.execute(GROWN.encode())
        grown = [_columns(connection, statement) for statement in statements]
        connection.rollback()
    return {each: (before, after) for each, before, after in zip(statements, now, grown, strict=True)}


def _columns(connection: psycopg.Connection[Any], statement: str) -> list[str] | None:
    """The columns that the server describes; ``None`` if it refuses the statement."""
    try:
        with connection.transaction():
            prepared = connection.pgconn.prepare(b"star", statement.encode())
            if prepared.status != pq.ExecStatus.COMMAND_OK:
                raise psycopg.ProgrammingError(prepared.error_message.decode())
            described = connection.pgconn.describe_prepared(b"star")
            connection.execute("deallocate star")
            return [(described.fname(n) or b"").decode() for n in range(described.nfields)]
    except psycopg.ProgrammingError:
        return None


def _unmarked(marked: str) -> str:
    return marked.replace("{", "").replace("}", "")


def _stars(analyser: Analyser, marked: str) -> tuple[list[Finding], list[int]]:
    """The findings of a statement, and the positions of the stars that are marked by braces."""
    found = [finding for finding in analyser.analyse(_unmarked(marked)).findings if finding.name == "star"]
    places = [part.count("") for part in marked.replace("}", "").split("{")[:-1]]
    return found, [sum(places[: n + 1]) - n for n in range(len(places))]


@pytest.mark.parametrize("statement", WRITTEN_OUT.values(), ids=WRITTEN_OUT)
def test_a_star_over_columns_that_are_written_out_is_allowed(town_analyser: Analyser, statement: str) -> None:
    assert _stars(town_analyser, statement) == ([], [])


@pytest.mark.parametrize("marked", FROM_THE_DATABASE.values(), ids=FROM_THE_DATABASE)
def test_a_star_over_columns_of_the_database_is_found(town_analyser: Analyser, marked: str) -> None:
    found, positions = _stars(town_analyser, marked)
    assert positions
    assert [finding.position for finding in found] == positions
    for finding in found:
        assert finding.message.endswith(
            "* takes the columns that the database has when it runs: a migration changes the result"
        )
        assert finding.hint.startswith("name them: ")


@pytest.mark.parametrize(("marked", "hint"), NOT_NAMED.values(), ids=NOT_NAMED)
def test_a_star_that_does_not_name_its_source_is_found(
    town_analyser: Analyser, marked: str, hint: str
) -> None:
    found, positions = _stars(town_analyser, marked)
    star = marked[marked.index("{") + 1 : marked.index("}")]
    assert [(finding.position, finding.message, finding.hint) for finding in found] == [
        (positions[0], f"{star} does not name the with item or sub-select whose columns it takes", hint)
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "select exists (select * from town) as found",
        "with t as (select * from town) select t.id from t",
        "select count(*) as n from town",
        "select to_jsonb(t.*) as t from town as t",
        "select t.id * t.id as square from town as t",
        f"with {T}, u as (select * from town) select t.* from t inner join u on u.id = t.id",
    ],
)
def test_a_star_that_feeds_no_column_of_the_result_is_allowed(
    town_analyser: Analyser, statement: str
) -> None:
    assert _stars(town_analyser, statement) == ([], [])


@pytest.mark.parametrize("statement", WRITTEN_OUT.values(), ids=WRITTEN_OUT)
def test_an_allowed_star_has_the_same_columns_in_a_grown_schema(
    columns: dict[str, tuple[list[str] | None, list[str] | None]], statement: str
) -> None:
    now, grown = columns[statement]
    assert now
    assert grown == now


# The columns of PostgreSQL's own functions are the same in both.
@pytest.mark.parametrize("name", sorted(FROM_THE_DATABASE.keys() - {"a function of PostgreSQL"}))
def test_a_refused_star_has_other_columns_in_a_grown_schema(
    columns: dict[str, tuple[list[str] | None, list[str] | None]], name: str
) -> None:
    now, grown = columns[_unmarked(FROM_THE_DATABASE[name])]
    assert now
    assert grown != now


def test_a_chain_of_unions_is_followed_once_for_each_with_item(town_analyser: Analyser) -> None:
    items = ["t0 as (select town.id from town)"]
    items += [
        f"t{n} as (select a.* from t{n - 1} as a union select b.* from t{n - 1} as b)" for n in range(1, 40)
    ]
    assert _stars(town_analyser, f"with {', '.join(items)} select t39.* from t39") == ([], [])
    items[0] = "t0 as (select * from small_town)"
    found, positions = _stars(town_analyser, f"with {', '.join(items)} select {{t39.*}} from t39")
    assert [finding.position for finding in found] == positions
