"""Values that a column has often, rarely and never, drawn from the statistics of the database.

Values are texts in PostgreSQL's form.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from psycopg import Connection, RawCursor

from plainsql.plans.explain.compared_columns import Comparison

__all__ = [
    "ColumnStatistics",
    "TypicalValues",
    "ValueType",
    "array_text",
    "read_columns",
    "read_types",
    "values_of",
]

_COLUMNS = """
select distinct on (c.oid, a.attnum)
  c.oid::int8,
  a.attnum::int4,
  a.atttypid::int8,
  a.atttypmod::int4,
  n.nspname || '.' || c.relname || '.' || a.attname,
  s.most_common_vals::text::text[],
  s.histogram_bounds::text::text[],
  s.most_common_elems::text::text[]
from unnest($1::oid[], $2::int2[]) as w (relation, number)
inner join pg_catalog.pg_class as c on w.relation = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
inner join pg_catalog.pg_attribute as a on c.oid = a.attrelid and w.number = a.attnum
left join pg_catalog.pg_stats as s
  on n.nspname = s.schemaname and c.relname = s.tablename and a.attname = s.attname
order by c.oid, a.attnum, s.inherited desc nulls last
"""
_TYPES = """
select
  t.oid::int8,
  coalesce(b.oid, t.oid)::int8,
  coalesce(b.typname, t.typname)::text,
  coalesce(b.typcategory, t.typcategory)::text,
  coalesce(b.typelem, t.typelem)::int8,
  array(
    select e.enumlabel::text from pg_catalog.pg_enum as e
    where e.enumtypid = coalesce(b.oid, t.oid)
    order by e.enumsortorder
  ),
  (
    select count(*)::int4 from pg_catalog.pg_attribute as a
    where t.typrelid <> 0 and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
  )
