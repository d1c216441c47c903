"""Every way in which the server calls a function, and what the call really does: the oracle of effects.

One function writes a row and sets a setting for the session. It is attached to everything that PostgreSQL
evaluates: domains, aggregates, operator classes, defaults, triggers. Statements that reach it are run, and
their effects are compared with the claims about them.

`python -m tests.analysis.effects_cases --statements 20000 --seed 7 [--url …]` runs many more of them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import psycopg

from plainsql.analysis import Analyser, Analysis, RefusedError
from plainsql.settings import resolve_database

__all__ = ["FLAVOURS", "Tally", "Violation", "build", "judge", "run", "written_statements"]

# All of them end in `leak`: honestly labelled, or called by a body whose label is wrong.
_LEAK = """
create table probe (n integer);
create function leak(integer) returns integer language plpgsql volatile as $$ begin
  insert into effects.probe values ($1);
  perform set_config('probe.mark', 'left', false);
  return $1;
end $$;
"""
FLAVOURS = {
    "honest": "create function f(integer) returns integer language sql volatile as 'select effects.leak($1)'",
    "set in SQL, stable": (
        "create function f(v integer) returns integer language sql stable"
        " as $$ select set_config('probe.mark', 'left', false)::text is null; select v $$"
    ),
    "called in SQL, immutable": (
        "create function f(v integer) returns integer language sql immutable as 'select effects.leak(v)'"
    ),
    "begin atomic, stable": (
        "create function f(v integer) returns integer language sql stable begin atomic select leak(v); end"
    ),
    "nested in SQL, immutable": (
        "create function f0(integer) returns integer language sql immutable as 'select effects.leak($1)';"
        " create function f(integer) returns integer language sql immutable as 'select effects.f0($1)'"
    ),
    "through a view, stable": (
        "create view leaking as select leak(1) as v;"
        " create function f(v integer) returns integer language sql stable"
        " as 'select $1 + l.v - 1 from effects.leaking as l'"
    ),
    "PL/pgSQL, immutable": (
        "create function f(v integer) returns integer language plpgsql immutable"
        " as 'begin return effects.leak(v); end'"
    ),
    "PL/pgSQL, executed text": (
        "create function f(v integer) returns integer language plpgsql stable"
        " as $$ declare r integer;"
        " begin execute 'select effects.le' || 'ak($1)' into r using v; return r; end $$"
    ),
}

_SCHEMA = """
create table t (id integer primary key, x integer);
insert into t values (1, 10), (2, 20);
create domain checked as integer check (f(value) is distinct from -1);
create domain nested as checked;
create domain born as integer default f(5);
create type pair as (v checked, w integer);
create type span as range (subtype = checked);
create table held (v checked, p pair);
insert into held (v) values (1);
create function step(s bigint, v integer) returns bigint language sql immutable
  as 'select s + f(v)';
create function step_0(s bigint, v integer) returns bigint language sql immutable as 'select s + v';
create function last_of(s bigint) returns bigint language sql immutable as 'select f(s::integer)::bigint';
create aggregate tally (integer) (sfunc = step, stype = bigint, initcond = '0');
create aggregate tally_end (integer) (sfunc = step_0, stype = bigint, finalfunc = last_of, initcond = '0');
create aggregate tally_moving (integer) (
  sfunc = step_0, stype = bigint, initcond = '0',
  msfunc = step, minvfunc = step_0, mstype = bigint, minitcond = '0'
);
create function with_default(v integer, w integer default f(1)) returns integer language sql immutable
  as 'select v + w';
create function meets(a integer, b integer) returns boolean language sql immutable
  as 'select f(a) = b';
create operator <~> (leftarg = integer, rightarg = integer, function = meets);
create function may_meet(a integer, b integer) returns boolean language sql immutable
  as 'select a > b';
create function may_not_meet(a integer, b integer) returns boolean language sql immutable
  as 'select f(a) > b';
create operator <!> (leftarg = integer, rightarg = integer, function = may_meet, negator = <!!>);
create operator <!!> (leftarg = integer, rightarg = integer, function = may_not_meet, negator = <!>);
create function leaks(t) returns integer language sql immutable as 'select f($1.id)';
create function attribute_of(t) returns integer language plpgsql stable
  as $$ begin return ($1).leaks; end $$;
create type dress as (v integer);
create function as_dress(v integer) returns dress language sql immutable as 'select row(f(v))::dress';
create cast (integer as dress) with function as_dress (integer);
create type coin as (v integer);
create function coin_cmp(a coin, b coin) returns integer language plpgsql immutable
  as $$ begin return f(a.v) - b.v; end $$;
