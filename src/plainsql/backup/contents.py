"""The contents of a dump, read in its own snapshot: tables with the digests of their rows, extensions, roles.

The digest of a table is the sum of the SHA-256 of its rows' text, cut to 128 bits. A sum has no order: it
needs no sorting, which a large table would do on the disk, and is the same for rows that a restore has put in
another order. It is for faults and not for attackers: they are kept out by the manifest.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import psycopg
from psycopg import sql

from plainsql.backup.child_process import OnProgress, ignore_progress
from plainsql.backup.errors import BackupError
from plainsql.transfer.session_settings import fix_settings

__all__ = [
    "CONTENTS",
    "Contents",
    "Locale",
    "Table",
    "count_rows",
    "differences",
    "read_contents",
    "read_locale",
    "snapshot",
]

CONTENTS: Final = "contents.json"

Connection = psycopg.Connection[Any]

# Partitions, and not the partitioned tables, which hold no rows themselves. What belongs to an extension is
# made by the extension, but for rows that it marks.
_TABLES: Final = """
select n.nspname, c.relname, format('%I.%I', n.nspname, c.relname),
  coalesce(array_agg(a.attname::text order by a.attname collate "C") filter (where a.attnum > 0), '{}')
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
left join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relkind = 'r'
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  and not exists (
    select from pg_depend as d
    where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  )
group by n.nspname, c.relname
order by n.nspname collate "C", c.relname collate "C"
"""

_EXTENSIONS: Final = (
    "select extname, extversion from pg_extension where extname <> 'plpgsql' order by extname"
)

# Owners, grantees and the roles of policies; the server records none for the role that has made it.
_ROLES: Final = """
select r.rolname, bool_or(used.in_policy)
from (
  select d.refobjid as oid, d.deptype = 'r' as in_policy
  from pg_shdepend as d
  where d.refclassid = 'pg_authid'::regclass
    and d.dbid = (select oid from pg_database where datname = current_database())
  union all
  select o.owner, false
  from (
    select relowner as owner, oid from pg_class
    union all select proowner, oid from pg_proc
    union all select typowner, oid from pg_type
    union all select nspowner, oid from pg_namespace
  ) as o
  where o.owner = 10 and o.oid >= 16384
) as used
inner join pg_roles as r on r.oid = used.oid
where r.rolname !~ '^pg_'
group by r.rolname
order by r.rolname
"""

_SETTINGS: Final = """
select distinct split_part(s.setting, '=', 1)
from pg_db_role_setting as d, unnest(d.setconfig) as s (setting)
where d.setdatabase = (select oid from pg_database where datname = current_database())
order by 1
"""

_DIGEST: Final = """
select count(*), coalesce(sum(('x' || left(hashed.digest, 16))::bit(64)::bigint), 0)::text,
  coalesce(sum(('x' || substr(hashed.digest, 17, 16))::bit(64)::bigint), 0)::text
from (
  select encode(sha256(convert_to(row({columns})::text, getdatabaseencoding()::name)), 'hex') as digest
  from only {table} as t
) as hashed
"""


class Table(msgspec.Struct, frozen=True):
    """The rows of a table."""

    name: str
    """``schema.name``, quoted if PostgreSQL would."""
    rows: int
    digest: str


class Locale(msgspec.Struct, frozen=True):
    """The encoding and the locale of a database."""

    encoding: str
    provider: str
    """PostgreSQL's letter: ``c`` for the system's, ``i`` for ICU, ``b`` for the built-in one."""
    collate: str
    ctype: str
    name: str | None
    """The locale of ICU, or the built-in one."""


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``contents.json``; encrypted as the dump is: digests of few rows can be guessed."""

    locale: Locale
    extensions: dict[str, str]
    """Their versions, by their names."""
    roles: tuple[str, ...]
    """The owners of the objects, and those who have privileges."""
    policy_roles: tuple[str, ...]
    """Those of them that policies name."""
    settings: tuple[str, ...]
    """The names of the settings of the database itself, which no dump restores."""
    large_objects: int
    tables: tuple[Table, ...] | None
    """None if the rows were not read."""


