"""Objects, roles and properties: those that come back, and the differences that are found."""

from __future__ import annotations

import secrets
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from plainsql.backup import Manifest, create_dump, restore_dump
from plainsql.backup.contents import differences, read_state
from plainsql.backup.database_session import connect
from plainsql.cli.app import main
from plainsql.embedded import EmbeddedServer
from tests.backup.conftest import databases, forge, run, values

OBJECTS = """
create role {group} createdb bypassrls connection limit 3 valid until '2030-01-01';
comment on role {group} is 'it''s';
create role {member} login in role {group}, pg_monitor;
alter role {member} set work_mem = '9MB';
alter role {member} set search_path = "$user", 'a b';
create schema data authorization {group};
create function data.touch() returns trigger language plpgsql as 'begin return new; end';
create function data.halve(n int) returns int language sql security definer set search_path = 'x y'
  as 'select n / 2';
revoke execute on function data.halve(int) from public;
create domain data.email as text check (value ~ '@');
create sequence data.steps increment -2 start -5 maxvalue 0;
select nextval('data.steps');
create table data.users (id int primary key, mail data.email, kind varchar(9) check (kind in ('a', 'b')));
insert into data.users values (1, 'a@b', 'a');
create trigger first before insert on data.users for each row execute function data.touch();
create trigger second before insert on data.users for each row execute function data.touch();
alter table data.users disable trigger second;
alter table data.users owner to {group};
alter table data.users enable row level security;
create policy mine on data.users for select to {member} using (true);
grant insert (mail) on data.users to {member};
alter default privileges for role {group} in schema data grant select on tables to {member};
comment on column data.users.mail is 'the address';
create table data.days (day date, n int, unique (day, n)) partition by range (day);
create unlogged table data.days_2026 partition of data.days for values from ('2026-01-01') to ('2027-01-01');
create materialized view data.later as select 1 as one with no data;
create view data.open as select * from data.users where kind in ('a', 'b');
create rule nothing as on delete to data.open do instead nothing;
create function data.changed() returns event_trigger language plpgsql as 'begin end';
create event trigger {name} on ddl_command_end execute function data.changed();
alter event trigger {name} disable;
create publication published for table data.users (id) where (id > 0);
create publication of_schema for tables in schema data;
create subscription {name} connection 'host=nowhere' publication p with (connect = false, slot_name = none);
create foreign data wrapper far;
create server there foreign data wrapper far;
create user mapping for {member} server there options (password 'hidden');
create foreign table data.far_rows (n int) server there;
create statistics data.pairs on id, kind from data.users;
create text search configuration data.plain (copy = simple);
select lo_from_bytea(0, 'large'), lo_create(0);
"""

CHANGES = (
    (
        "alter statistics data.pairs owner to {group}",
        "statistics object data.pairs: owner: expected postgres, got {group}",
    ),
    ("drop function data.halve(int)", "function data.halve(integer): it is missing"),
    (
        "alter table data.users enable trigger second",
        "trigger second on data.users: enabled: expected D, got O",
    ),
    (
        "alter table data.users disable row level security",
        "table data.users: row security: expected yes, got none",
    ),
    (
        "grant delete on data.users to public",
        "table data.users: privileges: public: delete is not in the backup",
    ),
    (
        "revoke insert (mail) on data.users from {member}",
        "column data.users.mail: privileges: expected {member}: insert, got none",
    ),
    ("comment on column data.users.mail is 'mail'", "column data.users.mail: the comment differs"),
    (
        "alter foreign table data.far_rows alter n type bigint",
        "column data.far_rows.n: type: expected integer, got bigint",
    ),
    (
        "alter policy mine on data.users to {member}, {group}",
        "policy mine on data.users: roles: {group} is not in the backup",
    ),
    ("create table data.more (n int, m int)", "table data.more: it is not in the backup"),
    ("drop event trigger {name}", "event trigger {name}: it is missing"),
    (
        "drop user mapping for {member} server there",
        "user mapping {member} on server there: it is missing",
    ),
    ("alter sequence data.steps cycle", "sequence data.steps: cycle: expected no, got yes"),
    ("select nextval('data.steps')", "sequence data.steps: expected -5, got -7"),
    (
        "select lo_put(oid, 4, 'E') from pg_largeobject_metadata",
        "the large objects differ, and there are as many (2)",
    ),
)
"""Statements, and a line of the difference that each of them makes."""


@dataclass(frozen=True)
class Source:
    """A backup of a database that is gone, and of the roles that were in it."""

    folder: Path
    manifest: Manifest
    group: str
    member: str
    name: str