create function coin_lt(a coin, b coin) returns boolean language plpgsql immutable
  as $$ begin return a.v < b.v; end $$;
create function coin_le(a coin, b coin) returns boolean language plpgsql immutable
  as $$ begin return a.v <= b.v; end $$;
create function coin_eq(a coin, b coin) returns boolean language plpgsql immutable
  as $$ begin return a.v = b.v; end $$;
create function coin_ge(a coin, b coin) returns boolean language plpgsql immutable
  as $$ begin return a.v >= b.v; end $$;
create function coin_gt(a coin, b coin) returns boolean language plpgsql immutable
  as $$ begin return a.v > b.v; end $$;
create operator <# (leftarg = coin, rightarg = coin, function = coin_lt);
create operator <=# (leftarg = coin, rightarg = coin, function = coin_le);
create operator =# (leftarg = coin, rightarg = coin, function = coin_eq, merges);
create operator >=# (leftarg = coin, rightarg = coin, function = coin_ge);
create operator ># (leftarg = coin, rightarg = coin, function = coin_gt);
create operator class coin_ops default for type coin using btree as
  operator 1 <#, operator 2 <=#, operator 3 =#, operator 4 >=#, operator 5 >#,
  function 1 coin_cmp(coin, coin);
create function odd_lt(a integer, b integer) returns boolean language plpgsql immutable
  as $$ begin return a < b; end $$;
create function odd_eq(a integer, b integer) returns boolean language plpgsql immutable
  as $$ begin return a = b; end $$;
create function odd_cmp(a integer, b integer) returns integer language plpgsql immutable
  as $$ begin return f(a) - b; end $$;
create operator <? (leftarg = integer, rightarg = integer, function = odd_lt);
create operator =? (leftarg = integer, rightarg = integer, function = odd_eq, merges);
create operator class odd_ops for type integer using btree as
  operator 1 <?, operator 3 =?, function 1 odd_cmp(integer, integer);
create type purse as (c coin);
create type coins as range (subtype = coin);
create table till (id integer primary key, c coin not null);
insert into till values (1, row(1)), (2, row(2)), (3, row(2));
create function rows_of() returns table (c checked) language sql stable as 'select 1';
create function row_of(out c checked, out d integer) language plpgsql immutable
  as $$ begin c := 1; d := 2; end $$;
create function of_column(v integer) returns integer language plpgsql immutable
  as $$ declare c effects.held.v%type; begin c := v; return c; end $$;
create function loosely(v anyelement) returns anyelement language sql stable
  as $$ select v from effects.f(1) $$;
