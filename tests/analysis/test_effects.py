"""Effects, also of expressions without a call in the tree, compared with what a statement really does."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from plainsql.analysis import Analyser
from plainsql.analysis.effects.effects import Effects
from plainsql.analysis.effects.evaluator import Evaluator
from plainsql.dependencies import EVERYTHING
from tests.analysis.effects_cases import FLAVOURS, Tally, build, judge, run, written_statements

SEED, STATEMENTS = 5, 2400


def test_no_statement_violates_a_proof_about_its_effects(connection: psycopg.Connection[Any]) -> None:
    tally = Tally()
    found = list(run(connection, SEED, STATEMENTS, tally))
    assert not found, "\n".join(map(str, found[:20]))
    # The run is useful only while most statements reach the function.
    assert tally.refused + tally.failed < 0.25 * tally.statements
    assert tally.left > 0.5 * tally.statements
    assert tally.wrote > 0.3 * tally.statements


@pytest.mark.parametrize(
    ("flavour", "table"), [(f, table) for f in FLAVOURS for table in written_statements(f)]
)
def test_expressions_of_a_table_are_followed(
    connection: psycopg.Connection[Any], flavour: str, table: str
) -> None:
    schema, statements = written_statements(flavour)[table]
    build(connection, flavour, schema)
    tally = Tally()
    role = "pg_monitor" if "policy" in table else ""
    with Analyser(connection) as analyser:
        for sql in statements:
            found = judge(connection, analyser, flavour, sql, tally, role)
            assert found is None, str(found)
    # Each statement runs, and nearly each of them reaches the function.
    assert not tally.refused + tally.failed
    assert tally.left >= max(1, tally.statements - 1)


_CHECKED = "create domain checked as integer check (f(value) is distinct from -1)"
_ODD = """
create function lt(a integer, b integer) returns boolean language plpgsql immutable
  as 'begin return a < b; end';
create function eq(a integer, b integer) returns boolean language plpgsql immutable
  as 'begin return a = b; end';
create function compare(a integer, b integer) returns integer language plpgsql
  as 'begin return f(a) - b; end';
create operator <? (leftarg = integer, rightarg = integer, function = lt);
create operator =? (leftarg = integer, rightarg = integer, function = eq);
create operator class odd_ops for type integer using btree as
  operator 1 <?, operator 3 =?, function 1 compare(integer, integer);
