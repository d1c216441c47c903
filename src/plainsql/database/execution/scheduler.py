"""The scheduler of concurrent calls of one read: together if that costs less than each alone.

If sixty-four tasks each read one row by its key, that is sixty-four round trips, one after the other on each
connection. Together they are a few. Calls that arrive while others of their kind are in progress wait until
the event loop has gone round, or until one of those ends. Then they are sent as one pipeline or one batched
statement, which `forms` decides.

Three promises hold whatever other calls do:

- A call returns the rows of the query alone, in its order. Only reads that are proved to change nothing run
  together, in forms that keep the plan.
- A call never gets another call's error. If a group fails, the call that is to blame is run alone, and the
  others again.
- A call does not wait long for another. If a group takes several times what its calls cost, those without an
  answer are run alone at the same time, and the first answer counts. No call waits for a statement that
  hangs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from time import perf_counter
from typing import Any

from asyncpg import exceptions

from plainsql.database.execution.batched_statement import BatchedStatement
from plainsql.database.execution.forms import Form, Forms
from plainsql.database.execution.groups import ALONE, Began, Group, Waiting, fail, without_repetitions
from plainsql.database.execution.pipelined_statement import Values, fitting, unfit_call
from plainsql.database.pool.call import Call
from plainsql.sqlstate_errors import is_own

__all__ = ["Runner", "Scheduler"]

MAX_BATCHED = 256
"""The most calls in one batched statement."""

MAX_PIPELINED = 64
"""The most calls in one pipeline: from some 32 on a call costs no less."""

_CHEAP_S = 0.0005
"""Seconds. Calls that cost less go in few statements at a time, so that the next one grows in the meantime.
Calls that cost more are spread over the pool's connections, so that the server's other processors work on
them too."""

_CHEAP_STATEMENTS = 2
"""Statements of a cheap query in progress: the server works on one while the other's rows are read here. More
of them are smaller, and a statement costs as much as the calls that it saves (measured: with three, 5 to 20 %
less)."""

_FEW_CALLS = 8
"""So many calls of a cheap query go alone, at the same time, if there are connections: a statement for so few
costs more than it saves."""

_MAX_STATEMENT_S = 0.02
"""The most seconds that a statement for several calls should take: a caller waits for all of its calls."""

_NO_PROGRESS_S = 0.005
"""Seconds after which calls are sent although no statement in progress has ended, and which a group may take
longer than its calls cost."""

_STALLED_S = 0.25
"""Seconds without the end of a statement after which its query's calls do not wait for each other."""

_SLOW_FACTOR = 4
"""A group that takes so many times what its calls cost contains a slow one: its calls are run alone as
well."""

_NEARLY_SHARE = 0.1
"""A call that has run alone for all but this share of its time limit has used it up."""

_TIMER_PRECISION_S = 0.001
"""Seconds: no event loop's clock is more precise."""

_MIN_TRIAL_CALLS = 4
"""The least number of calls that go together on trial, if calls have cost less alone until now."""

_MAX_TRIAL_S = 0.005
"""The most seconds that a trial should take."""

_MEASURED_ONE_IN = 8
"""One of so many calls that go alone is measured."""

_HALVED_ABOVE_CALLS = 8
"""A group of more calls is halved if one of them fails on the server, which does not name it."""

_CANCELLED_CLASS = "57"
"""The class of SQLSTATE of a statement that was cancelled, by a time limit or an operator."""

_NOT_UNDERSTOOD_CLASSES = ("42", "0A", "54")
"""The classes of SQLSTATE by which PostgreSQL refuses a statement's text, for its content or its size."""


class Runner:
    """The ways in which a scheduler has calls run."""

    __slots__ = ("alone", "in_use", "parallel", "together")

    def __init__(
        self,
        parallel: int,
        in_use: Callable[[], int],
        together: Callable[[Form, list[Waiting], Callable[[bool], None]], Awaitable[list[list[Any]] | None]],
        alone: Callable[[Waiting, Began | None], Awaitable[Sequence[Any]]],
    ) -> None:
        self.parallel = parallel
        """The most statements of one query at the same time."""
        self.in_use = in_use
        """Returns how many connections are in use, by any query: all of them share the server's time."""
        self.together = together
        """Runs calls in a form and returns the records of each, or None if their values do not go in it. When
        it has a connection, it calls its argument with whether that has prepared the statement."""
        self.alone = alone
        """Runs one call, and records when it has a connection."""


