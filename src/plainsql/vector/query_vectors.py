"""The vector parameter of a search, the column that it is compared with, and vectors to search for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg import Connection, RawCursor, sql

from plainsql.errors import BindError, OptionError, Place
from plainsql.plans.explain.compared_columns import Comparison
from plainsql.statements import Statement

__all__ = [
    "DISTANCE_OPERATORS",
    "Search",
    "find_search",
    "raise_unless_vectors",
    "sample_vectors",
    "vector_texts",
]

DISTANCE_OPERATORS: Final = frozenset({"<->", "<#>", "<=>", "<+>", "<~>", "<%>"})
_TYPES: Final = ("vector", "halfvec", "sparsevec", "bit", "varbit")
_COLUMN: Final = re.compile(r"(?:(\w+)\.)?(\w+)\.(\w+)")
_RANGES: Final = frozenset({"=", "<", "<=", ">", ">="})

_PARAMETER_TYPES = """
select o.oid::int8, coalesce(b.typname, t.typname)::text
from unnest($1::oid[]) as o (oid)
inner join pg_catalog.pg_type as t on o.oid = t.oid
left join pg_catalog.pg_type as b on b.oid = nullif(t.typbasetype, 0)
"""
_FACTS = """
select n.nspname::text, c.relname::text, a.attname::text
from pg_catalog.pg_attribute as a
inner join pg_catalog.pg_class as c on a.attrelid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where c.oid = $1 and a.attnum = $2
"""
_NAMED = """
select c.oid::int8, a.attnum::int4
from pg_catalog.pg_attribute as a
inner join pg_catalog.pg_class as c on a.attrelid = c.oid
where c.oid = to_regclass($1) and a.attname = $2 and not a.attisdropped
"""


@dataclass(frozen=True, slots=True)
class Search:
    """The vector parameter of a query, and the column that it is compared with."""

    parameter: str
    type: str
    """The parameter's type: ``vector``, ``halfvec``, ``sparsevec`` or ``bit``."""
    types: Mapping[str, str]
    """The types of all parameters by their names."""
    schema: str = ""
    table: str = ""
    column: str = ""
    oid: int = 0
    """The table's oid; 0 if the query does not show the column."""
    filters: Mapping[str, str] = field(default_factory=dict)
    """By parameter that is compared with another column of the table: that column and the operator."""

    @property
    def relation(self) -> sql.Identifier:
        """The table as an identifier."""
        return sql.Identifier(self.schema, self.table)


def find_search(
    connection: Connection[Any],
    statement: Statement,
    comparisons: Mapping[str, Sequence[Comparison]],
    type_oids: Mapping[str, int],
    *,
    parameter: str = "",
    column: str = "",
) -> Search:
    """Return the search that a query makes.

    Args:
        connection: a connection to the database.
        statement: the query.
        comparisons: the columns that each parameter is compared with.
        type_oids: the types of the parameters.
        parameter: the name of the vector parameter, if the query has several.
        column: the column to take, as ``schema.table.column``, if the query does not show it.

    Raises ``BindError`` if the query has no vector parameter or several, ``OptionError`` if there is no such
    column.
    """
    rows = RawCursor(connection).execute(_PARAMETER_TYPES, [sorted(set(type_oids.values()))]).fetchall()
    names = dict(rows)
    types = {name: names.get(oid, "") for name, oid in type_oids.items()}
    known = [name for name, type_ in types.items() if type_ in _TYPES]
    if parameter and parameter not in known:
        raise BindError(
            f"{statement.name}: {parameter} is no parameter with a vector type",
            hint=f"name one of {', '.join(known)}" if known else "name a query that takes a vector",
        )
    searched = [name for name in known if _distances(comparisons.get(name, ()))] or known
    if not parameter and len(searched) != 1:
        got = f"several: {', '.join(searched)}" if searched else "none"
        raise BindError(
            f"{statement.name}: expected one parameter with a vector to search for, got {got}",
            place=Place(statement.path),
            hint="name it: --vector NAME" if searched else "name a query that orders by a distance",
        )
    chosen = parameter or searched[0]
    home = _named(connection, column) if column else next(iter(_distances(comparisons.get(chosen, ()))), None)
    if home is None:
        return Search(chosen, types[chosen], types)
    oid, number = home
    row = RawCursor(connection).execute(_FACTS, [oid, number]).fetchone()
    assert row is not None
    filters: dict[str, str] = {}
    for name, found in comparisons.items():
        for each in found:
            plain = each.operator in _RANGES and not each.of_elements and not each.any_of
            if name != chosen and each.table == oid and plain and name not in filters:
                about = RawCursor(connection).execute(_FACTS, [oid, each.column]).fetchone()
                assert about is not None
                filters[name] = f"{each.operator} {about[2]}"
    schema, table, name = row
    return Search(chosen, types[chosen], types, schema, table, name, oid, filters)


def _distances(comparisons: Iterable[Comparison]) -> list[tuple[int, int]]:
    return [(each.table, each.column) for each in comparisons if each.operator in DISTANCE_OPERATORS]


def _named(connection: Connection[Any], column: str) -> tuple[int, int]:
    match = _COLUMN.fullmatch(column)
    if match is None:
        raise OptionError(f"column: expected schema.table.column, got {column[:80]!r}")
    schema, table, name = match.groups()
    relation = sql.Identifier(*filter(None, (schema, table))).as_string(connection)
    row = RawCursor(connection).execute(_NAMED, [relation, name]).fetchone()
    if row is None:
        raise OptionError(f"column: there is no column {column}", hint="write it as schema.table.column")
    return row[0], row[1]


def sample_vectors(connection: Connection[Any], search: Search, count: int) -> list[str]:
    """Return vectors of the column as texts, the same ones as long as the table does not change.

    They are those with the smallest hash of the row's place: ``random()`` would make two measurements differ.
    """
    query = sql.SQL(
        "select s.{column}::text from {table} as s where s.{column} is not null"
        " order by pg_catalog.md5(s.ctid::text), s.ctid limit {count}"
    ).format(column=sql.Identifier(search.column), table=search.relation, count=sql.Literal(count))
    return [text for (text,) in connection.execute(query).fetchall()]


def vector_texts(vectors: Iterable[Any], type: str) -> list[str]:
    """Return vectors of a type in the form that PostgreSQL reads.

    Raises ``BindError`` for one that is neither a text nor numbers.
    """
    return [_text(each, number, type) for number, each in enumerate(vectors, 1)]


def _text(vector: Any, number: int, type: str) -> str:
    if isinstance(vector, str):
        return vector
    as_text = getattr(vector, "to_text", None)  # pgvector's own objects, sparse ones as well
    if as_text is not None:
        return str(as_text())
    try:
        if type in ("bit", "varbit"):
            return "".join("01"[bool(value)] for value in vector)
        return "[" + ",".join(repr(float(value)) for value in vector) + "]"
    except (TypeError, ValueError):
        raise BindError(
            f"vector {number}: expected numbers, got {vector.__class__.__name__}",
            hint="pass an array of shape (n, dimensions)",
        ) from None


def raise_unless_vectors(statement: Statement, search: Search, vectors: Sequence[str]) -> None:
    """Raise ``BindError`` if there is no vector to search for."""
    if vectors:
        return
    where = f"{search.schema}.{search.table}.{search.column}" if search.oid else ""
    raise BindError(
        f"{statement.name}: there are no vectors to search for: "
        + (f"{where} has none" if where else f"no column is compared with :{search.parameter}"),
        place=Place(statement.path),
        hint="pass them: --vectors FILE.npy" if where else "name the column: --column schema.table.column",
    )
