"""The session in which a query is planned: the settings, the tenant and the role of the application.

Row-level security adds the policies' conditions to a query, but not for superusers and the tables' owners.
So a query on such tables is planned as a role that the policies apply to.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg import Connection, RawCursor, sql

from plainsql.errors import SettingsError
from plainsql.plans.explain.compared_columns import compared_settings
from plainsql.plans.explain.plan_tree import PlanNode
from plainsql.plans.explain.query_plans import default_text, plan_statement
from plainsql.plans.explain.server_plans import PlannedStatement
from plainsql.plans.explain.typical_values import read_columns, read_types, values_of
from plainsql.statements import Statement

__all__ = ["NO_SETTINGS", "PlanningSession", "apply_settings", "first_plans", "planning_session"]

NO_SETTINGS: Final[Mapping[str, str]] = {}

_SESSION: Final = {"hnsw.iterative_scan": "strict_order"}
"""The settings that all connections of plainsql have."""
_INVALID_VALUE: Final = "22023"
"""The SQLSTATE of a role that does not exist, in ``set role``."""
_SECURED = """
select c.oid::int8, pg_catalog.row_security_active(c.oid)
from unnest($1::text[], $2::text[]) as w (schema, name)
inner join pg_catalog.pg_namespace as n on w.schema = n.nspname
inner join pg_catalog.pg_class as c on n.oid = c.relnamespace and w.name = c.relname
where c.relrowsecurity
order by c.oid
"""
# The roles that the policies or the grants of the tables name. The role with the most rights in the database
# comes first: it is the application's, and others have a special purpose.
_CANDIDATES = """
with grants as (
  select c.oid as relation, acl.grantee from pg_catalog.pg_class as c
  cross join aclexplode(c.relacl) as acl
  where acl.grantee <> c.relowner
  union all
  select a.attrelid, acl.grantee from pg_catalog.pg_attribute as a
  cross join aclexplode(a.attacl) as acl
)
select r.rolname::text
from pg_catalog.pg_roles as r
where
  not r.rolsuper
  and not r.rolbypassrls
  and (
    exists (select 1 from grants as g where g.grantee = r.oid and g.relation = any($1::oid[]))
    or exists (
      select 1 from pg_catalog.pg_policy as p where p.polrelid = any($1::oid[]) and r.oid = any(p.polroles)
    )
  )
order by (select count(*) from grants as g where g.grantee = r.oid) desc, r.rolname
"""


@dataclass(slots=True)
class PlanningSession:
    """The role and the settings as which a query is planned."""

    role: str = ""
    """The role; empty for the connection's own."""
    settings: dict[str, str] = field(default_factory=dict)
    """The tenant's settings, with their values."""
    notes: list[str] = field(default_factory=list)


@contextmanager
def planning_session(
    connection: Connection[Any],
    statement: Statement,
    *,
    search_path: str = "",
    settings: Mapping[str, str] = NO_SETTINGS,
    tenant: Mapping[str, str] | None = None,
    role: str | None = None,
    role_settings: Mapping[str, Mapping[str, str]] | None = None,
    own: bool = False,
) -> Iterator[PlanningSession]:
    """Open a transaction that is rolled back, with the settings of the application and its role.

    Args:
        connection: an idle connection in autocommit mode.
        statement: the query that is planned.
        search_path: the search path of the application; empty for the connection's own.
        settings: other settings of the transaction, such as time limits.
        tenant: the tenant's settings. By default they have common values of the columns that the policies
            compare with them.
        role: the role to plan as. By default the connection's own if the policies apply to it; else the
            role with the query's rights that has the most rights in the database, of those that the policies
            or the grants of its tables name.
        role_settings: the settings that roles have in production, by the role.
        own: True for a database of plainsql's own: if no such role exists, one is created for the
            transaction.

    Raises ``ContractError`` if PostgreSQL refuses the query, and ``SettingsError`` if the connection may not
    act as the role, or if the policies read none of the tenant's settings.
    """
    with connection.transaction(force_rollback=True):
        session, missing = _choose(connection, statement, search_path, settings, tenant, role, own=own)
        create = missing and own and _is_superuser(connection)
    with connection.transaction(force_rollback=True):
        if create:
            # The copy for plans is read-only by default. PostgreSQL refuses this after the first query.
            connection.execute("set transaction read write")
            name = f"plainsql_plans_{secrets.token_hex(4)}"
            # The rights of this role are undone with the transaction.
            for text in (
                "create role {} nologin nosuperuser nobypassrls",
                "grant pg_read_all_data, pg_write_all_data to {}",
                "set local role {}",
            ):
                connection.execute(sql.SQL(text).format(sql.Identifier(name)))
            session.role = "a role with row-level security"
        elif missing:
            session.notes.append(
                "row-level security is left out of these plans: the role bypasses it, and no other role has"
                " the rights of the query"
            )
        elif session.role:
            connection.execute(sql.SQL("set local role {}").format(sql.Identifier(session.role)))
        apply_settings(connection, "", (role_settings or {}).get(session.role, NO_SETTINGS))
        apply_settings(connection, search_path, {**settings, **_own(statement), **session.settings})
        yield session


