"""A statement that is sent in the round trip of another one, behind its commit.

The compiled protocol sends both with a Sync each, so the server runs the second one when the first is
committed::

    insert into orders … returning id          the statement in front, or `commit`
    Sync                                       its end: it is committed
    select pg_current_wal_insert_lsn(), …      the statement behind it
    Sync

The statement in front alone decides what its caller gets. If the one behind it fails, or the connection is
lost between the two answers, its row is missing and nothing else.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

from asyncpg import Record

from plainsql.speed.loaded import STEP

__all__ = ["FollowingStatement"]


class FollowingStatement:
    """A statement without parameters that returns one row, for one call."""

    __slots__ = ("_connection", "_giving_up", "_own", "_sql", "row", "sent_at", "was_sent")

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._connection: Any = None
        self._own: Any = None
        """Its step."""
        self._giving_up: asyncio.TimerHandle | None = None
        self.sent_at = 0.0
        """The time, by ``time.monotonic``, before it was sent."""
        self.was_sent = False
        self.row: Any = None
        """Its row; None if it was not sent or has failed."""

    def reset(self) -> None:
        """Forget an earlier attempt."""
        self.was_sent, self.row, self._own = False, None, None

    def is_ready(self, connection: Any) -> bool:
        """Return whether a connection has prepared it; if not, `exchange` leaves it out."""
        return connection._stmt_cache.has((self._sql, Record, False))  # type: ignore[no-any-return]

    async def prepare(self, connection: Any) -> None:
        """Prepare it for the next call on a connection."""
        await connection._get_statement(self._sql, None)

    def waiter(self) -> asyncio.Future[list[Any]]:
        """Return the future for the step of the statement in front."""
        answered: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        answered.add_done_callback(self._was_answered)
        return answered

    async def exchange(self, connection: Any, steps: tuple[Any, ...], timeout: float | None) -> None:
        """Send steps and this statement behind them, and wait until all are answered.

        The last step has the `waiter`, and a Sync. Raises what the protocol's ``exchange`` raises, unless the
        last step was answered by then.
        """
        self.reset()
        statement = connection._stmt_cache.get((self._sql, Record, False))
        if statement is None:
            await connection._protocol.exchange(steps, timeout)
            return
        last = steps[-1]
        self._connection, self._own = connection, STEP(statement, ())
        self.was_sent, self.sent_at = True, monotonic()
        try:
            await connection._protocol.exchange((*steps, self._own), timeout)
        except Exception:
            if not last.done or last.error is not None:
                raise
            connection.terminate()  # the statement may still be running
        finally:
            self._connection = None
            if self._giving_up is not None:
                self._giving_up.cancel()
                self._giving_up = None
        if self._own.error is None and self._own.rows:
            self.row = self._own.rows[0]

    def _was_answered(self, answered: asyncio.Future[list[Any]]) -> None:
        """Limit the time for the row: both answers come together, unless the network fails in between."""
        if answered.cancelled() or answered.exception() is not None or self._connection is None:
            return
        if not self._own.done:
            limit_s, terminate = self._connection.control_timeout_s, self._connection.terminate
            self._giving_up = answered.get_loop().call_later(limit_s, terminate)
