"""The batched statement: one statement for many calls of a read by a unique key.

Each call is a row of ``unnest`` over arrays of the parameters. The query is a lateral sub-select, in which
each parameter is that row's column::

    select plainsql_read.*, plainsql_call.plainsql_number
    from unnest($1::uuid[]) with ordinality as plainsql_call (plainsql_1, plainsql_number)
    cross join lateral (
      select … where l.id = plainsql_call.plainsql_1
    ) as plainsql_read

In this form the planner does not see the values. So only a read whose parameters are all compared with a
unique key runs like this: it finds its one row by the same index, whatever the values are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any

from plainsql.database.execution import driver
from plainsql.database.execution.cost import Cost
from plainsql.database.execution.pipelined_statement import Values
from plainsql.database.execution.prepared_statements import parameters
from plainsql.database.execution.time_limit import TimeLimit
from plainsql.database.pool.tenant_settings import LocalSettings
from plainsql.query import CompiledQuery, QueryText, elements
from plainsql.statements.batched import PARAMETER_TYPES, ParameterType, batched_sql

__all__ = ["BatchedStatement"]

_TAKES_LISTS = frozenset({"json", "jsonb", "vector", "halfvec", "sparsevec"})


class BatchedStatement:
    """The batched form of one text of a query. It is made at the first use, which finds out the parameters'
    types.
    """

    __slots__ = ("_opaque", "_plan", "_query", "_sql", "_text", "_types", "cost", "refused")

    def __init__(self, query: CompiledQuery[Any, Any], text: QueryText) -> None:
        self._query = query
        self._text = text
        self._sql: str | None = None
        self._types: Sequence[ParameterType] = ()
        self._opaque: Sequence[bool] = ()
        """For each parameter, whether a list is one value of it, and not an array of values."""
        self._plan: Any = None
        self.cost = Cost()
        self.refused = "plainsql_" in text.sql  # it might contain one of our names
        """True if PostgreSQL accepts the query alone, but not in this form."""

    async def fetch(
        self, connection: Any, calls: Sequence[Values], settings: LocalSettings | None = None
    ) -> list[list[Any]] | None:
        """Run the query for each set of values and return the records of each, in the order of the calls.

        Return None if the values cannot be batched: one of them is an array of several dimensions.
        """
        sql = await self.make(connection)
        arguments = self.arguments(calls)
        if arguments is None:
            return None
        found: list[list[Any]] = [[] for _ in calls]
        for record in await driver.fetch(connection, sql, arguments, self._query, 1, settings):
            found[record[-1] - 1].append(record[:-1])
        return found

    @property
    def sql(self) -> str:
        """The text of the statement; empty before it is made."""
        return self._sql or ""

    async def fetch_rows(
        self, connection: Any, calls: Sequence[Values], settings: LocalSettings | None
    ) -> list[list[Any]] | None:
        """Run the query for each set of values and return the built rows of each, as `fetch` does the
        records. It has a ``plan``, and the connection the compiled protocol.
        """
        sql = await self.make(connection)
        arguments = self.arguments(calls)
        if arguments is None:
            return None
        limit = TimeLimit(connection)
        [step] = await driver.run_steps(
            connection,
            sql,
            [arguments],
            self._query,
            limit,
            own=1,
            settings=settings,
            plan=self.plan,
            calls=len(calls),
        )
        found: list[list[Any]] = step.reader.calls
        return found

    @property
    def plan(self) -> Any:
        """The plan by which the compiled part reads the statement's rows; None if they come as records."""
        plan = self._query.plan
        if plan is None or plan.columns is None or plan.finish is not None:
            return None
        if self._plan is None:
            self._plan = plan.with_more()
        return self._plan

    def forget(self) -> None:
        """Describe the parameters again at the next use: their types may have changed."""
        self._sql = None

    async def make(self, connection: Any) -> str:
        """Return the text of the statement, for which the parameters' types are read first."""
        return self._sql or await self._describe(connection)

    async def _describe(self, connection: Any) -> str:
        types = await parameters(connection, self._text.sql, self._query)
        described: list[Any] = []
        if types:
            described = await connection.fetch(PARAMETER_TYPES, [type_.oid for type_ in types])
        self._types = [ParameterType(*row) for row in described]
        self._opaque = [type_.name in _TAKES_LISTS for type_ in types]
        self._sql = batched_sql(self._text.variant, self._types)
        return self._sql

    def arguments(self, calls: Sequence[Values]) -> list[object] | None:
        """Return for each parameter the list of its values in all calls, as the statement's arguments.

        Return None if the values cannot be batched: one of them is an array of several dimensions.
        """
        if not self._types:
            return [[0] * len(calls)]
        arguments: list[object] = []
        for index, type_ in enumerate(self._types):
            column = [values[index] for values in calls]
            if not type_.is_array:
                if self._opaque[index]:
                    arguments.append(elements(column))
                elif _stacks(column):
                    arguments.append(column)
                else:
                    return None
                continue
            flat: list[object] = []
            lows: list[int | None] = []
            highs: list[int | None] = []
            for value in column:
                if value is None:  # a slice with a null bound is null
                    lows.append(None)
                    highs.append(None)
                    continue
                if not isinstance(value, list | tuple):
                    return None
                lows.append(len(flat) + 1)
                flat.extend(value)
                highs.append(len(flat))
            if not _stacks(flat):
                return None
            arguments += [flat, lows, highs]
        return arguments


def _stacks(values: Sequence[object]) -> bool:
    """Return whether no value would be taken for a part of the array, which would make it two-dimensional."""
    return not any(_is_part_of_array(kind) for kind in set(map(type, values)))


def _is_part_of_array(kind: type) -> bool:
    # asyncpg takes these types for a dimension. Tuples are composites to it.
    return (
        issubclass(kind, Iterable)
        and issubclass(kind, Sized)
        and not issubclass(kind, str | bytes | bytearray | memoryview | tuple | Mapping)
    )
