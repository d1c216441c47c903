"""The state of a scratch database between two statements: its catalog, the session's locks and scans.

It is read by the session that runs the migration, so it sees what is not committed. The reads themselves lock
and scan catalogs only, which are left out.
"""

from __future__ import annotations

from typing import Final

import msgspec

from plainsql.errors import MigrationError
from plainsql.migrate.connection import Connection

__all__ = [
    "Column",
    "Constraint",
    "Relation",
    "Snapshot",
    "read_blocked_locks",
    "read_session",
    "read_snapshot",
]


class Relation(msgspec.Struct, frozen=True):
    """A table, an index, a view or a sequence."""

    oid: int
    name: str
    """``schema.name``, quoted if SQL needs it."""
    kind: str
    """The ``relkind`` of ``pg_class``."""
    file: int
    """The number of its file; 0 without a file."""
    is_partition: bool
    scans: int
    """The scans of the session that began in its current transaction."""
    table: int | None = None
    """The table of an index."""
    method: str = ""
    """The access method of an index."""
    parent: int | None = None
    """The partitioned table or index of a partition, or the first table that it inherits from."""


class Column(msgspec.Struct, frozen=True):
    """A column of a table."""

    table: int
    number: int
    name: str
    sql_name: str
    """Quoted if SQL needs it."""
    type: str
    not_null: bool
    has_default: bool
    is_identity: bool
    generated: str
    """``s`` for stored, ``v`` for virtual, empty for neither."""
    collation: str = ""
    """Empty for that of the type."""
    domain: str | None = None
    """The name of its domain, quoted if SQL needs it."""
    checked_domain: str | None = None
    """The base type of a domain with a constraint; ``None`` for another type."""


class Constraint(msgspec.Struct, frozen=True):
    """A constraint of a table or of a domain."""

    oid: int
    name: str
    sql_name: str
    """Quoted if SQL needs it."""
    kind: str
    """The ``contype`` of ``pg_constraint``."""
    table: int
    """0 for a domain's."""
    domain: str | None
    """The name of the domain, quoted if SQL needs it; ``None`` for a constraint of a table."""
    parent: int
    """The constraint of the partitioned table that it belongs to; 0 without one."""
    referenced: int
    """The table that a foreign key refers to; else 0."""
    index: int
    is_valid: bool


class _Catalog(msgspec.Struct, frozen=True):
    relations: list[Relation]
    columns: list[Column]
    constraints: list[Constraint]
    locks: list[tuple[int, str]]
    lock_timeout: str


class Snapshot:
    """The catalog and the session's locks at one moment, by the identities of their objects."""

    def __init__(self, catalog: _Catalog) -> None:
        self.relations: Final = {each.oid: each for each in catalog.relations}
        self.columns: Final = {(each.table, each.number): each for each in catalog.columns}
        self.constraints: Final = {each.oid: each for each in catalog.constraints}
        self.locks: Final = frozenset(catalog.locks)
        """The oids of relations, each with a mode that the session holds."""
        self.lock_timeout: Final = catalog.lock_timeout

    def with_session(self, locks: list[tuple[int, str]], lock_timeout: str) -> Snapshot:
        """Return the same catalog with other locks."""
        catalog = _Catalog(
            [*self.relations.values()],
            [*self.columns.values()],
            [*self.constraints.values()],
            locks,
            lock_timeout,
        )
        return Snapshot(catalog)

    @property
    def names(self) -> frozenset[str]:
        """The names of tables and views."""
        return frozenset(each.name for each in self.relations.values() if each.kind in "rpvmf")

    def columns_of(self, name: str) -> frozenset[str]:
        """Return the columns of the table or view of a name."""
        tables = {each.oid for each in self.relations.values() if each.name == name}
        return frozenset(each.name for each in self.columns.values() if each.table in tables)