from unnest($1::oid[]) as w (oid)
inner join pg_catalog.pg_type as t on w.oid = t.oid
left join pg_catalog.pg_type as b on t.typtype = 'd' and t.typbasetype = b.oid
"""

_BELOW: Final = frozenset({"<", "<="})
_ABOVE: Final = frozenset({">", ">="})
_VECTORS: Final = frozenset({"vector", "halfvec"})
_UNKNOWN_DIMENSIONS: Final = 3
_LENGTH_HEADER: Final = 4
"""The type modifier of ``varchar(n)`` is n and this."""
_NAMES: Final = {"limit": "20", "offset": "0", "time zone": "UTC", "unit": "day"}
"""The values of parameters that are compared with no column, by their use."""
_ARRAY_VALUES: Final = 3
"""The number of elements of a typical array."""

_ORDINARY: Final = {
    "bool": "true",
    "int2": "1",
    "int4": "1",
    "int8": "1",
    "oid": "1",
    "float4": "1",
    "float8": "1",
    "numeric": "1",
    "money": "1",
    "text": "text",
    "varchar": "text",
    "bpchar": "text",
    "char": "t",
    "name": "text",
    "citext": "text",
    "uuid": "00000000-0000-4000-8000-000000000001",
    "date": "yesterday",  # of today the day's hour decides how many rows there are
    "timestamp": "now",
    "timestamptz": "now",
    "time": "12:00",
    "timetz": "12:00+00",
    "interval": "1 day",
    "json": "{}",
    "jsonb": "{}",
    "bytea": "\\x00",
    "inet": "192.0.2.1",
    "cidr": "192.0.2.0/24",
    "macaddr": "00:00:5e:00:53:01",
    "bit": "1",
    "varbit": "1",
    "xml": "<a/>",
    "point": "(0,0)",
    "tsquery": "text",
    "tsvector": "text",
    "jsonpath": "$",
    "regclass": "pg_class",
    "regconfig": "simple",
    **dict.fromkeys(("int4range", "int8range", "numrange"), "[1,2)"),
    **dict.fromkeys(("daterange", "tsrange", "tstzrange"), "[yesterday,today)"),
    **dict.fromkeys(("int4multirange", "int8multirange", "nummultirange"), "{[1,2)}"),
    **dict.fromkeys(("datemultirange", "tsmultirange", "tstzmultirange"), "{[yesterday,today)}"),
}
"""A value of each type, for parameters that are not compared with a column."""
_ABSENT: Final = {
    "int2": ("32767", "-32768"),
    "int4": ("2000000000", "-2000000000"),
    "int8": ("9000000000000000000", "-9000000000000000000"),
    "float4": ("1e30", "-1e30"),
    "float8": ("1e30", "-1e30"),
    "numeric": ("1000000000000000", "-1000000000000000"),
    "text": ("plainsql-absent",) * 2,
    "varchar": ("plainsql-absent",) * 2,
    "citext": ("plainsql-absent",) * 2,
    "uuid": ("00000000-0000-4000-8000-ffffffffffff",) * 2,
    "date": ("2200-01-01", "1800-01-01"),
    "timestamp": ("2200-01-01 00:00", "1800-01-01 00:00"),
    "timestamptz": ("2200-01-01 00:00+00", "1800-01-01 00:00+00"),
    "bytea": ("\\x706c61696e73716c",) * 2,
    "jsonb": ('{"plainsql": "absent"}',) * 2,
}
"""Values that a column hardly has, greater than all of it and less than all of it."""


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """The values of a column that the statistics hold; empty if there are none."""

    name: str
    """``schema.table.column``."""
    type: int
    modifier: int
    common: tuple[str, ...]
    """The most common values, from the most common one on."""
    bounds: tuple[str, ...]
    """Values of the other rows, in order, with about as many rows between two of them."""
    elements: tuple[str, ...]
    """The most common elements of an array."""


@dataclass(frozen=True, slots=True)
class ValueType:
    """A type of values; for a domain, its base type."""

    oid: int
    name: str
    is_array: bool
    element: int
    labels: tuple[str, ...]
    attributes: int = 0
    """The number of the attributes of a composite type."""


class TypicalValues(NamedTuple):
    """The values of one parameter in the calls ``common``, ``rare`` and ``absent``."""

    common: str | None
    rare: str | None
    absent: str | None
    source: str = ""
    """The column whose statistics they are from; empty if they are from none."""

    @classmethod
    def same(cls, value: str | None) -> TypicalValues:
        """Return one value for all calls."""
        return cls(value, value, value)


def read_columns(
    connection: Connection[Any], comparisons: Iterable[Comparison]
) -> dict[tuple[int, int], ColumnStatistics]:
    """Return the statistics of the compared columns, by table and number."""
    wanted = sorted({(each.table, each.column) for each in comparisons if each.table})
    if not wanted:
        return {}
    rows = RawCursor(connection).execute(
        _COLUMNS, [[table for table, _ in wanted], [column for _, column in wanted]]
    )
    return {
        (table, column): ColumnStatistics(
            name, type_, modifier, *(_without_nulls(values) for values in (common, bounds, elements))
        )
        for table, column, type_, modifier, name, common, bounds, elements in rows
    }


def _without_nulls(values: Sequence[str | None] | None) -> tuple[str, ...]:
    return tuple(value for value in values or () if value is not None)


def read_types(connection: Connection[Any], oids: Iterable[int]) -> dict[int, ValueType]:
    """Return types with those of their elements, by their oids."""
    found: dict[int, ValueType] = {}
    wanted = set(oids)
    while missing := sorted(wanted - found.keys()):
        rows = RawCursor(connection).execute(_TYPES, [missing]).fetchall()
        for oid, base, name, category, element, labels, attributes in rows:
            found[oid] = ValueType(base, name, category == "A", element, tuple(labels), attributes)
        wanted = {each.element for each in found.values() if each.is_array} | (wanted & found.keys())
    return found


def range_columns(comparisons: Iterable[Comparison]) -> set[tuple[int, int]]:
    """Return the columns that are compared with a lower and with an upper limit."""
    known = [(each.table, each.column, each.operator) for each in comparisons]
    below = {(table, column) for table, column, operator in known if operator in _BELOW}
    return below & {(table, column) for table, column, operator in known if operator in _ABOVE}


def values_of(
    comparisons: Sequence[Comparison],
    columns: dict[tuple[int, int], ColumnStatistics],
    type_: ValueType,
    types: dict[int, ValueType],
    ranges: Collection[tuple[int, int]] = (),
) -> TypicalValues:
    """Return the typical values of a parameter of a type, which is compared with columns.

    ``ranges`` are the columns with a lower and an upper limit: the limits must not exclude each other.
    """
    for each in comparisons:
        if each.operator in _NAMES and not each.table:
            return TypicalValues.same(_NAMES[each.operator])
    modifier = -1
    for each in comparisons:
        column = columns.get((each.table, each.column))
        if column is None:
            continue
        modifier = max(modifier, column.modifier)
        if type_.name in _VECTORS:
            continue
        is_range = (each.table, each.column) in ranges
        if (drawn := _drawn(each, column, type_, types, is_range=is_range)) is not None:
            return drawn
    value = _ordinary(type_, types, modifier)
    conditions = [each.operator for each in comparisons if each.operator != "set"]
    absent = _absent(type_, types, conditions[0]) if conditions else None
    return TypicalValues(value, value, absent or value)


def _drawn(
    comparison: Comparison,
    column: ColumnStatistics,
    type_: ValueType,
    types: dict[int, ValueType],
    *,
    is_range: bool,
) -> TypicalValues | None:
    """Return values from the statistics of the compared column; ``None`` if they have none that fit."""
    values = column.bounds or column.common
    absent = _absent(type_, types, comparison.operator) if comparison.operator != "set" else None
    if comparison.of_elements or (type_.is_array and not comparison.any_of):
        texts = column.elements
        if type_.is_array and comparison.operator == "=":
            texts = values
        elif type_.is_array:
            texts = tuple(array_text([element]) for element in column.elements)
        return TypicalValues(texts[0], texts[-1], absent or texts[-1], column.name) if texts else None
    if not values:
        return None
    if is_range and comparison.operator in _BELOW | _ABOVE:
        # Half of the rows, those near the end, and those beyond it.
        last = _absent(type_, types, ">") or values[-1]
        if comparison.operator in _BELOW:
            return TypicalValues(values[len(values) * 3 // 4], values[-1], last, column.name)
        return TypicalValues(values[len(values) // 4], values[-2:][0], last, column.name)
    if comparison.operator in _BELOW | _ABOVE:
        middle = values[len(values) // 2]
        edge = values[:2][-1] if comparison.operator in _BELOW else values[-2:][0]
    else:
        middle = column.common[0] if column.common else values[len(values) // 2]
        edge = column.bounds[len(column.bounds) // 4] if column.bounds else column.common[-1]
    if comparison.any_of:
        several = array_text((column.common or values)[:_ARRAY_VALUES])
        return TypicalValues(several, array_text([edge]), absent or array_text([]), column.name)
    return TypicalValues(middle, edge, absent or edge, column.name)


def _ordinary(type_: ValueType, types: dict[int, ValueType], modifier: int) -> str | None:
    """Return a value of a type; ``None`` if none is known, for null."""
    if type_.labels:
        return type_.labels[0]
    if type_.is_array:
        element = types.get(type_.element)
        value = _ordinary(element, types, modifier) if element is not None else None
        return array_text([value] if value is not None else [])
    dimensions = modifier if modifier > 0 else _UNKNOWN_DIMENSIONS
    if type_.name in _VECTORS:
        return f"[{','.join(['0.1'] * dimensions)}]"
    if type_.name == "sparsevec":
        return f"{{1:0.1}}/{dimensions}"
    if type_.name in ("varchar", "bpchar") and modifier > _LENGTH_HEADER:
        return "text"[: modifier - _LENGTH_HEADER]
    if type_.attributes:
        return f"({',' * (type_.attributes - 1)})"
    return _ORDINARY.get(type_.name)


def _absent(type_: ValueType, types: dict[int, ValueType], operator: str) -> str | None:
    """Return a value that a column hardly has; ``None`` if no such value is known."""
    if type_.is_array:
        element = types.get(type_.element)
        value = _absent(element, types, operator) if element is not None else None
        return None if value is None else array_text([value])
    values = _ABSENT.get(type_.name)
    return None if values is None else values[1 if operator in _BELOW else 0]


def array_text(values: Sequence[str]) -> str:
    """Return an array literal of texts."""
    quoted = ('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values)
    return "{" + ",".join(quoted) + "}"
