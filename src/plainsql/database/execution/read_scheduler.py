"""The scheduler of a database's concurrent reads: calls that arrive together share round trips.

A call that arrives alone goes alone, in its caller's task. Others wait until the event loop has gone round,
or until one of the few pipelines in progress has ended, and then share the next one, whatever they read. Few
at a time are the fastest while the server answers in microseconds: the next one grows in the meantime.

Three promises hold whatever other calls do:

- A call returns the rows of the query alone, in its order. Only reads that are proved to change nothing run
  together.
- A call never gets another call's error.
- A call does not wait long for another. Those behind one that takes long run alone, at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import perf_counter
from typing import Any

from plainsql.database.execution.read_costs import ReadCosts
from plainsql.database.execution.read_pipeline import ReadPipeline, SharedCall
from plainsql.database.pool.call import Call
from plainsql.database.pool.round_trip import RoundTrip
from plainsql.database.pool.tenant_settings import LocalSettings
from plainsql.query import Args

__all__ = ["ReadScheduler"]

_MAX_CALLS = 256
"""The most calls in one pipeline."""

_PIPELINES = 2
"""Pipelines in progress at the same time, if many calls wait: the server works on one while the rows of the
other are read here."""

_MANY_CALLS = 32
"""With fewer waiting calls, a second pipeline costs more than it saves: they wait for the one in progress."""

_SOME_CALLS = 8
"""The same if the network is slow, or the calls are much work."""

_SLOW_ROUND_TRIP_S = 0.0002
"""Seconds. For each of them that a round trip takes there may be one more pipeline: what waits for the
network keeps no processor busy."""

_WORK_S = 0.004
"""Seconds. For each of them that the waiting calls take there may be one more pipeline, so that the server's
other processors work on them too."""

_NO_PROGRESS_S = 0.01
"""Seconds without an answer after which the calls behind one that takes long run alone."""

_NO_PROGRESS_ROUND_TRIPS = 4
"""The same in round trips, for slow networks."""

_MAX_NO_PROGRESS_S = 0.25
"""The most seconds of that."""

_MEASURED_ONE_IN = 8
"""One of so many pipelines is measured."""


_CAREFUL_PIPELINES = 8
"""So many pipelines are measured after one whose calls shared a Sync and took long, or failed."""


class ReadScheduler:
    """The scheduler of one database's concurrent reads."""

    __slots__ = (
        "_call_s",
        "_careful",
        "_loop",
        "_parallel",
        "_pipelines",
        "_round_trip",
        "_run",
        "_scheduled",
        "_turns",
        "_watch",
        "_watched_at",
        "alone",
        "sent",
        "waiting",
    )

    def __init__(
        self,
        parallel: int,
        round_trip: RoundTrip,
        run: Callable[[ReadPipeline], Coroutine[Any, Any, None]],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._parallel = parallel
        """The number of connections."""
        self._round_trip = round_trip
        self._run = run
        """Sends a pipeline on a connection."""
        self.waiting: list[SharedCall] = []
        self._scheduled = False
        self.sent = 0
        """The pipelines that take a place."""
        self._pipelines: set[ReadPipeline] = set()
        self._watch: asyncio.TimerHandle | None = None
        self._watched_at = 0.0
        self._turns = 0
        self._careful = 0
        """The number of pipelines to come that have a Sync after each call."""
        self._call_s = 0.0
        """Seconds that a call takes in a pipeline of many."""
        self.alone = 0
        """The number of calls of reads that share round trips, and go alone now."""

    @property
    def at_rest(self) -> bool:
        """True if no call waits and no pipeline is in progress."""
        return not (self.waiting or self._pipelines or self.alone)

    def join(
        self, read: ReadCosts, values: Args, settings: LocalSettings | None, record: Call | None
    ) -> SharedCall:
        """Add a call to the next pipeline. Its future gets its rows, the server's error, or ``ALONE``."""
        call = SharedCall(read, values, settings, record, self._loop.create_future())
        self.waiting.append(call)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._send)
        return call

    def abandon(self, call: SharedCall) -> None:
        """Stop, after the cancellation of a caller, a pipeline that no caller waits for any more."""
        future, pipeline = call.future, call.pipeline
        if future.done() and not future.cancelled():
            future.exception()  # it is retrieved, so that asyncio reports nothing
        if pipeline is not None and pipeline.is_answered and pipeline.task is not None:
            pipeline.task.cancel()

    # --------------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        """Send the waiting calls in as many pipelines as may be in progress."""
        self._scheduled = False
        if not (number := len(self.waiting)):
            return
        round_trip_s = min(self._round_trip.statement_s, 1.0)
        places = 1
        is_slow = round_trip_s > _SLOW_ROUND_TRIP_S
        least = _SOME_CALLS if is_slow or number * self._call_s > _WORK_S else _MANY_CALLS
        if is_slow or number >= least:
            in_flight = sum(pipeline.in_flight for pipeline in self._pipelines) if self.sent else 0
            if number >= in_flight // 2:  # else it grows a little more
                places = _PIPELINES + int(round_trip_s / _SLOW_ROUND_TRIP_S + number * self._call_s / _WORK_S)
        places = min(places, self._parallel) - self.sent
        while self.waiting and places > 0:
            share = min(max(-(-len(self.waiting) // places), least), _MAX_CALLS)
            calls, self.waiting = self.waiting[:share], self.waiting[share:]
            calls = [call for call in calls if not call.future.done()]  # some were cancelled in the meantime
            if calls:
                self._start(calls)
                places -= 1

    def _start(self, calls: list[SharedCall]) -> None:
        self._turns += 1
        self._careful -= self._careful > 0
        is_measured = self._careful > 0 or self._turns % _MEASURED_ONE_IN == 0
        pipeline = ReadPipeline(calls, is_measured=is_measured)
        self.sent += 1
        self._pipelines.add(pipeline)
        pipeline.task = self._loop.create_task(self._carry_out(pipeline))
        if self._watch is None:
            self._watch_later()

    async def _carry_out(self, pipeline: ReadPipeline) -> None:
        try:
            await self._run(pipeline)
            if pipeline.is_measured and pipeline.counted and (number := len(pipeline.calls)) >= _SOME_CALLS:
                call_s = (perf_counter() - pipeline.sent_at) / number
                # What delays calls is not their work: the lowest time counts, and slowly loses its weight.
                known_s = self._call_s or call_s
                self._call_s = min(call_s, known_s + (min(call_s, 2 * known_s) - known_s) / 16)
        except Exception as error:  # noqa: BLE001 (each call gets what is its own)
            pipeline.fail(error)
        except BaseException:
            pipeline.leave_alone()  # no call waits for ever
            raise
        finally:
            self._pipelines.discard(pipeline)
            self._leave_place(pipeline)
            self.waiting += pipeline.again
            if pipeline.is_slow:
                self._careful = _CAREFUL_PIPELINES
            if self.waiting:
                # After the callers that have their answers now have run: many of them call again immediately.
                self._schedule()

    def _leave_place(self, pipeline: ReadPipeline) -> None:
        if pipeline.counted:
            pipeline.counted = False
            self.sent -= 1

    # Calls behind one that takes long ---------------------------------------------------------------------

    @property
    def _no_progress_s(self) -> float:
        wait_s = min(_NO_PROGRESS_ROUND_TRIPS * self._round_trip.statement_s, _MAX_NO_PROGRESS_S)
        return max(_NO_PROGRESS_S, wait_s)

    def _watch_later(self) -> None:
        self._watched_at = self._loop.time()
        self._watch = self._loop.call_later(self._no_progress_s, self._look)

    def _look(self) -> None:
        """Have the calls run alone that are behind one that takes long."""
        self._watch = None
        # If the event loop was busy, answers may have arrived that it has not read yet.
        is_late = self._loop.time() - self._watched_at > 2 * self._no_progress_s
        no_progress_s = self._no_progress_s
        for pipeline in [*self._pipelines]:
            left = len(pipeline.unanswered())
            if left == pipeline.left and not is_late:
                # Without a connection it goes on waiting for one, and the next pipeline does too.
                self._leave_place(pipeline)
                if pipeline.sent_at and perf_counter() - pipeline.sent_at > no_progress_s:
                    pipeline.rescue()
                    if pipeline.is_answered and pipeline.task is not None:
                        pipeline.task.cancel()
            pipeline.left = left
        if self.waiting:
            self._schedule()
        if self._pipelines:
            self._watch_later()
