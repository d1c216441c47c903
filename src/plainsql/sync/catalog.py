"""The server's types: from a type's number to how its values travel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import psycopg
from psycopg.postgres import types as builtin_types

from plainsql.sync.codecs import (
    SCALARS,
    TEXT,
    Codec,
    array_codec,
    composite_codec,
    multirange_codec,
    range_codec,
    vector_codec,
)
from plainsql.sync.codecs.composites import ANONYMOUS_RECORD

__all__ = ["Catalog"]

# Everything that some types consist of, each type once: what a domain stands on, the element of an array, the
# bounds of a range or multirange and the attributes of a composite type are followed. A point has an
# "element" too, but is no array.
_TYPES: Final = """
with recursive wanted(oid) as (
  select unnest(%s::oid[])
  union
  select part.oid
  from wanted as w
  inner join pg_catalog.pg_type as t on t.oid = w.oid
  left join pg_catalog.pg_range as r on t.oid in (r.rngtypid, r.rngmultitypid)
  cross join lateral (
    select t.typbasetype
    union all
    select t.typelem where t.typcategory = 'A'
    union all
    select r.rngsubtype
    union all
    select a.atttypid
    from pg_catalog.pg_attribute as a
    where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
  ) as part(oid)
  where part.oid <> 0
)
select
  t.oid::bigint, t.typname::text, t.typtype::text, t.typbasetype::bigint,
  case when t.typcategory = 'A' and t.typlen = -1 then t.typelem::bigint else 0 end,
  coalesce(element.typdelim::text, ','), coalesce(r.rngsubtype::bigint, 0),
  array(
    select a.attname::text
    from pg_catalog.pg_attribute as a
    where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
    order by a.attnum
  ),
  array(
    select a.atttypid::bigint
    from pg_catalog.pg_attribute as a
    where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
    order by a.attnum
  ),
  n.nspname::text,
  coalesce((
    select e.extname::text
    from pg_catalog.pg_depend as d
    inner join pg_catalog.pg_extension as e on e.oid = d.refobjid
    where d.classid = 'pg_catalog.pg_type'::regclass and d.objid = t.oid
      and d.refclassid = 'pg_catalog.pg_extension'::regclass and d.deptype = 'e'
  ), '')
from wanted as w
inner join pg_catalog.pg_type as t on t.oid = w.oid
inner join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
left join pg_catalog.pg_type as element on element.oid = t.typelem
left join pg_catalog.pg_range as r on t.oid in (r.rngtypid, r.rngmultitypid)
"""

_RECORD: Final = 2249
_RECORD_ARRAY: Final = 2287


class Catalog:
    """The types of one database, learnt as they are met."""

    def __init__(self) -> None:
        self._codecs: dict[int, Codec] = {}
        self.forget()

    def codecs(self, connection: psycopg.Connection[Any], oids: Iterable[int]) -> list[Codec]:
        """Return the codec of each type, asking the server about those not met before."""
        oids = list(oids)
        missing = [oid for oid in oids if oid not in self._codecs and not self._add_builtin(oid)]
        if missing:
            self._learn(connection, missing)
        return [self._codecs[oid] for oid in oids]

    def forget(self) -> None:
        """Ask about all types again: one of them was altered."""
        self._codecs = {_RECORD: ANONYMOUS_RECORD, _RECORD_ARRAY: array_codec(ANONYMOUS_RECORD)}

    def _add_builtin(self, oid: int) -> bool:
        known = builtin_types.get(oid)
        name = "" if known is None else known.name.strip('"')
        if known is None or name not in SCALARS:
            return False
        codec = SCALARS[name]
        # The registry finds an array's element by the array's number.
        self._codecs[oid] = codec if oid == known.oid else array_codec(codec, known.delimiter)
        return True

    def _learn(self, connection: psycopg.Connection[Any], oids: list[int]) -> None:
        found = connection.execute(_TYPES, [oids], prepare=False).fetchall()
        types = {row[0]: row[1:] for row in found}

        def codec(oid: int) -> Codec:
            if oid in self._codecs:
                return self._codecs[oid]
            name, kind, base, element, delimiter, bound, fields, field_types, schema, extension = types[oid]
            if kind == "d":
                made = codec(base)
            elif kind == "c":
                made = composite_codec(name, list(zip(fields, map(codec, field_types), strict=True)))
            elif kind == "r":
                made = range_codec(name, codec(bound))
            elif kind == "m":
                made = multirange_codec(name, codec(bound))
            elif element and name not in SCALARS:
                made = array_codec(codec(element), delimiter)
            elif extension == "vector" and name in ("vector", "halfvec", "sparsevec"):
                made = vector_codec(name)
            elif schema == "pg_catalog" and name in SCALARS:
                made = SCALARS[name]
            else:
                # Enums, and types that nobody here knows: as PostgreSQL writes them.
                made = TEXT._replace(name=name)
            self._codecs[oid] = made
            return made

        for oid in oids:
            if oid not in types:  # dropped meanwhile, by another session
                self._codecs[oid] = TEXT
            codec(oid)