# The mode as the documentation writes it: AccessExclusiveLock is access exclusive.
_MODE: Final = r"lower(ltrim(regexp_replace(replace(l.mode, 'Lock', ''), '([A-Z])', ' \1', 'g')))"
_LOCKS: Final = f"""
select coalesce(
  json_agg(json_build_array(l.relation::bigint, {_MODE})), '[]'
)
from pg_catalog.pg_locks as l
where l.pid = pg_catalog.pg_backend_pid() and l.locktype = 'relation' and l.granted and l.relation >= 16384
  and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
"""
_SESSION: Final = f"select ({_LOCKS})::text, pg_catalog.current_setting('lock_timeout')"
_CATALOG: Final = rf"""
with relations as (
  select c.*, pg_catalog.format('%I.%I', n.nspname, c.relname) as name
  from pg_catalog.pg_class as c
  inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where c.oid >= 16384 and c.relkind in ('r', 'p', 'v', 'm', 'f', 'i', 'I', 'S')
    and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
)
select json_build_object(
  'relations', (
    select coalesce(json_agg(json_build_object(
      'oid', r.oid::bigint, 'name', r.name, 'kind', r.relkind,
      'file', coalesce(pg_catalog.pg_relation_filenode(r.oid)::bigint, 0),
      'is_partition', r.relispartition,
      'scans', coalesce(pg_catalog.pg_stat_get_xact_numscans(r.oid), 0),
      'table', i.indrelid::bigint, 'method', coalesce(m.amname, ''),
      'parent', (
        select p.inhparent::bigint from pg_catalog.pg_inherits as p
        where p.inhrelid = r.oid order by p.inhseqno limit 1
      )
    )), '[]')
    from relations as r
    left join pg_catalog.pg_index as i on i.indexrelid = r.oid
    left join pg_catalog.pg_am as m on m.oid = r.relam and i.indexrelid is not null
  ),
  'columns', (
    select coalesce(json_agg(json_build_object(
      'table', a.attrelid::bigint, 'number', a.attnum, 'name', a.attname,
      'sql_name', pg_catalog.quote_ident(a.attname),
      'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
      'not_null', a.attnotnull, 'has_default', a.atthasdef, 'is_identity', a.attidentity <> '',
      'generated', a.attgenerated,
      'collation', case
        when a.attcollation <> t.typcollation then a.attcollation::pg_catalog.regcollation::text else ''
      end,
      'domain', case when t.typtype = 'd' then pg_catalog.format('%I.%I', n.nspname, t.typname) end,
      'checked_domain', case
        when t.typtype = 'd'
          and (
            exists (select from pg_catalog.pg_constraint as k where k.contypid = t.oid)
            or exists (select from pg_catalog.pg_type as b where b.oid = t.typbasetype and b.typtype = 'd')
            or t.typnotnull
          )
        then pg_catalog.format_type(t.typbasetype, t.typtypmod)
      end
    )), '[]')
    from relations as r
    inner join pg_catalog.pg_attribute as a on a.attrelid = r.oid
    inner join pg_catalog.pg_type as t on t.oid = a.atttypid
    inner join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
    where r.relkind in ('r', 'p', 'v', 'm', 'f') and a.attnum > 0 and not a.attisdropped
  ),
  'constraints', (
    select coalesce(json_agg(json_build_object(
      'oid', k.oid::bigint, 'name', k.conname,
      'sql_name', pg_catalog.quote_ident(k.conname), 'kind', k.contype, 'table', k.conrelid::bigint,
      'domain', case
        when k.contypid <> 0 then (
          select pg_catalog.format('%I.%I', n.nspname, t.typname)
          from pg_catalog.pg_type as t
          inner join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
          where t.oid = k.contypid
        )
      end,
      'parent', k.conparentid::bigint, 'referenced', k.confrelid::bigint, 'index', k.conindid::bigint,
      'is_valid', k.convalidated
    )), '[]')
    from pg_catalog.pg_constraint as k
    where k.oid >= 16384
  ),
  'locks', ({_LOCKS}),
  'lock_timeout', pg_catalog.current_setting('lock_timeout')
)::text
"""
_HELD: Final = f"""
select l.relation::bigint, {_MODE}
from pg_catalog.pg_locks as l
where l.pid = %s and l.locktype = 'relation'
"""
_IS_BLOCKED: Final = "select pg_catalog.pg_backend_pid() = any (pg_catalog.pg_blocking_pids(%s))"


def read_snapshot(connection: Connection) -> Snapshot:
    """Read the state of the database, as the session sees it.

    Raises ``MigrationError`` if the server does not return it.
    """
    row = connection.execute(_CATALOG.encode()).fetchone()
    if row is None or not isinstance(row[0], str):
        raise MigrationError("the catalog of the scratch database cannot be read")
    return Snapshot(msgspec.json.decode(row[0], type=_Catalog))


def read_session(connection: Connection, catalog: Snapshot) -> Snapshot:
    """Read the locks of the session alone: nothing else has changed since ``catalog``."""
    locks, lock_timeout = connection.execute(_SESSION.encode()).fetchone() or ("[]", "0")
    found = msgspec.json.decode(str(locks), type=list[tuple[int, str]])
    return catalog.with_session(found, str(lock_timeout))


def read_blocked_locks(connection: Connection, pid: int) -> frozenset[tuple[int, str]] | None:
    """Return the locks on relations that another session holds or requests while this one blocks it.

    Return ``None`` if this session does not block it.
    """
    if connection.execute(_IS_BLOCKED.encode(), [pid]).fetchone() != (True,):
        return None
    # It is blocked until this session ends its transaction, so its locks stay as they are.
    rows = connection.execute(_HELD.encode(), [pid]).fetchall()
    return frozenset((int(str(oid)), str(mode)) for oid, mode in rows)
