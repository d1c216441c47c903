"""Whatsapp's migrations: up, down, and a role that several databases share."""

from __future__ import annotations

import secrets
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from plainsql import migrate
from plainsql.testing import Databases

MIGRATIONS = Path(__file__).parents[3] / "migrations"

OBJECTS = """
    select 'relation', c.oid::regclass::text, coalesce(pg_get_indexdef(c.oid), '')
      || c.relrowsecurity || c.relforcerowsecurity || coalesce(c.relacl::text, '')
    from pg_class as c where c.relnamespace = to_regnamespace('whatsapp')
    union all
    select 'column', a.attrelid::regclass || '.' || a.attname,
      format_type(a.atttypid, a.atttypmod) || a.attnotnull
        || coalesce(pg_get_expr(d.adbin, d.adrelid), '') || coalesce(a.attacl::text, '')
    from pg_attribute as a
    inner join pg_class as c on c.oid = a.attrelid and c.relnamespace = to_regnamespace('whatsapp')
    left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attnum > 0
    union all
    select 'constraint', n.conrelid::regclass || '.' || n.conname, pg_get_constraintdef(n.oid)
    from pg_constraint as n where n.connamespace = to_regnamespace('whatsapp')
    union all
    select 'policy', p.polrelid::regclass || '.' || p.polname,
      pg_get_expr(p.polqual, p.polrelid) || pg_get_expr(p.polwithcheck, p.polrelid)
    from pg_policy as p inner join pg_class as c on c.oid = p.polrelid
    where c.relnamespace = to_regnamespace('whatsapp')
    union all
    select 'trigger', t.tgrelid::regclass || '.' || t.tgname, pg_get_triggerdef(t.oid)
    from pg_trigger as t inner join pg_class as c on c.oid = t.tgrelid
    where c.relnamespace = to_regnamespace('whatsapp') and not t.tgisinternal
    union all
    select 'function', p.oid::regprocedure::text, pg_get_functiondef(p.oid) || coalesce(p.proacl::text, '')
    from pg_proc as p where p.pronamespace = to_regnamespace('whatsapp')
    union all
    select 'schema', n.nspname, coalesce(n.nspacl::text, '')
    from pg_namespace as n where n.nspname = 'whatsapp'
    order by 1, 2, 3
"""