create function to_json(v coin) returns json language sql immutable as $$ select to_json(f(v.v)) $$;
create cast (coin as json) with function to_json (coin);
create view seen as select t.id, f(t.id) as v from t;
"""

# Expressions over `t` that call `f`.
_EXPRESSIONS = (
    "t.id::checked",
    "t.id::nested",
    "t.id::text::checked",
    "array[t.id]::checked[]",
    "('{' || t.id || '}')::checked[]",
    "row(t.id, 1)::pair",
    "('(' || t.id || ',1)')::pair",
    "json_populate_record(null::pair, '{\"v\": 1}')",
    "(select bool_or(jsonb_populate_record_valid(h.p, '{\"v\": 1}')) from held as h)",
    "jsonb_populate_recordset(null::pair, '[{\"v\": 1}]')",
    "(select j.x from json_to_record('{\"x\": 1}') as j (x checked))",
    "(select j.x from json_table('[1]', '$[*]' columns (x checked path '$')) as j)",
    "json_value('5', '$' returning checked)",
    "span(t.id::checked, null)",
    "('[' || t.id || ',9)')::span",
    "(select tally(b.id) from t as b)",
    "(select tally(b.id) filter (where b.id > 0) from t as b group by b.x limit 1)",
    "(select tally_end(b.id) from t as b)",
    "(select tally(b.id) over (order by b.id) from t as b limit 1)",
    (
        "(select max(m.v) from (select tally_moving(b.id) over (order by b.id"
        " rows between current row and 1 following) as v from t as b) as m)"
    ),
    "with_default(t.id)",
    "with_default(v => t.id)",
    "t.id <~> 1",
    "t.id <~> any (array[1, 2])",
    "nullif(t.id <~> 1, true)",
    "not (t.id <!> 1)",
    "'{5}'::checked[]",
    "'(5,1)'::pair",
    "'[1,2]'::span",
    "attribute_of(t)",
    "t.id::dress",
    "(select c from till order by c limit 1)",
    "(select count(distinct c) from till)",
    "(select count(*) from (select distinct c from till) as d)",
    "(select count(*) from (select c from till group by c) as d)",
    "(select count(*) from (select c from till union select c from till) as d)",
    "(select array_agg(c order by c) from till)",
    "(select max(r.n) from (select rank() over (order by c) as n from till) as r)",
    "(select max(r.n) from (select rank() over (partition by c) as n from till) as r)",
    "greatest(row(t.id)::coin, row(2)::coin)",
    "least(row(t.id)::coin, row(2)::coin)",
    "array[row(t.id)::coin] = array[row(1)::coin]",
    "array_position(array[row(t.id)::coin], row(1)::coin)",
    "row(row(t.id)::coin) < row(row(1)::coin)",
    "row(row(t.id)::coin)::purse < row(row(1)::coin)::purse",
    "coins(row(t.id)::coin, row(9)::coin)",
    "('[\"(1)\",\"(' || t.id || ')\"]')::coins",
    "(select count(*) from till as a inner join till as b on a.c =# b.c)",
    "(select s.v from seen as s where s.id = t.id)",
    "(select array_agg(b.id order by b.id using <?) from t as b)",
    "f(t.id)",
    "(select r.c from rows_of() as r)",
    "(select r.d from row_of() as r)",
    "of_column(t.id)",
    "loosely(t.id)",
    "to_jsonb(row(t.id)::coin)",
    "(select jsonb_agg(till) from till)",
    "mode() within group (order by row(t.id)::coin)",
    "max(array[row(t.id)::coin])",
    "(array['a', 'b'])[f(t.id)]",
    "case when t.id > 0 then f(t.id) end",
    "coalesce(null, f(t.id))",
    "(select g.v from generate_series(1, f(t.id)) as g (v) limit 1)",
)
_CONTEXTS = (
    "select {e} as v from t",
    "select t.id from t where ({e}) is not null",
    "select t.id from t order by ({e})::text",
    "with q as (select {e} as v from t) select q.v from q",
    "with q as materialized (select {e} as v from t) select count(v) from q",
    "select q.v from t cross join lateral (select {e} as v) as q",
    "select t.id from t where exists (select from (select {e} as v offset 0) as q where q.v is not null)",
    "select array(select ({e})::text from t)",
    "select t.id from t group by t.id having bool_or(({e}) is not null)",
    "select lag(t.id, 1) over (order by ({e})::text) from t",
    "update t set x = 1 where ({e}) is not null",
    "update t set x = length(({e})::text)",
    "update t set x = 1 returning ({e})::text",
    "delete from t where ({e}) is null",
    "insert into t (id) select 9 from t where ({e}) is not null limit 1",
    (
        "merge into t using (select 1 as one) as s on ({e}) is not null and t.id = s.one"
        " when matched then update set x = 3"
    ),
    "select t.id from t limit (select count(({e})::text) from t)",
)

# Tables that `f` is attached to, each with the statements that reach it.
_WRITTEN: dict[str, tuple[str, Sequence[str]]] = {
    "column default": (
        "create table w (id integer primary key default 50, no integer default f(1), z integer default 1)",
        [
            "insert into w (id) values (1)",
            "insert into w (id, no) values (1, default)",
            "insert into w (id, no) values (1, 2), (2, default)",
            "insert into w default values",
            "update w set no = default",
            "update w set (id, no) = row (1, default)",
            "insert into w (id, no) values (0, 7) on conflict (id) do update set no = default",
            (
                "merge into w using (values (0)) as s (id) on w.id = s.id"
                " when matched then update set no = default"
            ),
            (
                "merge into w using (values (8)) as s (id) on w.id = s.id"
                " when not matched then insert (id, no) values (s.id, default)"
            ),
            (
                "merge into w using (values (8)) as s (id) on w.id = s.id"
                " when not matched and s.id > 5 then insert (id) values (s.id)"
                " when not matched then insert (id, no) values (s.id, 1)"
            ),
            "with n as (insert into w (id, no) values (1, default) returning id) select id from n",
        ],
    ),
    "view column default": (
        (
            "create table w (id integer, no integer); create view wv as select id, no from w;"
            " alter view wv alter column no set default f(1); create view wvv as select id, no from wv"
        ),
        [
            "insert into wv (id) values (1)",
            "insert into wv (id, no) values (1, default)",
            "update wv set no = default",
            "insert into wvv (id) values (1)",
            "insert into wvv (id, no) values (1, 1), (2, default)",
        ],
    ),
    "default below a view": (
        "create table w (id integer, no integer default f(1)); create view wv as select id, no from w",
        [
            "insert into wv (id) values (1)",
            "insert into wv values (1, default)",
            "update wv set no = default",
        ],
    ),
    "column of a domain": (
        "create table w (id integer, no checked, p pair, a checked[])",
        [
            "insert into w (id, no) values (1, 1)",
            "insert into w (id) values (1)",
            "update w set no = 2",
            "update w set p.v = 2",
            "update w set a[1] = 2",
            "insert into w (id, p) values (1, row(1, 1))",
        ],
    ),
    "default of a domain": (
        "create domain born_again as born; create table w (id integer, no born, mo born_again)",
        [
            "insert into w (id) values (1)",
            "insert into w (id, no, mo) values (1, 1, default)",
            "update w set no = default",
        ],
    ),
    "check": (
        "create table w (id integer, no integer, check (f(no) is distinct from -1))",
        ["insert into w values (1, 1)", "update w set no = 1"],
    ),
    "trigger condition": (
        (
            "create table w (id integer, no integer);"
            " create function same() returns trigger language plpgsql as 'begin return new; end';"
            " create trigger same before insert or update on w for each row when (f(new.id) > 0)"
            " execute function same()"
        ),
        ["insert into w values (1, 1)", "update w set no = 1"],
    ),
    "trigger condition after": (
        (
            "create table w (id integer, no integer);"
            " create function same() returns trigger language plpgsql as 'begin return null; end';"
            " create trigger same after delete on w for each row when (f(old.id) is null)"
            " execute function same()"
        ),
        ["delete from w"],
    ),
    "trigger body": (
        (
            "create table w (id integer, no integer);"
            " create function calls() returns trigger language plpgsql"
            " as 'begin new.no := f(new.id); return new; end';"
            " create trigger calls before insert or update on w for each row execute function calls()"
        ),
        ["insert into w values (1, 1)", "update w set no = 1"],
    ),
    "trigger body with an operator": (
        (
            "create table w (id integer, no boolean);"
            " create function calls() returns trigger language plpgsql"
            " as 'begin new.no := new.id <~> 1; return new; end';"
            " create trigger calls before insert or update on w for each row execute function calls()"
        ),
        ["insert into w values (1, null)", "update w set no = null"],
    ),
    "trigger of a partition that a row moves to": (
        (
            "create table w (id integer, no integer) partition by list (id);"
            " create table w_0 partition of w for values in (0);"
            " create table w_1 partition of w for values in (1);"
            " create function calls() returns trigger language plpgsql"
            " as 'begin new.no := f(new.id); return new; end';"
            " create trigger calls before insert on w_1 for each row execute function calls()"
        ),
        ["update w set id = 1"],
    ),
    "set default by a foreign key": (
        (
            "create table p (id integer primary key); insert into p values (0), (1), (5);"
            " create table w (id integer, no integer default f(5) references p (id) on delete set default);"
            " insert into w values (1, 1)"
        ),
        ["delete from p where id = 1"],
    ),
    "index on an operator class": (
        "create table w (id int, no coin); create unique index on w (no); insert into w values (3, '(3)')",
        ["insert into w values (1, row(1))", "update w set no = row(4)::coin where id = 3"],
    ),
    "index on another operator class": (
        "create table w (id int, no int); create index on w (no odd_ops); insert into w values (3, 3)",
        ["insert into w values (1, 1)", "update w set no = 4 where id = 3"],
    ),
    "rule": (
        (
            "create table w (id integer, no integer);"
            " create rule w_rule as on insert to w do also select f(new.id)"
        ),
        ["insert into w values (1, 1)"],
    ),
    "policy": (
        (
            "create table w (id integer, no integer); alter table w enable row level security;"
            " alter table w force row level security; create policy w_all on w using (f(id) is not null);"
            " grant all on all tables in schema effects to pg_monitor;"
            " grant usage on schema effects to pg_monitor"
        ),
        ["select id from w", "update w set no = 1", "delete from w", "insert into w values (3, 3)"],
    ),
    "policy over a view": (
        (
            "create table w (id integer, no integer); alter table w enable row level security;"
            " create policy w_all on w using (exists (select from seen where v is not null));"
            " grant all on all tables in schema effects to pg_monitor;"
            " grant usage on schema effects to pg_monitor"
        ),
        ["select id from w", "update w set no = 1"],
    ),
}
# Only functions labelled immutable are allowed in these.
_IMMUTABLE = {
    "generated column": (
        "create table w (id integer, no integer, g integer generated always as (f(id)) stored)",
        ["insert into w (id) values (1)", "update w set id = 3"],
    ),
    "index expression": (
        "create table w (id integer, no integer); create index on w (f(id))",
        ["insert into w values (1)", "update w set id = 3"],
    ),
    "index condition": (
        "create table w (id integer, no integer); create index on w (no) where f(id) > 0",
        ["insert into w values (1)", "update w set id = 3"],
    ),
    "partition key": (
        (
            "create table w (id integer, no integer) partition by list (f(id));"
            " create table w_0 partition of w default"
        ),
        ["insert into w values (1)"],
    ),
}


@dataclass(slots=True)
class Tally:
    """The counts of a run."""

    statements: int = 0
    refused: int = 0
    failed: int = 0
    wrote: int = 0
    """Statements that left a row in the probe."""
    left: int = 0
    """Statements that changed the session."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A statement that did what it was proved not to do."""

    flavour: str
    sql: str
    what: str
    claim: Analysis

    def __str__(self) -> str:
        return (
            f"{self.flavour}: {self.sql}\n  {self.what}; read-only: {self.claim.read_only},"
            f" session-safe: {self.claim.session_safe}, changes: {self.claim.changes}"
        )


