"""The sessions that a statement waits for, read on a second connection while it waits.

The text of their statements is shown without literals, comments and values: it may be of any user's data.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg

from plainsql.migrate.connection import Connection
from plainsql.statements.safe_text import safe_text

__all__ = ["Blocker", "Watch", "watched"]

_MAX_CHARS = 120
_CONNECT_TIMEOUT_S = 5
_FIRST_LOOK_S, _INTERVAL_S, _MIN_INTERVAL_S = 1.0, 1.0, 0.02

# A prepared transaction has no process: its id is 0. The workers of a parallel query are those of its leader.
_BLOCKERS = """
select distinct
  b.pid, a.application_name, a.usename, a.backend_type, a.state, a.query,
  to_char(
    coalesce(a.xact_start, a.state_change, a.backend_start) at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS'
  ),
  a.wait_event_type = 'Lock', a.pid is null
from unnest(pg_blocking_pids(%s)) as b (pid)
left join pg_stat_activity as a on a.pid = b.pid
order by 8 nulls first, 1
"""


@dataclass(frozen=True, slots=True)
class Blocker:
    """A session that holds a lock, or that waits in the queue before ours."""

    pid: int
    """0 for a prepared transaction."""
    description: str
    """Its name, state, begin and statement, without values."""

    def __str__(self) -> str:
        return self.description


class Watch:
    """The blockers of one connection, as they were seen last."""

    def __init__(self) -> None:
        self.last: tuple[Blocker, ...] = ()


@contextmanager
def watched(
    connection: Connection, *, timeout_s: float, on_blocked: Callable[[Sequence[Blocker]], None]
) -> Generator[Watch]:
    """Read the blockers of the connection's session in a thread while the block runs.

    A second connection is opened only after a second, or half of a shorter timeout: most blocks are done by
    then.

    Args:
        connection: the connection whose statements may wait.
        timeout_s: their lock timeout; 0 is none.
        on_blocked: called from the thread, each time that other sessions are in the way.
    """
    watch, stop = Watch(), threading.Event()
    first = min(_FIRST_LOOK_S, timeout_s / 2) if timeout_s else _FIRST_LOOK_S
    interval = max(_MIN_INTERVAL_S, min(_INTERVAL_S, timeout_s / 4)) if timeout_s else _INTERVAL_S
    pid, options = connection.info.backend_pid, _same_server(connection)

    def look() -> None:
        if stop.wait(first):
            return
        # A server without a free connection, or a role without the right, costs the names and not the run.
        with suppress(psycopg.Error), psycopg.connect(**options) as second:
            while not stop.is_set():
                found = _read(second, pid)
                if found:
                    is_new = {each.pid for each in found} != {each.pid for each in watch.last}
                    watch.last = found
                    if is_new:
                        on_blocked(found)
                stop.wait(interval)

    thread = threading.Thread(target=look, name="plainsql migrate: blockers", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        stop.set()
        thread.join()


def _read(connection: psycopg.Connection[Any], pid: int) -> tuple[Blocker, ...]:
    found = connection.execute(_BLOCKERS, (pid,)).fetchall()
    return tuple(Blocker(row[0] or 0, _describe(*row)) for row in found)


def _describe(
    pid: int | None,
    application: str | None,
    user: str | None,
    kind: str | None,
    state: str | None,
    query: str | None,
    since: str | None,
    waits: bool | None,
    is_gone: bool,
) -> str:
    if not pid:
        return "a prepared transaction: see pg_prepared_xacts"
    if is_gone:
        return f"pid {pid}, which has just ended"
    named = kind if kind not in (None, "client backend") else application or "no application_name"
    whose = f" of {user}" if user else ""
    if state is None:  # a session of another role shows its process and user only
        return f"pid {pid} ({named}){whose}: hidden from this role, which needs pg_read_all_stats"
    text = f"pid {pid} ({named}){whose}, {state}, transaction begun {since} UTC"
    text += ", which waits for a lock itself" if waits else ""
    shown = safe_text(query, _MAX_CHARS) if query else ""
    return f"{text}: {shown}" if shown else text


def _same_server(connection: Connection) -> dict[str, Any]:
    """Return the options of a second connection: of several hosts, the one that the first is connected to."""
    info = connection.info
    options: dict[str, Any] = {
        **info.get_parameters(),
        "host": info.host,
        "port": info.port,
        "connect_timeout": _CONNECT_TIMEOUT_S,
        "fallback_application_name": "plainsql migrate",
        "autocommit": True,
        "prepare_threshold": None,
    }
    if info.password:
        options["password"] = info.password
    if info.hostaddr:
        options["hostaddr"] = info.hostaddr
    return options
