"""Codecs of the project's own: the Python type of a PostgreSQL type that plainsql does not know.

A codec is registered by the name of the type, in ``[tool.plainsql.codecs]`` or with ``connect(codecs=…)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

from plainsql.errors import SettingsError

__all__ = ["NO_CODECS", "Codec", "CodecMap", "codec_of"]

T = TypeVar("T")


class Codec(Generic[T]):
    """The conversions of one PostgreSQL type: its text to a Python value, and back. Null is never converted.

    Args:
        type: the Python type, such as ``Geometry`` or ``dict[str, str]``. ``plainsql generate`` reads it from
            the source of the module, and runs nothing.
        encode: makes the text that PostgreSQL reads.
        decode: makes the value from the text that PostgreSQL writes.
        encode_binary: makes the bytes of the type's binary format, for asyncpg.
        decode_binary: makes the value from these bytes. With both, the type may be part of composite types
            and ranges.

    An exception in ``encode`` becomes a ``BindError``, and one in ``decode`` a ``DecodeError``.
    """

    __slots__ = ("decode", "decode_binary", "encode", "encode_binary", "type")

    def __init__(
        self,
        type: Any,
        *,
        encode: Callable[[T], str],
        decode: Callable[[str], T],
        encode_binary: Callable[[T], bytes] | None = None,
        decode_binary: Callable[[bytes], T] | None = None,
    ) -> None:
        if (encode_binary is None) != (decode_binary is None):
            raise SettingsError("Codec(): expected encode_binary and decode_binary, got one of them")
        self.type = type
        self.encode: Callable[[T], str] = _encoder(encode, str)
        self.decode: Callable[[str], T] = _decoder(decode)
        self.encode_binary = None if encode_binary is None else _encoder(encode_binary, bytes)
        self.decode_binary = None if decode_binary is None else _decoder(decode_binary)

    def __repr__(self) -> str:
        return f"<Codec {getattr(self.type, '__name__', self.type)}>"


CodecMap = Mapping[str, Codec[Any]]
"""Codecs by the names of their types: ``geometry``, or ``gis.geometry`` for the type of one schema."""

NO_CODECS: Final[CodecMap] = {}


def codec_of(codecs: Mapping[str, T], schema: str, name: str) -> T | None:
    """Return what a mapping by the names of types has for a type, or None. No built-in type has a codec."""
    if schema == "pg_catalog":
        return None
    return codecs.get(f"{schema}.{name}") or codecs.get(name)


def _encoder(encode: Callable[[T], Any], expected: type) -> Callable[[T], Any]:
    def checked(value: T) -> Any:
        try:
            encoded = encode(value)
        except Exception as error:  # noqa: BLE001 (a library of any kind; the text may quote the value)
            raise ValueError(f"the codec raised {type(error).__name__}") from None
        if not isinstance(encoded, expected):
            raise TypeError(f"the codec returned {type(encoded).__name__}, not {expected.__name__}")
        return encoded

    return checked


def _decoder(decode: Callable[[Any], T]) -> Callable[[Any], T]:
    def checked(data: Any) -> T:
        try:
            return decode(data)
        except Exception as error:  # noqa: BLE001 (a library of any kind; the text may quote the value)
            raise ValueError(f"the codec raised {type(error).__name__}") from None

    return checked