class Scheduler:
    """The scheduler of the concurrent calls of one text of a query, for one tenant."""

    __slots__ = (
        "_ends",
        "_few",
        "_groups",
        "_loop",
        "_runner",
        "_scheduled",
        "_sent",
        "_stalled_since",
        "_tasks",
        "_timer",
        "_until_measured",
        "_waiting",
        "_watch",
        "crowded",
        "forms",
        "in_progress",
    )

    def __init__(self, forms: Forms, runner: Runner) -> None:
        self.forms = forms
        self._runner = runner
        self._loop = asyncio.get_running_loop()
        self._few = min(_FEW_CALLS, runner.parallel)
        self._waiting: list[Waiting] = []
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._ends = 0
        """The number of statements that have ended."""
        self._stalled_since: float | None = None
        """The time since which no statement has ended although calls wait."""
        self._sent = 0
        """The groups that take a place among the statements in progress."""
        self._tasks: set[asyncio.Task[object]] = set()
        self._groups: set[Group] = set()
        self._watch: asyncio.TimerHandle | None = None
        """The timer of the next check of the groups in progress."""
        self._until_measured = 0
        self.crowded = False
        """True if many calls came together the last time: callers that get their answers together call again
        together."""
        self.in_progress = 0
        """The number of this query's statements in progress, with those of single calls."""

    def accepts(self) -> bool:
        """Return whether a call should join a group, and not go alone."""
        forms = self.forms
        if forms.prefers_alone and not forms.trial:
            return False
        if self.crowded or self._sent or self._waiting:
            return True
        return self.in_progress >= (self._few if forms.call_s < _CHEAP_S else self._runner.parallel)

    @property
    def at_rest(self) -> bool:
        """True if no statement is in progress and no call waits."""
        return not (self.in_progress or self._waiting or self._tasks)

    def join(self, values: Values, call: Call | None) -> asyncio.Future[Sequence[Any]]:
        """Add a call to the next group. The future gets its records, or ``ALONE``."""
        future: asyncio.Future[Sequence[Any]] = self._loop.create_future()
        self._waiting.append((values, future, call))
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._send_scheduled)
        return future

    def abandoned(self) -> None:
        """Cancel, after the cancellation of a caller, the statements that no caller waits for any more."""
        for group in self._groups:
            if group.is_answered:
                self._stop(group)

    def begin(self) -> bool:
        """Count a call that goes alone, and return whether it should be measured."""
        self.in_progress += 1
        if 2 * self.in_progress < self._few:
            return False  # the cost of a call matters if there are others
        self._until_measured -= 1
        if self._until_measured > 0 and self.forms.alone.known:
            return False
        self._until_measured = _MEASURED_ONE_IN
        return True

    def record(self, elapsed_s: float, *, prepared: bool) -> None:
        """Record the time of a call that went alone; ``prepared``: its connection had prepared the
        statement.
        """
        self.forms.record_alone(elapsed_s, prepared=prepared)

    def end(self) -> None:
        """Count the end of a statement: of a call that went alone, or of a group."""
        self.in_progress -= 1
        self._ends += 1
        if self._waiting and not self._scheduled:
            # After the callers that have their answers now have run: many of them call again immediately.
            self._scheduled = True
            self._loop.call_soon(self._send_scheduled)

    # --------------------------------------------------------------------------------------------------

    def _send_scheduled(self) -> None:
        self._scheduled = False
        self._send()

    def _send(self, *, extra: int = 0, patient: bool = True) -> None:
        """Send the waiting calls in as many statements as may be in progress, and in ``extra`` more.

        ``patient``: a trial waits for the statements in progress.
        """
        forms, parallel = self.forms, self._runner.parallel
        self.crowded = len(self._waiting) > self._few
        if forms.prefers_alone and self._waiting:
            # A trial begins when no other statement of the query runs: next to many it would seem slow.
            if not (patient and forms.trial and self.in_progress):
                self._send_alone()
        # If the cost of a call is not known yet, the first answer shows it.
        elif forms.alone.known or extra or not self.in_progress:
            places = parallel - self.in_progress
            if forms.call_s < _CHEAP_S:
                places = _CHEAP_STATEMENTS - self._sent
            places = min(max(places, extra), parallel - self.in_progress)
            while self._waiting and places > 0:
                places -= self._send_group(-(-len(self._waiting) // places))
        if self._waiting and self._timer is None:
            self._timer = self._loop.call_later(_NO_PROGRESS_S, self._on_timeout, self._ends)

    def _send_alone(self) -> None:
        """Send each waiting call alone; on trial, a few of them together first."""
        self.crowded = False
        if self.forms.trial:
            self.forms.trial = False
            self._send_group(max(_MIN_TRIAL_CALLS, self.forms.most(self.forms.pipelined, _MAX_TRIAL_S)))
        self._run_in_callers(len(self._waiting))

    def _run_in_callers(self, calls: int) -> None:
        """Have so many of the waiting calls run in their callers' tasks."""
        left, self._waiting = self._waiting[:calls], self._waiting[calls:]
        for _, future, _ in left:
            if not future.done():
                future.set_result(ALONE)

    def _send_group(self, share: int) -> int:
        """Send so many of the waiting calls, or as many as may go together. Return the number of
        statements.
        """
        forms = self.forms
        share = min(share, len(self._waiting), MAX_BATCHED)
        form = forms.choose(share)
        if form is None:
            share, form = 1, forms.pipelined
        else:
            most = forms.most(form, _MAX_STATEMENT_S)
            if isinstance(form, BatchedStatement):
                share = min(share, most)
            else:
                share = min(share, MAX_PIPELINED, most)
                share = fitting([values for values, _, _ in self._waiting[:share]], share)
        taken, self._waiting = self._waiting[:share], self._waiting[share:]
        calls = [call for call in taken if not call[1].done()]  # some were cancelled in the meantime
        if not calls:
            return 0
        calls = without_repetitions(calls, self._loop)
        self.in_progress += 1
        self._sent += 1
        group = Group(calls, form)
        self._groups.add(group)
        group.task = self._start(self._run(group))
        return 1

    def _start(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        task: asyncio.Task[object] = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _on_timeout(self, ends: int) -> None:
        self._timer = None
        if ends != self._ends:
            self._stalled_since = None
        if not self._waiting:
            return
        self._send(extra=1 if ends == self._ends else 0, patient=False)
        if self._waiting and ends == self._ends:
            # All places are taken, and no statement ends: the calls wait for a connection by themselves, with
            # a time limit.
            now = self._loop.time()
            if self._stalled_since is None:
                self._stalled_since = now
            elif now - self._stalled_since > _STALLED_S:
                self._run_in_callers(len(self._waiting))

    # Groups ---------------------------------------------------------------------------------------------

    async def _run(self, group: Group) -> None:
        try:
            if len(group.calls) > 1:
                await self._run_together(group)
                if group.counted and group.is_exact:
                    self._measure(group)
            else:
                await self._run_alone(group.calls)
        except BaseException as error:
            if group.rescue is None:
                fail(group.calls, error)
            if not isinstance(error, Exception):
                raise
        finally:
            self._groups.discard(group)
            if group.rescue is not None and not group.rescue.done() and group.is_answered:
                # Cancelling a task that is about to end by itself costs more than waiting for it.
                self._loop.call_later(_NO_PROGRESS_S, group.rescue.cancel)
            if group.counted:
                self._leave_place(group)

    async def _run_together(self, group: Group) -> None:
        calls = group.calls
        try:
            found = await self._runner.together(
                group.form, calls, lambda prepared: self._begin_group(group, prepared=prepared)
            )
        except Exception as error:  # (one call's value, a time limit, a lost connection)
            if is_own(error):
                raise  # no connection, or other columns: the same for every call
            if group.rescue is None:
                await self._run_again(group, error)
            else:
                group.is_refused = _state_of(error)[:2] in _NOT_UNDERSTOOD_CLASSES
                if isinstance(error, TimeoutError):
                    self._end_in_time(group, error)
            return
        if found is None:
            await self._run_alone(calls)
            return
        for (_, future, _), rows in zip(calls, found, strict=True):
            if not future.done():
                future.set_result(rows)

    def _begin_group(self, group: Group, *, prepared: bool) -> None:
        group.began = perf_counter()
        group.is_exact = prepared
        if group.counted and group.rescue is None:
            expected_s = self.forms.seconds(group.form, len(group.calls))
            group.rescue_at = group.began + max(_NO_PROGRESS_S, _SLOW_FACTOR * expected_s)
            if self._watch is None:
                self._watch = self._loop.call_later(_NO_PROGRESS_S, self._watch_groups)

    def _watch_groups(self) -> None:
        """Run the calls of groups that take long alone as well. One timer serves all groups, because one for
        each would cost more.
        """
        self._watch = None
        now = perf_counter()
        watched = [group for group in self._groups if group.rescue_at]
        for group in watched:
            if group.rescue_at <= now:
                group.rescue_at = 0.0
                self._rescue(group)
        if rest := [group.rescue_at for group in watched if group.rescue_at]:
            self._watch = self._loop.call_later(max(min(rest) - now, _TIMER_PRECISION_S), self._watch_groups)

    @staticmethod
    def _end_in_time(group: Group, error: TimeoutError) -> None:
        """Fail the calls that take too long: those that have run alone nearly since the group began."""
        latest = group.began + _NEARLY_SHARE * (perf_counter() - group.began)
        fail([call for call in group.calls if group.alone_since.get(call[1], latest) < latest], error)

    async def _run_again(self, group: Group, error: Exception) -> None:
        """Run the calls of a failed group again, so that the call that is to blame gets its error alone."""
        form, calls = group.form, group.calls
        if isinstance(form, BatchedStatement):
            form.forget()
        if (blamed := unfit_call(error)) is not None:
            rest = group.part([*calls[:blamed], *calls[blamed + 1 :]])
            await asyncio.gather(self._run_alone([calls[blamed]]), self._run_together(rest))
            return
        state = _state_of(error)
        if state[:2] in _NOT_UNDERSTOOD_CLASSES:
            if await self._run_alone(calls):
                self.forms.refuse(form)
        elif state and state[:2] != _CANCELLED_CLASS and len(calls) > _HALVED_ABOVE_CALLS:
            half = len(calls) // 2
            await asyncio.gather(
                self._run_together(group.part(calls[:half])), self._run_together(group.part(calls[half:]))
            )
        else:
            await self._run_alone(calls)

    def _rescue(self, group: Group) -> None:
        """Run the calls of a group that takes long alone, at the same time."""
        if group.counted:
            self._measure(group)  # the other calls have waited this long
            self._leave_place(group)
        group.rescue = self._start(self._run_alone_as_well(group))

    async def _run_alone_as_well(self, group: Group) -> None:
        answered = await self._run_alone(group.calls, group.alone_since)
        if answered and group.is_refused:
            self.forms.refuse(group.form)
        if group in self._groups:
            self._stop(group)

    def _measure(self, group: Group) -> None:
        elapsed_s = perf_counter() - group.began
        self.forms.record(group.form, elapsed_s, len(group.calls), self._runner.in_use() + 1)

    def _leave_place(self, group: Group) -> None:
        group.counted = False
        self._sent -= 1
        self.end()

    @staticmethod
    def _stop(group: Group) -> None:
        for task in (group.task, group.rescue):
            if task is not None and task is not asyncio.current_task():
                task.cancel()

    async def _run_alone(self, calls: Sequence[Waiting], began: Began | None = None) -> bool:
        """Run each call by itself, and return whether one of them was answered. Record in ``began`` when each
        begins.
        """
        answered = False
        waiting = iter(calls)

        async def run() -> None:
            nonlocal answered
            for call in waiting:
                future = call[1]
                if future.done():
                    continue
                try:
                    records = await self._runner.alone(call, began)
                except Exception as error:  # noqa: BLE001 (the caller gets it)
                    if not future.done():
                        future.set_exception(error)
                else:
                    answered = True
                    if not future.done():
                        future.set_result(records)

        # No more at a time than there are connections: calls that are answered in the meantime do not begin.
        runs = min(len(calls), self._runner.parallel)
        if runs == 1:
            await run()
        else:
            await asyncio.gather(*(run() for _ in range(runs)))
        return answered


def _state_of(error: BaseException) -> str:
    """Return the server's SQLSTATE, or an empty text if the server did not send the error."""
    state: str | None = (
        getattr(error, "sqlstate", None) if isinstance(error, exceptions.PostgresError) else None
    )
    return state or ""
