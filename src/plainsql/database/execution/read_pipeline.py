"""A pipeline of reads: calls of any reads and tenants that share one round trip on a connection.

Each call is a Bind and an Execute of its own prepared statement, with a Sync after it: an error is its own, and
its caller has the rows before the calls behind it have run. Many calls of one read by its key are one batched
statement among them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from asyncpg import exceptions

from plainsql.database.execution import driver
from plainsql.database.execution.errors import is_lost
from plainsql.database.execution.read_costs import ReadCosts
from plainsql.database.pool.call import Call
from plainsql.query import Args
from plainsql.speed.loaded import NUMBERED_READER, STEP
from plainsql.sqlstate_errors import is_own
from plainsql.tenancy import Tenant

__all__ = ["ALONE", "ReadPipeline", "SharedCall"]

ALONE: Any = ["alone"]
"""The result of a call that is to run alone, in its caller's own task."""

_MAX_BYTES = 96 * 1024
"""The most bytes of a pipeline's arguments: the calls behind those wait for the network."""

_NEARLY_SHARE = 0.1
"""A call that has had all but this share of its time limit has used it up."""

_NOT_UNDERSTOOD_CLASSES = ("42", "0A", "54")
"""The classes of SQLSTATE by which PostgreSQL refuses a statement's text, for its content or its size."""


class SharedCall:
    """A call that waits for its pipeline, or for its rows."""

    __slots__ = ("connection", "future", "is_built", "is_single", "pipeline", "read", "record", "tenant", "values")

    def __init__(
        self,
        read: ReadCosts,
        values: Args,
        tenant: Tenant | None,
        record: Call | None,
        future: asyncio.Future[Any],
    ) -> None:
        self.read = read
        self.values = values
        self.tenant = tenant
        self.record = record
        """Its record for the hook."""
        self.future = future
        """Gets its rows, the server's error, or ``ALONE``."""
        self.is_built = False
        """True if the rows are built, False if they are records."""
        self.is_single = False
        """True if it failed in a batched statement: the next time it is a statement of its own."""
        self.connection: Any = None
        self.pipeline: ReadPipeline | None = None


class ReadPipeline:
    """Calls that share a round trip."""

    __slots__ = (
        "_head_since",
        "again",
        "calls",
        "counted",
        "is_measured",
        "is_watched",
        "left",
        "sent_at",
        "task",
    )

    def __init__(self, calls: list[SharedCall], *, is_measured: bool) -> None:
        self.calls = calls
        self.task: asyncio.Task[object] | None = None
        self.counted = True
        """True while it takes one of the places of pipelines in progress."""
        self.is_measured = is_measured
        self.again: list[SharedCall] = []
        """Calls of batched statements that failed: one of them is to blame."""
        self.left = 0
        """The calls without an answer when it was last looked at."""
        self.is_watched = False
        self.sent_at = 0.0
        """The time at which it got a connection; 0 before."""
        self._head_since = 0.0
        for call in calls:
            call.pipeline = self

    @property
    def is_answered(self) -> bool:
        return all(call.future.done() for call in self.calls)

    def unanswered(self) -> list[SharedCall]:
        """Return the calls without an answer, in their order."""
        return [call for call in self.calls if not call.future.done()]

    async def send(self, connection: Any) -> None:
        """Send the calls that wait, and return when all are answered."""
        calls = self.unanswered()
        if not calls:
            return
        now = self.sent_at = perf_counter()
        if calls[0].record is not None:  # there is a hook, so every call has a record
            for call in calls:
                if call.record is not None:
                    call.record.joined, call.record.lease_wait = len(calls), now - call.record.began
        if connection._query_loggers:
            self._leave_alone(calls)
            return
        units = _units(calls)
        statements = await self._prepare(connection, units)
        steps: list[Any] = []
        sent: list[tuple[Any, list[SharedCall]]] = []
        for unit in units:
            if (step := self._step(connection, unit, statements)) is not None:
                steps.append(step)
                sent.append((step, unit))
        if not steps:
            return
        await connection._protocol.exchange_each(tuple(steps), None, _MAX_BYTES)
        await self._finish(connection, sent)

    def fail(self, error: Exception) -> None:
        """Handle the failure of the pipeline as a whole: of its connection, or of the wait for one."""
        calls = self.unanswered()
        if is_own(error):  # there was no connection: the same for every call
            ...
        self._leave_alone(calls)


def _units(calls: list[SharedCall]) -> list[list[SharedCall]]:
    """Divide calls into those of a batched statement, and others one by one."""
    return [[call] for call in calls]
