"""The assistant's migrations: up, down, the objects they leave and the errors they raise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from plainsql import migrate
from plainsql.testing import Databases
from tests.layers.assistant.desk import TABLES

MIGRATIONS = Path(__file__).parents[3] / "migrations"

OBJECTS = """
    select 'relation', c.oid::regclass::text,
      concat(pg_get_indexdef(c.oid), c.relacl, c.relrowsecurity, c.relforcerowsecurity, c.reloptions)
    from pg_class as c
    where c.relnamespace = to_regnamespace('assistant')
    union all
    select 'view', v.viewname, v.definition || v.viewowner from pg_views as v
    where v.schemaname = 'assistant'
    union all
    select 'column', a.attrelid::regclass || '.' || a.attname,
      concat(format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attacl)
    from pg_attribute as a
    inner join pg_class as c on c.oid = a.attrelid and c.relnamespace = to_regnamespace('assistant')
    left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attnum > 0 and not a.attisdropped
    union all
    select 'constraint', n.conrelid::regclass || '.' || n.conname, pg_get_constraintdef(n.oid)
    from pg_constraint as n where n.connamespace = to_regnamespace('assistant')
    union all
    select 'trigger', t.tgrelid::regclass || '.' || t.tgname, pg_get_triggerdef(t.oid)
    from pg_trigger as t inner join pg_class as c on c.oid = t.tgrelid
    where c.relnamespace = to_regnamespace('assistant') and not t.tgisinternal
    union all
    select 'policy', p.tablename || '.' || p.policyname,
      concat(p.cmd, p.roles, p.permissive, p.qual, p.with_check)
    from pg_policies as p where p.schemaname = 'assistant'
    union all
    select 'function', p.oid::regprocedure::text,
      concat(
        pg_get_functiondef(p.oid), p.proowner::regrole, p.proacl, obj_description(p.oid, 'pg_proc')
      )
    from pg_proc as p where p.pronamespace = to_regnamespace('assistant')
    order by 1, 2, 3
