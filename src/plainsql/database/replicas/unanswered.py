"""Reads whose request or answer was lost on the way, while the server is well: it waits for the next one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from plainsql.database.pool.pooled_connection import PooledConnection

__all__ = ["cut_unanswered"]

_WAITING_SQL: Final = """
select a.pid
from pg_stat_activity as a
where
  a.pid = any($1::integer[])
  and a.state like 'idle%'
"""


async def cut_unanswered(connection: Any, suspects: Sequence[PooledConnection]) -> list[PooledConnection]:
    """End those of the suspects in use that the server waits for, so that their calls run elsewhere, and
    return those that are still in use.

    A long statement goes on. Behind a pooler the server's sessions are not known, and no connection is ended.
    """
    left = [pooled for pooled in suspects if not pooled.connection.is_closed()]
    by_pid = {pooled.connection.get_server_pid(): pooled for pooled in left}
    if not by_pid:
        return []
    for (pid,) in await connection.fetch(_WAITING_SQL, list(by_pid)):
        by_pid.pop(pid).connection.terminate()
    return list(by_pid.values())
