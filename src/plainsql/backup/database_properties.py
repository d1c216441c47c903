"""The properties of a database itself: owner, privileges, connection limit, comment and settings."""

from __future__ import annotations

from typing import Final

import msgspec
import psycopg
from psycopg import sql

from plainsql.backup.database_session import Connection
from plainsql.backup.errors import BackupError
from plainsql.backup.stored_settings import setting_name, setting_value

__all__ = ["Properties", "read_properties", "set_properties", "try_properties"]

_PRIVILEGES: Final = {
    "CREATE": sql.SQL("create"),
    "CONNECT": sql.SQL("connect"),
    "TEMPORARY": sql.SQL("temporary"),
}


class Properties(msgspec.Struct, frozen=True, kw_only=True):
    """The properties of a database."""

    owner: str
    connection_limit: int
    comment: str | None
    privileges: tuple[tuple[str | None, str, bool], ...] | None
    """Each grantee, the privilege, and whether it can be granted further; ``None`` is ``public``. None for
    the server's own defaults."""
    settings: tuple[tuple[str | None, str], ...]
    """Each ``name=value``, and the role that it is for; None for all roles."""

    @property
    def roles(self) -> set[str]:
        """The roles that they name."""
        granted = {role for role, *_ in self.privileges or ()} | {role for role, _ in self.settings}
        return {self.owner, *(role for role in granted if role is not None)}


def read_properties(connection: Connection, name: str) -> Properties:
    """Return the properties of a database of the server."""
    row = connection.execute(
        "select pg_get_userbyid(d.datdba), d.datconnlimit, shobj_description(d.oid, 'pg_database'),"
        " d.datacl is not null from pg_database as d where d.datname = %s",
        [name],
    ).fetchone()
    if row is None:
        raise BackupError(f"the database {name} was dropped or renamed meanwhile", hint="try again")
    owner, limit, comment, has_privileges = row
    privileges = connection.execute(
        "select r.rolname, a.privilege_type, a.is_grantable from pg_database as d"
        " cross join aclexplode(d.datacl) as a left join pg_roles as r on r.oid = a.grantee"
        " where d.datname = %s order by r.rolname, a.privilege_type",
        [name],
    ).fetchall()
    settings = connection.execute(
        "select r.rolname, s.setting from pg_db_role_setting as d"
        " left join pg_roles as r on r.oid = d.setrole"
        " cross join unnest(d.setconfig) as s (setting)"
        " where d.setdatabase = (select oid from pg_database where datname = %s)"
        " order by r.rolname, s.setting",
        [name],
    ).fetchall()
    return Properties(
        owner=owner,
        connection_limit=limit,
        comment=comment,
        privileges=tuple(privileges) if has_privileges else None,
        settings=tuple(settings),
    )


def set_properties(connection: Connection, name: str, properties: Properties) -> None:
    """Give a database the properties of another one of the same server."""
    for _, statement in _statements(connection, name, properties, owners=True):
        connection.execute(statement)


def try_properties(connection: Connection, name: str, properties: Properties, *, owners: bool) -> list[str]:
    """Give a new database the properties of a backup; return those that it cannot have, one line each.

    ``owners``: its owner and its privileges as well.
    """
    refused = []
    for what, statement in _statements(connection, name, properties, owners=owners):
        try:
            connection.execute(statement)
        except psycopg.Error as error:
            if error.sqlstate is None or error.sqlstate[:2] in ("08", "57"):
                raise
            refused.append(f"{what} of the database: {error.diag.message_primary}")
    return refused


def _statements(
    connection: Connection, name: str, properties: Properties, *, owners: bool
) -> list[tuple[str, sql.Composed]]:
    """Return the statements that set the properties, each with the words for it."""
    to = sql.Identifier(name)
    found: list[tuple[str, sql.Composed]] = []
    if properties.connection_limit != -1:
        limit = sql.Literal(properties.connection_limit)
        found.append(
            ("the connection limit", sql.SQL("alter database {} connection limit {}").format(to, limit))
        )
    if properties.comment is not None:
        comment = sql.Literal(properties.comment)
        found.append(("the comment", sql.SQL("comment on database {} is {}").format(to, comment)))
    if owners and properties.privileges is not None:
        found.append(
            ("the privileges", sql.SQL("revoke all on database {} from public").format(to)),
        )
        found += [
            (
                "the privileges",
                sql.SQL("grant {} on database {} to {}{}").format(
                    _PRIVILEGES[privilege],
                    to,
                    sql.SQL("public") if role is None else sql.Identifier(role),
                    sql.SQL(" with grant option" if grantable else ""),
                ),
            )
            for role, privilege, grantable in properties.privileges
        ]
    for role, setting in properties.settings:
        setting_of, _, value = setting.partition("=")
        whose = (
            sql.SQL("database {}").format(to)
            if role is None
            else sql.SQL("role {} in database {}").format(sql.Identifier(role), to)
        )
        found.append(
            (
                f"the setting {setting_of}",
                sql.SQL("alter {} set {} to {}").format(
                    whose, setting_name(setting_of), setting_value(setting_of, value)
                ),
            )
        )
    # The last: then it may be no longer ours to change.
    if owners and properties.owner != connection.info.user:
        owner = sql.Identifier(properties.owner)
        found.append(("the owner", sql.SQL("alter database {} owner to {}").format(to, owner)))
    return found
