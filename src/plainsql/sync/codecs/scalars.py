"""All built-in types that are no containers, by name; what is not here travels as its text."""

from __future__ import annotations

import ipaddress
import uuid
from typing import Any, Final

from plainsql import types
from plainsql.encoding import encode_json, encode_jsonb
from plainsql.sync.codecs.codec import Codec
from plainsql.sync.codecs.numbers import NUMBERS
from plainsql.sync.codecs.shapes import SHAPES
from plainsql.sync.codecs.times import TIMES

__all__ = ["SCALARS", "TEXT"]


def _encode_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _decode_void(_: str) -> None:
    """What functions return that return nothing."""


def _encode_name(value: Any) -> str:
    text = _encode_text(value)
    if len(text.encode()) > _LONGEST_NAME:
        raise OverflowError  # as text, the server would cut it
    return text


def _encode_bytea(value: Any) -> str:
    return "\\x" + memoryview(value).hex()


def _decode_bytea(text: str) -> bytes:
    if text.startswith("\\x"):
        return bytes.fromhex(text[2:])
    raise ValueError  # bytea_output is 'escape'


def _encode_char(value: Any) -> str:
    """The type ``"char"``: one byte."""
    (byte,) = bytes(memoryview(value))
    return chr(byte) if 0 < byte < 128 and byte != 0x5C else f"\\{byte:03o}"


def _decode_char(text: str) -> bytes:
    if not text:
        return b"\0"
    return bytes([int(text[1:], 8)]) if len(text) == 4 else text.encode()


def _encode_uuid(value: Any) -> str:
    return str(value if isinstance(value, uuid.UUID) else uuid.UUID(_encode_text(value)))


def _encode_inet(value: Any) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        return str(ipaddress.ip_interface(value))


def _decode_inet(text: str) -> object:
    # PostgreSQL leaves the prefix out where it is the whole address.
    return ipaddress.ip_interface(text) if "/" in text else ipaddress.ip_address(text)


def _encode_bits(value: Any) -> str:
    if isinstance(value, types.BitString):
        return format(value.to_int(), f"0{len(value)}b") if len(value) else ""
    data = bytes(memoryview(value))
    return format(int.from_bytes(data), f"0{8 * len(data)}b") if data else ""


def _decode_bits(text: str) -> types.BitString:
    return types.BitString.from_int(int(text or "0", 2), len(text))


def _encode_json(value: Any) -> str:
    return encode_json(value).decode()


def _encode_jsonb(value: Any) -> str:
    return encode_jsonb(value).decode()


_LONGEST_NAME: Final = 63

TEXT: Final = Codec("text", _encode_text, str)

SCALARS: Final[dict[str, Codec]] = {
    codec.name: codec
    for codec in (
        *NUMBERS,
        *TIMES,
        *SHAPES,
        TEXT,
        Codec("name", _encode_name, str),
        Codec("bytea", _encode_bytea, _decode_bytea),
        Codec("char", _encode_char, _decode_char),
        Codec("void", _encode_text, _decode_void),
        Codec("uuid", _encode_uuid, uuid.UUID),
        Codec("inet", _encode_inet, _decode_inet),
        Codec("cidr", lambda value: str(ipaddress.ip_network(value)), ipaddress.ip_network),
        Codec("bit", _encode_bits, _decode_bits),
        Codec("varbit", _encode_bits, _decode_bits),
        # It stays text until a row is built, where its type is known.
        Codec("json", _encode_json, str.encode),
        Codec("jsonb", _encode_jsonb, str.encode),
    )
}
"""By the name that ``pg_catalog.pg_type`` has."""
