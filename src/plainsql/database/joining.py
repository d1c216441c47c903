"""Concurrent calls of one read, run as one statement.

Sixty-four tasks that each read one row by its key are sixty-four round trips, one after the other on each
connection. Their parameters as arrays are one::

    select plainsql_read.*, plainsql_call.n
    from unnest($1::uuid[]) with ordinality as plainsql_call (p1, n)
    cross join lateral (
      select … where l.id = plainsql_call.p1
    ) as plainsql_read

(`joined` makes this text.)
A lone call never comes here: it takes the direct path. Calls that arrive while another of the same query is
under way wait until the loop has gone round, or, where enough are under way, until one of these ends.

Only statements that are proved to change nothing and to depend on nothing but their parameters and tables are
joined. No caller meets another's trouble: where a joined statement fails, for one's bad value or for time,
each of its calls is run again alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from plainsql.database.failure import is_lost
from plainsql.database.joined import JoinedStatement, Values
from plainsql.database.leases import Lease
from plainsql.query import Plan

__all__ = ["Joiner", "Reader"]

MAX_CALLS = 256
"""At the most so many calls in one statement."""

_CHEAP = 0.0003
"""Seconds. What costs less for each call goes one statement at a time: the next grows while it is under way.
What costs more is spread over the pool's connections, so that the server's other processors work on it
too."""

_MEMORY = 0.2
"""The weight of the newest measurement in the running mean of a call's cost."""

Call = tuple[Values, asyncio.Future[Sequence[Any]]]


class Reader:
    """What a joiner needs of its database: connections, and a way to run a call alone."""

    __slots__ = ("alone", "give_back", "parallel", "retire", "take")

    def __init__(
        self,
        parallel: int,
        take: Callable[[], Awaitable[Lease]],
        give_back: Callable[[Lease], None],
        retire: Callable[[Lease], None],
        alone: Callable[[Plan, Values], Awaitable[Sequence[Any]]],
    ) -> None:
        self.parallel = parallel
        """So many statements of one query at once, at the most."""
        self.take = take
        self.give_back = give_back
        self.retire = retire
        self.alone = alone


class Joiner:
    """The concurrent calls of one variant of one query."""

    __slots__ = ("_cost", "_joined", "_plan", "_reader", "_scheduled", "_tasks", "_waiting", "under_way")

    def __init__(self, plan: Plan, joined: JoinedStatement, reader: Reader) -> None:
        self._plan = plan
        self._joined = joined
        self._reader = reader
        self._cost = 0.0
        """Seconds a call of a joined statement takes: a running mean."""
        self._waiting: list[Call] = []
        self._scheduled = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.under_way = 0
        """Statements of this query that are running, direct ones included."""

    def join(self, values: Values) -> asyncio.Future[Sequence[Any]]:
        """Add a call to the next statement; the future brings its records."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Sequence[Any]] = loop.create_future()
        self._waiting.append((values, future))
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._send)
        return future

    def ended(self) -> None:
        """A statement of this query is no longer under way."""
        self.under_way -= 1
        if self._waiting and not self._scheduled:
            self._send()

    def _send(self) -> None:
        self._scheduled = False
        loop = asyncio.get_running_loop()
        places = (1 if self._cost < _CHEAP else self._reader.parallel) - self.under_way
        while self._waiting and places > 0:
            share = min(-(-len(self._waiting) // places), MAX_CALLS)
            calls, self._waiting = self._waiting[:share], self._waiting[share:]
            calls = [call for call in calls if not call[1].done()]  # cancelled meanwhile
            if not calls:
                continue
            places -= 1
            self.under_way += 1
            task = loop.create_task(self._run(calls))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, calls: list[Call]) -> None:
        try:
            if len(calls) == 1 or not await self._run_joined(calls):
                await self._run_alone(calls)
        except BaseException as error:
            for _, future in calls:
                if not future.done():
                    if isinstance(error, asyncio.CancelledError):
                        future.cancel()
                    else:
                        future.set_exception(error)
            if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | SystemExit):
                raise
        finally:
            self.ended()

    async def _run_joined(self, calls: list[Call]) -> bool:
        """Run calls as one statement and hand out the records; return False where they must be run alone."""
        lease = await self._reader.take()
        try:
            loop = asyncio.get_running_loop()
            began = loop.time()
            found = await self._joined.fetch(lease.connection, [values for values, _ in calls])
            self._cost += _MEMORY * ((loop.time() - began) / len(calls) - self._cost)
        except Exception as error:  # noqa: BLE001 (each call then meets its own, alone)
            # One caller's value, or a limit of the server's: also what the driver says of a value it cannot
            # encode. Or the connection is lost.
            if is_lost(error) or isinstance(error, TimeoutError | OSError):
                self._reader.retire(lease)
            else:
                self._reader.give_back(lease)
            return False
        except BaseException:
            self._reader.retire(lease)
            raise
        self._reader.give_back(lease)
        if found is None:
            return False
        for (_, future), rows in zip(calls, found, strict=True):
            if not future.done():
                future.set_result(rows)
        return True

    async def _run_alone(self, calls: list[Call]) -> None:
        async def one(values: Values, future: asyncio.Future[Sequence[Any]]) -> None:
            try:
                records = await self._reader.alone(self._plan, values)
            except Exception as error:  # noqa: BLE001 (it goes to its caller)
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(records)

        waiting = [call for call in calls if not call[1].done()]
        if len(waiting) == 1:
            await one(*waiting[0])
        else:
            await asyncio.gather(*(one(*call) for call in waiting))
