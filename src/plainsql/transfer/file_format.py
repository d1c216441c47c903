"""The file format: a header, then each table's name and rows, then a trailer, one JSON value a line.

A value is the string that PostgreSQL writes for it under ``SETTINGS``, and reads back as the same value. Only
booleans, ``smallint``, ``integer`` and null are JSON's own. ``bigint`` is a string because many readers of
JSON take numbers for doubles.
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
    # Names of tables, functions and types are values as well (regclass): always qualified with this.
    "search_path": "pg_catalog",
    "quote_all_identifiers": "off",
}
"""The settings that the text of a value depends on."""


class Column(msgspec.Struct, frozen=True):
    """A column that is not generated: the file has its values."""

    name: str
    type: str
    """The type as PostgreSQL writes it, qualified: ``character varying(100)``, ``public.vector(1536)``."""


class Table(msgspec.Struct, frozen=True):
    """A table or a partition that holds rows itself."""

    schema: str
    name: str
    columns: tuple[Column, ...]


class Sequence(msgspec.Struct, frozen=True):
    """The state of a sequence."""

    schema: str
    name: str
    last: str
    """A bigint."""
    called: bool
    """True if ``last`` was returned already, so that the next value follows it."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line."""

    format: Literal["plainsql export"] = FORMAT
    version: int = VERSION
    server: str
    """The version of PostgreSQL that wrote the values."""
    layers: tuple[str, ...]
    """The names of the schemas, sorted."""
    migrations: dict[str, tuple[str, ...]]
    """The applied migrations by layer; those without a layer are under the empty name."""
    tables: tuple[Table, ...]
    """In the order of the file: each after the tables it refers to, if that is possible."""
    sequences: tuple[Sequence, ...]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The line before a table's rows. A row is an array, in the order of the header's columns."""

    table: str
    """``schema.name``, quoted if PostgreSQL would."""


class End(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last line. A file without it is not complete."""

    rows: dict[str, int]
    sha256: str
    """The digest of every byte before this line."""