"""
_EARLY = "create function early(integer) returns integer language sql immutable as 'select effects.f($1)';"
_FIRES = "create function fires() returns trigger language plpgsql as 'begin perform f(1); return new; end';"
_SEEN = "create view seen as select f(1) as v;"
_ALONE = {
    "a view in PL/pgSQL": (
        _SEEN + "create function g() returns integer language plpgsql stable"
        " as 'begin return (select v from effects.seen); end'",
        "select g()",
    ),
    "a quoted view in PL/pgSQL": (
        _SEEN + 'alter view seen rename to "What is Seen";'
        " create function g() returns integer language plpgsql immutable"
        " as 'begin return (select v from effects.\"What is Seen\"); end'",
        "select g()",
    ),
    "a view in a polymorphic body": (
        _SEEN + "create function g(anyelement) returns anyelement language sql stable"
        " as 'select $1 from effects.seen'",
        "select g(1)",
    ),
    "a default argument in PL/pgSQL": (
        (
            "create function h(v integer, w integer default f(1)) returns integer language sql immutable"
            " as 'select v + w'; create function g() returns integer language plpgsql stable"
            " as 'begin return effects.h(1); end'"
        ),
        "select g()",
    ),
    "an order in PL/pgSQL": (
        _ODD + "create function g() returns integer language plpgsql stable as 'begin"
        " return (select x from (values (1), (2)) as q (x) order by x using operator(effects.<?) limit 1);"
        " end'",
        "select g()",
    ),
    "a rule on the table of a cascade": (
        (
            "create table p (id integer primary key); insert into p values (1);"
            " create table c (id integer references p on delete cascade); insert into c values (1);"
            " create rule r as on delete to c do also select f(old.id)"
        ),
        "delete from p where id = 1",
    ),
    "a rule on the table that a cascade sets null": (
        (
            "create table p (id integer primary key); insert into p values (1);"
            " create table c (id integer references p on delete set null); insert into c values (1);"
            " create rule r as on update to c do also select f(old.id)"
        ),
        "delete from p where id = 1",
    ),
    "a rule on the table of a view": (
        (
            "create table w (id integer); create view v as select id from w;"
            " create rule r as on insert to w do also select f(new.id)"
        ),
        "insert into v values (1)",
    ),
    "a rule below two views": (
        (
            "create table w (id integer); create view v as select id from w;"
            " create view u as select id from v;"
            " create rule r as on insert to w do also select f(new.id)"
        ),
        "insert into u values (1)",
    ),
    "a default below two views": (
        (
            "create table w (id integer, no integer default f(1)); create view v as select id, no from w;"
            " create view u as select id, no from v"
        ),
        "insert into u (id) values (1)",
    ),
    "a cascade that moves rows to another partition": (
        _FIRES + "create table p (id integer primary key); insert into p values (1);"
        " create table c (id integer references p on update cascade) partition by list (id);"
        " create table c_1 partition of c for values in (1); create table c_2 partition of c default;"
        " insert into c values (1);"
        " create trigger fires before insert on c_2 for each row execute function fires()",
        "update p set id = 2 where id = 1",
    ),
    "the key of a partition that is written itself": (
        _EARLY + "create table p (id integer) partition by range (early(id));"
        " create table w partition of p for values from (0) to (9)",
        "insert into w values (1)",
    ),
    "the operator class of a table that is referred to": (
        _ODD + "create table p (id integer); create unique index on p (id odd_ops);"
        " set session_replication_role = replica; insert into p values (1), (2), (3);"
        " reset session_replication_role;"
        " create table w (id integer references p (id))",
        "insert into w values (2)",
    ),
    "a constant in an index": (
        _EARLY + "create table w (id integer); create index on w ((id + early(1)))",
        "select id from w where id = 1",
    ),
    "a constant in the condition of an index": (
        _EARLY + "create table w (id integer); create index on w (id) where id > early(1)",
        "delete from w where id = 1",
    ),
    "a constant in a body that is written out in an index": (
        _EARLY + "create function outer_(integer) returns integer language sql immutable"
        " as 'select $1 + effects.early(1)'; create table w (id integer); create index on w (outer_(id))",
        "select id from w where id = 1",
    ),
    "a constant in statistics": (
        _EARLY + "create table w (id integer); create statistics s on (id + early(1)), id from w",
        "select id from w where id = 1",
    ),
    "a constant in the key of partitions": (
        _EARLY + "create table w (id integer) partition by range ((id + early(1)));"
        " create table w_0 partition of w default",
        "select id from w where id = 1",
    ),
    "a constant in a check of a table that inherits": (
        _EARLY + "create table w (id integer); create table w_0 (check (id > early(1))) inherits (w)",
        "select id from w where id = 1",
    ),
    "a constant in an index of a table below a function": (
        _EARLY + "create table w (id integer); create index on w ((id + early(1)));"
        " create function g() returns bigint language sql stable as 'select count(*) from effects.w'",
        "select g()",
    ),
    "columns of a function": (
        (
            f"{_CHECKED}; create function g() returns table (c checked, d integer) language sql stable"
            " as 'select 1, 2'"
        ),
        "select c, d from g()",
    ),
    "a result parameter": (
        (
            f"{_CHECKED}; create function g(out c checked, out d integer) language plpgsql immutable"
            " as 'begin c := 1; d := 2; end'"
        ),
        "select d from g()",
    ),
    "a variable of a column's type": (
        (
            f"{_CHECKED}; create table held (v checked);"
            " create function g(v integer) returns integer language plpgsql immutable"
            " as 'declare c effects.held.v%type; begin c := v; return c; end'"
        ),
        "select g(1)",
    ),
    "an attribute in PL/pgSQL": (
        (
            "create table t (id integer); insert into t values (1);"
            " create function leaks(t) returns integer language sql as 'select f($1.id)';"
            " create function g(t) returns integer language plpgsql stable as 'begin return ($1).leaks; end'"
        ),
        "select g(t) from t",
    ),
    "a quoted name in PL/pgSQL": (
        (
            'create function "F ""x"() returns integer language sql as \'select f(1)\';'
            " create function g() returns integer language plpgsql stable"
            ' as \'begin return "F ""x"/**/(); end\''
        ),
        "select g()",
    ),
    "an escaped name in PL/pgSQL": (
        (
            "create function g() returns integer language plpgsql stable"
            " as 'begin return u&\"le\\0061k\"(1); end'"
        ),
        "select g()",
    ),
    "an operator in PL/pgSQL": (
        (
            "create function meets(a integer, b integer) returns boolean language sql as 'select f(a) = b';"
            " create operator <~> (leftarg = integer, rightarg = integer, function = meets);"
            " create function g() returns boolean language plpgsql immutable as 'begin return 1 <~> 2; end'"
        ),
        "select g()",
    ),
    "a cast in PL/pgSQL": (
        (
            "create type dress as (v integer);"
            " create function as_dress(integer) returns dress language sql as 'select row(f($1))::dress';"
            " create cast (integer as dress) with function as_dress (integer) as assignment;"
            " create function g() returns dress language plpgsql immutable"
            " as 'declare d dress; begin d := 1::dress; return d; end'"
        ),
        "select g()",
    ),
    "the condition of a trigger": (
        (
            "create table w (id integer);"
            " create function same() returns trigger language plpgsql as 'begin return new; end';"
            " create trigger same before insert on w for each row when (f(new.id) > 0)"
            " execute function same()"
        ),
        "insert into w values (1)",
    ),
    "an operator in a trigger": (
        (
            "create table w (id integer, no boolean);"
            " create function meets(a integer, b integer) returns boolean language sql stable"
            " as 'select f(a) = b';"
            " create operator <~> (leftarg = integer, rightarg = integer, function = meets);"
            " create function same() returns trigger language plpgsql"
            " as 'begin new.no := new.id <~> 1; return new; end';"
            " create trigger same before insert on w for each row execute function same()"
        ),
        "insert into w values (1)",
    ),
    "the negator of an operator": (
        (
            "create function yes(a integer, b integer) returns boolean language sql immutable"
            " as 'select a > b limit 1';"
            " create function no(a integer, b integer) returns boolean language sql volatile"
            " as 'select f(a) > b';"
            " create operator <!> (leftarg = integer, rightarg = integer, function = yes, negator = <!!>);"
            " create operator <!!> (leftarg = integer, rightarg = integer, function = no, negator = <!>);"
        ),
        "select v from (values (1), (2)) as q (v) where not (v <!> 2)",
    ),
    "a class of operators by its order": (
        (
            "create function lt(a integer, b integer) returns boolean language plpgsql immutable"
            " as 'begin return a < b; end';"
            " create function compare(a integer, b integer) returns integer language plpgsql"
            " as 'begin return f(a) - b; end';"
            " create operator <? (leftarg = integer, rightarg = integer, function = lt);"
            " create function eq(a integer, b integer) returns boolean language plpgsql immutable"
            " as 'begin return a = b; end';"
            " create operator =? (leftarg = integer, rightarg = integer, function = eq);"
            " create operator class odd_ops for type integer using btree as"
            " operator 1 <?, operator 3 =?, function 1 compare(integer, integer)"
        ),
        "select v from (values (1), (2)) as q (v) order by v using <?",
    ),
}


@pytest.mark.parametrize("name", _ALONE)
def test_one_way_to_a_function_is_enough(connection: psycopg.Connection[Any], name: str) -> None:
    """No other object of the database could be the reason for the answer."""
    made, sql = _ALONE[name]
    build(connection, "honest", schema=made)
    tally = Tally()
    with Analyser(connection) as analyser:
        found = judge(connection, analyser, "honest", sql, tally)
    assert found is None, str(found)
    assert tally.left == tally.statements, "it is reached"


@pytest.mark.parametrize(
    "sql",
    [
        "select $1::checked",
        "select id from t where id = $1::nested",
        "select id from t where id = any ($1::checked[])",
        "select ($1::pair).w",
        "select pg_input_is_valid($1, 'checked')",
    ],
)
def test_a_parameter_of_a_domain_is_checked_when_it_is_bound(
    honest: psycopg.Connection[Any], sql: str
) -> None:
    with Analyser(honest) as analyser:
        claim = analyser.analyse(sql)
    assert not claim.read_only
    assert not claim.session_safe


def test_reading_a_column_of_a_domain_runs_no_check(honest: psycopg.Connection[Any]) -> None:
    with Analyser(honest) as analyser:
        claim = analyser.analyse("select h.v, (h.p).v as pv from held as h where h.v = 1 order by h.v")
    assert claim.read_only
    assert claim.session_safe


def test_a_write_to_the_servers_own_views_may_set_anything(honest: psycopg.Connection[Any]) -> None:
    tally = Tally()
    sql = "update pg_settings set setting = 'left' where name = 'probe.mark'"
    honest.execute("set probe.mark = 'before'")
    with Analyser(honest) as analyser:
        assert judge(honest, analyser, "honest", sql, tally) is None
        claim = analyser.analyse(sql)
    honest.execute("reset probe.mark")
    assert claim.not_session_safe == "a write to pg_catalog.pg_settings"


@pytest.mark.parametrize("method", ["system (10)", "bernoulli (10)", "bernoulli (10) repeatable (1)"])
def test_a_sample_only_reads(honest: psycopg.Connection[Any], method: str) -> None:
    with Analyser(honest) as analyser:
        claim = analyser.analyse(f"select t.id from t tablesample {method}")
    assert claim.read_only
    assert claim.session_safe
    assert claim.volatility == ("stable" if "repeatable" in method else "volatile")


_EXTENSIONS = [
    ("tablefunc", "select a from crosstab('select id, id, x from t order by 1') as c (a integer, b integer)"),
    ("tablefunc", "select a from connectby('t', 'id', 'x', '1', 0) as c (a integer, b integer, l integer)"),
    ("dblink", "select a from dblink('dbname=x', 'select 1') as d (a integer)"),
    ("dblink", "select dblink_get_connections()"),
    ("pgrowlocks", "select locker from pgrowlocks('t')"),
    ("pgstattuple", "select table_len from pgstattuple('t')"),
    ("", "select word from ts_stat('select to_tsvector(x::text) from t')"),
    ("", "select ts_rewrite('a'::tsquery, 'select a, b from pairs')"),
    ("", "select table_to_xml('t', true, false, '')"),
    ("", "select query_to_xml('select 1', true, false, '')"),
]


@pytest.mark.parametrize(("extension", "sql"), _EXTENSIONS, ids=[sql for _, sql in _EXTENSIONS])
def test_functions_that_run_sql_from_arguments_may_do_anything(
    honest: psycopg.Connection[Any], extension: str, sql: str
) -> None:
    if extension:
        honest.execute(f"create extension if not exists {extension} schema effects".encode())
    with Analyser(honest) as analyser:
        claim = analyser.analyse(sql)
    assert not claim.read_only
    assert not claim.session_safe
    assert claim.opaque
    assert claim.changes == EVERYTHING


_COMPUTING = [
    ("tablefunc", "select normal_rand(1, 2, 3)"),
    ("citext", "select 'a'::citext = 'A'"),
    ("hstore", "select 'a=>1'::hstore -> 'a'"),
    ("intarray", "select sort(array[2, 1])"),
    ("ltree", "select 'a.b'::ltree <@ 'a'"),
    ("pg_trgm", "select similarity('a', 'b')"),
    ("unaccent", "select unaccent('é')"),
    ("vector", "select '[1,2]'::vector <-> '[2,3]'"),
    ("tsm_system_rows", "select id from t tablesample system_rows (1)"),
    ("earthdistance", "select earth_distance(ll_to_earth(1, 2), ll_to_earth(2, 3))"),
    ("isn", "select isbn('0-393-04002-X')"),
]


@pytest.mark.parametrize(("extension", "sql"), _COMPUTING, ids=[name for name, _ in _COMPUTING])
def test_functions_of_extensions_that_compute_are_harmless(
    honest: psycopg.Connection[Any], extension: str, sql: str
) -> None:
    honest.execute(f"create extension if not exists {extension} schema effects cascade".encode())
    with Analyser(honest) as analyser:
        claim = analyser.analyse(sql)
    assert claim.read_only, claim.not_read_only
    assert claim.session_safe, claim.not_session_safe
    assert not claim.opaque


def test_an_extensions_index_functions_are_no_part_of_a_body(
    connection: psycopg.Connection[Any],
) -> None:
    build(connection, "honest", schema="create extension if not exists vector schema effects")
    connection.execute(
        b"create function g() returns integer language plpgsql stable as 'begin return 1 + 1; end'"
    )
    with Analyser(connection) as analyser:
        claim = analyser.analyse("select g()")
    assert (claim.read_only, claim.session_safe, claim.volatility) == (True, True, "stable")


def test_a_kind_of_node_that_is_not_known_ends_every_proof(honest: psycopg.Connection[Any]) -> None:
    with Analyser(honest) as analyser:
        effects = Effects()
        evaluator = Evaluator(analyser.catalog, effects, lambda *_: None, lambda *_: False)
        evaluator.expression("{NEWERKIND :arg {CONST :consttype 23}}")
    assert effects.not_read_only == effects.not_session_safe == "newerkind, a kind of node that is not known"
    assert effects.hidden_writes


@pytest.mark.parametrize(
    ("made", "sql"),
    [
        ("create function g(integer) returns integer language sql stable as 'select broken'", "select g(1)"),
        ("create function g(integer) returns integer language sql stable as ''", "select g(1)"),
    ],
)
def test_a_body_that_cannot_be_read_may_do_anything(
    honest: psycopg.Connection[Any], made: str, sql: str
) -> None:
    honest.execute(f"set check_function_bodies = off; {made}; reset check_function_bodies".encode())
    with Analyser(honest) as analyser:
        claim = analyser.analyse(sql)
        # The refusal of the body has left the connection as it was.
        assert analyser.analyse("select 1").read_only
    assert claim.not_session_safe == "the body of effects.g(integer) cannot be read"


def test_a_body_is_read_inside_a_transaction(honest: psycopg.Connection[Any]) -> None:
    honest.execute(
        b"set check_function_bodies = off; create function g(integer) returns integer language sql stable"
        b" as 'select broken'; create function h(integer) returns integer language sql stable as 'select $1';"
        b" reset check_function_bodies"
    )
    with honest.transaction(), Analyser(honest) as analyser:
        assert not analyser.analyse("select g(1)").session_safe
        assert analyser.analyse("select h(1)").session_safe


@pytest.mark.parametrize("path", ["", " set search_path = other"])
def test_a_body_is_read_on_the_path_of_its_function(honest: psycopg.Connection[Any], path: str) -> None:
    honest.execute("drop schema if exists other cascade")
    honest.execute(
        "create schema other; create function other.g() returns integer language sql as 'select f(1)'"
    )
    honest.execute("create function g() returns integer language sql immutable as 'select 1'")
    honest.execute("set check_function_bodies = off")
    honest.execute(f"create function h() returns integer language sql stable{path} as 'select g()'".encode())
    with Analyser(honest) as analyser:
        assert analyser.analyse("select h()").session_safe is (not path)
        assert analyser.analyse("select g()").session_safe
