"""The records of migrations in the database: yoyo's tables, written by yoyo, and one table of ours.

yoyo's own tools can read these records. The migrations of a layer are in ``_yoyo_migration_<layer>``, because
two layers may both have a ``0001_init``; those without a layer are in ``_yoyo_migration``, yoyo's default.
Our table ``plainsql_migration`` adds the checksum, the duration, and how far a file outside a transaction
came.

The differences from yoyo 9.0 have reasons. Marks are written in the migration's own transaction; yoyo writes
them after the commit. No lock row is written, because a killed run would leave it there. Every name is
qualified, because a migration may change ``search_path`` or create the schema that ``"$user"`` means. Times
are the server's.
"""

from __future__ import annotations

import getpass
import socket
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, LiteralString

from psycopg import errors, sql
from yoyo import internalmigrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.internalmigrations import v2
from yoyo.migrations import default_migration_table, get_migration_hash

from plainsql.errors import MigrationError
from plainsql.migrate.connection import Connection

__all__ = ["Ledger", "Record", "find_schema"]

_OURS = "plainsql_migration"

RecordState = Literal["applied", "applying", "rolling back"]


@dataclass(frozen=True, slots=True)
class Record:
    """The row of one migration in our table."""

    checksum: str
    state: RecordState
    seconds: float | None
    changed_at: datetime
    """The time of the last change of this record (UTC)."""
    statements_done: int | None
    """The number of statements known to be done by a run that was cut off; ``None`` if it was not counted."""
    statements_begun: int | None
    """The number of begun statements: one more, unless the next one is known to have changed nothing."""

    @property
    def interrupted(self) -> bool:
        return self.state != "applied"


@dataclass(frozen=True, slots=True)
class _Mark:
    """A migration as yoyo's backend needs it to write a mark."""

    id: str

    @property
    def hash(self) -> str:
        return str(get_migration_hash(self.id))


class _YoyoBackend(PostgresqlPsycopgBackend):  # type: ignore[misc]  # yoyo has no types
    """yoyo's backend on our connection, inside our transactions."""

    _NOW = "clock_timestamp() at time zone 'utc'"
    mark_migration_sql = (
        "INSERT INTO {0.migration_table_quoted} "
        "({quoted.migration_hash}, {quoted.migration_id}, {quoted.applied_at_utc}) "
        f"VALUES (:migration_hash, :migration_id, {_NOW})"
    )
    log_migration_sql = (
        "INSERT INTO {0.log_table_quoted} "
        "({quoted.id}, {quoted.migration_hash}, {quoted.migration_id}, {quoted.operation}, "
        "{quoted.username}, {quoted.hostname}, {quoted.comment}, {quoted.created_at_utc}) "
        f"VALUES (:id, :migration_hash, :migration_id, :operation, :username, :hostname, :comment, {_NOW})"
    )

    def __init__(self, connection: Connection, schema: str, layer: str | None) -> None:
        self._ours = connection
        self._in_schema = schema
        self._layer = layer
        table = f"{default_migration_table}_{layer}" if layer else default_migration_table
        super().__init__("plainsql", table)

    def connect(self, dburi: object) -> Connection:
        return self._ours

    def _qualified(self, table: str) -> str:
        return f"{self.quote_identifier(self._in_schema)}.{self.quote_identifier(table)}"

    @property
    def migration_table_quoted(self) -> str:
        return self._qualified(self.migration_table)

    @property
    def log_table_quoted(self) -> str:
        return self._qualified(self.log_table)

    @property
    def version_table_quoted(self) -> str:
        return self._qualified(self.version_table)

    def list_tables(self, **kwargs: object) -> list[str]:
        found = self._ours.execute(
            "select c.relname from pg_class as c"
            " inner join pg_namespace as n on n.oid = c.relnamespace"
            " where n.nspname = %s and c.relkind = 'r'",
            (self._in_schema,),
        )
        return [str(row[0]) for row in found]

    def ensure_internal_schema_updated(self) -> None:
        """Do nothing: ``create_tables`` does it under our lock; yoyo would take its own lock."""

    def create_tables(self) -> None:
        tables = self.list_tables()
        if self.migration_table not in tables and self.log_table in tables:
            # If one table is missing, yoyo assumes that all are, and creates them all.
            v2.create_migration_table(self)
        elif internalmigrations.needs_upgrading(self):
            internalmigrations.upgrade(self)

    def get_log_data(self, migration: Any = None, operation: str = "apply") -> dict[str, object]:
        data: dict[str, object] = {
            # yoyo derives it from the network address; ours does not identify the machine.
            "id": str(uuid.uuid4()),
            "migration_id": migration.id if migration else None,
            "migration_hash": migration.hash if migration else None,
            "username": _user_name(),
            # yoyo resolves the full name, which can take seconds without a name service.
            "hostname": socket.gethostname()[:255],
            "operation": operation,
            "comment": f"layer {self._layer}" if self._layer else None,
            "created_at_utc": datetime.now(UTC).replace(tzinfo=None),
        }
        return data


