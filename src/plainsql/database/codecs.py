"""How values travel between Python and asyncpg where the driver's own way is not ours.

JSON stays text until a row is built, where its type is known; vectors become pgvector's values. A codec
belongs to a connection, so this runs once for each that the pool opens.
"""

from __future__ import annotations

from typing import Any

import msgspec

from plainsql.types import Opaque

__all__ = ["Codecs"]

_VECTOR_TYPES = """
select t.typname::text as name, n.nspname::text as schema
from pg_catalog.pg_type as t
inner join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
inner join pg_catalog.pg_depend as d on d.objid = t.oid and d.deptype = 'e'
inner join pg_catalog.pg_extension as e on e.oid = d.refobjid
where e.extname = 'vector' and t.typname in ('vector', 'halfvec', 'sparsevec')
  and d.classid = 'pg_catalog.pg_type'::regclass and d.refclassid = 'pg_catalog.pg_extension'::regclass
"""

_JSONB_VERSION = b"\x01"


class Codecs:
    """Sets up each connection of one database; remembers what it learnt about it."""

    def __init__(self) -> None:
        self._vectors: list[tuple[str, str]] | None = None

    async def install(self, connection: Any) -> None:
        """Set the codecs of JSON, and of vectors where the database has pgvector."""
        await connection.set_type_codec(
            "json", schema="pg_catalog", format="binary", encoder=_encode_json, decoder=bytes
        )
        await connection.set_type_codec(
            "jsonb", schema="pg_catalog", format="binary", encoder=_encode_jsonb, decoder=_jsonb_text
        )
        if not self._vectors:  # asked again as long as there is no pgvector: it may be installed meanwhile
            self._vectors = [(row["name"], row["schema"]) for row in await connection.fetch(_VECTOR_TYPES)]
        if self._vectors:
            from plainsql.vector import codecs

            for name, schema in self._vectors:
                encode, decode = codecs.BINARY[name]
                await connection.set_type_codec(
                    name, schema=schema, format="binary", encoder=encode, decoder=decode
                )


def _encode_json(value: Any) -> bytes:
    return msgspec.json.encode(value.value if type(value) is Opaque else value)


def _encode_jsonb(value: Any) -> bytes:
    return _JSONB_VERSION + _encode_json(value)


def _jsonb_text(data: bytes) -> bytes:
    return data[1:]
