"""The types of a result's columns, as far as Arrow distinguishes them: from the server's description and its
catalog.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, NoReturn

from plainsql.errors import ContractError

__all__ = ["CATALOG_QUERY", "ColumnType", "Described", "described_types", "undeclared", "user_oids"]

_FIRST_USER_OID: Final = 16_384
"""Types with greater numbers are looked up in the catalog."""


@dataclass(frozen=True, slots=True)
class ColumnType:
    """The type of a column, of an element or of a field."""

    kind: str
    """The form of its values: ``int4``, ``text``, ``array``, ``composite``, …"""
    oid: int
    typmod: int = -1
    """The declared precision and scale of a numeric, or the dimension of a vector; -1 if there is none."""
    parts: tuple[tuple[str, ColumnType], ...] = ()
    """The element of an array; the fields of a composite, by name."""
    labels: tuple[str, ...] = ()
    """Those of an enum, in its order."""

    @property
    def decimal(self) -> tuple[int, int] | None:
        """The declared precision and scale of a numeric, if decimal128 has them."""
        if self.typmod < 4:
            return None
        declared = self.typmod - 4
        precision, scale = declared >> 16, ((declared & 0x7FF) ^ 1024) - 1024
        if scale < 0:
            precision, scale = precision - scale, 0
        precision = max(precision, scale)
        return (precision, scale) if precision <= 38 else None


_KINDS: Final[dict[int, str]] = {
    16: "bool",
    17: "bytea",
    18: "bytea",  # "char": one byte
    20: "int8",
    21: "int2",
    23: "int4",
    26: "uint4",
    28: "uint4",
    29: "uint4",
    114: "json",
    700: "float4",
    701: "float8",
    1082: "date",
    1083: "time",
    1114: "timestamp",
    1184: "timestamptz",
    1186: "interval",
    1700: "numeric",
    2950: "uuid",
    3220: "uint8",
    3802: "jsonb",
    5069: "uint8",
    **dict.fromkeys((19, 25, 142, 705, 1042, 1043), "text"),
    # They travel as PostgreSQL writes them.
    **dict.fromkeys((774, 790, 829, 3614, 3615), "written"),
    **dict.fromkeys((24, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191), "written"),
}

_ELEMENTS: Final[dict[int, int]] = {
    22: 21,
    30: 26,
    143: 142,
    199: 114,
    271: 5069,
    1000: 16,
    1001: 17,
    1002: 18,
    1003: 19,
    1005: 21,
    1007: 23,
    1009: 25,
    1011: 28,
    1012: 29,
    1014: 1042,
    1015: 1043,
    1016: 20,
    1021: 700,
    1022: 701,
    1028: 26,
    1115: 1114,
    1182: 1082,
    1183: 1083,
    1185: 1184,
    1187: 1186,
    1231: 1700,
    2951: 2950,
    3221: 3220,
    3807: 3802,
}
"""The element type of the built-in arrays."""

_OF_EXTENSIONS: Final = {"vector": "vector", "halfvec": "halfvec", "citext": "text", "ltree": "ltree"}

CATALOG_QUERY: Final = """
with recursive needed as (
  select t.oid from pg_catalog.pg_type as t where t.oid = any($1::oid[])
  union
  select p.oid
  from needed as n
  inner join pg_catalog.pg_type as t on t.oid = n.oid
  cross join lateral (
    values (t.typelem), (t.typbasetype)
    union all
    select a.atttypid from pg_catalog.pg_attribute as a
    where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
  ) as p (oid)
  where p.oid >= 16384
)
select
  t.oid::bigint as oid,
  case
    when t.typtype = 'b' and t.typcategory = 'A' then 'A'
    else t.typtype::text
  end as kind,
  t.typelem::bigint as element,
  t.typbasetype::bigint as base,
  t.typtypmod as typmod,
  case when e.oid is not null then t.typname::text end as extension_type,
  array(
    select l.enumlabel::text from pg_catalog.pg_enum as l where l.enumtypid = t.oid order by l.enumsortorder
  ) as labels,
  array(
    select a.attname::text from pg_catalog.pg_attribute as a
    where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
    order by a.attnum
  ) as names,
  array(
    select a.atttypid::bigint from pg_catalog.pg_attribute as a
    where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
    order by a.attnum
  ) as types,
  array(
    select a.atttypmod from pg_catalog.pg_attribute as a
    where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
    order by a.attnum
  ) as typmods