def _choose(
    connection: Connection[Any],
    statement: Statement,
    search_path: str,
    settings: Mapping[str, str],
    tenant: Mapping[str, str] | None,
    role: str | None,
    *,
    own: bool,
) -> tuple[PlanningSession, bool]:
    """Return the session, and True if row-level security needs a role that the database does not have."""
    session = PlanningSession(role or "", dict(tenant or {}))
    apply_settings(connection, search_path, {**settings, **session.settings})
    if role is not None:
        try:
            with connection.transaction(force_rollback=True):
                connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
        except psycopg.Error as error:
            raise _no_role(role, error, own=own) from None
    tables = _tables(first_plans(connection, statement))
    rows = RawCursor(connection).execute(
        _SECURED, [[schema for schema, _ in tables], [name for _, name in tables]]
    )
    secured = rows.fetchall()
    oids = [oid for oid, _ in secured]
    if tenant is None:
        _draw_settings(connection, session, oids)
        apply_settings(connection, "", session.settings)
    else:
        _check_tenant(connection, session, oids)
    if role is not None or all(active for _, active in secured):
        return session, False
    for (name,) in RawCursor(connection).execute(_CANDIDATES, [oids]).fetchall():
        if _may_plan(connection, statement, name):
            session.role = name
            return session, False
    return session, True


def _no_role(role: str, error: psycopg.Error, *, own: bool) -> SettingsError:
    """Return the error of a role that the connection cannot act as."""
    if own and error.sqlstate == _INVALID_VALUE:
        return SettingsError(
            f"--role: the copy has no role {role}: its roles are those that the migrations create",
            hint="plan on a database that has the role: --database URL",
        )
    return SettingsError(
        f"--role: {error.diag.message_primary or f'the server refuses the role {role}'}",
        hint="name a role of the database that the connection's role is a member of",
    )


def _check_tenant(connection: Connection[Any], session: PlanningSession, tables: Sequence[int]) -> None:
    """Raise ``SettingsError`` if the policies read other settings than those of the tenant.

    Their conditions would be about no tenant at all. A policy may read further settings: these are noted.
    """
    read = sorted(compared_settings(connection, tables))
    unset = [name for name in read if name not in session.settings]
    if not unset:
        return
    if not any(session.settings.get(name) for name in read):
        raise SettingsError(
            f"--tenant: the policies read {', '.join(unset)}, and the tenant's settings are"
            f" {', '.join(session.settings) or 'none'}",
            hint=f'name the setting in [tool.plainsql]: tenant_setting = "{unset[0]}"',
        )
    session.notes.append(f"the policies read {', '.join(unset)} as well, which these plans leave unset")


def apply_settings(
    connection: Connection[Any], search_path: str = "", settings: Mapping[str, str] = NO_SETTINGS
) -> None:
    """Set the settings of plainsql's connections and others for the open transaction."""
    every = {**_SESSION, **settings, **({"search_path": search_path} if search_path else {})}
    for name, value in every.items():
        connection.execute("select pg_catalog.set_config(%s, %s, true)", [name, value])


def _own(statement: Statement) -> dict[str, str]:
    """Return the settings of a query that decide its plans, with the defaults of their parameters."""
    found = {}
    for setting in statement.settings:
        value = setting.value
        if setting.parameter is not None:
            value = default_text(statement, setting.parameter)
        # Each plan is explained for this one's two values.
        if value is not None and setting.name != "plan_cache_mode":
            found[setting.name] = value
    return found


def _draw_settings(connection: Connection[Any], session: PlanningSession, tables: Sequence[int]) -> None:
    """Set each setting that policies read to a common value of the column that they compare with it."""
    for name, comparisons in compared_settings(connection, tables).items():
        columns = read_columns(connection, comparisons)
        for each in comparisons:
            column = columns.get((each.table, each.column))
            if column is None or name in session.settings:
                continue
            types = read_types(connection, [column.type])
            value = values_of([each], columns, types[column.type], types).common
            if value is not None:
                session.settings[name] = value


def first_plans(connection: Connection[Any], statement: Statement) -> list[PlanNode]:
    """Return the generic plans of the first and the last variant, which together have all tables.

    Raises ``ContractError`` if PostgreSQL refuses the query, with the place in its file.
    """
    plans = []
    variants = statement.variants()
    for variant in dict.fromkeys((variants[0], variants[-1])):
        with connection.transaction():
            planned, plan = plan_statement(connection, statement, variant)
            planned.close()
        plans.append(plan)
    return plans


def _tables(plans: Sequence[PlanNode]) -> list[tuple[str, str]]:
    return sorted({(node.schema, node.relation) for plan in plans for node in plan.walk() if node.relation})


def _may_plan(connection: Connection[Any], statement: Statement, role: str) -> bool:
    """Report whether a role has the rights of the query, and the connection may act as it."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
            for variant in statement.variants()[:1] + statement.variants()[-1:]:
                PlannedStatement.plan_of(connection, variant.sql)
    except psycopg.Error:
        return False
    return True


def _is_superuser(connection: Connection[Any]) -> bool:
    row = connection.execute("select r.rolsuper from pg_catalog.pg_roles as r where r.rolname = current_user")
    return row.fetchone() == (True,)
