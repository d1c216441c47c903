"""One run at a time: an advisory lock of the server's, which ends with the connection that holds it.

Taken by asking again and again, never by waiting in the server: a session that waits in
``pg_advisory_lock`` holds a snapshot, and ``create index concurrently`` waits for every older one, so the run
that has the lock and the run that wants it would wait for each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

import psycopg

from plainsql.migrate.connection import Connection
from plainsql.migrate.errors import LockedError
from plainsql.migrate.pooler_check import is_behind_pooler

__all__ = ["KEY", "held"]

KEY = 0x706C_6169_6E73_716C
"""The lock's number, "plainsql" in ASCII. It counts within one database, as all advisory locks do."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0

_HOLDER = """
select a.pid, a.application_name, a.usename, coalesce(host(a.client_addr), 'a local socket'), a.backend_start
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
        connection: the lock is its session's, and ends with it at the latest.
        wait: seconds to go on asking; 0 asks once.
        on_waiting: told once, who holds it, when the first attempt fails.
        by_session: whether the session holds it, or a transaction that the block then is; by default, a
            transaction if a pooler stands in between, through which no session is ours.

    Raises ``LockedError`` if it was not to be had in that time; the message says who holds it.
    """
    if by_session is None:
        by_session = not is_behind_pooler(connection)
    if not by_session:
        with connection.transaction():
            _take(connection, "pg_try_advisory_xact_lock", wait, on_waiting)
            yield
        return
    _take(connection, "pg_try_advisory_lock", wait, on_waiting)
    try:
        yield
    finally:
        with suppress(psycopg.Error):  # a connection that is gone has no lock any more
            connection.execute("select pg_advisory_unlock(%s)", (KEY,))


def _take(connection: Connection, function: str, wait: float, on_waiting: Callable[[str], None]) -> None:
    deadline, pause, told = time.monotonic() + wait, _FIRST_PAUSE, False
    while not _try_lock(connection, function):
        holder = _holder(connection)
        if not told:
            on_waiting(holder)
            told = True
        left = deadline - time.monotonic()
        if left <= 0:
            raise LockedError(
                f"another run of migrations holds the lock: waited {wait:g} s",
                detail=f"held by {holder}",
                hint="wait for it to end; or end it with select pg_terminate_backend(<pid>)",
            )
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def _try_lock(connection: Connection, function: str) -> bool:
    row = connection.execute(f"select {function}(%s)".encode(), (KEY,)).fetchone()
    return row is not None and row[0] is True


def _holder(connection: Connection) -> str:
    row = connection.execute(_HOLDER, {"high": KEY >> 32, "low": KEY & 0xFFFF_FFFF}).fetchone()
    if row is None:
        return "a run that has just ended"
    pid, application, user, host, since = row
    named = application or "no application_name"
    return f"pid {pid} ({named}), user {user}, from {host}, connected since {since}"
