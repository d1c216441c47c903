"""The encoding of values that both drivers share: JSON, and the errors of values that have no place in
one of PostgreSQL's types.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from plainsql.types import Opaque

__all__ = [
    "UnfitValueError",
    "encode_json",
    "encode_jsonb",
    "encode_jsonb_binary",
    "jsonb_bytes",
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
