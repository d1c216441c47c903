"""The records of scratch databases: the project of each, its last use, and the roles that its build created.

A record is the comment on its database. Roles belong to the whole server, so they are dropped with the
database whose build created them.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any, Final, NamedTuple

import msgspec
import psycopg
from psycopg import errors, sql

__all__ = [
    "KEPT_DAYS",
    "NAME_PREFIX",
    "OWN_PREFIX",
    "Record",
    "ScratchDatabase",
    "created_roles",
    "drop_database",
    "drop_roles",
    "lock_key",
    "read_databases",
    "role_oids",
    "write_record",
]

NAME_PREFIX = "plainsql_scratch_"
OWN_PREFIX = f"{NAME_PREFIX}own_"
"""The start of the names of databases that one process uses for itself."""
KEPT_DAYS: Final = 14
"""Days after its last use at which a database of another project is dropped."""

_MARK: Final = "plainsql scratch database "


class Record(msgspec.Struct, frozen=True):
    """The facts about one scratch database."""

    project: str
    """The folder of the project."""
    host: str
    """The name of the machine on which that folder is."""
    used: str
    """The day of the last use."""
    roles: dict[str, int] = {}
    """The roles that the build created, with their oids."""
    before: list[int] | None = None
    """The oids of the roles that existed before, while the database is being built."""

    @classmethod
    def now(cls, project: str, **facts: Any) -> Record:
        """Return the record of a project's database that is used today, on this machine."""
        return cls(project=project, host=platform.node(), used=str(_today()), **facts)

    @property
    def is_of_today(self) -> bool:
        return self.used == str(_today())

    def is_of(self, project: str) -> bool:
        """Return True if it is of the project in this folder of this machine."""
        return (self.project, self.host) == (project, platform.node())

    def is_left(self) -> bool:
        """Return True if the project's folder is gone, or if the database was not used for a while."""
        if self.host == platform.node() and not os.path.lexists(self.project):
            return True
        with suppress(ValueError):
            return (_today() - date.fromisoformat(self.used)).days > KEPT_DAYS
        return False


class ScratchDatabase(NamedTuple):
    """A scratch database of the server, as its catalog shows it."""

    name: str
    owner: str
    is_own: bool
    """True if the role of this connection owns it."""
    in_use: bool
    record: Record | None
    """None if the comment is missing: an earlier version made the database."""

    @property
    def is_left(self) -> bool:
        """True if it is idle and no project uses it any more, as far as its record shows."""
        return not self.in_use and self.record is not None and self.record.is_left()


def read_databases(connection: psycopg.Connection[Any], prefix: str = NAME_PREFIX) -> list[ScratchDatabase]:
    """Return the scratch databases with a prefix, in the order of their names."""
    rows = connection.execute(
        """
        select d.datname, pg_get_userbyid(d.datdba), d.datdba = r.oid,
          exists (
            select 1 from pg_catalog.pg_stat_activity as a
            where a.datid = d.oid and a.backend_type = 'client backend'
          ),
          shobj_description(d.oid, 'pg_database')
        from pg_catalog.pg_database as d
        inner join pg_catalog.pg_roles as r on r.rolname = current_user
        where starts_with(d.datname, %s)
        order by d.datname
        """,
        [prefix],
    ).fetchall()
    return [
        ScratchDatabase(name, owner, own, in_use, _record_in(comment))
        for name, owner, own, in_use, comment in rows
    ]


def _record_in(comment: str | None) -> Record | None:
    if comment is None or not comment.startswith(_MARK):
        return None
    with suppress(msgspec.DecodeError):
        return msgspec.json.decode(comment.removeprefix(_MARK), type=Record)
    return None


def write_record(connection: psycopg.Connection[Any], name: str, record: Record) -> None:
    """Write the record of a database. Raises psycopg's ``InsufficientPrivilege`` if it is another role's."""
    text = _MARK + msgspec.json.encode(record).decode()
    connection.execute(
        sql.SQL("comment on database {} is {}").format(sql.Identifier(name), sql.Literal(text))
    )


def lock_key(name: str) -> str:
    """Return the key of the advisory lock under which a database is built, connected to and dropped."""
    if name.startswith(OWN_PREFIX):
        return name
    return f"{NAME_PREFIX}{name.removeprefix(NAME_PREFIX).partition('_')[0]}_"


def drop_database(connection: psycopg.Connection[Any], name: str, *, force: bool = False) -> None:
    """Drop a database, if it exists, with the roles that its build created.

    Raises psycopg's ``InsufficientPrivilege`` if it is another role's, and ``ObjectInUse`` if a session uses
    it and ``force`` is false.
    """
    found = next((each for each in read_databases(connection, name) if each.name == name), None)
    if found is None:
        return
    # The comment of another role's database could name any role.
    record = found.record if found.is_own else None
    roles = dict(record.roles) if record is not None else {}
    if record is not None and record.before is not None:  # its build was killed
        with suppress(psycopg.Error), _inside(connection, name) as inside:
            roles |= created_roles(inside, record.before)
    statement = "drop database if exists {} with (force)" if force else "drop database if exists {}"
    connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
    drop_roles(connection, roles)


def _inside(connection: psycopg.Connection[Any], name: str) -> psycopg.Connection[Any]:
    return psycopg.connect(
        connection.info.dsn, password=connection.info.password or None, dbname=name, autocommit=True
    )


# -- Roles


