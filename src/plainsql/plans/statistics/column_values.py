"""The values in statistics that leave production: by default, no text that few rows have.

A text is kept if its column has few distinct values: states, kinds, languages. Any other text becomes a
placeholder of the same rank, so that the order of values, and with it the plan, stays. Numbers, times, ids
and the labels of enums are kept. Values of other types, such as vectors and addresses, are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, LiteralString, NamedTuple

import msgspec
import psycopg
from psycopg import sql

from plainsql.plans.statistics.production_statistics import ColumnStatistics

__all__ = ["FEW_VALUES", "ColumnType", "Values", "array_literal", "handling", "hide_values", "is_secret"]

FEW_VALUES: Final = 50
"""The distinct values up to which the texts of a column are kept."""

_KEPT: Final = frozenset(
    (
        *("bool", "int2", "int4", "int8", "oid", "float4", "float8", "numeric", "money", "uuid"),
        *("date", "time", "timetz", "timestamp", "timestamptz", "interval"),
        *("int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange"),
        *("int4multirange", "int8multirange", "nummultirange", "datemultirange", "tsmultirange"),
        "tstzmultirange",
    )
)
_TEXTS: Final = frozenset(("text", "varchar", "bpchar", "name", "citext", "jsonb", "bytea", "tsvector"))
_DOCUMENTS: Final = frozenset(("jsonb", "bytea", "tsvector"))
"""Types whose values are never kept: each may hold several facts about a person."""
_SECRET: Final = re.compile(
    r"passw|passphrase|passport|pwd|kennwort|geheim|secret|token|credential|hash|salt|signature|iban|cookie"
    r"|(api|access|private|secret|license)_?key|kreditkarte|credit_?card|(account|konto)_?(number|nummer)"
    r"|(?<![a-z])(pins?|puk|otps?|totp|mfa|cvv2?|cvc2?|o?auth|cards?|pan|ssn|jwt|bearer|tax_?id)(?![a-z])",
    re.IGNORECASE,
)
"""Names of columns whose texts are never kept, however few they are."""
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
"""The place between two words of a name such as ``cardNumber``."""
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_UNQUOTED: Final = re.compile(r"[A-Za-z0-9_.:+-]+", re.ASCII)

Handling = Literal["keep", "hide", "omit"]


class ColumnType(NamedTuple):
    """The type of a column, as far as its values matter."""

    name: str
    """The name of the type; that of the elements of an array, of the base of a domain."""
    kind: str
    """``typtype`` of the same type: ``b``, ``e`` for an enum, …"""
    is_array: bool
    is_domain: bool
    length: int
    """The most characters that a value may have; 0 for no limit."""
    written: LiteralString
    """The type as SQL, to sort by."""
    collation: LiteralString
    """The column's collation as SQL; empty for a type without one."""


class Values(NamedTuple):
    """The statistics of a column, with its arrays of values as lists."""

    column: str
    """Its name; in an index, the expression."""
    type: ColumnType
    statistics: ColumnStatistics
    common: list[str] | None
    bounds: list[str] | None
    elements: list[str] | None
    secret: bool = False
    """True if its values are made of a column whose name says that it is a secret."""


def is_secret(text: str) -> bool:
    """Return True if a name, or a name in an expression, says that its texts are secrets."""
    return _SECRET.search(_HUMP.sub("_", text)) is not None


def handling(column: str, type: ColumnType, n_distinct: float, *, secret: bool = False) -> Handling:
    """Return the way in which the values of a column are treated."""
    if type.kind == "e" or type.name in _KEPT:
        return "keep"
    if type.name not in _TEXTS:
        return "omit"
    few = 1 <= n_distinct <= FEW_VALUES and type.name not in _DOCUMENTS
    if few and not secret and not is_secret(column):
        return "keep"
    # A placeholder may not pass the check of a domain.
    return "omit" if type.is_domain else "hide"


