"""The roles that a backup needs: read with its contents, and created on a server that lacks them.

A role belongs to the whole server, so a dump of a database holds none. The passwords are never read: without
one a role can log in by other means alone, such as a certificate, until it is given one. No role is created
as a superuser.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec
import psycopg
from psycopg import sql

from plainsql.backup.errors import BackupError
from plainsql.backup.stored_settings import setting_name, setting_value

__all__ = ["Role", "create_missing_roles", "drop_roles", "read_roles"]

Connection = psycopg.Connection[Any]

_INSUFFICIENT_PRIVILEGE: Final = "42501"
_ATTRIBUTES: Final = {
    "inherit": sql.SQL("inherit"),
    "createrole": sql.SQL("createrole"),
    "createdb": sql.SQL("createdb"),
    "login": sql.SQL("login"),
    "replication": sql.SQL("replication"),
    "bypassrls": sql.SQL("bypassrls"),
}
_OPTIONS: Final = {
    "admin": sql.SQL("admin"),
    "inherit": sql.SQL("inherit"),
    "set": sql.SQL("set"),
}
_OPTIONS_VERSION: Final = 16_00_00
"""From this version on, a membership has options of its own."""

# Those that are named, their groups, and the members of all of these: an application often logs in as a
# member of the role that has the privileges.
_ROLES: Final = """
with recursive groups (oid) as (
  select r.oid from pg_roles as r where r.rolname = any(%s)
  union
  select m.roleid from groups as g inner join pg_auth_members as m on m.member = g.oid
),
related (oid) as (
  select g.oid from groups as g inner join pg_roles as r on r.oid = g.oid where r.rolname !~ '^pg_'
  union
  select m.member from related as g inner join pg_auth_members as m on m.roleid = g.oid
)
select r.rolname,
  array_remove(array[
    case when r.rolinherit then 'inherit' end,
    case when r.rolcreaterole then 'createrole' end, case when r.rolcreatedb then 'createdb' end,
    case when r.rolcanlogin then 'login' end, case when r.rolreplication then 'replication' end,
    case when r.rolbypassrls then 'bypassrls' end
  ], null),
  r.rolconnlimit, r.rolvaliduntil::text, coalesce(r.rolconfig, '{}'),
  shobj_description(r.oid, 'pg_authid'),
  coalesce(
    (
      select jsonb_object_agg(
        pg_get_userbyid(m.roleid),
        jsonb_build_object(
          'admin', m.admin_option,
          'inherit', coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, r.rolinherit),
          'set', coalesce((to_jsonb(m) ->> 'set_option')::boolean, true)
        )
        -- Several grantors may have granted it: the most recent of them stands for all.
        order by m.oid_or_zero
      )
      from (
        select a.*, coalesce((to_jsonb(a) ->> 'oid')::bigint, 0) as oid_or_zero from pg_auth_members as a
      ) as m
      where m.member = r.oid
    ),
    '{}'
  )
from related as g
inner join pg_roles as r on r.oid = g.oid
order by r.rolname collate "C"
"""


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """A role, without its password."""

    name: str
    attributes: tuple[str, ...]
    """The attributes that it has, such as ``login``."""
    connection_limit: int
    valid_until: str | None
    settings: tuple[str, ...]
    """``name=value``, of all databases."""
    comment: str | None
    groups: dict[str, dict[str, bool]]
    """The roles that it is a member of, with the options of each membership."""


def read_roles(connection: Connection, names: Iterable[str]) -> tuple[Role, ...]:
    """Return the roles of these names, the roles that they are members of, and the members of all of them."""
    rows = connection.execute(_ROLES.encode(), [list(names)]).fetchall()
    return tuple(
        Role(
            name=name,
            attributes=tuple(attributes),
            connection_limit=limit,
            valid_until=until,
            settings=tuple(settings),
            comment=comment,
            groups=groups,
        )
        for name, attributes, limit, until, settings, comment, groups in rows
    )


def create_missing_roles(connection: Connection, roles: Iterable[Role], *, login: bool = True) -> list[str]:
    """Create the roles that the server lacks, with their memberships; return their names.

    ``login``: let those log in that could.

    Raises ``BackupError`` if the session's role may not create one of them; none is created then.
    """
    here = {name for (name,) in connection.execute("select rolname from pg_roles").fetchall()}
    missing = [role for role in roles if role.name not in here]
    there = here | {role.name for role in missing}
    try:
        with connection.transaction():
            for role in missing:
                _create(connection, role, login)
            for role in missing:
                _grant_groups(connection, role, there)
                for setting in role.settings:
                    name, _, value = setting.partition("=")
                    connection.execute(
                        sql.SQL("alter role {} set {} to {}").format(
                            sql.Identifier(role.name), setting_name(name), setting_value(name, value)
                        )
                    )
    except psycopg.Error as error:
        if error.sqlstate != _INSUFFICIENT_PRIVILEGE:
            raise
        raise BackupError(
            f"the roles of the backup cannot be created: {error.diag.message_primary}",
            hint="restore as a superuser, or create the roles first",
        ) from None
    return [role.name for role in missing]


def drop_roles(connection: Connection, names: Iterable[str]) -> None:
    """Drop the roles of a restore that has failed."""
    for name in names:
        with suppress(psycopg.Error):
            connection.execute(sql.SQL("drop role if exists {}").format(sql.Identifier(name)))


def _create(connection: Connection, role: Role, login: bool) -> None:
    words = [
        word if name in role.attributes and (login or name != "login") else sql.SQL("no") + word
        for name, word in _ATTRIBUTES.items()
    ]
    words.append(sql.SQL("connection limit {}").format(role.connection_limit))
    if role.valid_until is not None:
        words.append(sql.SQL("valid until {}").format(role.valid_until))
    whose = sql.Identifier(role.name)
    connection.execute(sql.SQL("create role {} {}").format(whose, sql.SQL(" ").join(words)))
    if role.comment is not None:
        connection.execute(sql.SQL("comment on role {} is {}").format(whose, role.comment))


def _grant_groups(connection: Connection, role: Role, there: set[str]) -> None:
    for group, options in role.groups.items():
        if group in there:
            connection.execute(
                sql.SQL("grant {} to {}{}").format(
                    sql.Identifier(group), sql.Identifier(role.name), _with(connection, options)
                )
            )


def _with(connection: Connection, options: Mapping[str, bool]) -> sql.Composable:
    if connection.info.server_version < _OPTIONS_VERSION:
        return sql.SQL(" with admin option" if options.get("admin") else "")
    words = [
        sql.SQL("{} {}").format(word, sql.SQL("true" if options[name] else "false"))
        for name, word in _OPTIONS.items()
        if name in options
    ]
    return sql.SQL(" with {}").format(sql.SQL(", ").join(words)) if words else sql.SQL("")
