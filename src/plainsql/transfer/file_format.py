"""The form of the file: a header, for each table its name and its rows, a trailer. One JSON value a line.

A value is the string that PostgreSQL writes for it under ``SETTINGS``, and reads back as the same value. Only
booleans, ``smallint`` and ``integer`` are JSON's own, and null is null. ``bigint`` is a string because many
readers of JSON take numbers for doubles.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

__all__ = [
    "SETTINGS",
    "Column",
    "End",
    "Header",
    "Section",
    "Sequence",
    "Table",
    "Value",
]

FORMAT: Final = "plainsql export"
VERSION: Final = 1

Value = str | int | bool | None

SETTINGS: Final = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    # The fewest digits from which the same number is read.
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "xmloption": "content",
    # Names of tables, functions and types are values as well (regclass): always qualified.
    "search_path": "pg_catalog",
    "quote_all_identifiers": "off",
}
"""What the text of a value depends on."""


class Column(msgspec.Struct, frozen=True):
    """A column whose values the file has: all but the generated ones."""

    name: str
    type: str
    """As PostgreSQL writes it, qualified: ``character varying(100)``, ``public.vector(1536)``."""


class Table(msgspec.Struct, frozen=True):
    """A table, or a partition: what holds rows itself."""

    schema: str
    name: str
    columns: tuple[Column, ...]


class Sequence(msgspec.Struct, frozen=True):
    """Where a sequence stands."""

    schema: str
    name: str
    last: str
    """A bigint."""
    called: bool
    """Whether ``last`` was given out, so that the next one follows it."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line."""

    format: Literal["plainsql export"] = FORMAT
    version: int = VERSION
    server: str
    """The version of PostgreSQL that wrote the values."""
    layers: tuple[str, ...]
    """Schemas, by name."""
    migrations: dict[str, tuple[str, ...]]
    """What is applied, by layer; those that belong to no layer under the empty name."""
    tables: tuple[Table, ...]
    """In the order of the file: after those they refer to, where that is possible."""
    sequences: tuple[Sequence, ...]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The line before a table's rows. A row is an array, in the order of the header's columns."""

    table: str
    """``schema.name``, quoted where PostgreSQL would."""


class End(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last line: without it the file is not complete."""

    rows: dict[str, int]
    sha256: str
    """Of every byte before this line."""