@pytest.fixture
def gone(fresh_database_url: str, tmp_path: Path, server: EmbeddedServer, new_url: str) -> Generator[Source]:
    number = secrets.token_hex(6)
    names = {"group": f"objects_{number}", "member": f"of_objects_{number}", "name": f"named_{number}"}
    roles = (names["member"], names["group"])
    with psycopg.connect(fresh_database_url, autocommit=True) as connection:
        run(connection, OBJECTS.format(**names))
        database = connection.info.dbname
        run(connection, f"alter database {database} set search_path = data, 'x y'")
        run(connection, f"alter role {roles[0]} in database {database} set statement_timeout = '3s'")
        run(
            connection,
            f"comment on database {database} is 'stock'; alter database {database} connection limit 9",
        )
        run(connection, f"grant create on database {database} to {roles[0]}")
        folder, manifest = create_dump(fresh_database_url, tmp_path)
        run(connection, f"drop subscription {names['name']}")
        for role in roles:
            run(connection, f"drop owned by {role} cascade")
            run(connection, f"drop role {role}")
    yield Source(folder, manifest, **names)
    for (each,) in databases(server, new_url.partition("@/")[2].partition("?")[0]):
        run_on_its_own(new_url, f"drop subscription if exists {names['name']}")
        server.drop_database(each)
    with psycopg.connect(server.url(), autocommit=True) as connection:
        for role in roles:
            run(connection, f"drop role if exists {role}")


def run_on_its_own(url: str, sql: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        run(connection, sql)


def test_objects_roles_and_properties_come_back_and_a_loss_is_found(gone: Source, new_url: str) -> None:
    done = restore_dump(new_url, gone.folder, gone.manifest, create_roles=True, verify=True)
    assert (done.differences, done.notes) == ([], [])
    assert done.created_roles == sorted([gone.group, gone.member])
    assert values(
        new_url,
        "select rolcreatedb, rolbypassrls, rolcanlogin, rolsuper, rolconnlimit, rolvaliduntil::date::text,"
        f" shobj_description(oid, 'pg_authid'), rolconfig from pg_roles where rolname = '{gone.group}'",
    ) == [(True, True, False, False, 3, "2030-01-01", "it's", None)]
    assert values(
        new_url,
        f"select rolcanlogin, rolconfig, pg_has_role(oid, '{gone.group}', 'usage'),"
        f" pg_has_role(oid, 'pg_monitor', 'usage') from pg_roles where rolname = '{gone.member}'",
    ) == [(True, ["work_mem=9MB", 'search_path="$user", "a b"'], True, True)]
    assert values(new_url, "show search_path") == [('data, "x y"',)]
    assert values(
        new_url,
        "select shobj_description(d.oid, 'pg_database'), datconnlimit, s.setconfig,"
        f" has_database_privilege('{gone.member}', d.oid, 'create')"
        " from pg_database as d inner join pg_db_role_setting as s on s.setdatabase = d.oid"
        " where datname = current_database() and setrole <> 0",
    ) == [("stock", 9, ["statement_timeout=3s"], True)]
    with connect(new_url) as connection:
        for statement, _ in CHANGES:
            run(connection, statement.format(**vars_of(gone)))
        lines = differences(done.contents, read_state(connection))
    assert sorted(lines) == sorted(line.format(**vars_of(gone)) for _, line in CHANGES)


def vars_of(source: Source) -> dict[str, str]:
    return {"group": source.group, "member": source.member, "name": source.name}


def test_a_restore_that_differs_leaves_no_role_and_no_subscription(
    gone: Source, new_url: str, server: EmbeddedServer, capfd: pytest.CaptureFixture[str]
) -> None:
    def change(contents: dict[str, dict[str, dict[str, object]]]) -> None:
        contents["sequences"]["data.steps"]["after"] = contents["sequences"]["data.steps"]["before"] = [
            -3,
            True,
        ]

    forge(gone.folder, change)
    arguments = ["db", "restore", str(gone.folder), "--to", new_url]
    assert main(arguments) == 2
    assert (
        f"lacks roles of the backup: {gone.group}, {gone.member}\nHINT: create them" in capfd.readouterr().err
    )
    assert main([*arguments, "--create-roles", "--verify"]) == 1
    assert capfd.readouterr().out.splitlines()[1:] == ["  sequence data.steps: expected -3, got -5"]
    assert databases(server, new_url.partition("@/")[2].partition("?")[0]) == []
    assert values(server.url(), f"select rolname from pg_roles where rolname ~ '{gone.group}'") == []
    assert values(server.url(), f"select from pg_subscription where subname = '{gone.name}'") == []
