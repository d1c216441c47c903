"""Concurrent calls of one read, run as one statement.

Sixty-four tasks that each read one row by its key are sixty-four round trips, one after the other on each
connection. Their parameters as arrays are one::

    select plainsql_read.*, plainsql_call.plainsql_number
    from unnest($1::uuid[]) with ordinality as plainsql_call (plainsql_1, plainsql_number)
    cross join lateral (
      select … where l.id = plainsql_call.plainsql_1
    ) as plainsql_read

(`joined` makes this text.)
A few calls at a time take the direct path. Those that arrive while so many are under way wait until the loop
has gone round, or, where a joined statement is under way, until that ends; but never for one that hangs.

Only statements that are proved to change nothing and to depend on nothing but their parameters and tables are
joined. No caller meets another's trouble: where a joined statement fails, for one's bad value or for time,
each of its calls is run again alone.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from asyncpg import exceptions

from plainsql.database.joined import JoinedStatement, Values
from plainsql.database.observing import Call
from plainsql.errors import PlainsqlError

__all__ = ["Joiner", "Reader", "Waiting"]

MAX_CALLS = 256
"""At the most so many calls in one statement."""

_CHEAP = 0.0005
"""Seconds. What costs less for each call goes in few statements at a time: the next grows meanwhile.
What costs more is spread over the pool's connections, so that the server's other processors work on it
too."""

_AT_ONCE = 2
"""Joined statements of a cheap query under way: the server works on one while the other's rows are read here.
More of them are smaller, and a statement costs as much as the calls that it saves (measured: with three, 5 to
20 % less)."""

_FEW = 8
"""So many calls of a cheap query go alone, side by side, where there are the connections: a statement for so
few costs more than it saves."""

_LONGEST = 0.02
"""Seconds that a joined statement should take at the most: a caller waits for all that run with it."""

_PATIENCE = 0.005
"""Seconds in which one of the statements under way must end, before the calls that wait for it are sent
beside it: it may hang, on a connection that is cut or a lock."""

_NOT_UNDERSTOOD = ("42", "0A")
"""The classes of SQLSTATE by which PostgreSQL refuses a statement's text."""

Waiting = tuple[Values, asyncio.Future[Sequence[Any]], Call | None]
"""A call's arguments, what brings its records, and what is told of it afterwards."""


class Reader:
    """What a joiner needs of its database."""

    __slots__ = ("alone", "parallel", "together")

    def __init__(
        self,
        parallel: int,
        together: Callable[[list[Waiting]], Awaitable[list[list[Any]] | None]],
        alone: Callable[[Waiting], Awaitable[Sequence[Any]]],
    ) -> None:
        self.parallel = parallel
        """So many statements of one query at once, at the most."""
        self.together = together
        """Runs the joined statement: the records of each call, or None where they must be run alone."""
        self.alone = alone