class Ledger:
    """The records of one layer in one database. Only the holder of the lock may write them."""

    def __init__(self, connection: Connection, schema: str, layer: str | None) -> None:
        self._connection = connection
        self._key = layer or ""
        self._yoyo = _YoyoBackend(connection, schema, layer)
        self._schema = schema
        self._has_count: bool | None = None
        self._table = sql.Identifier(schema, _OURS)

    def create_tables(self) -> None:
        """Create the missing tables; a second call does nothing and takes no lock."""
        self._yoyo.create_tables()
        if _OURS not in self._yoyo.list_tables():
            self._execute(
                "create table {table} ("
                " layer text not null, id text not null, checksum text not null,"
                " state text not null check (state in ('applied', 'applying', 'rolling back')),"
                " duration_ms double precision, changed_at timestamptz not null default clock_timestamp(),"
                " statements_done integer, statements_begun integer, primary key (layer, id))"
            )
        elif not self._counts_statements():
            self._has_count = None
            # A table of an earlier version. A role that may write it but does not own it runs without the
            # count.
            with suppress(errors.InsufficientPrivilege):
                self._execute(
                    "alter table {table} add column statements_done integer,"
                    " add column statements_begun integer"
                )

    def applied(self) -> dict[str, datetime]:
        """Return the time (UTC) at which each marked migration was applied, by its id, the earliest first."""
        if self._yoyo.migration_table not in self._yoyo.list_tables():
            return {}
        found = self._connection.execute(
            f"select migration_id, applied_at_utc from {self._yoyo.migration_table_quoted}"
            " order by applied_at_utc, migration_id".encode()
        )
        return {str(id_): at.replace(tzinfo=UTC) for id_, at in found if isinstance(at, datetime)}

    def records(self) -> dict[str, Record]:
        if _OURS not in self._yoyo.list_tables():
            return {}
        found = self._execute(
            # Through JSON, because a table of an earlier version has no count of statements.
            "select m.id, m.checksum, m.state, m.duration_ms / 1000,"
            " extract(epoch from m.changed_at)::double precision,"
            " (to_jsonb(m) ->> 'statements_done')::integer, (to_jsonb(m) ->> 'statements_begun')::integer"
            " from {table} as m where m.layer = %(layer)s"
        )
        return {
            id_: Record(checksum, state, seconds, datetime.fromtimestamp(changed_at, UTC), done, begun)
            for id_, checksum, state, seconds, changed_at, done, begun in found
        }

    def mark(self, id_: str, checksum: str, seconds: float | None, *, by_hand: bool = False) -> None:
        """Record that it is applied, in the open transaction if there is one."""
        mark = _Mark(id_)
        self._yoyo.log_migration(mark, "mark" if by_hand else "apply")
        self._yoyo.mark_one(mark, log=False)
        self.note(id_, checksum, "applied", seconds)

    def unmark(self, id_: str, *, by_hand: bool = False) -> None:
        """Record that it is not applied, in the open transaction if there is one."""
        mark = _Mark(id_)
        self._yoyo.log_migration(mark, "unmark" if by_hand else "rollback")
        self._yoyo.unmark_one(mark, log=False)
        self._execute("delete from {table} where layer = %(layer)s and id = %(id)s", id=id_)

    def note(self, id_: str, checksum: str, state: RecordState, seconds: float | None = None) -> None:
        """Write our own record of a migration, but none of yoyo's."""
        self._execute(
            "insert into {table} as m (layer, id, checksum, state, duration_ms)"
            " values (%(layer)s, %(id)s, %(checksum)s, %(state)s, %(seconds)s::double precision * 1000)"
            " on conflict (layer, id) do update set checksum = excluded.checksum, state = excluded.state,"
            " duration_ms = excluded.duration_ms, changed_at = clock_timestamp()",
            id=id_,
            checksum=checksum,
            state=state,
            seconds=seconds,
        )

    def note_rolling_back(self, id_: str) -> None:
        self._execute(
            "update {table} set state = 'rolling back', changed_at = clock_timestamp()"
            " where layer = %(layer)s and id = %(id)s",
            id=id_,
        )

    def note_statements(self, id_: str, done: int, begun: int, *, fresh: bool = False) -> None:
        """Record the numbers of statements of a file that are done and that have begun.

        The numbers of an earlier run are kept if they are higher, unless the file is ``fresh``. Nothing is
        recorded if the table, of an earlier version, has no columns for them.
        """
        if self._has_count is None:
            self._has_count = self._counts_statements()
        if self._has_count:
            self._execute(
                "update {table} set changed_at = clock_timestamp(),"
                " statements_done = greatest(case when not %(fresh)s then statements_done end, %(done)s),"
                " statements_begun = greatest(case when not %(fresh)s then statements_begun end, %(begun)s)"
                " where layer = %(layer)s and id = %(id)s",
                id=id_,
                done=done,
                begun=begun,
                fresh=fresh,
            )

    def _counts_statements(self) -> bool:
        found = self._connection.execute(
            "select from pg_attribute as a"
            " inner join pg_class as c on c.oid = a.attrelid"
            " inner join pg_namespace as n on n.oid = c.relnamespace"
            " where n.nspname = %s and c.relname = %s and a.attname = 'statements_done'",
            (self._schema, _OURS),
        )
        return found.rowcount > 0

    def _execute(self, template: LiteralString, **parameters: object) -> Sequence[tuple[Any, ...]]:
        query = sql.SQL(template).format(table=self._table)
        cursor = self._connection.execute(query, {"layer": self._key, **parameters})
        return cursor.fetchall() if cursor.description else []


def find_schema(connection: Connection) -> str:
    """Return the schema of the records; if there are none, the schema that they will be created in.

    The whole ``search_path`` is searched: a migration may create a schema of the user's own name, which
    would hide the records in public.

    Raises ``MigrationError`` if no schema of the ``search_path`` exists.
    """
    row = connection.execute(
        """
        select coalesce(
            (
                select n.nspname
                from unnest(current_schemas(false)) with ordinality as p (name, place)
                inner join pg_namespace as n on n.nspname = p.name
                inner join pg_class as c on c.relnamespace = n.oid
                where c.relname in ('_yoyo_log', 'plainsql_migration') and c.relkind = 'r'
                order by p.place
                limit 1
            ),
            current_schema()
        )
        """
    ).fetchone()
    if row is None or row[0] is None:
        raise MigrationError(
            "no schema to keep the records of migrations in: none of the search_path exists",
            hint="create schema public, or give the role a search_path that exists",
        )
    return str(row[0])


def _user_name() -> str:
    try:
        return getpass.getuser()[:255]
    except (ImportError, KeyError, OSError):  # a container's user without a name
        return ""
