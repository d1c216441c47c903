"""Codecs of asyncpg for the types whose default codec does not fit.

JSON stays text until a row is built, because the row's type decides how it is decoded. Vectors become
pgvector's values. citext and ltree, which asyncpg knows as text only, travel in the binary format, so that
they can be part of composite types and ranges. A codec belongs to a connection, so this runs once for each
connection that the pool opens.
"""

from __future__ import annotations

from typing import Any

from plainsql.codec import NO_CODECS, CodecMap, codec_of
from plainsql.encoding import encode_json, encode_jsonb_binary, jsonb_bytes

__all__ = ["Codecs"]

_EXTENSION_TYPES = """
select t.typname::text as name, n.nspname::text as schema
from pg_catalog.pg_type as t
inner join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
inner join pg_catalog.pg_depend as d on d.objid = t.oid and d.deptype = 'e'
inner join pg_catalog.pg_extension as e on e.oid = d.refobjid
where (
    e.extname = 'vector' and t.typname in ('vector', 'halfvec', 'sparsevec')
    or e.extname in ('citext', 'hstore', 'ltree') and t.typname::text = e.extname::text
  )
  and d.classid = 'pg_catalog.pg_type'::regclass and d.refclassid = 'pg_catalog.pg_extension'::regclass
"""
_ALL_TYPES = 6
"""The number of these types if a database has all of the extensions."""

_NAMED_TYPES = """
select t.typname::text as name, n.nspname::text as schema
from pg_catalog.pg_type as t
inner join pg_catalog.pg_namespace as n on n.oid = t.typnamespace
where t.typname::text = any($1::text[]) and t.typtype = 'b' and t.typcategory <> 'A'
"""

_LTREE_VERSION = b"\x01"


class Codecs:
    """Sets the codecs of each connection of one database, and remembers its extensions."""

    def __init__(self, own: CodecMap = NO_CODECS) -> None:
        self._own = own
        """The project's own codecs."""
        self._found: list[tuple[str, str]] = []

    async def install(self, connection: Any) -> None:
        """Set the codecs of JSON and of the extension types that the database has."""
        await connection.set_type_codec(
            "json", schema="pg_catalog", format="binary", encoder=encode_json, decoder=bytes
        )
        await connection.set_type_codec(
            "jsonb", schema="pg_catalog", format="binary", encoder=encode_jsonb_binary, decoder=jsonb_bytes
        )
        if len(self._found) < _ALL_TYPES:  # an extension may have been installed in the meantime
            self._found = [(row["name"], row["schema"]) for row in await connection.fetch(_EXTENSION_TYPES)]
        if self._own:
            await self._install_own(connection)
        for name, schema in self._found:
            if codec_of(self._own, schema, name) is not None:
                continue
            if name == "hstore":
                await connection.set_builtin_type_codec(
                    name, schema=schema, codec_name="pg_contrib.hstore", format="binary"
                )
                continue
            if name == "citext":
                await connection.set_builtin_type_codec(
                    name, schema=schema, codec_name="text", format="binary"
                )
                continue
            encode, decode = _LTREE if name == "ltree" else _vector(name)
            await connection.set_type_codec(
                name, schema=schema, format="binary", encoder=encode, decoder=decode
            )

    async def _install_own(self, connection: Any) -> None:
        names = sorted({name.rpartition(".")[2] for name in self._own})
        for row in await connection.fetch(_NAMED_TYPES, names):
            name, schema = row["name"], row["schema"]
            if (codec := codec_of(self._own, schema, name)) is None:
                continue
            binary = codec.encode_binary is not None
            await connection.set_type_codec(
                name,
                schema=schema,
                format="binary" if binary else "text",
                encoder=codec.encode_binary if binary else codec.encode,
                decoder=codec.decode_binary if binary else codec.decode,
            )


def _vector(name: str) -> tuple[Any, Any]:
    from plainsql.vector import codecs

    return codecs.BINARY[name]


def _encode_ltree(value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError(f"expected str, got {type(value).__name__}")
    return _LTREE_VERSION + value.encode()


_LTREE = (_encode_ltree, lambda data: data[1:].decode())
