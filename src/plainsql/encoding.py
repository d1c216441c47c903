"""The encoding of values that both drivers share: JSON, and the errors of values that have no place in
one of PostgreSQL's types.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from plainsql import types
from plainsql.types import Opaque

if TYPE_CHECKING:
    from plainsql.types import BitString

__all__ = [
    "NumberArray",
    "UnfitValueError",
    "bits",
    "encode_json",
    "encode_jsonb",
    "encode_jsonb_binary",
    "jsonb_bytes",
    "plain_array",
    "why_unfit",
]

# An escaped NUL: the backslash in front of it is not escaped itself.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class UnfitValueError(ValueError):
    """A value that its type does not have. The text says why, and holds nothing of the value."""


def encode_json(value: Any) -> bytes:
    """Return a value as JSON.

    Raises ``UnfitValueError`` for a NaN or an infinity, which JSON does not have, and msgspec's own errors.
    """
    if type(value) is Opaque:
        value = value.value
    data = msgspec.json.encode(value)
    # To msgspec they are null.
    if b"null" in data and _holds_no_number(value):
        raise UnfitValueError("JSON has no NaN and no infinity")
    return data


def encode_jsonb(value: Any) -> bytes:
    """Return a value as JSON for ``jsonb``, which has no NUL in its texts. Raises the errors of
    ``encode_json`` raises.
    """
    data = encode_json(value)
    if b"\\u0000" in data and _NUL.search(data):
        raise UnfitValueError("it holds a NUL character")
    return data


def encode_jsonb_binary(value: Any) -> bytes:
    """Return a value in the binary format of ``jsonb``: its JSON after the number of the format's version.
    Raises the errors of ``encode_jsonb``.
    """
    return b"\x01" + encode_jsonb(value)


def jsonb_bytes(data: bytes) -> bytes:
    """Return the JSON of a ``jsonb`` value that arrived, without the number of the format's version."""
    return data[1:]


def why_unfit(error: BaseException | None) -> str | None:
    """Return the message of an ``UnfitValueError`` that caused a driver's error, if there is one."""
    while error is not None:
        if isinstance(error, UnfitValueError):
            return str(error)
        error = error.__cause__ or error.__context__
    return None


def _holds_no_number(value: Any) -> bool:
    """Return whether a value that msgspec encodes holds a NaN or an infinity."""
    try:
        plain = msgspec.to_builtins(value, str_keys=True)
        json.dumps(plain, allow_nan=False, check_circular=False)
    except ValueError:
        return True
    except Exception:  # noqa: BLE001 (encoded already, by a way that only msgspec has)
        return False
    return False


def bits(value: Any) -> Any:
    """Turn bools, a text of 0 and 1, or bytes into what the drivers take for bits.

    Bools are in a list or an array; an array of ``uint8`` has eight bits in each number, as those of
    ``numpy.packbits``. The drivers would take any other array as its bytes: it becomes a list, which they
    refuse.
    """
    as_array = getattr(value, "__array__", None)
    if as_array is not None:
        numbers = as_array()
        if numbers.ndim == 1 and numbers.dtype.name == "uint8":
            return numbers.tobytes()
        if numbers.ndim == 1 and numbers.dtype.kind == "b":
            return _bit_string("".join(map("01".__getitem__, numbers.tolist())))
        return [numbers.tolist()]
    if isinstance(value, str):
        return _bit_string(value) if value and not value.strip("01") else value
    if isinstance(value, list | tuple):
        are_bools = all(type(each).__name__ in ("bool", "bool_") for each in value)  # NumPy's, too
        return _bit_string("".join("01"[bool(each)] for each in value)) if are_bools else value
    if isinstance(value, array | memoryview):
        return value if memoryview(value).format in ("B", "c") else value.tolist()
    if hasattr(value, "from_binary") and hasattr(value, "to_text"):  # pgvector's Bit
        return bits(value.to_text())
    return value


class NumberArray:
    """An array of numbers that NumPy reads without a copy, and no driver as bytes."""

    __slots__ = ("given",)

    def __init__(self, given: Any) -> None:
        self.given = given

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self.given.__array__() if dtype is None else self.given.__array__(dtype)

    def __len__(self) -> int:
        return len(self.given)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.given.tolist())


def plain_array(value: Any) -> Any:
    """Turn an array for a parameter of an unknown type into what no driver takes for bits by mistake: bools
    into bits, integers into a list, and other numbers into an array without bytes.
    """
    if isinstance(value, array | memoryview):
        return bits(value)
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind == "b":
        return bits(value)
    if kind in ("f", "c"):
        return NumberArray(value) if getattr(value, "ndim", 0) else value
    return value.tolist() if kind in ("i", "u") and value.dtype.name != "uint8" else value


def _bit_string(written: str) -> BitString:
    return types.BitString.from_int(int(written or "0", 2), len(written))