def build(
    connection: psycopg.Connection[Any], flavour: str, more: str = "", *, schema: str = _SCHEMA
) -> None:
    """Make the schema, and a table ``w`` that the function is attached to."""
    connection.execute("drop schema if exists effects cascade")
    connection.execute("create schema effects")
    connection.execute("set search_path to effects")
    connection.execute(f"{_LEAK}; {FLAVOURS[flavour]}; {schema}; {more}".encode())
    if "create table w " in more and "partition of w default" not in more:
        connection.execute("begin; set local session_replication_role = replica")
        connection.execute(b"insert into w (id) select 0 where not exists (select from w where id = 0)")
        connection.execute("commit")
    connection.execute("delete from probe")
    connection.execute("reset probe.mark")


def written_statements(flavour: str) -> dict[str, tuple[str, Sequence[str]]]:
    """Return the tables that a flavour can be attached to, with their statements."""
    return _WRITTEN | (_IMMUTABLE if "immutable" in flavour else {})


def judge(
    connection: psycopg.Connection[Any],
    analyser: Analyser,
    flavour: str,
    sql: str,
    tally: Tally,
    role: str = "",
) -> Violation | None:
    """Run a statement and compare its effects with the claims about it."""
    tally.statements += 1
    try:
        claim = analyser.analyse(sql)
    except RefusedError:
        tally.refused += 1
        return None
    connection.execute("begin")
    try:
        if role:
            connection.execute(f"set local role {role}".encode())
        connection.execute(sql.encode())
        wrote, left = connection.execute(
            "select exists (select from probe), coalesce(current_setting('probe.mark', true), '') <> ''"
        ).fetchone() or (False, False)
    except psycopg.Error:
        tally.failed += 1
        return None
    finally:
        connection.execute("rollback")
    tally.wrote += wrote
    tally.left += left
    if wrote and claim.read_only:
        return Violation(flavour, sql, "it wrote", claim)
    if wrote and not any(change.table in ("*", "effects.probe") for change in claim.changes):
        return Violation(flavour, sql, "it wrote what it does not name", claim)
    if left and claim.session_safe:
        return Violation(flavour, sql, "it left a setting in the session", claim)
    return None


