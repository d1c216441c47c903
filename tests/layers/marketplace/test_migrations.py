"""Marketplace's migrations: up and down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

from plainsql import migrate

MIGRATIONS = Path(__file__).parents[3] / "migrations"

OBJECTS = """
    select 'relation', c.oid::regclass::text, pg_get_indexdef(c.oid) from pg_class as c
    where c.relnamespace = to_regnamespace('marketplace')
    union all
    select 'column', a.attrelid::regclass || '.' || a.attname,
      format_type(a.atttypid, a.atttypmod) || a.attnotnull || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
    from pg_attribute as a
    inner join pg_class as c on c.oid = a.attrelid and c.relnamespace = to_regnamespace('marketplace')
    left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attnum > 0
    union all
    select 'constraint', n.conrelid::regclass || '.' || n.conname, pg_get_constraintdef(n.oid)
    from pg_constraint as n where n.connamespace = to_regnamespace('marketplace')
    union all
    select 'trigger', t.tgrelid::regclass || '.' || t.tgname, pg_get_triggerdef(t.oid)
    from pg_trigger as t inner join pg_class as c on c.oid = t.tgrelid
    where c.relnamespace = to_regnamespace('marketplace') and not t.tgisinternal
    union all
    select 'function', p.oid::regprocedure::text, pg_get_functiondef(p.oid)
    from pg_proc as p where p.pronamespace = to_regnamespace('marketplace')
    union all
    select 'type', t.typname, t.typtype::text from pg_type as t
    where t.typnamespace = to_regnamespace('marketplace')
    union all
    select 'grant', g.name || coalesce('.' || g.attname, ''), x.privilege_type
    from (
      select c.oid::regclass::text, null, c.relacl from pg_class as c
      where c.relnamespace = to_regnamespace('marketplace')
      union all
      select a.attrelid::regclass::text, a.attname, a.attacl from pg_attribute as a
      inner join pg_class as c on c.oid = a.attrelid and c.relnamespace = to_regnamespace('marketplace')
      union all
      select n.nspname, null, n.nspacl from pg_namespace as n where n.nspname = 'marketplace'
    ) as g (name, attname, acl)
    cross join lateral aclexplode(g.acl) as x
    where x.grantee = to_regrole('marketplace_app')
    union all
    select 'schema', n.nspname, '' from pg_namespace as n where n.nspname = 'marketplace'
    order by 1, 2, 3
"""


def objects(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(OBJECTS.encode()).fetchall()


def test_up_down_up_leaves_the_same_schema_and_down_nothing(fresh_database_url: str) -> None:
    url = fresh_database_url
    before = objects(url)
    migrate.apply(url, MIGRATIONS, layers=["marketplace"])
    up = objects(url)
    assert len(up) > 100
    migrate.rollback(url, MIGRATIONS, layers=["marketplace"], all=True)
    assert objects(url) == before
    migrate.apply(url, MIGRATIONS, layers=["marketplace"])
    assert objects(url) == up


def test_every_file_is_undone_by_its_own_rollback(fresh_database_url: str) -> None:
    url = fresh_database_url
    files = [
        path for path in sorted((MIGRATIONS / "marketplace").glob("*.sql")) if ".rollback" not in path.name
    ]
    for path in files:
        before = objects(url)
        migrate.apply(url, MIGRATIONS, layers=["marketplace"], to=f"marketplace/{path.name[:4]}")
        after = objects(url)
        assert after != before
        migrate.rollback(url, MIGRATIONS, layers=["marketplace"])
        assert objects(url) == before
        migrate.apply(url, MIGRATIONS, layers=["marketplace"], to=f"marketplace/{path.name[:4]}")
        assert objects(url) == after


def test_every_foreign_key_has_an_index_that_begins_with_its_columns(plainsql_database_url: str) -> None:
    with psycopg.connect(plainsql_database_url) as connection:
        missing = connection.execute("""
            select n.conname
            from pg_constraint as n
            where n.contype = 'f'
              and n.connamespace = 'marketplace'::regnamespace
              and not exists (
                select from pg_index as i
                where i.indrelid = n.conrelid
                  and (i.indkey::smallint[])[0:cardinality(n.conkey) - 1] = n.conkey
                  and (i.indpred is null or pg_get_expr(i.indpred, i.indrelid) like '%IS NOT NULL%')
              )
        """).fetchall()
    assert missing == []


def test_the_indexes_that_users_know_by_name_are_there(plainsql_database_url: str) -> None:
    with psycopg.connect(plainsql_database_url) as connection:
        found = connection.execute("""
            select indexname, substring(indexdef from '\\((.*)\\)') from pg_indexes
            where schemaname = 'marketplace' and indexname like 'idx%' order by 1
        """).fetchall()
    assert found == [
        ("idx_conversation_status_updated", "status, updated_at, id"),
        ("idx_message_conversation_created", "conversation_id, created_at, id"),
        ("idx_product_status_created", "status, created_at, id"),
    ]