from needed as n
inner join pg_catalog.pg_type as t on t.oid = n.oid
left join pg_catalog.pg_depend as d
  on d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
  and d.objid = t.oid
  and d.deptype = 'e'
  and d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
left join pg_catalog.pg_extension as e on e.oid = d.refobjid
"""
"""The types that some types are made of, themselves among them. Its rows are what `column_type` looks up."""

Catalog = Mapping[int, Any]


def user_oids(columns: Iterable[Described]) -> list[int]:
    """Return the numbers of the types that are looked up in the catalog."""
    return sorted({column.oid for column in columns if column.oid >= _FIRST_USER_OID})


class Described(NamedTuple):
    """A column as the server describes it."""

    name: str
    oid: int
    typmod: int
    type_name: str
    is_binary: bool = True
    """False if its values travel as PostgreSQL writes them."""


def described_types(
    columns: Sequence[Described], catalog: Catalog, query: str, file: str
) -> tuple[tuple[str, ColumnType], ...]:
    """Return the names and types of the columns of a query.

    Raises ``ContractError`` for a type that has none in Arrow.
    """
    return tuple((column.name, _described_type(column, catalog, query, file)) for column in columns)


def _described_type(column: Described, catalog: Catalog, query: str, file: str) -> ColumnType:
    def refuse() -> NoReturn:
        raise ContractError(
            f"{query}: the column {column.name!r} has the type {column.type_name}, "
            "which has no column in Arrow",
            hint=f"select its parts, or cast it to text in {file}",
        )

    found = _type(column.oid, column.typmod, catalog, refuse)
    if not column.is_binary and found.kind not in ("text", "enum"):
        refuse()
    return found


def _type(
    oid: int, typmod: int, catalog: Catalog, refuse: Callable[[], NoReturn], inside: bool = False
) -> ColumnType:
    """Return a type. ``refuse`` raises the error of one that Arrow does not have.

    ``inside`` is true of elements and fields.
    """
    kind = _KINDS.get(oid)
    if kind is not None:
        if kind == "written":
            return refuse() if inside else ColumnType("text", oid)
        return ColumnType(kind, oid, typmod if kind == "numeric" else -1)
    if (element := _ELEMENTS.get(oid)) is not None:
        return ColumnType("array", oid, parts=(("item", _type(element, typmod, catalog, refuse, True)),))
    row = catalog.get(oid)
    if row is None:
        refuse()
    if row["kind"] == "A":
        inner = _type(row["element"], typmod, catalog, refuse, True)
        return ColumnType("array", oid, parts=(("item", inner),))
    if row["kind"] == "d":
        base = row["typmod"] if row["typmod"] != -1 else typmod
        # The server describes a column of a domain as its base type. Elements and fields have its own number.
        return replace(_type(row["base"], base, catalog, refuse, inside), oid=oid)
    if row["kind"] == "e":
        return ColumnType("enum", oid, labels=tuple(row["labels"]))
    if row["kind"] == "c":
        fields = zip(row["names"], row["types"], row["typmods"], strict=True)
        parts = tuple((name, _type(of, mod, catalog, refuse, True)) for name, of, mod in fields)
        return ColumnType("composite", oid, parts=parts)
    known = _OF_EXTENSIONS.get(row["extension_type"] or "")
    return refuse() if known is None else ColumnType(known, oid, typmod)


def undeclared(columns: Sequence[tuple[str, ColumnType]]) -> str | None:
    """Return the first column whose Arrow type depends on its values; None if all are declared."""
    for name, type_ in columns:
        if type_.kind == "numeric" and type_.decimal is None:
            return name
        if type_.kind in ("vector", "halfvec") and type_.typmod < 0:
            return name
        if type_.parts and undeclared([(name, part) for _, part in type_.parts]) is not None:
            return name
    return None
