"""The types of the columns of a statement's result, learnt once for each connection that has prepared it.

The numbers of types are those of a database, and a statement that is prepared again may have others.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

from plainsql.columns.column_types import CATALOG_QUERY, Described, described_types, user_oids
from plainsql.query import CompiledQuery
from plainsql.query.compiled_columns import ColumnTypes, CompiledColumns, StreamedColumns
from plainsql.speed.loaded import COLUMNS

__all__ = ["column_reader", "column_types", "has_columns", "learn_columns"]

_MAX_PLANS: Final = 1000
"""A connection keeps the types of about so many statements."""

_plans: WeakKeyDictionary[Any, dict[str, tuple[Any, ColumnTypes]]] = WeakKeyDictionary()
"""By connection and text: the statement, and the columns of its result."""


def has_columns(connection: Any, statement: Any, sql: str) -> bool:
    """Return whether the types of a statement's columns are known."""
    found = _plans.get(connection, {}).get(sql)
    return found is not None and found[0] is statement


def column_types(connection: Any, sql: str) -> ColumnTypes:
    """Return the types of the columns of a statement that was learnt."""
    return _plans[connection][sql][1]


def column_reader(connection: Any, sql: str, query: CompiledQuery[Any, Any]) -> Any:
    """Return the reader of the rows of a call."""
    types = column_types(connection, sql)
    if isinstance(query, StreamedColumns):
        return COLUMNS.BlockReader(types, query.name, query.file, query.block_rows)
    return COLUMNS.ColumnReader(types, query.name, query.file)


async def learn_columns(
    connection: Any, statement: Any, sql: str, query: CompiledColumns, timeout: float | None
) -> None:
    """Find the types of a statement's columns.

    Raises ``ContractError`` for a type that has none in Arrow.
    """
    query.refuse_lists()
    if not has_columns(connection, statement, sql):
        described = _described(statement)
        unknown = user_oids(described)
        rows = await connection.fetch(CATALOG_QUERY, unknown, timeout=timeout) if unknown else ()
        catalog = {row["oid"]: row for row in rows}
        columns = described_types(described, catalog, query.name, query.file)
        plans = _plans.setdefault(connection, {})
        if len(plans) >= _MAX_PLANS:
            plans.clear()
        plans[sql] = (statement, columns)
    if isinstance(query, StreamedColumns):
        query.refuse_undeclared(column_types(connection, sql))


def _described(statement: Any) -> list[Described]:
    """Return the columns of a statement's result."""
    state = getattr(statement, "_state", statement)
    attributes: Sequence[Any] = state._get_attributes()
    names = [type_.name for _, type_ in attributes]
    if COLUMNS is not None and isinstance(state, COLUMNS.STATEMENT):
        found = COLUMNS.described_columns(state)
        return [
            Described(name, oid, typmod, type_name, is_binary)
            for (name, oid, typmod, is_binary), type_name in zip(found, names, strict=True)
        ]
    # asyncpg keeps the modifiers in a list that Python code can reach in this way only. The values are
    # objects of Python here, in whichever format they have travelled.
    modifiers = [-1] * len(attributes)
    for each in gc.get_referents(state):
        if isinstance(each, list) and len(each) == len(attributes) and all(map(_is_description, each)):
            modifiers = [row[5] for row in each]
    return [
        Described(name, type_.oid, modifier, type_.name)
        for (name, type_), modifier in zip(attributes, modifiers, strict=True)
    ]


def _is_description(row: object) -> bool:
    """Return whether it is a column as the server's message RowDescription has it."""
    return isinstance(row, tuple) and len(row) == 7 and isinstance(row[0], bytes)
