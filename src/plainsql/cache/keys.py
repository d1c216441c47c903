"""What a cached read depends on and a write touches, as tags; and how values become parts of keys.

Two values that a column may hold as equal must give the same digest, however Python writes them: a UUID and
its text, ``1`` and ``Decimal("1.0")``, texts that ``citext`` or ``char(n)`` take for one. So digests are
coarse. Two different values with one digest cost a miss; one value with two digests would cost the truth.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import cache
from typing import Any, NamedTuple, TypeAlias
from unicodedata import normalize
from urllib.parse import quote
from uuid import UUID

from msgspec import UNSET, UnsetType

from plainsql.dependencies import Change, Dependency

__all__ = ["Tag", "TagSets", "Touched", "merge", "resolve_change", "tag_of", "touched_rows"]

_MOST_DIGITS = 400
_LARGEST = 10 ** (_MOST_DIGITS + 1)
_FAR = b"number far"

MOST_TAGS = 256
"""A write that touches more partitions than this of one column touches the whole column."""


class Tag(NamedTuple):
    """Rows that a read depends on: of a table, or of one partition of it."""

    table: str
    column: str = ""
    """Quoted for keys; empty: any row of the table."""
    partition: str = ""
    """``column=digest``; given with ``column``."""


TagSets: TypeAlias = dict[str, frozenset[str]]
"""By column: the partitions, as ``column=digest``, of which every row touched is in one."""

Touched: TypeAlias = dict[str, TagSets]
"""What a write touches, by table. Columns that do not stand there are not known: all of them is touched."""


def tag_of(dependence: Dependency, value: object) -> Tag:
    """Return the tag of a dependence for a parameter's value: of the whole table, where it has no digest."""
    if dependence.column is None or value is UNSET:
        return Tag(dependence.table)
    digest = digest_of(value)
    if digest is None:
        return Tag(dependence.table)
    column = _quoted(dependence.column)
    return Tag(dependence.table, column, f"{column}={digest}")


@cache
def _quoted(column: str) -> str:
    return quote(column, safe="")


def digest_of(value: object) -> str | None:
    """Return what a value is called in keys, or None where equality in the database may be another than here.

    Floats have several precisions, times several texts: a read that is bound by one depends on the table.
    """
    text = _canonical(value)
    if text is None:
        return None
    return base64.urlsafe_b64encode(hashlib.blake2b(text, digest_size=9).digest()).decode()


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
    # A driver may be given a text for a number or a UUID.
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
    # A text of 32 decimal digits, which needs no hyphens to be a UUID, may be a number as well.
    return b"number %d" % int(value.hex) if value.hex.isdecimal() else b"uuid " + value.bytes


def _whole(value: int) -> bytes:
    # Python writes no number of more than 4,300 digits.
    return b"number %d" % value if abs(value) < _LARGEST else _FAR


def _number(value: Decimal) -> bytes:
    if not value.is_finite():
        return b"number " + str(value).casefold().encode()
    if abs(value.adjusted()) > _MOST_DIGITS:
        return _FAR
    if value == value.to_integral_value():
        return b"number %d" % int(value)
    return b"number " + str(value.normalize()).encode()


def touched_rows(table: str, known: Mapping[str, Any]) -> Touched:
    """Return what is touched where every row changed has these values in these columns, before and after.

    A list, a tuple or a set stands for several values.
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
    """Return what a write touches, as its change says.

    ``parameters`` are those of the call, or of each call of a batch; ``returned`` are the rows that the
    statement returned, or None while they are not known: columns that are known from them are then not known.
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
    column = _quoted(name)
    found: set[str] = set()
    for value in values:
        digest = None if isinstance(value, UnsetType) else digest_of(value)
        if digest is None or len(found) > MOST_TAGS:
            return
        found.add(f"{column}={digest}")
    if len(found) <= MOST_TAGS:
        tags[column] = frozenset(found)


def merge(changes: Iterable[Touched]) -> Touched:
    """Return what several writes touch together."""
    merged: Touched = {}
    for touched in changes:
        for table, tags in touched.items():
            before = merged.get(table)
            if before is None:
                merged[table] = tags
                continue
            # A column that one of the writes does not know is not known of both.
            both = {column: before[column] | tags[column] for column in before.keys() & tags.keys()}
            merged[table] = {column: found for column, found in both.items() if len(found) <= MOST_TAGS}
    return merged
