"""One read for many sets of arguments, sent in one round trip: a statement, prepared once and executed for
each.

The statement is the query itself with the number of the call behind each row, so that the rows can be told
apart::

    select plainsql_read.*, $2::int4 from (
      select … where l.id = $1
    ) as plainsql_read

PostgreSQL plans it as it plans the query, but for one Subquery Scan on top, and executes it for each set by
itself: the rows, their order and the indexes are those of the query alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from plainsql.database.execution import driver
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
"""What the arguments of a pipeline may take: asyncpg encodes less than 128 kB before it sends anything, and
sends it in one piece. Beyond that it waits for the socket between pieces: a caller who is cancelled there, or
whose connection is cut, never returns, and of what does not fit a part is executed already."""

_ONE_PIECE = 3
"""So many calls are one piece whatever they take: asyncpg closes a buffer behind the argument that fills
it, and sends four."""

_OVERHEAD = 104
"""Bytes of the messages around one call's arguments, some tens of columns that travel as text included."""

_ELEMENT = re.compile(r"invalid input for query argument \$\d+ in element #(\d+) of")


class PipelinedStatement:
    """The pipelined form of one variant of a query."""

    __slots__ = ("_query", "cost", "refused", "sql")

    def __init__(self, query: CompiledQuery[Any, Any], text: QueryText) -> None:
        number = len(text.variant.parameters) + 1
        self.sql = f"select plainsql_read.*, ${number}::int4 from (\n{text.sql}\n) as plainsql_read"
        self._query = query
        self.cost = Cost()
        self.refused = "plainsql_" in text.sql  # it might mean one of our names
        """True if PostgreSQL takes the query alone, but not in this form: it returns 1,664 columns."""

    async def fetch(self, connection: Any, calls: Sequence[Values]) -> list[list[Any]]:
        """Run the query for each set of values and return each one's records, in the order of the calls."""
        found: list[list[Any]] = [[] for _ in calls]
        numbered = [(*values, number) for number, values in enumerate(calls)]
        for record in await driver.fetch_many(connection, self.sql, numbered, self._query, 1):
            found[record[-1]].append(record[:-1])
        return found


def fitting(calls: Sequence[Values], most: int) -> int:
    """Return how many of the first calls, up to ``most``, make a pipeline that is sent in one piece."""
    size = 0
    for number, values in enumerate(calls[:most]):
        size += _OVERHEAD + wire_size(values)
        if size > MAX_PIPELINE_BYTES:
            return max(number, min(_ONE_PIECE, most, len(calls)))
    return min(most, len(calls))


def is_one_piece(calls: Sequence[Values]) -> bool:
    """Whether calls make one pipeline that is sent in one piece."""
    return fitting(calls, len(calls)) == len(calls)


def pieces(calls: Sequence[Values]) -> Iterator[tuple[int, Sequence[Values]]]:
    """Divide calls into pipelines that are each sent in one piece; with each, the position of its first."""
    start = size = 0
    for number, values in enumerate(calls):
        own = _OVERHEAD + wire_size(values)
        size += own
        if size > MAX_PIPELINE_BYTES and number - start >= _ONE_PIECE:
            yield start, calls[start:number]
            start, size = number, own
    if start < len(calls):
        yield start, calls[start:]


def unfit_call(error: BaseException) -> int | None:
    """Return the number of the call whose arguments asyncpg could not encode, if that is what an error
    says.
    """
    found = _ELEMENT.match(str(error))
    return int(found[1]) if found else None
