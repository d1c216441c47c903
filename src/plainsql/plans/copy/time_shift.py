"""Times in statistics, moved along with the clock: the copy plans as production did when they were read.

Queries compare times with ``now()``. A month later the histograms of such columns would end a month ago, and
a plan would change without a change of the query, the schema or the statistics.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import psycopg

from plainsql.plans.copy.catalog_of_copy import CopiedTable
from plainsql.plans.statistics.production_statistics import (
    ColumnStatistics,
    IndexStatistics,
    TableStatistics,
)

__all__ = ["move_times"]

_MIN_SHIFT: Final = timedelta(hours=1)
"""Younger statistics are loaded as they are, so that plans equal production's to the cent."""
_VALUES: Final = ("most_common_vals", "histogram_bounds")
_ENDS: Final = ("first", "last")
_TYPES: Final = """
select n.nspname, c.relname, a.attname, a.atttypid::pg_catalog.regtype::text
from pg_catalog.pg_attribute as a
inner join pg_catalog.pg_class as c on a.attrelid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where
  a.attnum > 0
  and not a.attisdropped
  and a.atttypid in ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
"""
_MOVED: Final = """
select case x.type
  when 'date' then (
    select array_agg(v + x.days order by n)::text from unnest(x.value::date[]) with ordinality as u (v, n)
  )
  when 'timestamp without time zone' then (
    select array_agg(v + make_interval(secs => x.seconds) order by n)::text
    from unnest(x.value::timestamp[]) with ordinality as u (v, n)
  )
  else (
    select array_agg(v + make_interval(secs => x.seconds) order by n)::text
    from unnest(x.value::timestamptz[]) with ordinality as u (v, n)
  )
end
from jsonb_to_recordset(%s::jsonb)
  as x (number integer, type text, value text, days integer, seconds double precision)
order by x.number
"""


def move_times(
    connection: psycopg.Connection[Any],
    tables: Sequence[CopiedTable],
    schemas: Mapping[str, Mapping[str, TableStatistics]],
    taken: datetime,
) -> None:
    """Move the times in statistics by their age, in place, if that is an hour or more.

    Values that are no times are left as well, as those of a column that had another type.

    Args:
        connection: to the copy, with the formats of the statistics' values.
        tables: those of the copy.
        schemas: the statistics of each table, by schema and name.
        taken: the time at which they were read.
    """
    now: datetime = connection.execute("select pg_catalog.now()").fetchall()[0][0]
    if abs(now - taken) < _MIN_SHIFT:
        return
    places = [*_places(connection, tables, schemas)]
    facts = {"seconds": (now - taken).total_seconds(), "days": (now.date() - taken.date()).days}
    moved = _moved(
        connection,
        [{"number": at, "type": each.type, "value": each.array, **facts} for at, each in enumerate(places)],
    )
    for place, array in zip(places, moved, strict=True):
        if array is not None:
            setattr(place.owner, place.field, array.strip('{}"') if place.is_end else array)


@dataclass(frozen=True, slots=True)
class _Place:
    """One field of the statistics with times."""

    owner: ColumnStatistics | IndexStatistics
    field: str
    type: str

    @property
    def is_end(self) -> bool:
        """True for an end of an index: one value, and no array."""
        return isinstance(self.owner, IndexStatistics)

    @property
    def array(self) -> str:
        """The values as PostgreSQL writes an array."""
        text: str = getattr(self.owner, self.field)
        return f'{{"{text}"}}' if self.is_end else text


def _places(
    connection: psycopg.Connection[Any],
    tables: Sequence[CopiedTable],
    schemas: Mapping[str, Mapping[str, TableStatistics]],
) -> Iterator[_Place]:
    types = {(s, table, column): kind for s, table, column, kind in connection.execute(_TYPES).fetchall()}
    for table in tables:
        found = schemas.get(table.schema, {}).get(table.name)
        if found is None:
            continue
        owners: list[tuple[str, ColumnStatistics | IndexStatistics, tuple[str, ...]]] = [
            (column, own, _VALUES)
            for columns in (found.columns, found.inherited)
            for column, own in columns.items()
        ]
        owners += [
            (index.keys[0], found.indexes[index.name], _ENDS)
            for index in table.indexes
            if index.name in found.indexes
        ]
        for column, owner, fields in owners:
            kind = types.get((table.schema, table.name, column))
            if kind is not None:
                yield from (
                    _Place(owner, field, kind) for field in fields if getattr(owner, field) is not None
                )


def _moved(connection: psycopg.Connection[Any], rows: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """Return the moved arrays; None for one with a value that is no time."""
    try:
        found = connection.execute(_MOVED, [msgspec.json.encode(rows).decode()]).fetchall()
    except psycopg.DataError:
        return [None] if len(rows) == 1 else [array for row in rows for array in _moved(connection, [row])]
    return [array for (array,) in found]