class Joiner:
    """The concurrent calls of one variant of one query."""

    __slots__ = (
        "_ends",
        "_few",
        "_joined",
        "_loop",
        "_reader",
        "_running",
        "_scheduled",
        "_tasks",
        "_timer",
        "_waiting",
        "crowded",
        "statement",
        "under_way",
    )

    def __init__(self, statement: JoinedStatement, reader: Reader) -> None:
        self.statement = statement
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self._few = min(_FEW, reader.parallel)
        self._waiting: list[Waiting] = []
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._ends = 0
        """How many statements have ended."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: dict[asyncio.Task[None], list[Waiting]] = {}
        self._joined = 0
        """Joined statements that are running."""
        self.crowded = False
        """Whether many came together the last time: those who have their answers ask again at once."""
        self.under_way = 0
        """Statements of this query that are running, direct ones included."""

    def takes(self) -> bool:
        """Whether a call should come here, and not go alone."""
        under_way = self.under_way
        statement = self.statement
        if statement.refused:
            return False
        if self.crowded or self._joined or self._waiting:
            return True
        return under_way >= (self._few if statement.cost < _CHEAP else self._reader.parallel)

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way and nobody waits."""
        return not (self.under_way or self._waiting)

    def join(self, values: Values, call: Call | None) -> asyncio.Future[Sequence[Any]]:
        """Add a call to the next statement; the future brings its records."""
        future: asyncio.Future[Sequence[Any]] = self._loop.create_future()
        self._waiting.append((values, future, call))
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._send_scheduled)
        return future

    def abandoned(self) -> None:
        """A caller was cancelled: cancel the statements that nobody waits for any more."""
        for task, calls in list(self._running.items()):
            if all(future.done() for _, future, _ in calls):
                task.cancel()

    def ended(self) -> None:
        """A statement of this query is no longer under way."""
        self.under_way -= 1
        self._ends += 1
        if self._waiting and not self._scheduled:
            # When those who have their answer now had their turn: many ask again at once.
            self._scheduled = True
            self._loop.call_soon(self._send_scheduled)

    # --------------------------------------------------------------------------------------------------

    def _send_scheduled(self) -> None:
        self._scheduled = False
        self._send()

    def _send(self, *, beside: int = 0) -> None:
        """Send what waits in as many statements as may be under way, and ``beside`` more."""
        loop = self._loop
        self.crowded = len(self._waiting) > self._few
        cost, parallel = self.statement.cost, self._reader.parallel
        places = _AT_ONCE - self._joined if cost < _CHEAP else parallel - self.under_way
        places = min(max(places, beside), parallel - self.under_way)
        most = MAX_CALLS if cost * MAX_CALLS <= _LONGEST else max(int(_LONGEST / cost), 1)
        while self._waiting and places > 0:
            share = min(-(-len(self._waiting) // places), most)
            calls, self._waiting = self._waiting[:share], self._waiting[share:]
            calls = [call for call in calls if not call[1].done()]  # cancelled meanwhile
            if not calls:
                continue
            places -= 1
            self.under_way += 1
            self._joined += 1
            task = loop.create_task(self._run(calls))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._waiting and self._timer is None:
            self._timer = loop.call_later(_PATIENCE, self._lose_patience, self._ends)

    def _lose_patience(self, ends: int) -> None:
        self._timer = None
        if self._waiting:
            self._send(beside=1 if ends == self._ends else 0)

    async def _run(self, calls: list[Waiting]) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._running[task] = calls
        try:
            refusal = None
            if len(calls) > 1 and not self.statement.refused:
                joined, refusal = await self._run_joined(calls)
                if joined:
                    return
            answered = await self._run_alone(calls)
            if refusal is not None and answered:
                self.statement.refused = True
        except BaseException as error:
            self._fail(calls, error)
            if not isinstance(error, Exception):
                raise
        finally:
            if task is not None:
                del self._running[task]
            self._joined -= 1
            self.ended()

    async def _run_joined(self, calls: list[Waiting]) -> tuple[bool, Exception | None]:
        """Run calls as one statement and hand out the records.

        Returns False where they must be run alone, and with it the error where PostgreSQL does not understand
        the text.
        """
        try:
            found = await self._reader.together(calls)
        except PlainsqlError:
            raise  # there is no connection, for none of them
        except Exception as error:  # noqa: BLE001 (one caller's value, a limit, a column that cannot be decoded, a lost connection)
            self.statement.forget()
            state: str = getattr(error, "sqlstate", None) or ""
            understood = not (isinstance(error, exceptions.PostgresError) and state[:2] in _NOT_UNDERSTOOD)
            return False, None if understood else error
        if found is None:
            return False, None
        for (_, future, _), rows in zip(calls, found, strict=True):
            if not future.done():
                future.set_result(rows)
        return True, None

    async def _run_alone(self, calls: list[Waiting]) -> bool:
        """Run each call by itself, and say whether one of them was answered."""
        answered = False

        async def one(call: Waiting) -> None:
            nonlocal answered
            future = call[1]
            try:
                records = await self._reader.alone(call)
            except Exception as error:  # noqa: BLE001 (it is the caller's)
                if not future.done():
                    future.set_exception(error)
            else:
                answered = True
                if not future.done():
                    future.set_result(records)

        waiting = [call for call in calls if not call[1].done()]
        if len(waiting) == 1:
            await one(waiting[0])
        else:
            await asyncio.gather(*(one(call) for call in waiting))
        return answered

    @staticmethod
    def _fail(calls: list[Waiting], error: BaseException) -> None:
        """Give all callers the error, to each one of its own: a traceback and notes belong to one call."""
        for _, future, _ in calls:
            if future.done():
                continue
            if not isinstance(error, Exception):
                future.cancel()
            else:
                own = copy.copy(error)
                own.__cause__, own.__context__ = error.__cause__, error.__context__
                if notes := getattr(error, "__notes__", None):
                    own.__notes__ = list(notes)
                future.set_exception(own)
