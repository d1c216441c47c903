"""The counters of ``pg_stat_statements`` for one database, of PostgreSQL 14 to 18."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
import psycopg
from psycopg import sql

from plainsql.errors import PlainsqlError

__all__ = ["Counters", "Entry", "Key", "Reading", "read_counters", "statements_view"]

_HIDDEN_TEXT: Final = "<insufficient privilege>"

_SERVER: Final = """
select
  current_database(),
  current_user,
  current_setting('server_version'),
  (select d.oid::bigint from pg_database as d where d.datname = current_database()),
  pg_postmaster_start_time(),
  clock_timestamp(),
  pg_has_role(current_user, 'pg_read_all_stats', 'usage'),
  -- The library defines its settings only if the server has loaded it at its start. Every role may read them.
  current_setting('pg_stat_statements.max', true),
  current_setting('pg_stat_statements.track', true),
  current_setting('compute_query_id', true)
"""

_EXTENSION: Final = """
select n.nspname, has_schema_privilege(n.oid, 'usage')
from pg_extension as e
inner join pg_namespace as n on n.oid = e.extnamespace
where e.extname = 'pg_stat_statements'
"""

_COLUMNS: Final = """
select a.attname
from pg_attribute as a
inner join pg_class as c on c.oid = a.attrelid
inner join pg_namespace as n on n.oid = c.relnamespace
where n.nspname = %s and c.relname = 'pg_stat_statements' and a.attnum > 0 and not a.attisdropped
"""

_PRELOADED: Final = """
select case when pg_has_role(current_user, 'pg_read_all_settings', 'usage')
  then current_setting('shared_preload_libraries') end
"""

_SOURCES: Final[Mapping[str, tuple[str, ...]]] = {
    "calls": ("calls",),
    "total_ms": ("total_exec_time",),
    "plan_ms": ("total_plan_time",),
    "rows": ("rows",),
    "blocks_hit": ("shared_blks_hit",),
    "blocks_read": ("shared_blks_read",),
    "blocks_dirtied": ("shared_blks_dirtied",),
    "temp_blocks_read": ("temp_blks_read",),
    "temp_blocks_written": ("temp_blks_written",),
    "read_ms": ("shared_blk_read_time", "blk_read_time"),  # renamed in PostgreSQL 17
    "wal_bytes": ("wal_bytes",),
}
"""The columns of the view by the fields of `Counters`: the first that the extension's version has."""


class Counters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sums of statements: times in milliseconds, and blocks, which have 8 kB by default."""

    calls: int = 0
    """The executed statements: a joined read counts once for all of its calls."""
    total_ms: float = 0.0
    plan_ms: float = 0.0
    """0 unless ``pg_stat_statements.track_planning`` is on."""
    rows: int = 0
    blocks_hit: int = 0
    blocks_read: int = 0
    blocks_dirtied: int = 0
    temp_blocks_read: int = 0
    temp_blocks_written: int = 0
    read_ms: float = 0.0
    """0 unless ``track_io_timing`` is on."""
    wal_bytes: int = 0

    @property
    def mean_ms(self) -> float:
        """The mean time of a statement."""
        return self.total_ms / self.calls if self.calls else 0.0

    def __add__(self, other: Counters) -> Counters:
        return Counters(
            **{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__}
        )

    def __sub__(self, other: Counters) -> Counters:
        return Counters(
            **{name: getattr(self, name) - getattr(other, name) for name in self.__struct_fields__}
        )


Key = tuple[int, int, bool]
"""The oid of the role, the identity of the statement's parse tree, and whether it ran at the top level."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One statement of one role."""

    key: Key
    text: str | None
    """None if this role may not read it, or if the server has lost it."""
    is_hidden: bool
    """True if this role may not read the text."""
    since: datetime | None
    """The beginning of its counters, from PostgreSQL 17 on."""
    counters: Counters


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The counters of a database at one time."""

    database: str
    database_oid: int
    role: str
    server_version: str
    started_at: datetime
    """The start of the server."""
    taken_at: datetime
    reset_at: datetime | None
    """The last reset of all counters; None for an extension older than 1.9."""
    evicted: int
    """The count of times that the server has forgotten statements to make room for new ones."""
    entries: tuple[Entry, ...]
    nested: Counters
    """The statements inside of functions, if the server tracks them. Their time is also in the caller's."""
    notes: tuple[str, ...]
    """The limits of the numbers, one line each."""


