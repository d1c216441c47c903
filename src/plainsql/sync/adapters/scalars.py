"""The adapters of all built-in types that are no containers. A type that is not here travels as its text."""

from __future__ import annotations

import ipaddress
import uuid
from typing import Any, Final

from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.types.net import CidrLoader, InetLoader
from psycopg.types.string import ByteaLoader, TextLoader
from psycopg.types.uuid import UUIDLoader

from plainsql import types
from plainsql.encoding import encode_json, encode_jsonb
from plainsql.sync.adapters.adapter import Adapter, text_loader
from plainsql.sync.adapters.geometry import GEOMETRY
from plainsql.sync.adapters.numbers import NUMBERS
from plainsql.sync.adapters.times import TIMES

__all__ = ["RECORD", "SCALARS", "TEXT"]

_LONGEST_NAME_BYTES: Final = 63


def _dump_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _load_void(_: str) -> None:
    """Return None: the result of a function that returns nothing."""


def _dump_name(value: Any) -> str:
    text = _dump_text(value)
    if len(text.encode()) > _LONGEST_NAME_BYTES:
        raise OverflowError  # the server would cut the text
    return text


def _dump_bytea(value: Any) -> str:
    return "\\x" + memoryview(value).hex()


def _dump_char(value: Any) -> str:
    """Return the text of a value of the type ``"char"``, one byte."""
    (byte,) = bytes(memoryview(value))
    return chr(byte) if 0 < byte < 128 and byte != 0x5C else f"\\{byte:03o}"


def _load_char(text: str) -> bytes:
    if not text:
        return b"\0"
    return bytes([int(text[1:], 8)]) if len(text) == 4 else text.encode()


def _dump_uuid(value: Any) -> str:
    return str(value if isinstance(value, uuid.UUID) else uuid.UUID(_dump_text(value)))


def _dump_inet(value: Any) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        return str(ipaddress.ip_interface(value))


def _dump_bits(value: Any) -> str:
    if isinstance(value, types.BitString):
        return format(value.to_int(), f"0{len(value)}b") if len(value) else ""
    view = memoryview(value)
    if view.format not in ("B", "c"):
        raise TypeError("expected bytes, got other numbers")
    data = bytes(view)
    return format(int.from_bytes(data), f"0{8 * len(data)}b") if data else ""


def _load_bits(text: str) -> types.BitString:
    return types.BitString.from_int(int(text or "0", 2), len(text))


def _dump_json(value: Any) -> str:
    return encode_json(value).decode()


def _dump_jsonb(value: Any) -> str:
    return encode_jsonb(value).decode()


class _JsonLoader(Loader):
    """Leaves JSON encoded until a row is built: only the row type says which type it has."""

    def load(self, data: Buffer) -> bytes:
        return bytes(data)


def _refuse(_: Any) -> Any:
    raise TypeError(
        "the fields of an anonymous record have no types: name a composite type, or select them as columns"
    )


RECORD: Final = Adapter("record", _refuse, text_loader(_refuse))
"""``row(1, 'a')`` without a type: its text does not say the types of its fields."""

TEXT: Final = Adapter("text", _dump_text, TextLoader)

SCALARS: Final[dict[str, Adapter]] = {
    adapter.name: adapter
    for adapter in (
        *NUMBERS,
        *TIMES,
        *GEOMETRY,
        TEXT,
        Adapter("name", _dump_name, TextLoader),
        Adapter("bytea", _dump_bytea, ByteaLoader),
        Adapter("char", _dump_char, text_loader(_load_char)),
        Adapter("void", _dump_text, text_loader(_load_void)),
        Adapter("uuid", _dump_uuid, UUIDLoader),
        Adapter("inet", _dump_inet, InetLoader),
        Adapter("cidr", lambda value: str(ipaddress.ip_network(value)), CidrLoader),
        Adapter("bit", _dump_bits, text_loader(_load_bits)),
        Adapter("varbit", _dump_bits, text_loader(_load_bits)),
        Adapter("json", _dump_json, _JsonLoader),
        Adapter("jsonb", _dump_jsonb, _JsonLoader),
    )
}
"""By the name in ``pg_catalog.pg_type``."""
