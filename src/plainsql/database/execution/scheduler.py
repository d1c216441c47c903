"""Concurrent calls of one read, sent together if that costs less than sending each alone.

Sixty-four tasks that each read one row by its key are sixty-four round trips, one after the other on each
connection. Together they are a few: calls that arrive while others of their kind are under way wait until the
loop has gone round, or until one of these ends, and are then sent as one pipeline or one joined statement
(`forms` says which).

Three promises hold whoever else calls:

- A call returns the rows of the query alone, in its order. Only reads that are proved to change nothing are
  run so, in forms that keep the plan.
- No call meets another's error. If a group fails, the call that is to blame is run alone, and the others
  again.
- No call waits long for another's. If a group takes several times what its calls cost, those without an
  answer are run alone beside it, and whichever answers first counts; and for a statement that hangs nobody
  waits.
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
from plainsql.errors import PlainsqlError

__all__ = ["Runner", "Scheduler"]

MAX_JOINED = 256
"""At most so many calls in one joined statement."""

MAX_PIPELINED = 64
"""At most so many calls in one pipeline: from some 32 on a call costs no less."""

_CHEAP_S = 0.0005
"""Seconds. What costs less for each call goes in few statements at a time: the next grows meanwhile.
What costs more is spread over the pool's connections, so that the server's other processors work on it
too."""

_AT_ONCE = 2
"""Statements of a cheap query under way: the server works on one while the other's rows are read here.
More of them are smaller, and a statement costs as much as the calls that it saves (measured: with three, 5 to
20 % less)."""

_FEW = 8
"""So many calls of a cheap query go alone, side by side, if there are the connections: a statement for so few
costs more than it saves."""

_LONGEST_S = 0.02
"""Seconds that a statement for several calls should take at most: a caller waits for all that run with it."""

_PATIENCE_S = 0.005
"""Seconds in which one of the statements under way must end, before the calls that wait for it are sent
beside it, and in which a group may take longer than its calls cost."""

_STALLED_S = 0.25
"""If no statement of a query ends for so many seconds, its calls do not wait for each other any longer."""

_SLOWER = 4
"""A group that takes so many times what its calls cost holds a slow one: the others are run beside it."""

_NEARLY = 0.1
"""A call that has run alone for all but this share of its time limit has had it."""

_MOMENT_S = 0.001
"""Seconds: finer is no loop's clock."""

_ON_TRIAL = 4
"""At least so many calls go together to see what it costs, if they cost less alone until now."""

_TRIAL_S = 0.005
"""Seconds that they should take at most."""

_SAMPLE = 8
"""One of so many calls that go alone is measured."""

_HALVED_FROM = 8
"""A group of more calls is halved if one of them fails on the server, which does not say which one."""

_INTERVENTION = "57"
"""The class of SQLSTATE of a statement that was cancelled, for a time limit or by an operator."""

_NOT_UNDERSTOOD = ("42", "0A", "54")
"""The classes of SQLSTATE by which PostgreSQL refuses a statement's text: what it says, or its size."""


class Runner:
    """What a scheduler needs of its database."""

    __slots__ = ("alone", "in_use", "parallel", "together")

    def __init__(
        self,
        parallel: int,
        in_use: Callable[[], int],
        together: Callable[[Form, list[Waiting], Callable[[bool], None]], Awaitable[list[list[Any]] | None]],
        alone: Callable[[Waiting, Began | None], Awaitable[Sequence[Any]]],
    ) -> None:
        self.parallel = parallel
        """So many statements of one query at once, at most."""
        self.in_use = in_use
        """How many connections are in use, by whatever query: what a statement takes is for all of these."""
        self.together = together
        """Runs calls in a form: the records of each, or None if their values cannot be run in it. It calls
        what it is given when it has a connection, and says whether that has prepared the statement."""
        self.alone = alone
        """Runs one call, and takes down when it has a connection."""


