"""The server's description of a result, compared with the row type that its records are read into.

Rows are built by position. A column that was added, dropped or renamed since the row type was written would
put another column's value into a field, so the description of each prepared statement is compared once: the
names of all columns, and their types as far as Python distinguishes them. ``integer`` that became ``bigint``
still fits; ``text`` that became ``timestamptz`` does not.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin
from unicodedata import normalize
from uuid import UUID

from plainsql.conversions import conversion_of, plain_alias
from plainsql.rows import Composite, Row, leaves
from plainsql.types import JsonMark, RowMark

__all__ = ["Described", "Expectation", "expectations", "mismatch"]


class Described(NamedTuple):
    """A result column as the server describes it; a domain's is its base type."""

    name: str
    oid: int
    """The number of its type."""
    type_name: str

    @property
    def is_json(self) -> bool:
        """True if it arrives as JSON text."""
        return _KINDS.get(self.oid) is _JSON


class Expectation(NamedTuple):
    """The column that a row type expects in one position."""

    name: str | None
    """The field's name, with that of its nested row in front; None for a single value."""
    kind: object
    """The result of `_kind_of` for the annotation."""


_ANY = object()
"""The kind of an annotation that takes any value except JSON, which arrives as text."""

_UNKNOWN = object()
"""The kind of a type of an extension or a user, and of an annotation that no built-in type has."""

_JSON = "json"
_ADDRESS = "address"
_BIT = "BitString"
_TUPLE: type = tuple
_VALUE_TYPES = frozenset({"BitString", "Box", "Circle", "Line", "LineSegment", "Path", "Point", "Polygon"})
"""The driver's own classes, by name: they are not imported without it."""

_ADDRESSES = frozenset(
    f"IPv{version}{what}" for version in (4, 6) for what in ("Address", "Interface", "Network")
)

_FIRST_USER_OID = 16_384
"""Types with greater numbers are not built in."""

_KINDS: dict[int, object] = {
    16: bool,
    17: bytes,
    18: bytes,  # "char": one byte
    20: int,
    21: int,
    23: int,
    26: int,
    27: _TUPLE,  # tid
    28: int,  # xid
    29: int,  # cid
    114: _JSON,
    600: "Point",
    601: "LineSegment",
    602: "Path",
    603: "Box",
    604: "Polygon",
    628: "Line",
    650: _ADDRESS,
    700: float,
    701: float,
    718: "Circle",
    869: _ADDRESS,
    1082: dt.date,
    1083: dt.time,
    1114: dt.datetime,
    1184: dt.datetime,
    1186: dt.timedelta,
    1266: dt.time,
    1560: _BIT,
    1562: _BIT,
    1700: Decimal,
    2249: Composite,  # record
    2278: NoneType,  # void
    2950: UUID,
    2970: _TUPLE,  # txid_snapshot
    3220: int,  # pg_lsn
    3802: _JSON,
    5038: _TUPLE,  # pg_snapshot
    5069: int,  # xid8
    # For ranges, the set of the kinds of the bounds.
    3904: frozenset({int}),
    3906: frozenset({Decimal}),
    3908: frozenset({dt.datetime}),
    3910: frozenset({dt.datetime}),
    3912: frozenset({dt.date}),
    3926: frozenset({int}),
    # What arrives as text. Others that do are types of extensions and users, enums among them.
    **dict.fromkeys((19, 25, 142, 774, 790, 829, 1042, 1043, 3614, 3615, 4072), str),
    **dict.fromkeys(
        (24, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191), str
    ),  # regclass and its like
}

_ELEMENTS: dict[int, int] = {
    22: 21,  # int2vector
    30: 26,  # oidvector
    143: 142,
    199: 114,
    271: 5069,
    629: 628,
    651: 650,
    719: 718,
    775: 774,
    791: 790,
    1000: 16,
    1001: 17,
    1002: 18,
    1003: 19,
    1005: 21,
    1007: 23,
    1008: 24,
    1009: 25,
    1010: 27,
    1011: 28,
    1012: 29,
    1014: 1042,
    1015: 1043,
    1016: 20,
    1017: 600,
    1018: 601,
    1019: 602,
    1020: 603,
    1021: 700,
    1022: 701,
    1027: 604,
    1028: 26,
    1040: 829,
    1041: 869,
    1115: 1114,
    1182: 1082,
    1183: 1083,
    1185: 1184,
    1187: 1186,
    1231: 1700,
    1270: 1266,
    1561: 1560,
    1563: 1562,
    2287: 2249,
    2949: 2970,
    2951: 2950,
    3221: 3220,
    3643: 3614,
    3645: 3615,
    3807: 3802,
    3905: 3904,
    3907: 3906,
    3909: 3908,
    3911: 3910,
    3913: 3912,
    3927: 3926,
    4073: 4072,
    5039: 5038,
    # Multiranges arrive as lists of ranges.
    4451: 3904,
    4532: 3906,
    4533: 3908,
    4534: 3910,
    4535: 3912,
    4536: 3926,
}
"""The element type of the built-in arrays and multiranges."""


