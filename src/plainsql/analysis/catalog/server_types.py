"""The server's types, each with what a Python type is made from: labels, attributes, elements, base types."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from psycopg import Connection

from plainsql.analysis.model import Attribute, PgType, TypeKind

__all__ = ["Types", "load_types"]

# `typsubscript` distinguishes a true array from fixed-length types with elements, such as `name` and `point`.
_TYPES = """
select t.oid, n.nspname, t.typname, t.typtype, t.typbasetype, t.typtypmod, t.typnotnull, t.typrelid,
  t.typcategory,
  case
    when t.typsubscript = 'pg_catalog.array_subscript_handler'::regproc then t.typelem
    when t.typtype = 'r' then (select r.rngsubtype from pg_catalog.pg_range as r where r.rngtypid = t.oid)
    when t.typtype = 'm' then (select r.rngtypid from pg_catalog.pg_range as r where r.rngmultitypid = t.oid)
    else 0::oid
  end,
  case when t.typtype = 'e' then array(
    select e.enumlabel::text from pg_catalog.pg_enum as e where e.enumtypid = t.oid order by e.enumsortorder
  ) end
from pg_catalog.pg_type as t
inner join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
"""

_ATTRIBUTES = """
select a.attname, a.atttypid, a.atttypmod, a.attnum
from pg_catalog.pg_attribute as a
where a.attrelid = %s and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""

_KINDS: dict[str, TypeKind] = {
    "b": "base",
    "c": "composite",
    "d": "domain",
    "e": "enum",
    "m": "multirange",
    "p": "pseudo",
    "r": "range",
}


class TypeRow(NamedTuple):
    """A row of ``pg_type``, before the types that it refers to are looked up."""

    oid: int
    schema: str
    name: str
    typtype: str
    base: int
    base_modifier: int
    not_null: bool
    relation: int
    category: str
    element: int
    labels: list[str] | None


class Types:
    """All types of one database, built on demand and kept."""

    def __init__(self, connection: Connection[Any], rows: dict[int, TypeRow]) -> None:
        self._connection = connection
        self._rows = rows
        self._built: dict[int, PgType] = {}

    def get(self, oid: int, modifier: int = -1) -> PgType:
        """Build the type with this oid; an unknown oid is an unnamed pseudo-type, never an error."""
        built = self._built.get(oid)
        if built is None:
            built = self._build(oid, frozenset())
            self._built[oid] = built
        return _with_modifier(built, modifier)

    def row(self, oid: int) -> TypeRow | None:
        """Return the catalog's row, for callers that need only a name or a kind."""
        return self._rows.get(oid)

    def base(self, oid: int) -> int:
        """Return the oid of the type below all domains."""
        while (row := self._rows.get(oid)) is not None and row.typtype == "d":
            oid = row.base
        return oid

    def may_be_array(self, oid: int) -> bool:
        """Return whether a type is an array, a domain over one, or unknown."""
        row = self._rows.get(self.base(oid))
        return row is None or row.category == "A"

    def is_composite(self, oid: int) -> bool:
        """Return whether values of the type are rows: a composite, a domain over one, or ``record``."""
        row = self._rows.get(self.base(oid))
        return row is not None and (row.typtype == "c" or row.name == "record")

    def _build(self, oid: int, within: frozenset[int]) -> PgType:
        row = self._rows.get(oid)
        if row is None:
            return PgType(oid=oid, schema="pg_catalog", name="unknown", kind="pseudo")
        kind = _KINDS.get(row.typtype, "pseudo")
        plain = PgType(oid=oid, schema=row.schema, name=row.name, kind=kind, labels=tuple(row.labels or ()))
        if oid in within:
            # A composite that contains an array of itself: the inner mention stays a bare name.
            return plain
        within |= {oid}
        if kind == "domain":
            below = self._build(row.base, within)
            return replace(
                plain,
                element=_with_modifier(below, row.base_modifier),
                not_null=row.not_null or below.not_null,
                modifier=row.base_modifier,
            )
        if kind == "composite":
            return replace(plain, attributes=self._attributes(row.relation, within))
        if row.element:
            kind = "array" if kind == "base" else kind
            return replace(plain, kind=kind, element=self._build(row.element, within))
        return plain

    def _attributes(self, relation: int, within: frozenset[int]) -> tuple[Attribute, ...]:
        rows = self._connection.execute(_ATTRIBUTES, (relation,)).fetchall()
        # A table's not-null constraints do not bind values of its row type: only a domain's do.
        return tuple(
            Attribute(name, _with_modifier(self._build(oid, within), modifier), number=number)
            for name, oid, modifier, number in rows
        )


def _with_modifier(type_: PgType, modifier: int) -> PgType:
    if modifier < 0:
        return type_
    if type_.kind == "array" and type_.element is not None:
        return replace(type_, modifier=modifier, element=_with_modifier(type_.element, modifier))
    return replace(type_, modifier=modifier)


def load_types(connection: Connection[Any]) -> Types:
    """Read all types of the database in one query."""
    rows = connection.execute(_TYPES).fetchall()
    return Types(connection, {row[0]: TypeRow._make(row) for row in rows})
