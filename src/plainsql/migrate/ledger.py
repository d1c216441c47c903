"""What the database remembers: yoyo's tables, written by yoyo, and one of ours beside them.

yoyo's own tools read what stands here. The migrations of a layer are in ``_yoyo_migration_<layer>``, for one
layer's ``0001_init`` is not another's; those without a layer in ``_yoyo_migration``, yoyo's default.
Ours, ``plainsql_migration``, adds what yoyo does not keep: the checksum, the duration, and how far a file
that runs outside a transaction came.

What differs from yoyo 9.0, and why: marks are written in the migration's own transaction, where yoyo writes
them after the commit; no lock row is written, which a killed run would leave behind; every name is qualified,
because a migration may change ``search_path`` or create the schema that ``"$user"`` stands for; times are the
server's.
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
    """What our table holds of one migration."""

    checksum: str
    state: RecordState
    seconds: float | None
    changed_at: datetime
    """The time of the last change of this record (UTC)."""
    statements_done: int | None
    """The number of statements known to be done by a run that was cut off; ``None`` if it was not counted."""
    statements_begun: int | None
    """The number that had begun: one more, unless the next one is known to have changed nothing."""

    @property
    def interrupted(self) -> bool:
        return self.state != "applied"


@dataclass(frozen=True, slots=True)
class _Mark:
    """What yoyo's backend needs to know of a migration to mark it."""

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
        """Done by ``create_tables``, under our lock: yoyo would take its own, and look at each mark."""

    def create_tables(self) -> None:
        tables = self.list_tables()
        if self.migration_table not in tables and self.log_table in tables:
            # yoyo would take a missing table for a database without any, and create them all.
            v2.create_migration_table(self)
        elif internalmigrations.needs_upgrading(self):
            internalmigrations.upgrade(self)

    def get_log_data(self, migration: Any = None, operation: str = "apply") -> dict[str, object]:
        data: dict[str, object] = {
            # yoyo makes it from the network address; ours says nothing of the machine.
            "id": str(uuid.uuid4()),
            "migration_id": migration.id if migration else None,
            "migration_hash": migration.hash if migration else None,
            "username": _user_name(),
            # yoyo asks the name service for the full name, which can take seconds where there is none.
            "hostname": socket.gethostname()[:255],
            "operation": operation,
            "comment": f"layer {self._layer}" if self._layer else None,
            "created_at_utc": datetime.now(UTC).replace(tzinfo=None),
        }
        return data


class Ledger:
    """The records of one layer in one database. Writing is for him who holds the lock."""

    def __init__(self, connection: Connection, schema: str, layer: str | None) -> None:
        self._connection = connection
        self._key = layer or ""
        self._yoyo = _YoyoBackend(connection, schema, layer)
        self._schema = schema
        self._has_count: bool | None = None
        self._table = sql.Identifier(schema, _OURS)

    def create_tables(self) -> None:
        """Create what is missing; a second call finds nothing to do and takes no lock."""
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
            # A table of an earlier version. Who may write it and does not own it goes on without the count.
            with suppress(errors.InsufficientPrivilege):
                self._execute(
                    "alter table {table} add column statements_done integer,"
                    " add column statements_begun integer"
                )

    def applied(self) -> dict[str, datetime]:
        """When each marked migration was applied (UTC), by its id, the earliest first."""
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
            # Through JSON, as a table of an earlier version has no count of statements.
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
        """Record that it is applied. Part of the transaction that is open, if one is."""
        mark = _Mark(id_)
        self._yoyo.log_migration(mark, "mark" if by_hand else "apply")
        self._yoyo.mark_one(mark, log=False)
        self.note(id_, checksum, "applied", seconds)

    def unmark(self, id_: str, *, by_hand: bool = False) -> None:
        """Record that it is not applied. Part of the transaction that is open, if one is."""
        mark = _Mark(id_)
        self._yoyo.log_migration(mark, "unmark" if by_hand else "rollback")
        self._yoyo.unmark_one(mark, log=False)
        self._execute("delete from {table} where layer = %(layer)s and id = %(id)s", id=id_)

    def note(self, id_: str, checksum: str, state: RecordState, seconds: float | None = None) -> None:
        """Write our own record of a migration, and nothing of yoyo's."""
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
        """Record how many statements of a file are done, and how many had begun.

        What an earlier run did stays recorded, unless the file is a fresh one. Nothing is recorded if the
        table, of an earlier version, has no place for it.
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
    """The schema that holds the records, or, where there are none, the one they will be made in.

    The whole ``search_path`` is searched: a migration may create a schema of the user's own name, and the
    records in public would seem gone.

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
    except (ImportError, KeyError, OSError):  # a container's user that has no name
        return ""
