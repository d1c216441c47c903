"""Tags of the rows that a cached read depends on and a write touches, and digests of values for keys.

Values that a column may hold as equal must have the same digest, however Python writes them: a UUID and its
text, ``1`` and ``Decimal("1.0")``, texts that are equal in ``citext`` or ``char(n)``. So digests are coarse.
Two different values with one digest cost a miss; one value with two digests would cost the truth.
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import cache
from typing import Any, NamedTuple, TypeAlias
from unicodedata import normalize
from urllib.parse import quote
from uuid import UUID

from msgspec import UnsetType

from plainsql.dependencies import Change

__all__ = ["Tag", "TagSets", "Touched", "digest_of", "merge", "quoted", "resolve_change", "touched_rows"]

_MAX_DIGITS = 400
_LARGEST = 10 ** (_MAX_DIGITS + 1)
_FAR = b"number far"
_URL_SAFE = bytes.maketrans(b"+/", b"-_")

MAX_TAGS = 256
"""A write that touches more partitions of one column than this touches the whole column."""


class Tag(NamedTuple):
    """Rows that a read depends on: of a table, or of one partition of it."""

    table: str
    column: str = ""
    """Quoted for keys; empty: any row of the table."""
    partition: str = ""
    """``column=digest``; given with ``column``."""


TagSets: TypeAlias = dict[str, frozenset[str]]
"""By column: partitions, as ``column=digest``. Every touched row is in one of them."""

Touched: TypeAlias = dict[str, TagSets]
"""The rows that a write touches, by table. If a column is not in it, rows with any value may be touched."""


@cache
def quoted(column: str) -> str:
    """Return a column as keys have it."""
    return quote(column, safe="")


def digest_of(value: object) -> str | None:
    """Return the digest of a value, or None if equality in the database may differ from equality here.

    Floats have several precisions and times several texts: a read that is bound by one depends on the table,
    as it does if the argument is left out (``UNSET``).
    """
    text = _canonical(value)
    if text is None:
        return None
    digest = hashlib.blake2b(text, digest_size=9).digest()
    return binascii.b2a_base64(digest, newline=False).translate(_URL_SAFE).decode("ascii")


def _canonical(value: object) -> bytes | None:
    if isinstance(value, UUID):
        return _uuid(value)
    if isinstance(value, Enum):
        value = value.value
    if value is None:
        return b"null"
    if isinstance(value, int):
        return _whole(value)
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return b"bytes " + bytes(value)
    return None


def _text(value: str) -> bytes:
    # A driver may get a text for a number or a UUID.
    text = normalize("NFKC", value).casefold().strip()
    if text.startswith("\\x"):  # bytea
        try:
            return b"bytes " + bytes.fromhex(text[2:])
        except ValueError:
            pass
    if len(text) >= 32 and text[0] not in "+-.":  # `UUID` takes hyphens anywhere
        try:
            return _uuid(UUID(text))
        except ValueError:
            pass
    if text[:1].isdigit() or text[:1] in {"-", "+", "."}:
        try:
            return _whole(int(text.replace("_", ""), 0))
        except ValueError:
            pass
        try:
            return _number(Decimal(text.replace("_", "")))
        except InvalidOperation:
            pass
    return b"text " + text.encode(errors="surrogatepass")


def _uuid(value: UUID) -> bytes:
    # A text of 32 decimal digits, a UUID without hyphens, may be a number as well.
    data = value.bytes
    digits = data.hex()
    return b"number %d" % int(digits) if digits.isdecimal() else b"uuid " + data


def _whole(value: int) -> bytes:
    # Python does not write numbers of more than 4,300 digits.
    return b"number %d" % value if abs(value) < _LARGEST else _FAR


def _number(value: Decimal) -> bytes:
    if not value.is_finite():
        return b"number " + str(value).casefold().encode()
    if abs(value.adjusted()) > _MAX_DIGITS:
        return _FAR
    if value == value.to_integral_value():
        return b"number %d" % int(value)
    return b"number " + str(value.normalize()).encode()


def touched_rows(table: str, known: Mapping[str, Any]) -> Touched:
    """Return the rows of a table in which each column has one of its values, before and after the change.

    A list, a tuple or a set is several values.
    """
    tags: TagSets = {}
    for name, given in known.items():
        values = given if isinstance(given, list | tuple | set | frozenset) else (given,)
        _add(tags, name, values)
    return {table: tags}


def resolve_change(
    change: Change,
    parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    returned: Sequence[Mapping[str, Any]] | None = None,
) -> Touched:
    """Return the rows that a write touches, by its change.

    ``parameters`` are those of the call, or of each call of a batch. ``returned`` are the rows that the
    statement returned, or None if they are not known; then the columns that they would give are not known.
    """
    calls = [parameters] if isinstance(parameters, Mapping) else parameters
    sources: dict[str, list[tuple[str, str]]] = {}
    for column, source, name in change.known:
        sources.setdefault(column, []).append((source, name))
    tags: TagSets = {}
    for column, places in sources.items():
        values: list[object] = []
        for kind, name in places:
            rows = calls if kind == "parameter" else returned
            if rows is None or any(name not in row for row in rows):
                break
            values += [row[name] for row in rows]
        else:
            _add(tags, column, values)
    return {change.table: tags}


def _add(tags: TagSets, name: str, values: Iterable[object]) -> None:
    column = quoted(name)
    found: set[str] = set()
    for value in values:
        digest = None if isinstance(value, UnsetType) else digest_of(value)
        if digest is None or len(found) > MAX_TAGS:
            return
        found.add(f"{column}={digest}")
    if len(found) <= MAX_TAGS:
        tags[column] = frozenset(found)


def merge(changes: Iterable[Touched]) -> Touched:
    """Return the rows that several writes touch together."""
    merged: Touched = {}
    for touched in changes:
        for table, tags in touched.items():
            before = merged.get(table)
            if before is None:
                merged[table] = tags
                continue
            # A column that is unknown of one of the writes is unknown of both.
            both = {column: before[column] | tags[column] for column in before.keys() & tags.keys()}
            merged[table] = {column: found for column, found in both.items() if len(found) <= MAX_TAGS}
    return merged