"""


KEEP_WHAT_THEY_CLOSE = {"0010_privileges.sql"}
"""Their rollbacks keep search paths and privileges of functions, because the earlier ones are insecure."""


def objects(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(OBJECTS.encode()).fetchall()


def test_up_down_up_leaves_the_same_schema_and_down_nothing(fresh_database_url: str) -> None:
    url = fresh_database_url
    migrate.apply(url, MIGRATIONS, layers=["assistant"])
    up = objects(url)
    assert len(up) > 200
    migrate.rollback(url, MIGRATIONS, layers=["assistant"], all=True)
    assert objects(url) == []
    migrate.apply(url, MIGRATIONS, layers=["assistant"])
    assert objects(url) == up


def test_every_file_is_undone_by_its_own_rollback(fresh_database_url: str) -> None:
    url = fresh_database_url
    files = [
        path for path in sorted((MIGRATIONS / "assistant").glob("*.sql")) if ".rollback" not in path.name
    ]
    for number, path in enumerate(files):
        before = objects(url)
        migrate.apply(url, MIGRATIONS, layers=["assistant"], to=f"assistant/{path.name[:4]}")
        after = objects(url)
        # The first makes the schema, its functions and roles.
        assert after != before
        migrate.rollback(url, MIGRATIONS, layers=["assistant"])
        if path.name in KEEP_WHAT_THEY_CLOSE:
            assert [each for each in objects(url) if each[0] != "function"] == [
                each for each in before if each[0] != "function"
            ]
        else:
            assert objects(url) == before, path.name
        migrate.apply(url, MIGRATIONS, layers=["assistant"], to=f"assistant/{path.name[:4]}")
        # A column that was dropped leaves its number behind, nothing else.
        assert objects(url) == after, (number, path.name)


def test_a_rollback_leaves_the_roles_that_another_database_uses(
    plainsql_databases: Databases, fresh_database_url: str, plainsql_database_url: str
) -> None:
    migrate.apply(fresh_database_url, MIGRATIONS, layers=["assistant"])
    migrate.rollback(fresh_database_url, MIGRATIONS, layers=["assistant"], all=True)
    with psycopg.connect(plainsql_database_url) as connection:
        found = connection.execute(
            "select rolname from pg_roles where rolname in ('assistant_app', 'assistant_keeper') order by 1"
        ).fetchall()
        assert found == [("assistant_app",), ("assistant_keeper",)]
        connection.execute("set role assistant_app")
        assert connection.execute("select count(*) from assistant.notes").fetchone() == (0,)


def test_a_role_that_would_see_all_tenants_is_refused(fresh_database_url: str) -> None:
    sql = (MIGRATIONS / "assistant" / "0001_schema.sql").read_text("utf-8")
    with psycopg.connect(fresh_database_url) as connection:
        connection.execute("create role assistant_test_unsafe bypassrls")
        with pytest.raises(psycopg.errors.InvalidRoleSpecification, match="BYPASSRLS") as error:
            connection.execute(sql.replace("assistant_app", "assistant_test_unsafe").encode())
    assert "nobypassrls" in (error.value.diag.message_hint or "")


def _in_transaction(path: Path) -> bytes:
    return path.read_bytes().replace(b" concurrently", b"")


def test_a_role_that_is_no_superuser_can_apply_them_and_roll_them_back(
    fresh_database_url: str, plainsql_database_url: str
) -> None:
    url = fresh_database_url
    with psycopg.connect(url, autocommit=True) as admin:
        database = admin.execute("select quote_ident(current_database())").fetchone()
        assert database is not None
        name = f"deployer_{database[0][-12:]}"
        admin.execute(f"create role {name} login createrole".encode())
        admin.execute(f"grant create on database {database[0]} to {name}".encode())
        admin.execute(f"grant create on schema public to {name}".encode())
        # The other database has created the roles; their admin must grant them to this one.
        for role in ("assistant_app", "assistant_keeper"):
            admin.execute(f"grant {role} to {name} with inherit false, set true".encode())
        try:
            with psycopg.connect(url, user=name) as deployer:
                for path in sorted((MIGRATIONS / "assistant").glob("*.sql")):
                    if ".rollback" not in path.name:
                        deployer.execute(_in_transaction(path))
                deployer.execute("set app.jwt_tenant = 'acme'")
                deployer.execute("insert into assistant.users (telegram_id) values (1)")
                # The policies bind the owner as well: it does not see deleted rows.
                deployer.execute("set role assistant_app")
                deployer.execute("update assistant.deletable_users set deleted_at = now()")
                assert deployer.execute("select count(*) from assistant.users").fetchone() == (0,)
                deployer.execute("reset role")
                assert deployer.execute("select count(*) from assistant.users").fetchone() == (0,)
                # Down to the schema, its functions and the log, up again, and down to nothing.
                for path in sorted((MIGRATIONS / "assistant").glob("*.rollback.sql"), reverse=True)[:-2]:
                    deployer.execute(_in_transaction(path))
                for path in sorted((MIGRATIONS / "assistant").glob("*.sql"))[4:]:
                    if ".rollback" not in path.name:
                        deployer.execute(_in_transaction(path))
                for path in sorted((MIGRATIONS / "assistant").glob("*.rollback.sql"), reverse=True):
                    deployer.execute(_in_transaction(path))
                deployer.rollback()
        finally:
            admin.execute(f"drop owned by {name}".encode())
            admin.execute(f"drop role {name}".encode())


def test_every_foreign_key_has_an_index_that_begins_with_its_columns(plainsql_database_url: str) -> None:
    with psycopg.connect(plainsql_database_url) as connection:
        missing = connection.execute("""
            select n.conname
            from pg_constraint as n
            where n.contype = 'f'
              and n.connamespace = 'assistant'::regnamespace
              and not exists (
                select from pg_index as i
                where i.indrelid = n.conrelid
                  and (i.indkey::smallint[])[0:cardinality(n.conkey) - 1] = n.conkey
                  and i.indpred is null
              )
        """).fetchall()
    assert missing == []


def test_every_key_and_every_foreign_key_begins_with_the_tenant(plainsql_database_url: str) -> None:
    with psycopg.connect(plainsql_database_url) as connection:
        others = connection.execute("""
            select i.indexrelid::regclass::text
            from pg_index as i
            inner join pg_class as c on c.oid = i.indrelid
            inner join pg_attribute as a on a.attrelid = c.oid and a.attnum = i.indkey[0]
            where c.relnamespace = 'assistant'::regnamespace and a.attname <> 'tenant_id'
            union all
            select n.conname
            from pg_constraint as n
            inner join pg_attribute as a on a.attrelid = n.conrelid and a.attnum = n.conkey[1]
            where n.connamespace = 'assistant'::regnamespace and n.contype = 'f' and a.attname <> 'tenant_id'
        """).fetchall()
    # Except for the index of words, which has the tenant as a word.
    assert others == [("assistant.notes_words_idx",)]


def test_every_table_is_stamped_and_logged(plainsql_database_url: str) -> None:
    with psycopg.connect(plainsql_database_url) as connection:
        found = connection.execute("""
            select c.relname from pg_class as c
            where c.relnamespace = 'assistant'::regnamespace and c.relkind = 'r'
              and exists (select from pg_trigger as t where t.tgrelid = c.oid
                and t.tgname = c.relname || '_record_change' and t.tgtype & 28 = 28 and t.tgtype & 1 = 1)
              and exists (select from pg_trigger as t where t.tgrelid = c.oid
                and t.tgname = c.relname || '_stamp_change')
        """).fetchall()
    assert {name for (name,) in found} == set(TABLES)
