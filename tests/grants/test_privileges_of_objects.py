"""The privileges of each kind of object: they are derived, and each is really checked when a query runs."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import psycopg
import pytest

from plainsql.errors import ContractError
from plainsql.grants.held_privileges import Comparison, compare_grants, correction
from plainsql.grants.least_grants import LeastGrants, grant_statements, least_grants
from plainsql.grants.needed_privileges import needed_privileges
from tests.grants.test_least_grants import ROLE, granted, refused, without

Connection = psycopg.Connection[Any]

SCHEMA = """
create schema shop;
create schema hidden;
create type hidden.mood as enum ('good', 'bad');

create function hidden.cleaned(text) returns text language sql immutable return lower($1);
revoke all on function hidden.cleaned(text) from public;

create table shop.items (
  id serial primary key,
  name text not null check (hidden.cleaned(name) <> ''),
  price int not null default 0,
  note text
);
create table shop.tags (id bigint generated always as identity, label text primary key, item_id int);
create table shop.members (name text primary key, tenant int not null);
create table shop.secrets (tenant int not null, word text);
create table shop.log (line text);
create table shop.parts (id int, kind text) partition by list (kind);
create table shop.parts_a partition of shop.parts for values in ('a');

alter table shop.secrets enable row level security;
create policy of_tenant on shop.secrets
  using (tenant in (select m.tenant from shop.members as m where m.name = current_user));

create view shop.as_owner as select i.id, i.name from shop.items as i;
create view shop.as_caller with (security_invoker) as select i.id, i.note from shop.items as i;

