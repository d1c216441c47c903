"""The oldest server in production: what it lacks is found, and what it has is not.

``PLAINSQL_OTHER_SERVERS`` and ``PLAINSQL_OLD_SERVERS`` hold URLs of servers, separated by blanks. The data
and each statement are compared with each of them: it accepts exactly those without a finding.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import psycopg
import pytest

from plainsql.analysis import Analyser
from plainsql.analysis.assumptions import Assumptions
from plainsql.analysis.catalog.server_versions import NEWEST, OLDEST, first_major
from plainsql.analysis.findings.schema_versions import schema_versions
from scripts.server_catalogs import DATA, HEADER, names_of

SERVERS = " ".join(
    os.environ.get(name, "") for name in ("PLAINSQL_OTHER_SERVERS", "PLAINSQL_OLD_SERVERS")
).split()

live = pytest.mark.skipif(
    not SERVERS, reason="set PLAINSQL_OLD_SERVERS to URLs of PostgreSQL 14 and 15, PLAINSQL_OTHER_SERVERS"
)

SCHEMA = "create table t (id int primary key, n int, d date, j jsonb, k text)"

STATEMENTS = {
    "select count(*), min(n), string_agg(k, ',') from t": 14,
    "select n + 1, d + 1, j -> 'a', k || 'x' from t": 14,
    "select json_strip_nulls('{}'::json)": 14,
    "select jsonb_strip_nulls(j) from t": 14,
    "select random(), gen_random_uuid(), now()": 14,
    "select j @? '$.a', jsonb_path_query_first(j, '$.a') from t": 14,
    "select x.a from jsonb_to_recordset('[]') as x (a int)": 14,
    "select json_object('{a,1}'::text[])": 14,
    "select 10, 1.5, 1e3, '0x1F', '1_000'": 14,
    "select a.n from (select t.n from t) as a": 14,
    "select pid, query from pg_stat_activity": 14,
    "insert into t (id) values (1) on conflict (id) do update set n = t.n + excluded.n returning id": 14,
    "update t set n = 1 returning t.n": 14,
    "with old as (select n from t) select old.n from old": 14,
    "select regexp_like(k, 'a'), regexp_count(k, 'a') from t": 15,
    "merge into t using (values (1)) as s (id) on s.id = t.id when matched then delete": 15,
    "select any_value(n) from t": 16,
    "select array_shuffle(array[n]) from t": 16,
    "select any_value(n) over (partition by k) from t": 16,
    "select json_object('a' : n) from t": 16,
    "select json_array(1, 2)": 16,
    "select json_arrayagg(n) from t": 16,
    "select json_objectagg(k : n) from t": 16,
    "select k is json from t": 16,
    "select system_user": 16,
    "select n from (select n from t)": 16,
    "select v.column1 from (values (1))  as v where v.column1 in (select n from (select n from t))": 16,
    "select 0x1F": 16,
    "select 1_000": 16,
    "select io.reads from pg_stat_io as io": 16,
    "select random(1, 10)": 17,
    "select xmltext('a')": 17,
    "select to_bin(n) from t": 17,
    "select json_exists(j, '$.a') from t": 17,
    "select json_value(j, '$.a') from t": 17,
    "select json_query(j, '$.a') from t": 17,
    "select json_scalar(1)": 17,
    "select json_serialize('1')": 17,
    "select x.a from t, json_table(t.j, '$' columns (a int path '$.a')) as x": 17,
    "select now() at local": 17,
    (
        "merge into t using (values (1)) as s (id) on s.id = t.id"
        " when not matched by source then delete when matched then do nothing"
    ): 17,
    (
        "merge into t using (values (1)) as s (id) on s.id = t.id when matched then delete"
        " returning merge_action()"
    ): 17,
    "select uuidv7()": 18,
    "select array_sort(array[n]) from t": 18,
    "select array_reverse(array[n]) from t": 18,
    "select casefold(k) from t": 18,
    "select crc32('a')": 18,
    "select n::bytea from t": 18,
    "select json_strip_nulls('{}'::json, true)": 18,
    "update t set n = 1 returning old.n, new.n": 18,
    "delete from t returning with (old as o) o.n": 18,
    "select w.wal_bytes, s.stats_reset from pg_stat_wal as w, pg_stat_slru as s": 14,
    "with x as (select uuidv7() as u) select (select x.u from x)": 18,
}
"""Statements, each with the first major that accepts it."""

PARTS = {
    "create table x (a int, b int generated always as (a + 1) stored)": [],
    "create table x (a int, unique (a)); create view y as select a from x": [],
    "create table x (a int, unique nulls not distinct (a))": [("x", 15)],
    "create table x (a int); create view y with (security_invoker) as select a from x": [("y", 15)],
    (
        "create table x (a int, b int, primary key (a, b));"
        " create table y (a int, b int, foreign key (a, b) references x on delete set null (b))"
    ): [("y", 15)],
    "create view y as select any_value(a) as a from (values (1)) as v (a)": [("y", 16)],
    "create view y as select json_object('a' : 1) as a": [("y", 16)],
    "create table x (a int, check (to_bin(a) <> ''))": [("x", 17)],
    "create table x (a int); create index on x (to_hex(a)) where to_oct(a) <> ''": [("x", 17)],
    "create table x (a int generated always as identity, b int) partition by range (b)": [("x", 17)],
    "create table x (a uuid default uuidv7())": [("x", 18)],
    "create table x (a int, b int generated always as (a + 1) virtual)": [("x", 18)],
    "create table x (a int check (a > 0) not enforced)": [("x", 18)],
    (
        "create extension btree_gist;"
        " create table x (a int, b int4range, primary key (a, b without overlaps))"
    ): [("x", 18)],
}
"""Schemas, each with the relations that an older server refuses and the first major that does not."""


@pytest.fixture(scope="module")
def schema_url(database_url: str) -> str:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
    return database_url


@pytest.fixture(scope="module", params=range(OLDEST, NEWEST + 1))
def analysed(request: pytest.FixtureRequest, schema_url: str) -> Generator[tuple[int, Analyser]]:
    """An analyser for each oldest server."""
    assumptions = Assumptions(oldest_server=request.param)
    with (
        psycopg.connect(schema_url, autocommit=True) as connection,
        Analyser(connection, assumptions) as analyser,
    ):
        yield request.param, analyser


@pytest.mark.parametrize("sql", STATEMENTS)
def test_a_statement_is_found_if_the_oldest_server_refuses_it(
    analysed: tuple[int, Analyser], sql: str
) -> None:
    oldest, analyser = analysed
    found = [each for each in analyser.analyse(sql).findings if each.name == "server-version"]
    assert bool(found) == (STATEMENTS[sql] > oldest)
    assert all(each.hint and each.position for each in found)


def test_without_the_setting_nothing_is_found(schema_url: str) -> None:
    with psycopg.connect(schema_url, autocommit=True) as connection, Analyser(connection) as analyser:
        for sql in STATEMENTS:
            assert "server-version" not in {each.name for each in analyser.analyse(sql).findings}


@pytest.mark.parametrize("sql", PARTS)
def test_a_part_of_the_schema_is_found_if_the_oldest_server_lacks_it(
    connection: psycopg.Connection[Any], sql: str
) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute(sql.encode())
        for oldest in range(OLDEST, NEWEST + 1):
            found = {(each.name, each.major) for each in schema_versions(connection, oldest)}
            assert found == {part for part in PARTS[sql] if part[1] > oldest}


def test_a_call_with_fewer_arguments_fits_an_older_server() -> None:
    assert first_major("function", "json_strip_nulls(json, boolean)") == 18
    assert first_major("function", "json_strip_nulls(json, boolean)", "json_strip_nulls(json)") == 14
    assert first_major("function", "lower(text)") == OLDEST


@live
@pytest.mark.parametrize("url", SERVERS)
def test_the_data_has_what_a_server_of_each_major_has(url: str) -> None:
    major, names = names_of(url)
    for line in DATA.read_text("utf-8").removeprefix(HEADER).splitlines():
        majors, kind, name = line.split("\t")
        first, last = map(int, majors.split("-"))
        assert ((kind, name) in names) == (first <= major <= last), line


@live
@pytest.mark.parametrize("url", SERVERS)
def test_a_server_refuses_what_is_found_and_accepts_the_rest(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as server:
        major = server.info.server_version // 10000
        server.execute(SCHEMA.replace("create", "create temporary").encode())
        wrong = []
        for sql, first in STATEMENTS.items():
            try:
                server.execute(b"prepare it as " + sql.encode())
            except psycopg.errors.FeatureNotSupported:
                continue  # a server without libxml
            except psycopg.Error:
                accepted = False
            else:
                accepted = True
                server.execute("deallocate it")
            # Until 14 `0x1F` and `1_000` are numbers with aliases, which is not what they mean later.
            if accepted != (major >= first) and not (major == 14 and sql in ("select 0x1F", "select 1_000")):
                wrong.append(sql)
        assert not wrong