def hide_values(connection: psycopg.Connection[Any], columns: Sequence[Values], *, keep_all: bool) -> None:
    """Write the arrays of values into the statistics of each column: themselves, placeholders or nothing.

    Args:
        connection: a session of production, which knows the order of values.
        columns: changed in place.
        keep_all: keep all values.
    """
    hidden: list[Values] = []
    for each in columns:
        count = each.statistics.n_distinct
        how = "keep" if keep_all else handling(each.column, each.type, count, secret=each.secret)
        if how == "hide":
            hidden.append(each)
        elif how == "keep":
            each.statistics.most_common_vals = array_literal(each.common)
            each.statistics.histogram_bounds = array_literal(each.bounds)
            each.statistics.most_common_elems = array_literal(each.elements)
        else:
            _omit(each.statistics)
    for each, ranks in zip(hidden, _ranks(connection, hidden), strict=True):
        every = _placeholders(len(ranks), each.type)
        if every is None:
            _omit(each.statistics)
            continue
        of = dict(zip(ranks, every, strict=True))
        each.statistics.most_common_vals = array_literal(each.common and [of[v] for v in each.common])
        each.statistics.histogram_bounds = array_literal(each.bounds and [of[v] for v in each.bounds])
        # The elements are in their order already, and are no values of the column.
        elements = _placeholders(len(each.elements or ()), each.type._replace(is_array=False))
        each.statistics.most_common_elems = array_literal(elements if each.elements else None)


def _omit(statistics: ColumnStatistics) -> None:
    """Leave out the values and what counts them."""
    for name in (
        *("most_common_vals", "most_common_freqs", "histogram_bounds"),
        *("most_common_elems", "most_common_elem_freqs", "range_bounds_histogram"),
    ):
        setattr(statistics, name, None)


def _ranks(connection: psycopg.Connection[Any], columns: Sequence[Values]) -> list[list[str]]:
    """Return the distinct values of each column, in the order of its type and collation."""
    ranks: dict[int, list[str]] = {}
    groups: dict[tuple[LiteralString, LiteralString], list[int]] = {}
    for number, each in enumerate(columns):
        groups.setdefault((each.type.written, each.type.collation), []).append(number)
    for (written, collation), numbers in groups.items():
        values = [
            {"n": number, "values": sorted({*(found.common or ()), *(found.bounds or ())})}
            for number, found in ((n, columns[n]) for n in numbers)
        ]
        query = sql.SQL(
            """
            select x.n, pg_catalog.array_agg(v order by v::{written} {collation}, v collate "C")
            from pg_catalog.jsonb_to_recordset(%s::jsonb) as x (n integer, values jsonb),
              pg_catalog.jsonb_array_elements_text(x.values) as v
            group by x.n
            """
        ).format(written=_written(written), collation=_written(f"collate {collation}" if collation else ""))
        ranks.update(connection.execute(query, [msgspec.json.encode(values).decode()]).fetchall())
    return [ranks.get(number, []) for number in range(len(columns))]


def _written(text: LiteralString) -> sql.SQL:
    """Return a text that PostgreSQL wrote, for a statement with parameters."""
    return sql.SQL(text.replace("%", "%%"))


def _placeholders(count: int, type: ColumnType) -> list[str] | None:
    """Return so many values of a type in ascending order; None if they are too long for it."""
    if type.name == "jsonb":
        return [_as_element(str(rank), type) for rank in range(count)]
    digits = 1
    while len(_DIGITS) ** digits < count:
        digits += 1
    if type.name == "bytea":
        return [_as_element(f"\\x{rank:0{2 * digits}x}", type) for rank in range(count)]
    mark = "~" if not type.length or digits < type.length else ""
    if type.length and digits > type.length:
        return None
    return [_as_element(mark + _number(rank, digits), type) for rank in range(count)]


def _as_element(value: str, type: ColumnType) -> str:
    return (array_literal([value]) or "") if type.is_array else value


def _number(rank: int, digits: int) -> str:
    text = ""
    for _ in range(digits):
        rank, digit = divmod(rank, len(_DIGITS))
        text = _DIGITS[digit] + text
    return text


def array_literal(values: Iterable[str | None] | None) -> str | None:
    """Return an array as PostgreSQL writes it; None for None."""
    return None if values is None else "{" + ",".join(map(_item, values)) + "}"


def _item(value: str | None) -> str:
    if value is None:
        return "NULL"
    if _UNQUOTED.fullmatch(value) and value.lower() != "null":
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
