"""The partitions that a table has, and the rights of a role to make more."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from psycopg import sql

from plainsql.errors import MigrationError
from plainsql.migrate.connection import Connection
from plainsql.migrate.partitions.declared_partitions import DeclaredPartitions
from plainsql.migrate.partitions.time_ranges import TimeRange

__all__ = ["Partition", "PartitionedTable", "read_table"]

_TABLE: Final = """
select
  c.oid::bigint,
  c.relkind::text,
  coalesce(p.partstrat::text, ''),
  coalesce(p.partnatts, 0)::int,
  a.attname,
  coalesce(format_type(a.atttypid, null), ''),
  pg_get_userbyid(c.relowner),
  pg_has_role(c.relowner, %(right)s),
  has_schema_privilege(c.relowner, n.oid, 'CREATE'),
  coalesce(a.attnotnull, false),
  c.relrowsecurity,
  (select t.spcname::text from pg_tablespace as t where t.oid = c.reltablespace)
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
left join pg_partitioned_table as p on p.partrelid = c.oid
left join pg_attribute as a on a.attrelid = c.oid and a.attnum = p.partattrs[0]
where n.nspname = %(schema)s and c.relname = %(table)s
"""

_PARTITIONS: Final = """
select n.nspname, c.relname, pg_get_expr(c.relpartbound, c.oid), i.inhdetachpending, c.relkind = 'p'
from pg_inherits as i
inner join pg_class as c on c.oid = i.inhrelid
inner join pg_namespace as n on n.oid = c.relnamespace
where i.inhparent = %(oid)s
order by c.relname
"""

_BOUND: Final = re.compile(r"FOR VALUES FROM \((?P<start>[^,]+)\) TO \((?P<end>[^,]+)\)")
_FAR: Final = re.compile(r"'(\d{5,}-.*|.* BC)'")
"""A time after the year 9999 or before the year 1, which Python has none for."""
_TYPES: Final = ("timestamp with time zone", "timestamp without time zone", "date")


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition of a table."""

    schema: str
    name: str
    range: TimeRange
    is_detaching: bool
    """True if a detach was interrupted: it must be finished before anything else."""
    is_divided: bool = False
    """True if it has partitions of its own."""

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class PartitionedTable:
    """A table that is partitioned by time, as the database has it."""

    declared: DeclaredPartitions
    column: str
    type: str
    column_not_null: bool
    owner: str
    sets_owner: bool
    """True if the session acts as the owner by ``set role``, to whom the new partitions belong."""
    partitions: tuple[Partition, ...]
    default: tuple[str, str] | None
    """The schema and the name of the default partition."""
    row_security: bool = False
    tablespace: str | None = None
    """The tablespace of new partitions; ``None`` for the database's."""


def read_table(connection: Connection, declared: DeclaredPartitions) -> PartitionedTable:
    """Return a declared table with its partitions.

    The session's time zone is UTC, its date style ISO. Raises ``MigrationError`` if it is no table that is
    partitioned by time, or if the session's role may not make partitions of it.
    """
    # Until 15, every member of a role may act as it.
    right = "SET" if connection.info.server_version >= 160000 else "MEMBER"
    names = {"schema": declared.schema, "table": declared.table, "right": right}
    row = connection.execute(_TABLE, names).fetchone()
    if row is None:
        raise MigrationError(
            f"{declared}: there is no such table", hint="apply the migrations first: plainsql migrate"
        )
    oid, kind, strategy, keys, column, type_, owner, may_set, owner_creates, not_null, security, space = row
    if kind != "p" or strategy != "r" or keys != 1 or column is None or type_ not in _TYPES:
        got = "no partitions" if kind != "p" else f"{type_ or 'an expression'} by {_strategy(str(strategy))}"
        raise MigrationError(
            f"{declared}: expected a table partitioned by range of one time column, got {got}",
            hint="create table … partition by range (created_at), with a timestamptz, timestamp or date",
        )
    if declared.every == "hour" and type_ == "date":
        raise MigrationError(
            f'{declared}: expected partitions of a day or more, as {column} is a date, got every = "hour"',
            hint='write every = "day" in [tool.plainsql.partitions]',
        )
    user = connection.info.user
    if not may_set:
        raise MigrationError(
            f"{declared}: the role {user} may not make partitions: the table belongs to {owner}",
            hint=sql.SQL("connect as {owner}; or: grant {owner} to {user}")
            .format(owner=sql.Identifier(str(owner)), user=sql.Identifier(user))
            .as_string(connection),
        )
    if not owner_creates:
        raise MigrationError(
            f"{declared}: its owner {owner} may not create tables in the schema {declared.schema}",
            hint=sql.SQL("grant create on schema {schema} to {owner}")
            .format(schema=sql.Identifier(declared.schema), owner=sql.Identifier(str(owner)))
            .as_string(connection),
        )
    partitions, default = list[Partition](), None
    for schema, name, bound, detaching, divided in _partitions(connection, int(str(oid))):
        if bound == "DEFAULT":
            default = schema, name
        else:
            partitions.append(Partition(schema, name, _range(f"{schema}.{name}", bound), detaching, divided))
    partitions.sort(key=lambda each: each.range.start or datetime.min.replace(tzinfo=UTC))
    if partitions and partitions[-1].is_divided:
        raise MigrationError(
            f"{declared}: its latest partition {partitions[-1]} has partitions of its own, and those that"
            " plainsql makes have none",
            hint="make them in migrations, and take the table out of [tool.plainsql.partitions]",
        )
    return PartitionedTable(
        declared,
        str(column),
        str(type_),
        bool(not_null),
        str(owner),
        str(owner) != user,
        tuple(partitions),
        default,
        bool(security),
        str(space) if space is not None else None,
    )


def _partitions(connection: Connection, oid: int) -> Iterator[tuple[str, str, str, bool, bool]]:
    for schema, name, bound, detaching, divided in connection.execute(_PARTITIONS, {"oid": oid}):
        yield str(schema), str(name), str(bound), bool(detaching), bool(divided)


def _strategy(letter: str) -> str:
    return {"r": "range of several columns", "l": "list", "h": "hash"}.get(letter, letter)


def _range(name: str, bound: str) -> TimeRange:
    found = _BOUND.fullmatch(bound)
    if found is None:
        raise MigrationError(f"{name}: its bounds are not understood: {bound}")
    return TimeRange(_time(name, found["start"]), _time(name, found["end"]))


def _time(name: str, text: str) -> datetime | None:
    if text in ("MINVALUE", "MAXVALUE") or text.strip("'") in ("-infinity", "infinity"):
        return None
    if _FAR.fullmatch(text):
        return None  # no partition of this age is beyond it
    try:
        time = datetime.fromisoformat(text.strip("'"))
    except ValueError:
        raise MigrationError(f"{name}: its bounds are not understood: {text}") from None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
