"""One read for many sets of parameters: the text of the joined statement, and who gets which of its records.

Each set is a row of ``unnest`` over arrays of the parameters; the query stands in a lateral sub-select, where
each parameter is that row's column. It is planned with the same indexes as the query alone: a lateral
sub-select is run for each row, with the row's values as the index's keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from time import perf_counter
from typing import Any, NamedTuple

from plainsql.query import Plan, elements

__all__ = ["JoinedStatement", "ParameterType", "Values", "joined_sql"]

Values = tuple[object, ...]
"""The arguments of one call, in the order of ``$n``."""

# No query's text has these names by chance: a name that it could have, of a column say, would be found here
# where the query alone means something else by it, as in ``select row_to_json(n) from notes as n``.
_CALLS = "plainsql_call"
_READ = "plainsql_read"
_NUMBER = "plainsql_number"

_MEMORY = 0.2
"""The weight of the newest measurement in the running mean of a call's cost."""

_TAKES_LISTS = frozenset({"json", "jsonb", "vector", "halfvec", "sparsevec"})

# A type's name as a cast takes it: with the type modifier -1, `format_type` says `bpchar`, and not
# `character`, which would be read as `character(1)`. A domain has its base type's category.
_TYPES = """
select pg_catalog.format_type(t.oid, -1), t.typcategory = 'A', t.typcategory = 'C'
from unnest($1::oid[]) with ordinality as p (oid, n)
inner join pg_catalog.pg_type as t on t.oid = p.oid
order by p.n
"""


class ParameterType(NamedTuple):
    """What must be known of a parameter's type to make arrays of it."""

    name: str
    """As in a cast: ``uuid``, ``text[]``, ``shop.mood``."""
    is_array: bool
    is_composite: bool


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
        if self._sql is None:
            await self._describe(connection)
        arguments = self._columns(calls)
        if arguments is None:
            return None
        found: list[list[Any]] = [[] for _ in calls]
        began = perf_counter()
        records = await connection.fetch(self._sql, *arguments)
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

    async def _describe(self, connection: Any) -> None:
        parameters = (await connection.prepare(self._plan.sql)).get_parameters()
        described: list[Any] = []
        if parameters:
            described = await connection.fetch(_TYPES, [parameter.oid for parameter in parameters])
        self._types = [ParameterType(*row) for row in described]
        self._opaque = [parameter.name in _TAKES_LISTS for parameter in parameters]
        self._sql = joined_sql(self._plan, self._types)

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


def joined_sql(plan: Plan, types: Sequence[ParameterType]) -> str:
    """Make the text of the joined statement.

    Its arguments are, for each parameter in order, the array of its values; for a parameter that is an array
    itself all elements in one, and two arrays of ``int4`` with each call's bounds in it. Without parameters
    there is one argument: an array of ``int4`` with an element for each call. The last column is the call's
    number, from 1.
    """
    sources: list[str] = []
    names: list[str] = []
    made: list[str] = []
    """Columns that are not as ``unnest`` gives them."""
    number = 0
    for index, type_ in enumerate(types, 1):
        if type_.is_array:
            # Arrays of different lengths do not stack.
            sources += [f"${number + 2}::int4[]", f"${number + 3}::int4[]"]
            names += [f"plainsql_low{index}", f"plainsql_high{index}"]
            made.append(
                f"(${number + 1}::{type_.name})[plainsql_low{index}:plainsql_high{index}] as plainsql_{index}"
            )
            number += 3
        elif type_.is_composite:  # `unnest` would make a column of each of its fields
            made.append(f"(${number + 1}::{type_.name}[])[{_NUMBER}] as plainsql_{index}")
            sources.append(f"array_fill(0, array[coalesce(cardinality(${number + 1}::{type_.name}[]), 0)])")
            names.append(f"plainsql_same{index}")
            number += 1
        else:
            sources.append(f"${number + 1}::{type_.name}[]")
            names.append(f"plainsql_{index}")
            number += 1
    if not sources:
        sources, names = ["$1::int4[]"], ["plainsql_0"]
    calls = f"unnest({', '.join(sources)}) with ordinality"
    alias = f"({', '.join(names)}, {_NUMBER})"
    if made:
        # `offset 0` keeps the slices from being moved into the query, where each would be made for each row
        # it looks at.
        taken = [
            name for name in names if not name.startswith(("plainsql_low", "plainsql_high", "plainsql_same"))
        ]
        columns = ", ".join([*taken, *made, _NUMBER])
        calls = f"(select {columns} from {calls} as plainsql_raw {alias} offset 0)"
        alias = ""
    expressions = {
        name: f"{_CALLS}.plainsql_{index}" for index, name in enumerate(plan.variant.parameters, 1)
    }
    return (
        f"select {_READ}.*, {_CALLS}.{_NUMBER}::int4\n"
        f"from {calls} as {_CALLS} {alias}\n"
        f"cross join lateral (\n{plan.variant.substituted(expressions)}\n) as {_READ}"
    )


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
