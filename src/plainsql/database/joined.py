"""One read for many sets of parameters: the text of the joined statement, and who gets which of its records.

Each set is a row of ``unnest`` over arrays of the parameters; the query stands in a lateral sub-select, where
each parameter is that row's column. It is planned with the same indexes as the query alone: a lateral
sub-select is run for each row, with the row's values as the index's keys.
"""

from __future__ import annotations

from typing import Any

from plainsql.query import Plan, elements

__all__ = ["JoinedStatement", "Values"]

Values = tuple[object, ...]
"""The arguments of one call, in the order of ``$n``."""

_CALLS = "plainsql_call"
_READ = "plainsql_read"
_TAKES_LISTS = frozenset({"json", "jsonb", "vector", "halfvec", "sparsevec"})


class JoinedStatement:
    """The joined form of one variant of a query. Its text is made at the first use: it needs the parameters'
    types.
    """

    __slots__ = ("_arrays", "_opaque", "_plan", "_sql")

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._sql: str | None = None
        self._arrays: tuple[bool, ...] = ()
        """Of each parameter, whether it is an array itself."""
        self._opaque: tuple[bool, ...] = ()
        """Of each parameter, whether a list is one value of it, and must not be taken for an array of
        values."""

    async def fetch(self, connection: Any, calls: list[Values]) -> list[list[Any]] | None:
        """Run the query for each set of values and return each one's records, in the order of the calls.

        None where these values cannot be joined: an array of more than one dimension is among them.
        """
        if self._sql is None:
            self._compile((await connection.prepare(self._plan.sql)).get_parameters())
        arguments = self._columns(calls)
        if arguments is None:
            return None
        found: list[list[Any]] = [[] for _ in calls]
        for record in await connection.fetch(self._sql, *arguments):
            found[record[-1] - 1].append(record[:-1])
        return found

    def _compile(self, types: Any) -> None:
        self._arrays = tuple(type.kind == "array" for type in types)
        self._opaque = tuple(type.name in _TAKES_LISTS for type in types)
        sources, columns = [], []
        expressions: dict[str, str] = {}
        number = 0
        for index, (name, type) in enumerate(zip(self._plan.variant.parameters, types, strict=True), 1):
            if self._arrays[index - 1]:
                # Arrays of different lengths do not stack: all elements in one, and each call's bounds in it.
                sources += [f"${number + 2}::int4[]", f"${number + 3}::int4[]"]
                columns += [f"low{index}", f"high{index}"]
                whole = f"${number + 1}::{_type_name(type)}"
                expressions[name] = f"(({whole})[{_CALLS}.low{index}:{_CALLS}.high{index}])"
                number += 3
            else:
                sources.append(f"${number + 1}::{_type_name(type)}[]")
                columns.append(f"p{index}")
                expressions[name] = f"{_CALLS}.p{index}"
                number += 1
        if not sources:  # no parameters: as many calls as there are elements
            sources, columns = ["$1::int4[]"], ["p0"]
        self._sql = (
            f"select {_READ}.*, {_CALLS}.n::int4\n"
            f"from unnest({', '.join(sources)}) with ordinality as {_CALLS} ({', '.join(columns)}, n)\n"
            f"cross join lateral (\n{self._plan.variant.substituted(expressions)}\n) as {_READ}"
        )

    def _columns(self, calls: list[Values]) -> list[object] | None:
        """Turn the calls' values around: what was a value in each is a list for all."""
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
                if value is None:  # a slice with a null bound is null
                    lows.append(None)
                    highs.append(None)
                    continue
                if not isinstance(value, list | tuple) or any(isinstance(part, list) for part in value):
                    return None
                lows.append(len(flat) + 1)
                flat.extend(value)
                highs.append(len(flat))
            arguments += [flat, lows, highs]
        return arguments


def _type_name(type: Any) -> str:
    """A type as SQL, quoted: from the server's own catalogue, not from a caller."""
    name = type.name.removesuffix("[]")
    suffix = "[]" if type.kind == "array" else ""
    return ".".join('"' + part.replace('"', '""') + '"' for part in (type.schema, name)) + suffix