def read_counters(connection: psycopg.Connection[Any]) -> Reading:
    """Read the counters of the connected database.

    Raises ``PlainsqlError`` if the extension is missing, not loaded or out of reach; the hint is what to run.
    """
    server = connection.execute(_SERVER).fetchall()[0]
    database, role, version, oid, started_at, taken_at, reads_all, most, track, query_ids = server
    schema = _schema(connection, database, role, is_loaded=most is not None)
    columns = {name for (name,) in connection.execute(_COLUMNS, [schema])}
    reset_at, evicted = None, 0
    if "toplevel" in columns:
        info = sql.SQL("select stats_reset, dealloc from {}").format(
            sql.Identifier(schema, "pg_stat_statements_info")
        )
        reset_at, evicted = connection.execute(info).fetchall()[0]
    entries: dict[Key, Entry] = {}
    nested = Counters()
    for user, identity, top_level, text, since, *numbers in connection.execute(
        _query(schema, columns), [oid]
    ).fetchall():
        counters = Counters(**dict(zip(_SOURCES, numbers, strict=True)))
        if not top_level:
            nested += counters
            continue
        is_hidden = text == _HIDDEN_TEXT
        # The hidden statements of a role have no identity: they are one entry.
        key = (user, identity or 0, top_level)
        if key in entries:
            counters += entries[key].counters
        entries[key] = Entry(
            key=key,
            text=None if is_hidden else text,
            is_hidden=is_hidden,
            since=None if is_hidden else since,
            counters=counters,
        )
    notes = []
    if not reads_all and any(entry.is_hidden for entry in entries.values()):
        notes.append(
            f"the statements of other roles are hidden from {role}: "
            f"grant pg_monitor to {sql.Identifier(role).as_string(connection)}"
        )
    if track == "none":
        notes.append("nothing is counted, because pg_stat_statements.track is none")
    if query_ids == "off":
        notes.append("nothing is counted, because compute_query_id is off")
    if evicted:
        times = "once" if evicted == 1 else f"{evicted} times"
        notes.append(
            f"the server has forgotten rare statements {times}: it keeps {most} (pg_stat_statements.max)"
        )
    return Reading(
        database=database,
        database_oid=oid,
        role=role,
        server_version=version,
        started_at=started_at,
        taken_at=taken_at,
        reset_at=reset_at,
        evicted=evicted,
        entries=tuple(entries.values()),
        nested=nested,
        notes=tuple(notes),
    )


def statements_view(connection: psycopg.Connection[Any]) -> sql.Identifier | None:
    """Return the name of the view if this role can read it, for callers that do without it."""
    loaded = connection.execute("select current_setting('pg_stat_statements.max', true)").fetchall()[0][0]
    found = connection.execute(_EXTENSION).fetchall()
    if loaded is None or not found or not found[0][1]:
        return None
    return sql.Identifier(found[0][0], "pg_stat_statements")


def _schema(connection: psycopg.Connection[Any], database: str, role: str, *, is_loaded: bool) -> str:
    """Return the schema of the extension."""
    found = connection.execute(_EXTENSION).fetchall()
    if not is_loaded:
        loaded = connection.execute(_PRELOADED).fetchall()[0][0]
        libraries = ", ".join([*filter(None, [loaded]), "pg_stat_statements"])
        raise PlainsqlError(
            "the server counts no statements: it has not loaded pg_stat_statements at its start",
            detail="the role may not read shared_preload_libraries: keep what it holds already"
            if loaded is None
            else None,
            hint=f"alter system set shared_preload_libraries = {libraries}; then restart the server",
        )
    if not found:
        raise PlainsqlError(
            f"the database {database} has no extension pg_stat_statements",
            hint="run in it, as its owner or a superuser: create extension pg_stat_statements",
        )
    schema, may_use = found[0]
    if not may_use:
        raise PlainsqlError(
            f"the role {role} may not use the schema {schema}, which has pg_stat_statements",
            hint=sql.SQL("grant usage on schema {} to {}")
            .format(sql.Identifier(schema), sql.Identifier(role))
            .as_string(connection),
        )
    return str(schema)


def _query(schema: str, columns: set[str]) -> sql.Composed:
    numbers: list[sql.Composable] = []
    for sources in _SOURCES.values():
        source = next((name for name in sources if name in columns), None)
        value = sql.Identifier(source) if source else sql.SQL("0")
        cast = sql.SQL("{}::float8") if "time" in sources[0] else sql.SQL("{}::bigint")
        numbers.append(cast.format(value))
    return sql.SQL(
        "select userid::bigint, queryid, {}, query, {}, {} from {} where dbid = %s order by queryid, userid"
    ).format(
        sql.SQL("toplevel" if "toplevel" in columns else "true"),
        sql.SQL("stats_since" if "stats_since" in columns else "null::timestamptz"),
        sql.SQL(", ").join(numbers),
        sql.Identifier(schema, "pg_stat_statements"),
    )
