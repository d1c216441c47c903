"""The wait of calls for a primary while there is none: during a failover, and with ``failover_timeout`` only.

What is tried again has changed nothing: the server refused it, it was not sent, or there was no connection.
"""

from __future__ import annotations

import asyncio
import random
from time import monotonic
from typing import Any

from plainsql.connect_errors import UnsuitableServerError
from plainsql.database.pool.commit_outcome import may_run_again, was_not_committed
from plainsql.database.pool.openings import is_lasting
from plainsql.database.pool.read_only_servers import is_refusal, is_refused_by_server

__all__ = ["FailoverWait"]

_PAUSE_S = 0.1
"""The shortest pause between two attempts; the longest is three times as long. A standby that is promoted is
found within that time."""


class FailoverWait:
    """The time that calls wait for a primary; None if they do not wait."""

    __slots__ = ("_timeout",)

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout

    def ends(self) -> float:
        """Return the end of a wait that begins now, by ``time.monotonic``."""
        return monotonic() + (self._timeout or 0.0)

    def allows_opening(self, error: Exception) -> bool:
        """Return whether a connection that could not be opened may be opened soon."""
        return self._timeout is not None and (
            isinstance(error, UnsuitableServerError) or not is_lasting(error)
        )

    def allows_call(self, error: BaseException, connection: Any, *, read_only: bool) -> bool:
        """Return whether a call that failed has changed nothing and may succeed on the next primary."""
        if self._timeout is None:
            return False
        return is_refused_by_server(error, connection) or may_run_again(error, read_only=read_only)

    def allows_transaction(self, error: BaseException) -> bool:
        """Return whether a transaction that failed was not committed and may succeed on the next primary."""
        return self._timeout is not None and (is_refusal(error) or was_not_committed(error))

    async def pause(self, ends: float) -> bool:
        """Wait for the next attempt; return False if the time is up."""
        if monotonic() >= ends:
            return False
        await asyncio.sleep(random.uniform(_PAUSE_S, 3 * _PAUSE_S))
        return True