create function shop.priced(lowest int) returns setof shop.items language sql stable
as 'select * from shop.items where price >= lowest';
create function shop.hidden_count() returns bigint language sql stable security definer
as 'select count(*) from shop.secrets';
create function shop.note_line() returns trigger language plpgsql
as 'begin insert into shop.log values (new.label); return new; end';
create function shop.note_as_owner() returns trigger language plpgsql security definer
as 'begin insert into shop.log values (new.name); return new; end';
create trigger tags_noted after insert on shop.tags for each row execute function shop.note_line();
create trigger items_noted after insert on shop.items for each row execute function shop.note_as_owner();
"""

TEXTS = {
    "items.add": "insert into shop.items (name) values ('a')",
    "items.count": "select count(*) from shop.items",
    "items.upsert": (
        "insert into shop.items as i (id, name) values (1, 'a') on conflict (id) do update "
        "set name = excluded.name where i.price = 0 returning i.id"
    ),
    "items.owner": "select v.name from shop.as_owner as v",
    "items.caller": "select v.note from shop.as_caller as v",
    "items.next": "select nextval('shop.items_id_seq'), setval('shop.items_id_seq', 5)",
    "members.lock": "select 1 from shop.members for key share",
    "secrets.words": "select s.word from shop.secrets as s",
    "secrets.count": "select shop.hidden_count()",
    "priced": "select p.id from shop.priced(1) as p",
    "moods": "select 'good'::hidden.mood",
    "parts.move": "update shop.parts set id = 2",
    "tags.of": "delete from shop.tags as t using shop.members as m where t.label = m.name",
    "log.clear": "truncate shop.log",
    "tables": "select relname from pg_catalog.pg_class limit 1",
}

LEAST = f"""\
grant usage on schema hidden to {ROLE};
grant usage on schema shop to {ROLE};
grant execute on function hidden.cleaned(text) to {ROLE};
grant update on sequence shop.items_id_seq to {ROLE};
grant select (note) on shop.as_caller to {ROLE};
grant select (name) on shop.as_owner to {ROLE};
grant select, insert (id, name), update (name) on shop.items to {ROLE};
grant truncate on shop.log to {ROLE};
grant select, update (name) on shop.members to {ROLE};
grant update (id) on shop.parts to {ROLE};
grant select (word) on shop.secrets to {ROLE};
grant select (label), delete on shop.tags to {ROLE};
"""


@pytest.fixture(scope="module")
def shop(database_url: str) -> Generator[tuple[Connection, LeastGrants]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        yield connection, least_of(connection, TEXTS)


def least_of(connection: Connection, texts: dict[str, str]) -> LeastGrants:
    return least_grants(needed_privileges(connection, {name: [sql] for name, sql in texts.items()}), ROLE)


def test_each_kind_of_object_has_its_least_privileges(shop: tuple[Connection, LeastGrants]) -> None:
    connection, least = shop
    assert list(grant_statements(least)) == LEAST.splitlines()
    with connection.transaction(force_rollback=True):
        granted(connection, least)
        assert refused(connection, TEXTS.values(), how="") == []
        for grant, revoke in without(least):
            with connection.transaction(force_rollback=True):
                connection.execute(revoke.encode())
                needing = [TEXTS[query] for query in grant.queries]
                assert len(refused(connection, needing, how="")) > 0, revoke


def test_a_trigger_whose_body_is_not_parsed_is_named_with_its_tables(
    shop: tuple[Connection, LeastGrants],
) -> None:
    connection, _ = shop
    only_next = least_of(connection, {"items.next": "select nextval('shop.items_id_seq')"})
    assert [(each.kind, each.privilege) for each in only_next.grants] == [
        ("schema", "usage"),
        ("sequence", "usage"),
    ]
    least = least_of(connection, {"tags.add": "insert into shop.tags (label) values ($1)"})
    unknown = "-- not known: trigger function shop.note_line(), with the rights of the role"
    assert list(grant_statements(least, queries=True)) == [
        f"-- usage: tags.add\ngrant usage on schema shop to {ROLE};",
        f"-- insert (label): tags.add\ngrant insert (label) on shop.tags to {ROLE};",
        f"{unknown}\n--   tags.add\n-- perhaps: grant select, insert on shop.log to {ROLE};",
    ]
    with connection.transaction(force_rollback=True):
        granted(connection, least)
        connection.execute(f"grant select, insert, delete on shop.log to {ROLE}".encode())
        found = compare_grants(connection, least, ROLE)
        assert found.unknown == ()
        wider = found.wider
        perhaps = "trigger function shop.note_line()"
        assert {each.privilege: each.perhaps for each in wider} == {
            "select": perhaps,
            "insert": perhaps,
            "delete": "",
        }
        connection.execute(f"revoke select on shop.log from {ROLE}".encode())
        connection.execute(f"grant select (line) on shop.log to {ROLE}".encode())
        connection.execute(f"revoke insert on shop.log from {ROLE}".encode())
        found = compare_grants(connection, least, ROLE)
        assert [*correction(found, least)] == [
            f"-- wider than the queries need\nrevoke delete on shop.log from {ROLE};",
            f"-- perhaps wider, {perhaps} may need it: select (line) on shop.log, granted to {ROLE}",
            f"{unknown}\n-- perhaps: grant insert on shop.log to {ROLE};",
        ]
    with pytest.raises(ContractError, match='bad is refused: relation "nothing" does not exist'):
        least_of(connection, {"bad": "select 1 from nothing"})
    # The transactions in which statements are prepared leave nothing behind.
    (left,) = connection.execute(
        "select count(*) from pg_roles where rolname ~ '^plainsql_probe' or rolname = %s", [ROLE]
    )
    assert left == (0,)


# The statements that give the role more, and the powers that they give.
POWERS = {
    "grant pg_read_all_data, pg_write_all_data to {role}": {
        "revoke pg_read_all_data from {role}": "{role} is a member of pg_read_all_data",
        "revoke pg_write_all_data from {role}": "{role} is a member of pg_write_all_data",
    },
    "alter role {role} bypassrls createrole createdb replication": {
        f"alter role {{role}} no{name}": f"{{role}} has {name}"
        for name in ("createrole", "createdb", "replication", "bypassrls")
    },
    # One chain of memberships: the first that does not inherit is the one to take away.
    "grant {t}_owner to {role} with inherit false; grant {t}_more to {t}_owner; alter table shop.log owner to"
    " {t}_more; alter role {t}_owner bypassrls; grant pg_signal_backend to {t}_more": {
        "revoke {t}_owner from {role}": (
            "{role} can set role {t}_owner, a member of pg_signal_backend; {role} can set role {t}_owner, "
            "which has bypassrls; {role} can set role {t}_owner, a member of {t}_more, which owns shop.log"
        )
    },
    "grant {t}_owner to {role} with inherit false, set false, admin true; grant delete on shop.log"
    " to {t}_owner": {
        "revoke {t}_owner from {role}": "{role} can set role {t}_owner, which has delete on shop.log"
    },
    # What it inherits may be needed: the attribute alone is taken.
    "grant {t}_owner to {role}; alter role {t}_owner bypassrls; grant pg_monitor to {t}_owner": {
        "revoke pg_monitor from {t}_owner": "{role} is a member of pg_monitor",
        "alter role {t}_owner nobypassrls": "{role} can set role {t}_owner, which has bypassrls",
    },
    "grant {t}_owner to {role}; alter role {t}_owner superuser": {
        "revoke {t}_owner from {role}": "{role} can set role {t}_owner, which has superuser"
    },
    # These give nothing that is not needed, or that can be used.
    "grant {t}_owner to {role} with inherit false; grant select (label) on shop.tags to {t}_owner": {},
    "grant {t}_owner to {role} with inherit false, set false; alter table shop.log owner to {t}_owner": {},
    "grant {t}_owner to {role} with inherit true, set false; alter role {t}_owner bypassrls": {},
}


def test_powers_without_a_grant_on_an_object_are_wider(shop: tuple[Connection, LeastGrants]) -> None:
    connection, least = shop
    names = {"role": ROLE, "t": "plainsql_test"}
    for statements, expected in POWERS.items():
        with connection.transaction(force_rollback=True):
            connection.execute(b"create role plainsql_test_owner; create role plainsql_test_more")
            granted(connection, least)
            connection.execute(f"revoke select (label) on shop.tags from {ROLE}".encode())
            connection.execute(statements.format(**names).encode())
            found = compare_grants(connection, least, ROLE)
            powers = {each.statement: each.what for each in found.powers}
            assert powers == {key.format(**names): what.format(**names) for key, what in expected.items()}
            # A predefined role covers no grant that is missing.
            assert [each.name for each in found.missing] == ["shop.tags"]
            for text in correction(found, least):
                connection.execute(text.encode())
            assert compare_grants(connection, least, ROLE) == Comparison(ROLE, False)
            # The role itself may compare: it needs no schema.
            connection.execute(f"revoke usage on schema shop from {ROLE}; set local role {ROLE}".encode())
            assert [each.name for each in compare_grants(connection, least, ROLE).missing] == ["shop"]
