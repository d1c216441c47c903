"""The sessions of one database that run or hold something, on PostgreSQL 14 to 18."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
import psycopg
from psycopg import sql

from plainsql.statements.safe_text import safe_text
from plainsql.workload.counters import statements_view
from plainsql.workload.cut_statements import is_cut, name_of_beginning
from plainsql.workload.query_files import QueryFiles
from plainsql.workload.statement_names import name_of

__all__ = ["Activity", "ServerSession", "Transaction", "read_activity"]

_HIDDEN_TEXT: Final = "<insufficient privilege>"

_SERVER: Final = """
select
  current_database(),
  current_user,
  pg_has_role(current_user, 'pg_read_all_stats', 'usage'),
  (select s.setting::integer * case s.unit when 'kB' then 1024 else 1 end
   from pg_settings as s where s.name = 'track_activity_query_size'),
  current_setting('track_activities')::boolean
"""

_SESSIONS: Final = """
select
  a.pid,
  a.leader_pid,
  a.datname = current_database(),
  coalesce(a.backend_type, 'client backend'),
  a.usename,
  coalesce(a.application_name, ''),
  a.state,
  extract(epoch from clock_timestamp() - a.xact_start)::float8,
  extract(
    epoch from clock_timestamp() - case a.state when 'active' then a.query_start else a.state_change end
  )::float8,
  a.wait_event_type,
  a.wait_event,
  -- It locks the server's table of locks for a moment, so it is called only for sessions that may wait. The
  -- state of a session that this role may not see is null.
  case
    when a.wait_event_type = 'Lock' or (a.state is null and a.datname = current_database())
      then pg_blocking_pids(a.pid)
    else '{}'
  end,
  a.query,
  a.query_id
from pg_stat_activity as a
where a.pid <> pg_backend_pid() and a.datname is not null
order by a.xact_start nulls last, a.pid
"""

_PREPARED: Final = """
select count(*), max(extract(epoch from clock_timestamp() - p.prepared))::float8
from pg_prepared_xacts as p
where p.database = current_database()
"""


class ServerSession(msgspec.Struct, frozen=True, kw_only=True):
    """One session of the database, or one that blocks such a session."""

    pid: int
    leader_pid: int | None
    """The process that a parallel worker works for."""
    kind: str
    """``client backend``, ``autovacuum worker``, ``parallel worker``, …"""
    role: str | None
    application: str
    state: str | None
    """``active``, ``idle in transaction``, …; None if this role may not see it."""
    transaction_s: float | None
    """The age of its transaction in seconds."""
    since_s: float | None
    """Seconds since the statement began, or since the session is idle."""
    wait_event_type: str | None
    wait_event: str | None
    blocked_by: tuple[int, ...]
    """The processes that it waits for; 0 is a prepared transaction."""
    query: str | None
    """The name of the query: the one that runs, or the last one."""
    file: str | None
    line: int | None
    statement: str | None
    """A statement that is no query of plainsql, without its constants."""


class Transaction(msgspec.Struct, frozen=True):
    """The oldest open transaction of the database."""

    pid: int
    age_s: float


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """The sessions of a database at one moment."""

    database: str
    sessions: tuple[ServerSession, ...]
    """Those that are not idle, or that block one, the oldest transaction first."""
    idle: int
    """The count of idle sessions, which are left out."""
    hidden: int
    """The count of sessions whose state this role may not see."""
    prepared: int
    """The count of prepared transactions, which hold locks without a session."""
    oldest_prepared_s: float | None
    oldest: Transaction | None
    notes: tuple[str, ...]
    """The limits of what this role sees, one line each."""


class _Row(msgspec.Struct, frozen=True):
    """A row of the query, in its order."""

    pid: int
    leader_pid: int | None
    is_here: bool
    kind: str
    role: str | None
    application: str
    state: str | None
    transaction_s: float | None
    since_s: float | None
    wait_event_type: str | None
    wait_event: str | None
    blocked_by: list[int]
    text: str | None
    query_id: int | None

    @property
    def is_hidden(self) -> bool:
        return self.text == _HIDDEN_TEXT

    @property
    def is_idle(self) -> bool:
        return self.state == "idle"


def read_activity(connection: psycopg.Connection[Any], files: QueryFiles) -> Activity:
    """Read the sessions of the connected database, without this one."""
    database, role, reads_all, size, tracks = connection.execute(_SERVER).fetchall()[0]
    rows = [_Row(*row) for row in connection.execute(_SESSIONS)]
    blockers = {pid for row in rows if row.is_here for pid in row.blocked_by}
    here = [row for row in rows if row.is_here]
    shown = [
        row
        for row in rows
        if row.pid in blockers
        or (row.is_here and not row.is_idle and not (row.is_hidden and not row.blocked_by))
    ]
    texts = _texts_by_id(connection, [row for row in shown if row.text and is_cut(row.text, size)])
    prepared, oldest_prepared_s = connection.execute(_PREPARED).fetchall()[0]
    clients = [row for row in here if row.kind == "client backend" and row.transaction_s is not None]
    oldest = max(clients, key=lambda row: row.transaction_s or 0.0, default=None)
    hidden = sum(row.is_hidden for row in here)
    notes = []
    if hidden and not reads_all:
        notes.append(
            f"the states and statements of other roles are hidden from {role}: "
            f"grant pg_monitor to {sql.Identifier(role).as_string(connection)}"
        )
    if not tracks:
        notes.append("new sessions report nothing, because track_activities is off")
    return Activity(
        database=database,
        sessions=tuple(_session(row, texts, files, size) for row in shown),
        idle=sum(row.is_idle and row.pid not in blockers for row in here),
        hidden=hidden,
        prepared=prepared,
        oldest_prepared_s=oldest_prepared_s,
        oldest=Transaction(oldest.pid, oldest.transaction_s or 0.0) if oldest else None,
        notes=tuple(notes),
    )


def _texts_by_id(connection: psycopg.Connection[Any], rows: Iterable[_Row]) -> dict[int, str]:
    """Return the whole texts of statements that are cut, if ``pg_stat_statements`` has them."""
    identities = [row.query_id for row in rows if row.query_id is not None]
    view = statements_view(connection) if identities else None
    if view is None:
        return {}
    found = connection.execute(
        sql.SQL("select queryid, query from {} where queryid = any(%s) and query is not null").format(view),
        [identities],
    )
    return {identity: text for identity, text in found if text != _HIDDEN_TEXT}


def _session(row: _Row, texts: Mapping[int, str], files: QueryFiles, size: int) -> ServerSession:
    name = None if row.is_hidden else _query_name(row, texts, files, size)
    file = files.find(name) if name else None
    statement = None
    if row.text and not name and not row.is_hidden:
        statement = safe_text(row.text)
    return ServerSession(
        pid=row.pid,
        leader_pid=row.leader_pid,
        kind=row.kind,
        role=row.role,
        application=row.application,
        state=row.state,
        transaction_s=row.transaction_s,
        since_s=row.since_s,
        wait_event_type=row.wait_event_type,
        wait_event=row.wait_event,
        blocked_by=tuple(row.blocked_by),
        query=name,
        file=file.path if file else None,
        line=file.line if file else None,
        statement=statement,
    )


def _query_name(row: _Row, texts: Mapping[int, str], files: QueryFiles, size: int) -> str | None:
    text = row.text or ""
    if (named := name_of(text)) is not None:
        return named.name
    if not is_cut(text, size):
        return None
    if row.query_id is not None and (named := name_of(texts.get(row.query_id, ""))) is not None:
        return named.name
    return name_of_beginning(text, files.statements.values())
