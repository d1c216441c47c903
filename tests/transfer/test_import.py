"""An import: all or nothing, rows as they were, constraints in force."""

from __future__ import annotations

import io

import psycopg
import pytest

from plainsql.migrate import lock
from plainsql.migrate.errors import LockedError
from plainsql.transfer import TransferError, export_schemas, import_, import_file
from tests.transfer.conftest import Pair

PEOPLE = """
create schema shop;
create table shop.people (
  id bigint generated always as identity primary key,
  name text not null,
  boss_id bigint references shop.people (id),
  team_id bigint,
  updated_at timestamptz not null default now()
);
create table shop.a_log (id serial primary key, what text not null);
create table shop.teams (
  id bigint generated always as identity primary key,
  name text not null unique,
  lead_id bigint not null references shop.people (id)
);
alter table shop.people add constraint people_team_fkey foreign key (team_id) references shop.teams (id);
create function shop.stamp() returns trigger language plpgsql as $$
begin
  new.updated_at := now();
  insert into shop.a_log (what) values ('changed ' || new.name);
  return new;
end $$;
create trigger stamp before insert or update on shop.people for each row execute function shop.stamp();
create trigger always before insert on shop.people for each row execute function shop.stamp();
create trigger never before insert on shop.people for each row execute function shop.stamp();
alter table shop.people enable always trigger always;
alter table shop.people disable trigger never;
create function shop.refuse() returns trigger language plpgsql as $$
begin
  raise exception 'the log is append-only';
end $$;
create trigger append_only before truncate or delete on shop.a_log execute function shop.refuse();
"""

ROWS = """
insert into shop.people (name) values ('Ana'), ('Bo');
insert into shop.teams (name, lead_id) values ('Red', 1);
update shop.people set team_id = 1, boss_id = 2 where id = 1;
select nextval('shop.people_id_seq');
"""

VISITS = """
create schema shop;
create table shop.visits (day date not null, n integer not null, primary key (day, n))
partition by range (day);
create table shop.visits_1 partition of shop.visits for values from ('2026-01-01') to ('2026-02-01');
create table shop.visits_2 partition of shop.visits for values from ('2026-02-01') to ('2026-03-01');
create materialized view shop.counts as select day, count(*) as n from shop.visits group by day;
"""

GUARDS = """
select
  array(select (tgname, tgenabled)::text from pg_trigger where not tgisinternal order by tgname),
  array(select (conname, condeferrable, condeferred)::text from pg_constraint where contype = 'f' order by 1),
  array(select (relname, relforcerowsecurity)::text from pg_class where relkind = 'r' order by 1)
"""


@pytest.fixture
def people(pair: Pair) -> Pair:
    """Tables that refer to themselves and to each other in a circle, with triggers, on both sides."""
    pair.both(PEOPLE)
    pair.source.run(ROWS)
    return pair


def guards(pair: Pair) -> object:
    return pair.target.connection.execute(GUARDS.encode()).fetchall()


def test_rows_come_in_as_they_were(people: Pair) -> None:
    before = guards(people)
    exported = people.source.export()
    done = people.target.load(exported)
    assert done.rows == {"shop.a_log": 5, "shop.people": 2, "shop.teams": 1}
    assert people.target.export() == exported
    assert guards(people) == before


def test_the_next_identity_follows_the_last_one_of_the_source(people: Pair) -> None:
    people.target.load(people.source.export())
    assert people.target.value("insert into shop.people (name) values ('Cy') returning id") == 4
    assert people.target.value("insert into shop.teams (name, lead_id) values ('Blue', 1) returning id") == 2


def test_foreign_keys_are_in_force_also_in_a_circle(people: Pair) -> None:
    people.source.run(
        "alter table shop.people drop constraint people_team_fkey; update shop.people set team_id = 9"
    )
    with pytest.raises(TransferError, match='violates foreign key constraint "people_team_fkey"'):
        people.target.load(people.source.export())
    assert people.target.value("select count(*) from shop.people") == 0


def test_a_table_that_is_not_empty_is_refused_and_named(people: Pair) -> None:
    people.target.run("insert into shop.people (name) values ('Old')")
    with pytest.raises(TransferError, match=r"these tables are not empty: shop\.a_log, shop\.people\n"):
        people.target.load(people.source.export())


def test_replace_removes_the_old_rows_in_spite_of_triggers(people: Pair) -> None:
    people.target.run("insert into shop.people (name) values ('Old')")
    exported = people.source.export()
    people.target.load(exported, replace=True)
    assert people.target.export() == exported


def test_replace_does_not_reach_beyond_the_layer(people: Pair) -> None:
    people.target.run("create table public.fans (person bigint references shop.people (id))")
    with pytest.raises(TransferError, match="referenced in a foreign key"):
        people.target.load(people.source.export(), replace=True)


def test_a_truncated_file_leaves_the_rows_of_the_database(people: Pair) -> None:
    people.target.run("insert into shop.people (name) values ('Old')")
    before = people.target.export()
    with pytest.raises(TransferError, match="cut short"):
        people.target.load(people.source.export()[:-20], replace=True)
    assert people.target.export() == before


