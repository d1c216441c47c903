"""The types of a database: from a type's number to its adapter."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Final

from psycopg import pq
from psycopg.adapt import AdaptersMap
from psycopg.postgres import types as builtin_types

from plainsql.codec import NO_CODECS, CodecMap, codec_of
from plainsql.sync.adapters import (
    HSTORE,
    RECORD,
    SCALARS,
    TEXT,
    Adapter,
    array_adapter,
    composite_adapter,
    multirange_adapter,
    range_adapter,
    text_loader,
    vector_adapter,
)
from plainsql.sync.row_loader import register_fast

__all__ = ["FIRST_OID_OF_USERS", "TypeCatalog"]

# The types themselves and all types that they consist of, each once: the base type of a domain, the element
# of an array, the bounds of a range or multirange, and the attributes of a composite type. A point has an
# "element" too, but is no array. The result is one JSON text, which the adapters of the connection's user do
# not load.
_TYPES: Final = """
with recursive wanted(oid) as (
  select unnest($1::oid[])
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
select coalesce(jsonb_agg(jsonb_build_array(
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
)), '[]')::text
from wanted as w
inner join pg_catalog.pg_type as t on t.oid = w.oid
inner join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
left join pg_catalog.pg_type as element on element.oid = t.typelem
left join pg_catalog.pg_range as r on t.oid in (r.rngtypid, r.rngmultitypid)
"""

_RECORD: Final = 2249
_RECORD_ARRAY: Final = 2287
FIRST_OID_OF_USERS: Final = 16384
"""psycopg's registry of types also has those that the application registers, by numbers of some database."""

Run = Callable[[str, list[bytes | None]], pq.abc.PGresult]
"""Runs a text with parameters on a connection."""


class TypeCatalog:
    """The types of one database, looked up when they are first used."""

    def __init__(self, codecs: CodecMap = NO_CODECS) -> None:
        self._codecs = codecs
        """The project's own codecs."""
        self._types: dict[int, Adapter] = {}
        self.loaders = AdaptersMap()
        """psycopg's registry of loaders. It is not the connection's, which its user may change."""
        self.forget()

    def adapters(self, run: Run, oids: Iterable[int]) -> list[Adapter]:
        """Return the adapter of each type, and look up in the server's catalog those that are not known."""
        oids = list(oids)
        missing = [oid for oid in oids if oid not in self._types and not self._add_builtin(oid)]
        if missing:
            self._look_up(run, missing)
        return [self._types[oid] for oid in oids]

    def forget(self) -> None:
        """Look all types up again at their next use: one of them was altered."""
        self._types = {}
        self.loaders = AdaptersMap()
        register_fast(self.loaders)
        self._add(_RECORD, RECORD)
        self._add(_RECORD_ARRAY, array_adapter(RECORD, _RECORD, _RECORD_ARRAY))

    def _add(self, oid: int, adapter: Adapter) -> Adapter:
        self._types[oid] = adapter
        self.loaders.register_loader(oid, adapter.loader)
        return adapter

    def _add_builtin(self, oid: int) -> bool:
        known = builtin_types.get(oid) if oid < FIRST_OID_OF_USERS else None
        name = "" if known is None else known.name.strip('"')
        if known is None or name not in SCALARS:
            return False
        adapter = self._add(known.oid, SCALARS[name])
        # The registry finds an element by the number of its array too.
        if oid != known.oid:
            self._add(oid, array_adapter(adapter, known.oid, oid, known.delimiter))
        return True

    def _look_up(self, run: Run, oids: list[int]) -> None:
        found = run(_TYPES, [f"{{{','.join(map(str, oids))}}}".encode()]).get_value(0, 0)
        types = {row[0]: row[1:] for row in json.loads(found or b"[]")}

        def adapter(oid: int) -> Adapter:
            return self._types[oid] if oid in self._types else self._add(oid, make(oid))

        def make(oid: int) -> Adapter:
            name, kind, base, element, delimiter, bound, fields, field_types, schema, extension = types[oid]
            if kind == "d":
                return adapter(base)
            if kind == "c":
                return composite_adapter(
                    name, list(zip(fields, field_types, map(adapter, field_types), strict=True))
                )
            if kind == "r":
                return range_adapter(name, adapter(bound), bound)
            if kind == "m":
                return multirange_adapter(name, adapter(bound), bound)
            if element and name not in SCALARS:
                return array_adapter(adapter(element), element, oid, delimiter)
            if kind == "b" and (codec := codec_of(self._codecs, schema, name)) is not None:
                return Adapter(name, codec.encode, text_loader(codec.decode))
            if extension == name == "hstore":
                return HSTORE
            if extension == "vector" and name in ("vector", "halfvec", "sparsevec"):
                return vector_adapter(name)
            if schema == "pg_catalog" and name in SCALARS:
                return SCALARS[name]
            # Enums, and types that have no adapter: as PostgreSQL writes them.
            return TEXT._replace(name=name)

        for oid in oids:
            if oid not in types:  # another session has dropped it
                self._add(oid, TEXT)
            adapter(oid)
