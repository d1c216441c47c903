"""The contents of a dump, read in its own snapshot: digests of rows, objects, values of sequences, roles.

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
from plainsql.backup.database_objects import ENCODING, Fact, read_objects
from plainsql.backup.database_properties import Properties, read_properties
from plainsql.backup.errors import BackupError
from plainsql.backup.object_comparison import object_differences, version_differences
from plainsql.backup.role_definitions import Role, read_roles
from plainsql.backup.sequence_values import Sequence, read_sequences, sequence_differences
from plainsql.transfer.session_settings import fix_settings

__all__ = [
    "CONTENTS",
    "Contents",
    "Locale",
    "State",
    "Table",
    "differences",
    "dropped_functions",
    "notes",
    "read_contents",
    "read_locale",
    "read_state",
    "snapshot",
]

CONTENTS: Final = "contents.json"

Connection = psycopg.Connection[Any]

# A standby has no rows of unlogged tables, and pg_dump leaves them out there.
# Partitions, and not the partitioned tables, which hold no rows themselves. What belongs to an extension is
# made by the extension, but for rows that it marks.
_TABLES: Final = """
select n.nspname, c.relname, format('%I.%I', n.nspname, c.relname),
  coalesce(array_agg(a.attname::text order by a.attname collate "C") filter (where a.attnum > 0), '{}')
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
left join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relkind = 'r'
  and (c.relpersistence = 'p' or c.relpersistence = 'u' and not pg_is_in_recovery())
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

_TABLESPACES: Final = """
select t.spcname
from pg_tablespace as t
where t.spcname !~ '^pg_'
  and exists (
    select from pg_shdepend as d
    where d.refclassid = 'pg_tablespace'::regclass
      and d.refobjid = t.oid
      and d.dbid = (select oid from pg_database where datname = current_database())
    union all
    select from pg_class as c where c.reltablespace = t.oid
  )
order by t.spcname
"""

# The catalog is read in the snapshot, and the arguments are those of now.
_DROPPED_FUNCTIONS: Final = """
select format('%I.%I', n.nspname, p.proname)
from pg_proc as p
inner join pg_namespace as n on n.oid = p.pronamespace
where n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  and pg_get_function_identity_arguments(p.oid) is null
order by 1
"""

_DIGEST: Final = """
select count(*), coalesce(sum(('x' || left(hashed.digest, 16))::bit(64)::bigint), 0)::text,
  coalesce(sum(('x' || substr(hashed.digest, 17, 16))::bit(64)::bigint), 0)::text
from (
  select encode(sha256(convert_to(row({columns})::text, {encoding})), 'hex') as digest
  from only {table} as t
) as hashed
"""

# In pieces: one may have 4 TB. Only their digests are kept.
_LARGE_OBJECTS: Final = """
with recursive pieces (oid, at, size, digest) as (
  select m.oid, 0::bigint, read.size, read.digest
  from pg_largeobject_metadata as m
  cross join lateral (
    select length(l.content) as size,
      encode(sha256(int8send(m.oid::bigint) || int8send(0) || l.content), 'hex') as digest
    from (select lo_get(m.oid, 0, 1048576) as content offset 0) as l
  ) as read
  union all
  select p.oid, p.at + 1048576, read.size, read.digest
  from pieces as p
  cross join lateral (
    select length(l.content) as size,
      encode(sha256(int8send(p.oid::bigint) || int8send(p.at + 1048576) || l.content), 'hex') as digest
    from (select lo_get(p.oid, p.at + 1048576, 1048576) as content offset 0) as l
  ) as read
  where p.size = 1048576
)
select count(*) filter (where p.at = 0),
  coalesce(sum(('x' || left(p.digest, 16))::bit(64)::bigint), 0)::text,
  coalesce(sum(('x' || substr(p.digest, 17, 16))::bit(64)::bigint), 0)::text
from pieces as p
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
    role_definitions: tuple[Role, ...]
    """These roles, their groups, and the members of them all."""
    tablespaces: tuple[str, ...]
    """The tablespaces that its tables and indexes name."""
    properties: Properties
    """The properties of the database itself, which no dump restores."""
    objects: dict[str, dict[str, Fact]]
    sequences: dict[str, Sequence]
    large_objects: int
    large_object_digest: str | None
    """None if the rows were not read."""
    tables: tuple[Table, ...] | None
    """None if the rows were not read."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a restored database, which is compared with the contents of its backup."""

    tables: tuple[Table, ...]
    objects: dict[str, dict[str, Fact]]
    sequences: dict[str, Sequence]
    large_objects: int
    large_object_digest: str


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
    connection: Connection,
    earlier: dict[str, Sequence],
    *,
    rows: bool = True,
    on_progress: OnProgress = ignore_progress,
) -> Contents:
    """Return the contents of the database, in the transaction of the connection.

    ``earlier``: the values of the sequences before the dump.
    """
    objects = read_objects(connection)  # the first: of one that is dropped, the name would not be known
    roles = connection.execute(_ROLES).fetchall()
    names = tuple(name for name, _ in roles)
    properties = read_properties(connection, connection.info.dbname)
    large_objects, digest = _read_large_objects(connection, rows)
    return Contents(
        locale=read_locale(connection),
        extensions=dict(connection.execute(_EXTENSIONS).fetchall()),
        roles=names,
        policy_roles=tuple(name for name, in_policy in roles if in_policy),
        role_definitions=read_roles(connection, {*names, *properties.roles}),
        tablespaces=tuple(name for (name,) in connection.execute(_TABLESPACES).fetchall()),
        properties=properties,
        objects=objects,
        sequences=earlier,
        large_objects=large_objects,
        large_object_digest=digest,
        tables=_read_rows(connection, on_progress) if rows else None,
    )


