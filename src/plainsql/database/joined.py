"""One read for many sets of parameters: the text of the joined statement, and who gets which of its records.

Each set is a row of ``unnest`` over arrays of the parameters; the query stands in a lateral sub-select, where
each parameter is that row's column. It is planned with the same indexes as the query alone: a lateral
sub-select is run for each row, with the row's values as the index's keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from time import perf_counter
from typing import Any

from plainsql.database import driver
from plainsql.query import Plan, elements
from plainsql.statements.joined import PARAMETER_TYPES, ParameterType, joined_sql

__all__ = ["JoinedStatement", "Values"]

Values = tuple[object, ...]
"""The arguments of one call, in the order of ``$n``."""

_MEMORY = 0.2
"""The weight of the newest measurement in the running mean of a call's cost."""

_TAKES_LISTS = frozenset({"json", "jsonb", "vector", "halfvec", "sparsevec"})


class JoinedStatement:
    """The joined form of one variant of a query. Its text is made at the first use: it needs the parameters'
    types.
    """

    __slots__ = ("_last", "_opaque", "_plan", "_sql", "_types", "cost", "refused")

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._sql: str | None = None
        self._types: Sequence[ParameterType] = ()
        self._opaque: Sequence[bool] = ()
        """Of each parameter, whether a list is one value of it, and must not be taken for an array of
        values."""
        self.cost = 0.0
        """Seconds that a call takes, its share of the round trip included: a running mean."""
        self._last = 0.0
        self.refused = "plainsql_" in plan.sql  # it might mean one of our names
        """True where PostgreSQL takes the query alone, but not in this form."""

    async def fetch(self, connection: Any, calls: Sequence[Values]) -> list[list[Any]] | None:
        """Run the query for each set of values and return each one's records, in the order of the calls.

        None where these values cannot be joined: an array of more than one dimension is among them.
        """
        sql = self._sql or await self._describe(connection)
        arguments = self._columns(calls)
        if arguments is None:
            return None
        found: list[list[Any]] = [[] for _ in calls]
        began = perf_counter()
        records = await driver.fetch(connection, sql, arguments)
        self.measured((perf_counter() - began) / len(calls))
        for record in records:
            found[record[-1] - 1].append(record[:-1])
        return found

    def measured(self, seconds: float) -> None:
        """Take note of what a call has cost."""
        # Of two in a row the lesser one: the first on each connection prepares, and now and then one waits
        # for a lock. Bounded, so that a longer time of trouble is soon forgotten.
        self.cost += _MEMORY * (min(seconds, self._last, 0.05) - self.cost)
        self._last = seconds

    def forget(self) -> None:
        """Describe the parameters anew at the next use: their types may have changed under us."""
        self._sql = None

    async def _describe(self, connection: Any) -> str:
        parameters = (await connection.prepare(self._plan.sql)).get_parameters()
        described: list[Any] = []
        if parameters:
            described = await connection.fetch(PARAMETER_TYPES, [parameter.oid for parameter in parameters])
        self._types = [ParameterType(*row) for row in described]
        self._opaque = [parameter.name in _TAKES_LISTS for parameter in parameters]
        self._sql = joined_sql(self._plan.variant, self._types)
        return self._sql

    def _columns(self, calls: Sequence[Values]) -> list[object] | None:
        """Turn the calls' values around: what was a value in each is a list for all."""
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
    """Whether no value would be taken for a part of the array, and make it one of two dimensions."""
    return not any(_is_part_of_array(kind) for kind in set(map(type, values)))


def _is_part_of_array(kind: type) -> bool:
    # What asyncpg takes for a dimension; tuples are composites to it.
    return (
        issubclass(kind, Iterable)
        and issubclass(kind, Sized)
        and not issubclass(kind, str | bytes | bytearray | memoryview | tuple | Mapping)
    )