def expectations(item: Any) -> tuple[Expectation, ...]:
    """Return the columns that a row type, or the type of a single value, expects, in order."""
    if isinstance(item, type) and issubclass(item, Row):
        return tuple(Expectation(name, _kind_of(annotation)) for name, annotation in leaves(item))
    return (Expectation(None, _kind_of(item)),)


def mismatch(
    expected: Sequence[Expectation], columns: Sequence[Described], *, more: bool = False
) -> str | None:
    """Return how a described result differs from the expected one, or None if it does not.

    ``more``: columns that follow the expected ones are no difference.
    """
    for number, (wanted, column) in enumerate(zip(expected, columns, strict=False), 1):
        if wanted.name is not None and wanted.name != _as_identifier(column.name):
            return f"column {number} is expected to be {wanted.name!r}, got {column.name!r}"
        if not _fits(wanted.kind, column.oid):
            name = f"column {wanted.name!r}" if wanted.name is not None else "the value"
            return f"{name} has another type, got {column.type_name}"
    counts = f"expected {_counted(len(expected))}, got {len(columns)}"
    if len(columns) > len(expected) and not more:
        return f"{counts}; the next is {columns[len(expected)].name!r}"
    if len(columns) < len(expected):
        missing = expected[len(columns)].name
        return counts if missing is None else f"{counts}; {missing!r} is missing"
    return None


def _counted(number: int) -> str:
    return f"{number} column{'' if number == 1 else 's'}"


def _as_identifier(name: str) -> str:
    """Return a column's name as Python keeps that of a field."""
    return name if name.isascii() else normalize("NFKC", name)


def _fits(kind: object, oid: int) -> bool:
    """Return whether an annotation of this kind can read values of a type: yes if that is unknown."""
    if isinstance(kind, tuple):  # a list's
        element = _ELEMENTS.get(oid)
        return oid not in _KINDS if element is None else _fits(kind[0], element)
    found = _KINDS.get(oid, _UNKNOWN)
    if kind is _ANY:
        return found is not _JSON
    if oid in _ELEMENTS:
        return False
    if found is _UNKNOWN:
        # A type of an extension or a user: an enum or a citext is a `str`, a composite a class of its own.
        return oid < _FIRST_USER_OID or kind in (_UNKNOWN, str, Composite) or isinstance(kind, frozenset)
    return found == kind


@cache
def _kind_of(annotation: Any) -> object:
    """Return the kind of an annotation: a class, a word, or, for a list, a tuple of its
    element's.
    """
    annotation = plain_alias(annotation)
    origin = get_origin(annotation)
    if origin is Annotated:
        if (conversion := conversion_of(annotation)) is not None:
            return _kind_of(conversion.base)
        target, *marks = get_args(annotation)
        if any(isinstance(mark, JsonMark) for mark in marks):
            return _JSON
        return _ANY if any(isinstance(mark, RowMark) for mark in marks) else _kind_of(target)
    if origin in (Union, UnionType):
        arms = [arm for arm in get_args(annotation) if arm is not NoneType]
        if len(arms) == 1:
            return _kind_of(arms[0])
        return _ADDRESS if all(getattr(arm, "__name__", "") in _ADDRESSES for arm in arms) else _UNKNOWN
    if origin is Literal:
        return str
    if origin is list:
        return (_kind_of(get_args(annotation)[0]),)
    if origin is tuple:
        return _TUPLE
    if annotation is object or annotation is Any:
        return _ANY
    kind = origin or annotation
    if isinstance(kind, type) and issubclass(kind, Composite):  # which may be called like any other class
        return Composite
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return str
    name = getattr(kind, "__name__", "")
    if name == "Range":
        return frozenset(map(_kind_of, get_args(annotation)))
    if name in _VALUE_TYPES:
        return name
    if name in _ADDRESSES:
        return _ADDRESS
    return kind if kind in _KINDS.values() else _UNKNOWN
