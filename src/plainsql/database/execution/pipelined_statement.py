"""The pipelined statement: one read for many calls, prepared once and executed for each, in one round trip.

The statement is the query itself, with the number of the call after each row, so that the rows can be
assigned::

    select plainsql_read.*, $2::int4 from (
      select … where l.id = $1
    ) as plainsql_read

PostgreSQL plans it like the query, with one Subquery Scan on top, and executes it for each call by itself.
The rows, their order and the indexes are those of the query alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from plainsql.database.execution import driver
from plainsql.database.execution.asyncpg_version import PIPELINES_RETURN_ROWS
from plainsql.database.execution.cost import Cost
from plainsql.database.execution.wire_size import wire_size
from plainsql.query import CompiledQuery, QueryText

__all__ = [
    "MAX_PIPELINE_BYTES",
    "PipelinedStatement",
    "Values",
    "fitting",
    "is_one_piece",
    "pieces",
    "unfit_call",
]

Values = tuple[object, ...]
"""The arguments of one call, in the order of ``$n``."""

MAX_PIPELINE_BYTES = 96 * 1024
"""The most bytes of a pipeline's arguments. asyncpg encodes less than 128 kB before it sends anything, and
sends that in one piece. Beyond that it waits for the socket between pieces: a caller that is cancelled there,
or whose connection is cut, never returns, and a part of what does not fit is executed already."""

_ONE_PIECE_CALLS = 3
"""So many calls are one piece whatever their size: asyncpg closes a buffer after the argument that fills it,
and sends four."""

_OVERHEAD_BYTES = 104
"""Bytes of the messages around one call's arguments, with some tens of columns that travel as text."""

_ELEMENT = re.compile(r"invalid input for query argument \$\d+ in element #(\d+) of")


class PipelinedStatement:
    """The pipelined form of one text of a query."""

    __slots__ = ("_query", "cost", "refused", "sql")

    def __init__(self, query: CompiledQuery[Any, Any], text: QueryText) -> None:
        number = len(text.variant.parameters) + 1
        self.sql = f"select plainsql_read.*, ${number}::int4 from (\n{text.sql}\n) as plainsql_read"
        self._query = query
        self.cost = Cost()
        # The text might contain one of our names. Without rows from a pipeline, calls go alone, in parallel.
        self.refused = "plainsql_" in text.sql or not PIPELINES_RETURN_ROWS
        """True if PostgreSQL accepts the query alone, but not in this form: it returns 1,664 columns."""

    async def fetch(self, connection: Any, calls: Sequence[Values]) -> list[list[Any]]:
        """Run the query for each set of values and return the records of each, in the order of the calls."""
        found: list[list[Any]] = [[] for _ in calls]
        numbered = [(*values, number) for number, values in enumerate(calls)]
        for record in await driver.fetch_many(connection, self.sql, numbered, self._query, 1):
            found[record[-1]].append(record[:-1])
        return found


def fitting(calls: Sequence[Values], most: int) -> int:
    """Return how many of the first calls, at most ``most``, make a pipeline that is sent in one piece."""
    size = 0
    for number, values in enumerate(calls[:most]):
        size += _OVERHEAD_BYTES + wire_size(values)
        if size > MAX_PIPELINE_BYTES:
            return max(number, min(_ONE_PIECE_CALLS, most, len(calls)))
    return min(most, len(calls))


def is_one_piece(calls: Sequence[Values]) -> bool:
    """Return whether the calls make one pipeline that is sent in one piece."""
    return fitting(calls, len(calls)) == len(calls)


def pieces(calls: Sequence[Values]) -> Iterator[tuple[int, Sequence[Values]]]:
    """Divide calls into pipelines that are each sent in one piece; yield each with the index of its first."""
    start = size = 0
    for number, values in enumerate(calls):
        own = _OVERHEAD_BYTES + wire_size(values)
        size += own
        if size > MAX_PIPELINE_BYTES and number - start >= _ONE_PIECE_CALLS:
            yield start, calls[start:number]
            start, size = number, own
    if start < len(calls):
        yield start, calls[start:]


def unfit_call(error: BaseException) -> int | None:
    """Return the index of the call whose arguments asyncpg could not encode, or None for another error."""
    found = _ELEMENT.match(str(error))
    return int(found[1]) if found else None