@contextmanager
def snapshot(connection: Connection) -> Generator[tuple[str, int]]:
    """Begin a transaction that reads one snapshot; yield its name, for pg_dump, and the number of tables.

    The tables are locked against migrations: under an old snapshot, a rewritten table looks empty.
    """
    tables = _read_tables(connection)
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        connection.execute("set local lock_timeout to '10s'")
        if tables:
            names = sql.SQL(", only ").join(sql.Identifier(schema, name) for schema, name, *_ in tables)
            # The first statement after the locks takes the snapshot.
            connection.execute(sql.SQL("lock table only {} in access share mode").format(names))
        row = connection.execute("select pg_export_snapshot()").fetchone()
        assert row is not None
        fix_settings(connection)
        yield row[0], len(tables)


def read_contents(
    connection: Connection, *, rows: bool = True, on_progress: OnProgress = ignore_progress
) -> Contents:
    """Return the contents of the database, in the transaction of the connection."""
    roles = connection.execute(_ROLES).fetchall()
    return Contents(
        locale=read_locale(connection),
        extensions=dict(connection.execute(_EXTENSIONS).fetchall()),
        roles=tuple(name for name, _ in roles),
        policy_roles=tuple(name for name, in_policy in roles if in_policy),
        settings=tuple(name for (name,) in connection.execute(_SETTINGS).fetchall()),
        large_objects=_large_objects(connection),
        tables=_read_rows(connection, on_progress) if rows else None,
    )


def count_rows(
    connection: Connection, on_progress: OnProgress = ignore_progress
) -> tuple[tuple[Table, ...], int]:
    """Return the tables of a restored database with the digests of their rows, and its large objects."""
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        fix_settings(connection)
        return _read_rows(connection, on_progress), _large_objects(connection)


def read_locale(connection: Connection) -> Locale:
    """Return the encoding and the locale of a connection's database."""
    # The names of these columns differ between versions.
    row = connection.execute(
        "select pg_encoding_to_char(d.encoding), coalesce(j.row ->> 'datlocprovider', 'c'), d.datcollate,"
        " d.datctype, coalesce(j.row ->> 'datlocale', j.row ->> 'daticulocale')"
        " from pg_database as d cross join to_jsonb(d) as j (row) where d.datname = current_database()"
    ).fetchone()
    if row is None:
        raise BackupError("the database is gone")
    return Locale(*row)


def differences(expected: Contents, tables: Iterable[Table], large_objects: int) -> list[str]:
    """Return the differences between a backup and what came back from it, one line each."""
    here = {table.name: table for table in tables}
    there = {table.name: table for table in expected.tables or ()}
    found = []
    for name in sorted(here.keys() | there.keys()):
        if name not in here:
            found.append(f"{name}: the table is missing")
        elif name not in there:
            found.append(f"{name}: the table is not in the backup")
        elif here[name].rows != there[name].rows:
            found.append(f"{name}: expected {there[name].rows:,} rows, got {here[name].rows:,}")
        elif here[name].digest != there[name].digest:
            found.append(f"{name}: the rows differ, and there are as many ({here[name].rows:,})")
    if large_objects != expected.large_objects:
        found.append(f"expected {expected.large_objects:,} large objects, got {large_objects:,}")
    return found


def _read_tables(connection: Connection) -> list[tuple[str, str, str, list[str]]]:
    return [tuple(row) for row in connection.execute(_TABLES).fetchall()]


def _read_rows(connection: Connection, on_progress: OnProgress) -> tuple[Table, ...]:
    found = []
    tables = _read_tables(connection)
    for at, (schema, name, full_name, columns) in enumerate(tables):
        on_progress("reading the rows of tables", at, len(tables))
        query = sql.SQL(_DIGEST).format(
            columns=sql.SQL(", ").join(sql.Identifier("t", column) for column in columns),
            table=sql.Identifier(schema, name),
        )
        row = connection.execute(query).fetchone()
        assert row is not None
        rows, *sums = row
        found.append(Table(full_name, rows, "".join(f"{int(each) % (1 << 64):016x}" for each in sums)))
    on_progress("reading the rows of tables", len(tables), len(tables))
    return tuple(found)


def _large_objects(connection: Connection) -> int:
    row = connection.execute("select count(*) from pg_largeobject_metadata").fetchone()
    assert row is not None
    return int(row[0])
