"""The lock that allows one run at a time: an advisory lock, released with the connection that holds it.

It is polled and never waited for in the server. A session that waits in ``pg_advisory_lock`` holds a
snapshot, and ``create index concurrently`` waits for every older snapshot: the run that holds the lock and
the run that waits for it would deadlock.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

import psycopg

from plainsql.migrate.connection import Connection
from plainsql.migrate.errors import LockedError
from plainsql.migrate.pooler_check import is_behind_pooler

__all__ = ["KEY", "held"]

KEY = 0x706C_6169_6E73_716C
"""The lock's number, "plainsql" in ASCII. As all advisory locks it is of one database."""

_MIN_POLL_INTERVAL_S, _MAX_POLL_INTERVAL_S = 0.05, 1.0

_HOLDER = """
select a.pid, a.application_name, a.usename, coalesce(host(a.client_addr), 'a local socket'),
  to_char(a.backend_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')
from pg_locks as l
inner join pg_stat_activity as a on a.pid = l.pid
where l.locktype = 'advisory'
  and l.granted
  and l.database = (select d.oid from pg_database as d where d.datname = current_database())
  and l.classid::bigint = %(high)s
  and l.objid::bigint = %(low)s
  and l.objsubid = 1
"""


@contextmanager
def held(
    connection: Connection,
    *,
    wait: float,
    on_waiting: Callable[[str], None],
    by_session: bool | None = None,
) -> Generator[None]:
    """Hold the lock of migrations on the connection's database.

    Args:
        connection: the connection whose session holds the lock, and releases it at its end at the latest.
        wait: seconds to try; 0 tries once.
        on_waiting: called once with the holder, when the first attempt fails.
        by_session: whether the session holds the lock, or a transaction around the block. By default a
            transaction behind a pooler, through which no session is ours.

    Raises ``LockedError`` with the holder if the lock is not free in that time.
    """
    if by_session is None:
        by_session = not is_behind_pooler(connection)
    if not by_session:
        with connection.transaction():
            _acquire(connection, "pg_try_advisory_xact_lock", wait, on_waiting)
            yield
        return
    _acquire(connection, "pg_try_advisory_lock", wait, on_waiting)
    try:
        yield
    finally:
        with suppress(psycopg.Error):  # a connection that is gone has no lock any more
            connection.execute("select pg_advisory_unlock(%s)", (KEY,))


def _acquire(connection: Connection, function: str, wait: float, on_waiting: Callable[[str], None]) -> None:
    deadline, pause, is_reported = time.monotonic() + wait, _MIN_POLL_INTERVAL_S, False
    while not _try_lock(connection, function):
        pid, holder = _holder(connection)
        if not is_reported:
            on_waiting(holder)
            is_reported = True
        left = deadline - time.monotonic()
        if left <= 0:
            raise LockedError(
                f"another run of migrations holds the lock: waited {wait:g} s",
                detail=f"held by {holder}",
                hint="wait for it to end"
                + (f"; or end it with select pg_terminate_backend({pid})" if pid is not None else ""),
            )
        # Half of the pause is random: runs that were started together do not poll together.
        time.sleep(min(random.uniform(pause / 2, pause), left))
        pause = min(pause * 1.5, _MAX_POLL_INTERVAL_S)


def _try_lock(connection: Connection, function: str) -> bool:
    row = connection.execute(f"select {function}(%s)".encode(), (KEY,)).fetchone()
    return row is not None and row[0] is True


def _holder(connection: Connection) -> tuple[int | None, str]:
    """Return the process that holds the lock, and its description."""
    row = connection.execute(_HOLDER, {"high": KEY >> 32, "low": KEY & 0xFFFF_FFFF}).fetchone()
    if row is None:
        return None, "a run that has just ended"
    pid, application, user, host, since = row
    named = application or "no application_name"
    return int(str(pid)), f"pid {pid} ({named}), user {user}, from {host}, connected since {since} UTC"