def objects(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(OBJECTS.encode()).fetchall()


def test_up_down_up_leaves_the_same_schema_and_down_nothing(fresh_database_url: str) -> None:
    url = fresh_database_url
    migrate.apply(url, MIGRATIONS, layers=["whatsapp"])
    up = objects(url)
    assert len(up) > 100
    migrate.rollback(url, MIGRATIONS, layers=["whatsapp"], all=True)
    assert objects(url) == []
    migrate.apply(url, MIGRATIONS, layers=["whatsapp"])
    assert objects(url) == up


def test_every_file_is_undone_by_its_own_rollback(fresh_database_url: str) -> None:
    url = fresh_database_url
    for path in sorted((MIGRATIONS / "whatsapp").glob("*.sql")):
        if ".rollback" in path.name:
            continue
        before = objects(url)
        migrate.apply(url, MIGRATIONS, layers=["whatsapp"], to=f"whatsapp/{path.name[:4]}")
        after = objects(url)
        assert after != before
        migrate.rollback(url, MIGRATIONS, layers=["whatsapp"])
        assert objects(url) == before
        migrate.apply(url, MIGRATIONS, layers=["whatsapp"], to=f"whatsapp/{path.name[:4]}")
        assert objects(url) == after


def test_it_can_be_rolled_back_next_to_realty(fresh_database_url: str) -> None:
    migrate.apply(fresh_database_url, MIGRATIONS, layers=["realty", "whatsapp"])
    migrate.rollback(fresh_database_url, MIGRATIONS, layers=["whatsapp"], all=True)
    with psycopg.connect(fresh_database_url) as connection:
        assert connection.execute("select to_regclass('realty.leads') is not null").fetchone() == (True,)


# -- The role. Other tests of this run share it: these have a role of their own, by another name.


class Role:
    """The first migration with the name of a role that no other test uses."""

    def __init__(self, admin: psycopg.Connection[Any]) -> None:
        self.name = f"whatsapp_app_{secrets.token_hex(6)}"
        self.admin = admin
        folder = MIGRATIONS / "whatsapp"
        self._up, self._down = (
            (folder / f"0001_schema{kind}.sql").read_text("utf-8").replace("whatsapp_app", self.name)
            for kind in ("", ".rollback")
        )

    def up(self, url: str) -> None:
        self._run(url, self._up)

    def down(self, url: str) -> None:
        self._run(url, self._down)

    @property
    def exists(self) -> bool:
        found = self.admin.execute("select to_regrole(%s) is not null", [self.name]).fetchone()
        return found == (True,)

    def run(self, statement: str) -> None:
        text: Any = statement
        self.admin.execute(sql.SQL(text).format(role=sql.Identifier(self.name)))

    def up_on(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute(self._up.encode())

    @staticmethod
    def _run(url: str, script: str) -> None:
        with psycopg.connect(url) as connection:
            connection.execute(script.encode())


@pytest.fixture
def role(plainsql_databases: Databases) -> Generator[Role]:
    with (
        plainsql_databases.clone() as url,
        psycopg.connect(url, autocommit=True) as admin,
    ):
        role = Role(admin)
        yield role
        if role.exists:
            role.run("drop role {role}")


def test_the_role_is_made_and_goes_with_the_last_database_that_uses_it(
    role: Role, plainsql_databases: Databases
) -> None:
    with plainsql_databases.clone() as one, plainsql_databases.clone() as other:
        role.up(one)
        role.up(other)
        role.down(one)
        assert role.exists
        role.up(one)
        role.down(other)
        role.down(one)
        assert not role.exists


def test_the_role_stays_while_a_login_role_is_a_member_of_it(role: Role, fresh_database_url: str) -> None:
    role.up(fresh_database_url)
    login = f"login_{secrets.token_hex(6)}"
    role.run(f"create role {login} login in role {{role}}")
    try:
        role.down(fresh_database_url)
        assert role.exists
    finally:
        role.run(f"drop role {login}")


def test_a_role_that_was_there_before_is_taken_as_it_is_and_stays(
    role: Role, fresh_database_url: str
) -> None:
    role.run("create role {role} nologin")
    role.up(fresh_database_url)
    role.down(fresh_database_url)
    assert role.exists


@pytest.mark.parametrize("attribute", ["superuser", "bypassrls"])
def test_a_role_that_passes_by_policies_is_refused(
    role: Role, fresh_database_url: str, attribute: str
) -> None:
    role.run(f"create role {{role}} nologin {attribute}")
    with pytest.raises(psycopg.errors.InvalidRoleSpecification, match=attribute.upper()) as error:
        role.up(fresh_database_url)
    assert error.value.diag.message_hint == f"Run: alter role {role.name} nosuperuser nobypassrls;"


def test_a_role_that_cannot_create_roles_gets_the_statements_to_run(
    role: Role, fresh_database_url: str
) -> None:
    owner = f"owner_{secrets.token_hex(6)}"
    with psycopg.connect(fresh_database_url, autocommit=True) as admin:
        admin.execute(sql.SQL("create role {}").format(sql.Identifier(owner)))
        try:
            with admin.transaction(force_rollback=True):
                database = sql.Identifier(admin.info.dbname)
                admin.execute(
                    sql.SQL("grant create on database {} to {}").format(database, sql.Identifier(owner))
                )
                admin.execute(sql.SQL("set local role {}").format(sql.Identifier(owner)))
                with pytest.raises(psycopg.errors.InsufficientPrivilege, match="may not create it") as error:
                    role.up_on(admin)
            assert "create role" in (error.value.diag.message_hint or "")
        finally:
            admin.execute(sql.SQL("drop owned by {0}; drop role {0}").format(sql.Identifier(owner)))


def test_concurrent_migrations_of_four_databases_share_the_role(
    role: Role, plainsql_databases: Databases
) -> None:
    # Every turn creates the role, uses it and tries to drop it, in four databases concurrently.
    def turn(url: str) -> None:
        for _ in range(8):
            role.up(url)
            role.down(url)

    with (
        plainsql_databases.clone() as a,
        plainsql_databases.clone() as b,
        plainsql_databases.clone() as c,
        plainsql_databases.clone() as d,
        ThreadPoolExecutor(4) as pool,
    ):
        for done in [pool.submit(turn, url) for url in (a, b, c, d)]:
            done.result()
        # Two concurrent rollbacks see each other, and leave the role to the next one.
        role.up(a)
        role.down(a)
        assert not role.exists


# -- What holds for every table


def test_every_foreign_key_begins_with_the_tenant_and_has_an_index(plainsql_database_url: str) -> None:
    with psycopg.connect(plainsql_database_url) as connection:
        wrong = connection.execute("""
            select n.conname
            from pg_constraint as n
            inner join pg_attribute as a on a.attrelid = n.conrelid and a.attnum = n.conkey[1]
            where n.contype = 'f'
              and n.connamespace = 'whatsapp'::regnamespace
              and (a.attname <> 'tenant_id' or not exists (
                select from pg_index as i
                where i.indrelid = n.conrelid
                  and (i.indkey::smallint[])[0:cardinality(n.conkey) - 1] = n.conkey
                  and (i.indpred is null or pg_get_expr(i.indpred, i.indrelid) like '%IS NOT NULL%')
              ))
        """).fetchall()
    assert wrong == []


def test_every_index_begins_with_the_tenant(plainsql_database_url: str) -> None:
    with psycopg.connect(plainsql_database_url) as connection:
        wrong = connection.execute("""
            select i.indexrelid::regclass::text
            from pg_index as i
            inner join pg_class as c on c.oid = i.indrelid
            left join pg_attribute as a on a.attrelid = c.oid and a.attnum = i.indkey[0]
            where c.relnamespace = 'whatsapp'::regnamespace
              and c.relkind = 'r'
              and a.attname is distinct from 'tenant_id'
        """).fetchall()
    assert wrong == []