def dropped_functions(connection: Connection) -> list[str]:
    """Return the functions of the snapshot that are gone by now.

    No lock holds them as the tables are held. pg_dump writes half a definition of such a function, and
    reports no error.
    """
    return [name for (name,) in connection.execute(_DROPPED_FUNCTIONS).fetchall()]


def read_state(connection: Connection, on_progress: OnProgress = ignore_progress) -> State:
    """Return the state of a restored database."""
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        fix_settings(connection)
        large_objects, digest = _read_large_objects(connection, True)
        return State(
            tables=_read_rows(connection, on_progress),
            objects=read_objects(connection),
            sequences=read_sequences(connection),
            large_objects=large_objects,
            large_object_digest=digest or "",
        )


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


def differences(expected: Contents, state: State, *, owners: bool = True) -> list[str]:
    """Return the differences between a backup and what came back from it, one line each.

    ``owners``: compare owners and privileges as well.
    """
    here = {table.name: table for table in state.tables}
    there = {table.name: table for table in expected.tables or ()}
    found = object_differences(expected.objects, state.objects, owners=owners)
    for name in sorted(here.keys() & there.keys()):
        if here[name].rows != there[name].rows:
            found.append(f"{name}: expected {there[name].rows:,} rows, got {here[name].rows:,}")
        elif here[name].digest != there[name].digest:
            found.append(f"{name}: the rows differ, and there are as many ({here[name].rows:,})")
    found += sequence_differences(expected.sequences, state.sequences)
    if state.large_objects != expected.large_objects:
        found.append(f"expected {expected.large_objects:,} large objects, got {state.large_objects:,}")
    elif state.large_object_digest != expected.large_object_digest:
        found.append(f"the large objects differ, and there are as many ({state.large_objects:,})")
    return found


def notes(expected: Contents, state: State) -> list[str]:
    """Return what is different and not wrong, one line each."""
    return version_differences(expected.objects, state.objects)


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
            encoding=ENCODING,
        )
        row = connection.execute(query).fetchone()
        assert row is not None
        rows, *sums = row
        found.append(Table(full_name, rows, _digest(sums)))
    on_progress("reading the rows of tables", len(tables), len(tables))
    return tuple(found)


def _read_large_objects(connection: Connection, content: bool) -> tuple[int, str | None]:
    """Return the number of large objects, and the digest of their content."""
    row = connection.execute(
        _LARGE_OBJECTS if content else "select count(*) from pg_largeobject_metadata"
    ).fetchone()
    assert row is not None
    count, *sums = row
    return count, _digest(sums) if content else None


def _digest(sums: Iterable[str]) -> str:
    return "".join(f"{int(each) % (1 << 64):016x}" for each in sums)
