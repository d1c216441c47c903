"""Concurrent calls of one read, run as one statement.

Sixty-four tasks that each read one row by its key are sixty-four round trips, one after the other on each connection.
Their parameters as arrays are one::

    select plainsql_read.*, plainsql_call.n
    from unnest($1::uuid[]) with ordinality as plainsql_call (p1, n)
    cross join lateral (
      select … where l.id = plainsql_call.p1
    ) as plainsql_read

A lone call never comes here: it takes the direct path. Calls that arrive while another of the same query is under way
wait until the loop has gone round, or, where enough are under way, until one of these ends.

Only statements that are proved to change nothing and to depend on nothing but their parameters and tables are joined.
No caller meets another's trouble: where a joined statement fails, for one's bad value or for time, each of its calls is
run again alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from asyncpg import exceptions

from plainsql.database.leases import Lease
from plainsql.query import Plan, elements

__all__ = ["Joiner", "Reader"]

_CALLS = "plainsql_call"
_READ = "plainsql_read"

MAX_CALLS = 256
"""At the most so many calls in one statement."""

_CHEAP = 0.0003
"""Seconds. What costs less for each call goes one statement at a time: the next grows while it is under way. What
costs more is spread over the pool's connections, so that the server's other processors work on it too."""

_MEMORY = 0.2
"""The weight of the newest measurement in the running mean of a call's cost."""

_TAKES_LISTS = frozenset({"json", "jsonb", "vector", "halfvec", "sparsevec"})

Values = tuple[object, ...]
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

    __slots__ = ("_arrays", "_cost", "_opaque", "_plan", "_reader", "_scheduled", "_sql", "_tasks", "_waiting", "under_way")

    def __init__(self, plan: Plan, reader: Reader) -> None:
        self._plan = plan
        self._reader = reader
        self._sql: str | None = None
        self._arrays: tuple[bool, ...] = ()
        """Of each parameter, whether it is an array itself."""
        self._opaque: tuple[bool, ...] = ()
        """Of each parameter, whether a list is one value of it, and must not be taken for an array of values."""
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
            if self._sql is None:
                await self._compile(lease.connection)
            arguments = self._columns([values for values, _ in calls])
            if arguments is None:
                self._reader.give_back(lease)
                return False
            loop = asyncio.get_running_loop()
            began = loop.time()
            records = await lease.connection.fetch(self._sql, *arguments)
            self._cost += _MEMORY * ((loop.time() - began) / len(calls) - self._cost)
        except exceptions.PostgresError:
            # One caller's value, or a limit of the server's: also what the driver says of a value it cannot encode.
            self._reader.give_back(lease)
            return False
        except (exceptions.InterfaceError, OSError, TimeoutError):
            self._reader.retire(lease)
            return False
        except BaseException:
            self._reader.retire(lease)
            raise
        self._reader.give_back(lease)
        found: list[list[Any]] = [[] for _ in calls]
        for record in records:
            found[record[-1] - 1].append(record[:-1])
        for (_, future), rows in zip(calls, found, strict=True):
            if not future.done():
                future.set_result(rows)
        return True

    async def _run_alone(self, calls: list[Call]) -> None:
        async def one(values: Values, future: asyncio.Future[Sequence[Any]]) -> None:
            try:
                records = await self._reader.alone(self._plan, values)
            except Exception as error:
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

    async def _compile(self, connection: Any) -> None:
        """Make the joined text, with the parameters' types as the server knows them."""
        statement = await connection.prepare(self._plan.sql)
        types = statement.get_parameters()
        self._arrays = tuple(type.kind == "array" for type in types)
        self._opaque = tuple(type.name in _TAKES_LISTS for type in types)
        names = self._plan.variant.parameters
        sources, columns, expressions = [], [], {}
        number = 0
        for index, (name, type) in enumerate(zip(names, types, strict=True), 1):
            if self._arrays[index - 1]:
                # Arrays of different lengths do not stack: all elements in one, and each call's bounds in it.
                whole = f"${number + 1}::{_type_name(type)}"
                sources += [f"${number + 2}::int4[]", f"${number + 3}::int4[]"]
                columns += [f"low{index}", f"high{index}"]
                expressions[name] = f"(({whole})[{_CALLS}.low{index}:{_CALLS}.high{index}])"
                number += 3
            else:
                sources.append(f"${number + 1}::{_type_name(type)}[]")
                columns.append(f"p{index}")
                expressions[name] = f"{_CALLS}.p{index}"
                number += 1
        if not sources:  # no parameters: all calls are one
            sources, columns = ["$1::int4[]"], ["p0"]
        self._sql = (
            f"select {_READ}.*, {_CALLS}.n::int4\n"
            f"from unnest({', '.join(sources)}) with ordinality as {_CALLS} ({', '.join(columns)}, n)\n"
            f"cross join lateral (\n{self._plan.variant.substituted(expressions)}\n) as {_READ}"
        )

    def _columns(self, calls: list[Values]) -> list[object] | None:
        """Turn the calls' values around: a list a parameter. None where an array has more than one dimension."""
        if not self._arrays:
            return [[0] * len(calls)]
        arguments: list[object] = []
        for index, is_array in enumerate(self._arrays):
            column = [values[index] for values in calls]
            if not is_array:
                arguments.append(elements(column) if self._opaque[index] else column)
                continue
            flat: list[object] = []
            lows: list[int | None] = []
            highs: list[int | None] = []
            for value in column:
                if value is None:
                    lows.append(None)
                    highs.append(None)
                    continue
                if not isinstance(value, list | tuple) or any(isinstance(e, list) for e in value):
                    return None
                lows.append(len(flat) + 1)
                flat.extend(value)
                highs.append(len(flat))
            arguments += [flat, lows, highs]
        return arguments


def _type_name(type: Any) -> str:
    """A type as SQL, quoted: from the server's own catalogue, not from a caller."""
    name = type.name.removesuffix("[]")
    if type.kind == "array":
        name = name.removeprefix("_")
        suffix = "[]"
    else:
        suffix = ""
    quoted = ".".join('"' + part.replace('"', '""') + '"' for part in (type.schema, name))
    return quoted + suffix
