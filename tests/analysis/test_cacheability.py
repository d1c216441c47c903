"""Time, the session and settings are found in everything that a statement calls."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from plainsql.analysis import Analyser
from plainsql.analysis.effects.cache_dependencies import cached_read
from plainsql.statements.model import CachePolicy
from tests.analysis.effects_cases import build

_UNSTEADY = [
    (
        (
            "create table g (id integer); alter table g enable row level security;"
            " create policy g_now on g using (now() > '2020-01-01');"
            " create function h() returns integer language plpgsql stable as 'begin return 1; end';"
            " comment on function h() is 'plainsql: reads effects.g'"
        ),
        "select h() as v",
    ),
    ("", "select t.id from t where '2020-01-01'::date < 'today'"),
    ("", "select 'now'::timestamptz as v"),
    ("", "select date 'Yesterday' as v"),
    ("", "select t.id from t where now() > timestamp ' tomorrow 12:00'"),
    ("create function g() returns timestamptz language sql stable as 'select now()'", "select g() as v"),
    (
        "create function g() returns timestamptz language sql stable begin atomic select now(); end",
        "select g() as v",
    ),
    (
        "create function g() returns date language plpgsql stable as 'begin return current_date; end'",
        "select g() as v",
    ),
    (
        "create function g(v date default current_date) returns date language sql immutable as 'select v'",
        "select g() as v",
    ),
    ("create view g as select t.id from t where now() > '2020-01-01'", "select g.id from g"),
    (
        "create function g() returns integer language sql stable as 'select pg_backend_pid()'",
        "select g() as v",
    ),
    (
        (
            "create table g (id integer); alter table g enable row level security;"
            " create policy g_now on g using (now() > '2020-01-01')"
        ),
        "select g.id from g",
    ),
]


@pytest.mark.parametrize(("made", "sql"), _UNSTEADY, ids=[made or sql for made, sql in _UNSTEADY])
def test_time_and_session_are_found_in_called_functions(
    honest: psycopg.Connection[Any], made: str, sql: str
) -> None:
    honest.execute((made or "select").encode())
    with Analyser(honest) as analyser:
        caching = analyser.analyse(sql).caching
    assert "cache-unsteady" in {finding.name for finding in caching}


@pytest.mark.parametrize(
    "sql",
    [
        "select is_dst from pg_timezone_names where name = 'Europe/Berlin'",
        "select pg_stat_get_live_tuples('t'::regclass)",
        "select n_live_tup from pg_stat_user_tables",
        "select age(t.xmin) from t",
        "select mxid_age('1'::xid)",
    ],
)
def test_the_servers_counters_are_unsteady(honest: psycopg.Connection[Any], sql: str) -> None:
    with Analyser(honest) as analyser:
        caching = analyser.analyse(sql).caching
    assert "cache-unsteady" in {finding.name for finding in caching}


@pytest.mark.parametrize("label", ["immutable", "stable"])
def test_a_table_that_a_body_in_pl_pgsql_names_is_read(
    connection: psycopg.Connection[Any], label: str
) -> None:
    build(connection, "honest", schema="select")
    connection.execute(
        b"create table rates (v integer); create view newest as select max(v) as v from rates;"
        + f" create function g() returns integer language plpgsql {label}"
        f" as 'begin return (select v from effects.newest); end'".encode()
    )
    with Analyser(connection) as analyser:
        analysis = analyser.analyse("select g() as v")
    assert [dependency.table for dependency in analysis.dependencies] == ["effects.rates"]
    assert analysis.read_only
    assert analysis.session_safe


def test_a_foreign_table_may_do_more_than_read(honest: psycopg.Connection[Any]) -> None:
    """A view of the other server may write, and a program may do anything."""
    honest.execute("create extension if not exists postgres_fdw schema effects")
    honest.execute("create server other foreign data wrapper postgres_fdw")
    honest.execute("create foreign table far (v integer) server other")
    with Analyser(honest) as analyser:
        for sql in ("select far.v from far", "select t.id from t where t.id in (select far.v from far)"):
            claim = analyser.analyse(sql)
            assert claim.not_read_only == "foreign table effects.far may do more than read"
            assert claim.not_session_safe


def test_plain_expressions_of_a_table_take_nothing_from_its_reads(honest: psycopg.Connection[Any]) -> None:
    honest.execute(
        b"create function plain(integer) returns integer language sql immutable as 'select $1 + 1';"
        b" create function slow(integer) returns integer language plpgsql volatile as 'begin return $1; end';"
        b" create table w (id integer check (slow(id) > 0)); create index on w ((id + plain(1)))"
    )
    with Analyser(honest) as analyser:
        claim = analyser.analyse("select id from w")
    assert claim.read_only, claim.not_read_only
    assert claim.session_safe, claim.not_session_safe


def test_a_moment_that_stays_is_steady(honest: psycopg.Connection[Any]) -> None:
    with Analyser(honest) as analyser:
        sql = "select t.id, 'now' as word, 'today' from t where '2020-01-01'::date < '2021-01-01 00:00'"
        assert not analyser.analyse(sql).caching


def test_a_functions_tables_need_not_be_open_to_its_caller(honest: psycopg.Connection[Any]) -> None:
    honest.execute(
        b"create table g (id integer); alter table g enable row level security;"
        b" create policy g_a on g using (id::text = current_setting('app.a'));"
        b" create function h() returns bigint language sql stable security definer"
        b" as 'select count(*) from effects.g'"
    )
    with Analyser(honest) as analyser:
        below, direct = analyser.analyse("select h() as v"), analyser.analyse("select g.id from g")
    assert (below.settings, direct.settings) == ((), (("effects.g", ("app.a",)),))
    assert below.settings_read == direct.settings_read == ("app.a",)
    assert below.row_security == direct.row_security == ("effects.g",)


_SETTINGS = [
    ("", "select current_setting('app.Region', true) as v", ("app.region",)),
    ("", "select current_setting($1, true) as v", ("*",)),
    ("", "select t.id from t", ()),
    ("", "select current_user as v", ()),
    (
        "create function g() returns text language sql stable as $$ select current_setting('app.a') $$",
        "select g() as v",
        ("app.a",),
    ),
    (
        "create function g() returns text language plpgsql stable as 'begin return 1; end'",
        "select g() as v",
        ("*",),
    ),
    (
        "create function g() returns text language plpgsql immutable as 'begin return 1; end'",
        "select g() as v",
        (),
    ),
    ("create view g as select current_setting('app.a') as v", "select g.v from g", ("app.a",)),
    (
        (
            "create table g (id integer); alter table g enable row level security;"
            " create policy g_a on g using (id::text = current_setting('app.a'))"
        ),
        "select g.id from g",
        ("app.a",),
    ),
]


@pytest.mark.parametrize(("made", "sql", "settings"), _SETTINGS, ids=[f"{m} {s}" for m, s, _ in _SETTINGS])
def test_the_settings_that_a_result_depends_on_are_known_by_name(
    honest: psycopg.Connection[Any], made: str, sql: str, settings: tuple[str, ...]
) -> None:
    honest.execute((made or "select").encode())
    with Analyser(honest) as analyser:
        analysis = analyser.analyse(sql)
    assert analysis.settings_read == settings
    read = cached_read(CachePolicy(60), [analysis])
    assert read.settings == tuple(name for name in settings if name != "*")
    assert read.scoped is bool(settings)