def run(connection: psycopg.Connection[Any], seed: int, statements: int, tally: Tally) -> Iterator[Violation]:
    """Run this many statements from a seed, over all flavours, and yield each violation."""
    random = Random(f"effects/{seed}")
    for flavour in FLAVOURS:
        build(connection, flavour)
        pairs = [(e, c) for e in _EXPRESSIONS for c in _CONTEXTS]
        chosen = random.sample(pairs, min(len(pairs), statements // len(FLAVOURS)))
        with Analyser(connection) as analyser:
            for expression, context in chosen:
                found = judge(connection, analyser, flavour, context.format(e=expression), tally)
                if found is not None:
                    yield found


def main() -> int:
    """Fuzz until the number of statements is reached; the exit status is 1 if there was a violation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--statements", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--url", help="a database to work in, whose schema `effects` is overwritten")
    options = parser.parse_args()
    tally, found = Tally(), 0
    started = time.monotonic()
    with (
        resolve_database(options.url) as server,
        psycopg.connect(str(server), autocommit=True) as connection,
    ):
        for violation in run(connection, options.seed, options.statements, tally):
            found += 1
            print(violation, end="\n\n", flush=True)
    print(f"{tally} in {time.monotonic() - started:.0f} s, {found} violations")
    return min(found, 1)


if __name__ == "__main__":
    sys.exit(main())