def test_a_refused_value_is_reported_with_its_line_and_not_printed(people: Pair) -> None:
    people.target.run("alter table shop.people add constraint no_bo check (name <> 'Bo')")
    exported = people.source.export()
    line = exported.splitlines().index(next(x for x in exported.splitlines() if b'"Bo"' in x)) + 1
    with pytest.raises(TransferError) as one:
        people.target.load(exported)
    assert f"the file:{line}: shop.people: " in str(one.value)
    assert "no_bo" in str(one.value)
    assert "Bo" not in str(one.value).replace("no_bo", "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("alter table shop.teams add note text", r"shop\.teams\.note: expected no column, got text"),
        ("alter table shop.teams alter name type varchar(9)", r"expected text, got character varying\(9\)"),
        ("create table shop.more (id integer)", r"the file has no table shop\.more"),
        ("alter table shop.a_log set schema public", r"this database has no table shop\.a_log"),
    ],
)
def test_tables_that_differ_are_refused(change: str, message: str, people: Pair) -> None:
    people.target.run(change)
    with pytest.raises(TransferError, match=message):
        people.target.load(people.source.export())


def test_an_owner_without_superuser_can_import_under_forced_policies(people: Pair) -> None:
    role = "owner_" + people.target.connection.info.dbname.rpartition("_")[2]
    people.both("alter table shop.teams enable row level security, force row level security")
    exported = people.source.export()
    people.target.run(f"create role {role}")
    try:
        people.target.run(f"alter schema shop owner to {role}; grant all on schema public to {role}")
        for table in ("people", "teams", "a_log"):
            people.target.run(f"alter table shop.{table} owner to {role}")
        before = guards(people)
        people.target.run(f"set role {role}")
        people.target.load(exported)
        people.target.run("reset role")
        assert guards(people) == before
        assert people.target.export() == exported
    finally:
        people.target.run(f"reset role; drop owned by {role} cascade; drop role {role}")


def test_a_role_that_row_level_security_hides_rows_from_cannot_export(people: Pair) -> None:
    role = "reader_" + people.source.connection.info.dbname.rpartition("_")[2]
    people.source.run(f"alter table shop.teams enable row level security; create role {role}")
    try:
        people.source.run(
            f"grant usage on schema shop to {role}; grant select on all tables in schema shop to {role}"
        )
        people.source.run(f"grant select on all sequences in schema shop to {role}; set role {role}")
        with pytest.raises(
            TransferError, match=r"row-level security hides rows of .*\n.*\nHINT: connect as a role"
        ):
            people.source.export()
    finally:
        people.source.run(f"reset role; drop owned by {role}; drop role {role}")


def test_an_export_shows_one_moment(people: Pair) -> None:
    out = io.BytesIO()

    def meanwhile(table: str, rows: int, total: int) -> None:
        with psycopg.connect(people.source.url, autocommit=True) as other:
            other.execute("insert into shop.people (name) values ('Late')")
            other.execute("insert into shop.teams (name, lead_id) select %s, 1", [table])

    expected = people.source.export()
    export_schemas(people.source.connection, ["shop"], out, on_rows=meanwhile)
    assert people.source.value("select count(*) from shop.people") == 5
    assert out.getvalue() == expected


def test_an_import_waits_for_migrations_and_not_for_ever(
    people: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_, "_MIGRATIONS_WAIT_S", 0.0)
    with (
        psycopg.connect(people.target.url, autocommit=True) as other,
        lock.held(other, wait=0, on_waiting=print),
        pytest.raises(LockedError),
    ):
        people.target.load(people.source.export())


def test_readers_go_on_and_writers_wait_during_an_import(pair: Pair) -> None:
    pair.both("create schema shop; create table shop.notes (id integer primary key)")
    pair.source.run("insert into shop.notes values (1)")
    seen = []

    def look(table: str, rows: int, total: int) -> None:
        with psycopg.connect(pair.target.url, autocommit=True) as other:
            other.execute("set lock_timeout = '1ms'")
            seen.append(other.execute("select count(*) from shop.notes").fetchone())
            with pytest.raises(psycopg.errors.LockNotAvailable):
                other.execute("insert into shop.notes values (2)")

    import_file(pair.target.connection, io.BytesIO(pair.source.export()), on_rows=look)
    assert seen == [(0,)]


def test_partitions_and_views_come_back(pair: Pair) -> None:
    pair.both(VISITS)
    pair.source.run("insert into shop.visits values ('2026-01-05', 1), ('2026-02-05', 2), ('2026-02-05', 3)")
    exported = pair.source.export()
    done = pair.target.load(exported)
    assert done.rows == {"shop.visits_1": 1, "shop.visits_2": 2}
    assert pair.target.value("select sum(n) from shop.counts") == 3
    assert pair.target.export() == exported


def test_names_that_must_be_quoted_come_back(pair: Pair) -> None:
    pair.both('create schema "My %s shop"')
    pair.both('create table "My %s shop"."a.b" ("sel%%ect" integer primary key, "é\\" text)')
    pair.source.run('insert into "My %s shop"."a.b" values (1, null)')
    exported = pair.source.export("My %s shop")
    pair.target.load(exported)
    assert pair.target.export("My %s shop") == exported