def role_oids(connection: psycopg.Connection[Any]) -> list[int]:
    """Return the oids of all roles of the server."""
    rows = connection.execute("select r.oid from pg_catalog.pg_roles as r order by r.oid").fetchall()
    return [oid for (oid,) in rows]


# The transactions that changed this database: the rows of its catalogs, and its own in the shared ones.
_CATALOGS: Final = (
    *("pg_class", "pg_attribute", "pg_type", "pg_proc", "pg_namespace", "pg_depend", "pg_description"),
    *("pg_constraint", "pg_policy", "pg_default_acl", "pg_extension", "pg_trigger", "pg_rewrite"),
    *("pg_enum", "pg_index", "pg_sequence"),
)
_OWN_TABLES: Final = """
select format('select distinct x.xmin::text from %I.%I as x', n.nspname, c.relname)
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where c.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and has_table_privilege(c.oid, 'select')
"""


def created_roles(inside: psycopg.Connection[Any], before: Collection[int]) -> dict[str, int]:
    """Return the roles that transactions in this database created, with their oids.

    Other sessions of the server create roles at the same time: tests, a migration, an administrator. So a new
    role counts only if its transaction left other rows in this database, or if this database depends on it.

    Args:
        inside: a connection to the database.
        before: the oids of the roles that existed before.
    """
    new = inside.execute(
        """
        select r.rolname, r.oid,
          (select max(m.xmin::text) from pg_catalog.pg_auth_members as m
           where m.roleid = r.oid and m.grantor = 10 and m.admin_option
             and m.member = (select c.oid from pg_catalog.pg_roles as c where c.rolname = current_user)),
          exists (
            select 1
            from pg_catalog.pg_shdepend as s
            inner join pg_catalog.pg_database as d on d.oid = s.dbid
            where d.datname = current_database() and s.refobjid = r.oid
              and s.refclassid = 'pg_catalog.pg_authid'::regclass)
        from pg_catalog.pg_roles as r
        where r.oid <> all(%s)
        """,
        [list(before)],
    ).fetchall()
    if not new:
        return {}
    with suppress(errors.InsufficientPrivilege):  # only superusers read this catalog
        by_oid = dict(inside.execute("select a.oid, a.xmin::text from pg_catalog.pg_authid as a").fetchall())
        new = [(name, oid, by_oid.get(oid, by), depended) for name, oid, by, depended in new]
    own = _transactions(inside)
    return {name: oid for name, oid, by, depended in new if depended or by in own}


def _transactions(inside: psycopg.Connection[Any]) -> set[str]:
    queries = [f"select distinct x.xmin::text from pg_catalog.{name} as x" for name in _CATALOGS]
    queries.append(
        "select distinct s.xmin::text from pg_catalog.pg_shdepend as s"
        " inner join pg_catalog.pg_database as d on d.oid = s.dbid where d.datname = current_database()"
    )
    tables = inside.execute(_OWN_TABLES.encode()).fetchall()
    found: set[str] = set()
    for query in (*queries, *(query for (query,) in tables)):
        with suppress(errors.InsufficientPrivilege):
            found.update(xmin for (xmin,) in inside.execute(query.encode()).fetchall())
    return found


def drop_roles(connection: psycopg.Connection[Any], roles: Mapping[str, int]) -> None:
    """Drop roles that nothing uses any more. Those that another scratch database uses go into its record.

    A role is kept if a session, another database or a role that is not among these uses it.
    """
    left = dict(roles)
    dropped = True
    while left and dropped:  # a role may be kept by one that is dropped after it
        dropped = False
        for name, oid in list(left.items()):
            if not _exists(connection, name, oid):
                del left[name]
            elif not _is_used(connection, oid, roles.values()):
                with suppress(errors.DependentObjectsStillExist, errors.InsufficientPrivilege):
                    connection.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))
                    del left[name]
                    dropped = True
    for name, oid in left.items():
        _hand_over(connection, name, oid)


def _exists(connection: psycopg.Connection[Any], name: str, oid: int) -> bool:
    query = "select 1 from pg_catalog.pg_roles where rolname = %s and oid = %s"
    return connection.execute(query, [name, oid]).fetchone() is not None


def _is_used(connection: psycopg.Connection[Any], oid: int, ours: Iterable[int]) -> bool:
    query = """
    select exists (select 1 from pg_catalog.pg_stat_activity as a where a.usesysid = %(oid)s)
      or exists (
        select 1
        from pg_catalog.pg_auth_members as m
        inner join pg_catalog.pg_roles as r on r.oid = m.member
        where m.roleid = %(oid)s and m.member <> all(%(ours)s) and r.rolname <> current_user)
    """
    (used,) = connection.execute(query, {"oid": oid, "ours": list(ours)}).fetchone() or (True,)
    return bool(used)


def _hand_over(connection: psycopg.Connection[Any], name: str, oid: int) -> None:
    users = connection.execute(
        """
        select distinct d.datname
        from pg_catalog.pg_shdepend as s
        inner join pg_catalog.pg_database as d on d.oid = s.dbid
        where s.refclassid = 'pg_catalog.pg_authid'::regclass and s.refobjid = %s
        """,
        [oid],
    ).fetchall()
    names = {user for (user,) in users}
    for each in read_databases(connection):
        if each.name in names and each.is_own and each.record is not None:
            roles = {**each.record.roles, name: oid}
            with suppress(errors.InvalidCatalogName):  # it is dropped at the same time
                write_record(connection, each.name, msgspec.structs.replace(each.record, roles=roles))
            return


def _today() -> date:
    return datetime.now(UTC).date()