class Scheduler:
    """The concurrent calls of one variant of one query, for one tenant."""

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
        self._few = min(_FEW, runner.parallel)
        self._waiting: list[Waiting] = []
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._ends = 0
        """How many statements have ended."""
        self._stalled_since: float | None = None
        """Since when no statement has ended though calls wait."""
        self._sent = 0
        """Groups that take a place among the statements under way."""
        self._tasks: set[asyncio.Task[object]] = set()
        self._groups: set[Group] = set()
        self._watch: asyncio.TimerHandle | None = None
        """The next look at the groups that are under way."""
        self._until_measured = 0
        self.crowded = False
        """Whether many came together the last time: those who have their answers ask again at once."""
        self.in_progress = 0
        """Statements of this query that are running, those of single calls included."""

    def accepts(self) -> bool:
        """Whether a call should come here, and not go alone."""
        forms = self.forms
        if forms.prefers_alone and not forms.trial:
            return False
        if self.crowded or self._sent or self._waiting:
            return True
        return self.in_progress >= (self._few if forms.call_s < _CHEAP_S else self._runner.parallel)

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way and nobody waits."""
        return not (self.in_progress or self._waiting or self._tasks)

    def join(self, values: Values, call: Call | None) -> asyncio.Future[Sequence[Any]]:
        """Add a call to the next group; the future brings its records, or ``ALONE``."""
        future: asyncio.Future[Sequence[Any]] = self._loop.create_future()
        self._waiting.append((values, future, call))
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._send_scheduled)
        return future

    def abandoned(self) -> None:
        """A caller was cancelled: cancel the statements that nobody waits for any more."""
        for group in self._groups:
            if group.is_answered:
                self._stop(group)

    def begin(self) -> bool:
        """Count a call that goes alone, and say whether it should be measured."""
        self.in_progress += 1
        if 2 * self.in_progress < self._few:
            return False  # what a call costs matters if there are others
        self._until_measured -= 1
        if self._until_measured > 0 and self.forms.alone.known:
            return False
        self._until_measured = _SAMPLE
        return True

    def measured(self, elapsed_s: float, *, prepared: bool) -> None:
        """Take note of what a call that went alone took on its connection, which had its statement prepared
        or not.
        """
        self.forms.measured_alone(elapsed_s, prepared=prepared)

    def end(self) -> None:
        """Count a statement as ended: a call that went alone, or a group."""
        self.in_progress -= 1
        self._ends += 1
        if self._waiting and not self._scheduled:
            # When those who have their answer now had their turn: many ask again at once.
            self._scheduled = True
            self._loop.call_soon(self._send_scheduled)

    # --------------------------------------------------------------------------------------------------

    def _send_scheduled(self) -> None:
        self._scheduled = False
        self._send()

    def _send(self, *, beside: int = 0, patient: bool = True) -> None:
        """Send what waits in as many statements as may be under way, and ``beside`` more.

        ``patient``: a trial waits for the statements under way.
        """
        forms, parallel = self.forms, self._runner.parallel
        self.crowded = len(self._waiting) > self._few
        if forms.prefers_alone and self._waiting:
            # A trial begins when no other statement of the query runs: beside many it would seem slow.
            if not (patient and forms.trial and self.in_progress):
                self._send_alone()
        # If nothing is known yet of what a call costs, the first answer says it.
        elif forms.alone.known or beside or not self.in_progress:
            places = parallel - self.in_progress
            if forms.call_s < _CHEAP_S:
                places = _AT_ONCE - self._sent
            places = min(max(places, beside), parallel - self.in_progress)
            while self._waiting and places > 0:
                places -= self._send_group(-(-len(self._waiting) // places))
        if self._waiting and self._timer is None:
            self._timer = self._loop.call_later(_PATIENCE_S, self._on_timeout, self._ends)

    def _send_alone(self) -> None:
        """Send each call that waits alone; on trial, a few of them together before."""
        self.crowded = False
        if self.forms.trial:
            self.forms.trial = False
            self._send_group(max(_ON_TRIAL, self.forms.most(self.forms.pipelined, _TRIAL_S)))
        self._run_in_callers(len(self._waiting))

    def _run_in_callers(self, calls: int) -> None:
        """Have so many of the calls that wait run in their callers' tasks."""
        left, self._waiting = self._waiting[:calls], self._waiting[calls:]
        for _, future, _ in left:
            if not future.done():
                future.set_result(ALONE)

    def _send_group(self, share: int) -> int:
        """Send so many of those that wait, or as many as may go together; return how many statements it
        is.
        """
        forms = self.forms
        share = min(share, len(self._waiting), MAX_JOINED)
        form = forms.choose(share)
        if form is None:
            share, form = 1, forms.pipelined
        else:
            most = forms.most(form, _LONGEST_S)
            if isinstance(form, BatchedStatement):
                share = min(share, most)
            else:
                share = min(share, MAX_PIPELINED, most)
                share = fitting([values for values, _, _ in self._waiting[:share]], share)
        taken, self._waiting = self._waiting[:share], self._waiting[share:]
        calls = [call for call in taken if not call[1].done()]  # cancelled meanwhile
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
        self._send(beside=1 if ends == self._ends else 0, patient=False)
        if self._waiting and ends == self._ends:
            # All places are taken, and nothing ends: the calls wait for a connection by themselves, which has
            # a limit.
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
                # What is about to end by itself need not be cancelled, which costs more.
                self._loop.call_later(_PATIENCE_S, group.rescue.cancel)
            if group.counted:
                self._leave_place(group)

    async def _run_together(self, group: Group) -> None:
        calls = group.calls
        try:
            found = await self._runner.together(
                group.form, calls, lambda prepared: self._begin_group(group, prepared=prepared)
            )
        except PlainsqlError:
            raise  # no connection, or other columns: for none of them
        except Exception as error:  # noqa: BLE001 (one call's value, a time limit, a lost connection)
            if group.rescue is None:
                await self._run_again(group, error)
            else:
                group.is_refused = _state_of(error)[:2] in _NOT_UNDERSTOOD
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
            group.rescue_at = group.began + max(_PATIENCE_S, _SLOWER * expected_s)
            if self._watch is None:
                self._watch = self._loop.call_later(_PATIENCE_S, self._watch_groups)

    def _watch_groups(self) -> None:
        """Rescue the calls of groups that take long. One clock for all of them: a timer for each would
        cost more.
        """
        self._watch = None
        now = perf_counter()
        watched = [group for group in self._groups if group.rescue_at]
        for group in watched:
            if group.rescue_at <= now:
                group.rescue_at = 0.0
                self._rescue(group)
        if rest := [group.rescue_at for group in watched if group.rescue_at]:
            self._watch = self._loop.call_later(max(min(rest) - now, _MOMENT_S), self._watch_groups)

    @staticmethod
    def _end_in_time(group: Group, error: TimeoutError) -> None:
        """Have the calls that take too long fail now: those that have run alone nearly since the group
        began.
        """
        latest = group.began + _NEARLY * (perf_counter() - group.began)
        fail([call for call in group.calls if group.alone_since.get(call[1], latest) < latest], error)

    async def _run_again(self, group: Group, error: Exception) -> None:
        """Run the calls of a group that failed, so that the one that is to blame is alone with its error."""
        form, calls = group.form, group.calls
        if isinstance(form, BatchedStatement):
            form.forget()
        if (blamed := unfit_call(error)) is not None:
            rest = group.part([*calls[:blamed], *calls[blamed + 1 :]])
            await asyncio.gather(self._run_alone([calls[blamed]]), self._run_together(rest))
            return
        state = _state_of(error)
        if state[:2] in _NOT_UNDERSTOOD:
            if await self._run_alone(calls):
                self.forms.refuse(form)
        elif state and state[:2] != _INTERVENTION and len(calls) > _HALVED_FROM:
            half = len(calls) // 2
            await asyncio.gather(
                self._run_together(group.part(calls[:half])), self._run_together(group.part(calls[half:]))
            )
        else:
            await self._run_alone(calls)

    def _rescue(self, group: Group) -> None:
        """Run the calls of a group that takes long alone, beside it."""
        if group.counted:
            self._measure(group)  # it has cost the others this much
            self._leave_place(group)
        group.rescue = self._start(self._run_beside(group))

    async def _run_beside(self, group: Group) -> None:
        answered = await self._run_alone(group.calls, group.alone_since)
        if answered and group.is_refused:
            self.forms.refuse(group.form)
        if group in self._groups:
            self._stop(group)

    def _measure(self, group: Group) -> None:
        elapsed_s = perf_counter() - group.began
        self.forms.measured(group.form, elapsed_s, len(group.calls), self._runner.in_use() + 1)

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
        """Run each call by itself, and say whether one of them was answered; take down in ``began`` when each
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
                except Exception as error:  # noqa: BLE001 (it is the caller's)
                    if not future.done():
                        future.set_exception(error)
                else:
                    answered = True
                    if not future.done():
                        future.set_result(records)

        # No more at a time than there are connections: those that another answers meanwhile are not begun.
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
