"""Arguments of the command line in PostgreSQL's text form, and results in JSON.

The server does both conversions. It reads text as the parameter's type; values without a plain form in JSON
(times, arrays, composites) it writes as JSON itself, with ``to_json``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import psycopg
from psycopg import sql

from plainsql.cli.assignments import Given
from plainsql.errors import BindError

__all__ = ["Type", "json_column", "read_types", "to_text"]

_ENCODER = msgspec.json.Encoder(decimal_format="number")

Cell = str | None
"""A value as PostgreSQL writes it; None is null."""

_NUMBERS = {"int2", "int4", "int8", "oid", "float4", "float8", "numeric"}
_VECTORS = {"vector", "halfvec"}


@dataclass(frozen=True, slots=True)
class Type:
    """A type, with the facts that writing its values needs."""

    oid: int
    name: str
    """The name in ``pg_type``; for a domain, that of its base type."""
    element: str
    """The name of an array's element type; else empty."""
    by_server: bool
    """True if the server writes its JSON form."""

    @property
    def is_number(self) -> bool:
        return self.name in _NUMBERS

    @property
    def is_vector(self) -> bool:
        return self.name in _VECTORS


_TYPES = """
select
  t.oid::int8,
  b.typname::text,
  coalesce(e.typname::text, ''),
  b.typcategory in ('A', 'C', 'D') and b.oid <> 'record'::regtype
from unnest($1::oid[]) as o (oid)
inner join pg_catalog.pg_type as t on o.oid = t.oid
inner join pg_catalog.pg_type as b on b.oid = coalesce(nullif(t.typbasetype, 0), t.oid)
left join pg_catalog.pg_type as e on b.typcategory = 'A' and b.typelem = e.oid
"""


def read_types(connection: psycopg.Connection[Any], oids: Iterable[int]) -> dict[int, Type]:
    """Return types by their oids, from the server's catalog."""
    wanted = sorted(set(oids))
    if not wanted:
        return {}
    rows = psycopg.RawCursor(connection).execute(_TYPES, [wanted]).fetchall()
    return {oid: Type(oid, name, element, by_server) for oid, name, element, by_server in rows}


def to_text(name: str, given: Given, type: Type | None) -> Cell:
    """Return an argument in the server's text form.

    Raises ``BindError`` if a JSON list or object is given for a type that cannot hold it.
    """
    if not given.is_json or given.value is None:
        return None if given.is_json else given.text
    if type is not None and type.name in ("json", "jsonb"):
        return given.text
    if isinstance(given.value, list) and type is not None:
        if type.element:
            return _array(given.value, type.element)
        if type.is_vector:
            return given.text
    if isinstance(given.value, list | dict):
        kind = "a list" if isinstance(given.value, list) else "an object"
        raise BindError(
            f"{name}: expected {type.name if type else 'a plain value'}, got {kind}",
            hint=f"write {name}=… in the form that PostgreSQL reads",
        )
    return _scalar(given.value)


def _scalar(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _array(values: Sequence[object], element: str) -> str:
    """Return an array literal. Inner lists are further dimensions, unless the elements are lists."""

    def one(value: object) -> str:
        if value is None:
            return "NULL"
        if isinstance(value, list) and element not in (*_VECTORS, "json", "jsonb"):
            return _array(value, element)
        plain = isinstance(value, list | dict) or element in ("json", "jsonb")
        text = _ENCODER.encode(value).decode() if plain else _scalar(value)
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    return "{" + ",".join(one(value) for value in values) + "}"


def json_column(connection: psycopg.Connection[Any], type: Type, cells: list[Cell]) -> list[object]:
    """Return a column's values for msgspec to encode. NaN, which JSON lacks, is a string."""
    if type.by_server:
        written = _written_by_server(connection, type, cells)
        return [None if text is None else msgspec.Raw(text.encode()) for text in written]
    if type.name == "bool":
        return [None if cell is None else cell == "t" for cell in cells]
    if type.is_number:
        return [None if cell is None else _number(cell) for cell in cells]
    if type.is_vector or type.name in ("json", "jsonb"):
        return [None if cell is None else msgspec.Raw(cell.encode()) for cell in cells]
    return list(cells)


def _number(text: str) -> object:
    # The digits themselves: 12.50 stays 12.50, and no bigint loses its last digits.
    return text if text.lstrip("-")[:1] in ("N", "I") else msgspec.Raw(text.encode())


def _written_by_server(connection: psycopg.Connection[Any], type: Type, cells: list[Cell]) -> list[Cell]:
    cursor = psycopg.RawCursor(connection)
    # With a modifier of -1, not null: otherwise `character` would cut to one character.
    name = cursor.execute("select pg_catalog.format_type($1, -1)", [type.oid]).fetchone()
    assert name is not None
    query = sql.SQL(
        "select pg_catalog.to_json(cast(u.v as {}))::text"
        " from pg_catalog.unnest($1::text[]) with ordinality as u (v, n) order by u.n"
    ).format(sql.SQL(name[0]))
    return [row[0] for row in cursor.execute(query, [cells]).fetchall()]
