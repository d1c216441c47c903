"""Rows as JSON: ``to_json`` writes them, and ``json_default`` lets ``json.dumps`` write the same.

msgspec knows rows and most values. This module adds the types that only a database has: addresses, ranges,
bit strings, geometric values, vectors.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec

from plainsql.errors import OptionError

__all__ = ["json_default", "to_json"]

_ADDRESSES = (
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Interface,
    ipaddress.IPv6Interface,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
)


class _SecretFoundError(Exception):
    """A value holds the text of an encrypted column."""


def to_json(value: Any) -> bytes:
    """Return a row, a list of rows, or any value that holds rows, as JSON in UTF-8.

    Times are in ISO 8601, a ``timedelta`` is a duration such as ``P1DT3S``. ``Decimal``, UUIDs and addresses
    are strings, ``bytes`` are in Base64, NaN and infinities are null. A range is an object with ``lower``,
    ``upper`` and ``bounds`` (``"[)"``), or ``{"empty": true}``. A vector is a list of numbers; a sparse
    vector and a bit string are strings, as PostgreSQL writes them.

    Raises ``OptionError`` if a row holds an encrypted field that is not null, and ``TypeError`` for a value
    of another type.
    """
    try:
        return msgspec.json.encode(value, enc_hook=_plain)
    except _SecretFoundError:
        pass
    raise OptionError(
        f"{_secret_in(value) or 'a value'} is encrypted, and is never written as JSON with its row",
        hint="write an object of your own, without this field or with its text on purpose",
    )


def json_default(value: Any) -> Any:
    """Return the form of a row or a value for ``json.dumps(rows, default=plainsql.json_default)``.

    The result is the same JSON as that of ``to_json``. Raises what ``to_json`` raises.
    """
    return msgspec.json.decode(to_json(value))


def _plain(value: Any) -> Any:
    """Return a value of a type that msgspec does not know as one that it knows."""
    if isinstance(value, _ADDRESSES):
        return str(value)
    if isinstance(value, str):  # msgspec takes plain strings only: this one is a Secret
        raise _SecretFoundError
    if hasattr(value, "from_binary"):  # pgvector's classes, and those of `plainsql.vector`
        return value.to_text() if hasattr(value, "indices") else value.to_list()
    if type(value).__module__ == "numpy":  # of a column that is an array by the header
        return value.tolist()
    from plainsql.types import BitString, Path, Polygon, Range

    if isinstance(value, Range):
        if value.isempty:
            return {"empty": True}
        bounds = ("[" if value.lower_inc else "(") + ("]" if value.upper_inc else ")")
        return {"lower": value.lower, "upper": value.upper, "bounds": bounds}
    if isinstance(value, BitString):
        return value.as_string().replace(" ", "")
    if isinstance(value, Polygon):
        return list(value)
    if isinstance(value, Path):
        return {"points": list(value), "closed": value.is_closed}
    if type(value).__name__ == "Record" and hasattr(value, "keys"):  # asyncpg's, of an undeclared composite
        return list(value)
    raise TypeError(f"a {type(value).__name__} has no form in JSON")


def _secret_in(value: Any) -> str | None:
    """Return the name of the first field, ``Account.token``, that holds a ``Secret``."""
    members: Any
    if isinstance(value, msgspec.Struct):
        for name in type(value).__struct_fields__:
            member = getattr(value, name)
            if isinstance(member, str) and type(member) is not str and not isinstance(member, Enum):
                return f"{type(value).__name__}.{name}"
        members = [getattr(value, name) for name in type(value).__struct_fields__]
    elif isinstance(value, Mapping):
        members = value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        members = value
    else:
        return None
    return next((found for member in members if (found := _secret_in(member))), None)
