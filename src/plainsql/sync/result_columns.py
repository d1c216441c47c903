"""The results of a connection as columns: the types of a statement's columns, and their values."""

from __future__ import annotations

import json

from plainsql.columns.column_types import CATALOG_QUERY, Described, described_types, user_oids
from plainsql.query.compiled_columns import ColumnTypes, CompiledColumns, StreamedColumns
from plainsql.sync.connection import Prepared, SharedConnection

__all__ = ["column_types"]


def column_types(shared: SharedConnection, query: CompiledColumns, prepared: Prepared) -> ColumnTypes:
    """Return the types of a statement's columns, looked up once.

    Raises ``ContractError`` for a type that has none in Arrow.
    """
    query.refuse_lists()
    if prepared.arrow_types is None:
        described = [
            Described(column.name, column.oid, modifier, column.type_name)
            for column, modifier in zip(prepared.columns, prepared.modifiers, strict=True)
        ]
        catalog = {}
        if unknown := user_oids(described):
            # One JSON text, which the adapters of the connection's user do not load.
            text = f"select coalesce(jsonb_agg(to_jsonb(c)), '[]')::text from ({CATALOG_QUERY}) as c"
            result = shared.run_text(text, [f"{{{','.join(map(str, unknown))}}}".encode()])
            catalog = {row["oid"]: row for row in json.loads(result.get_value(0, 0) or b"[]")}
        prepared.arrow_types = described_types(described, catalog, query.name, query.file)
    types: ColumnTypes = prepared.arrow_types
    if isinstance(query, StreamedColumns):
        query.refuse_undeclared(types)
    return types
