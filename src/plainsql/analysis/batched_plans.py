"""The plan of a read whose concurrent calls run as one statement: does it find its rows by the same indexes?

The plan of a single call has its parameters as the keys of an index. In the batched form they are columns of
another relation, and PostgreSQL may choose another plan. Both forms are explained with a generic plan, on the
empty tables of the scratch database and with sequential scans discouraged: the cost does not count, only
whether an index can serve at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from psycopg import Connection, RawCursor, errors

from plainsql.statements import Variant
from plainsql.statements.batched import PARAMETER_TYPES, ParameterType, batched_sql

__all__ = ["lost_by_batching"]


def lost_by_batching(connection: Connection[Any], variant: Variant) -> str:
    """Return what is lost if calls are batched, in one phrase; empty if nothing is lost.

    The connection is idle; nothing is executed. The variant only reads.
    """
    with connection.transaction(force_rollback=True), RawCursor(connection) as cursor:
        cursor.execute("set local enable_seqscan = off")
        cursor.execute("set local plan_cache_mode = force_generic_plan")
        try:
            with connection.transaction():
                alone = _explain(cursor, variant.sql)
        except errors.Error:
            return ""  # a statement that cannot be explained is not batched either
        types = _types(cursor, variant.sql)
        try:
            with connection.transaction():
                batched = _explain(cursor, batched_sql(variant, types))
        except errors.Error as error:
            return f"PostgreSQL refuses it ({error.diag.message_primary or type(error).__name__})"
    missing = sorted(_indexed(alone) - _indexed(batched))
    if missing:
        return f"{', '.join(missing)} would be read without an index"
    if _sorts(batched) > _sorts(alone):
        return "its rows would be sorted, although an index has their order"
    return ""


def _types(cursor: RawCursor[Any], sql: str) -> list[ParameterType]:
    server = cursor.connection.pgconn
    server.prepare(b"plainsql_parameters", sql.encode())
    described = server.describe_prepared(b"plainsql_parameters")
    oids = [described.param_type(index) for index in range(described.nparams)]
    cursor.execute("deallocate plainsql_parameters")
    return [ParameterType(*row) for row in cursor.execute(PARAMETER_TYPES, [oids])]


def _explain(cursor: RawCursor[Any], sql: str) -> dict[str, Any]:
    # In the simple protocol, `$n` may appear without values.
    row = cursor.execute(f"explain (generic_plan, costs off, format json)\n{sql}".encode()).fetchone()
    plan: dict[str, Any] = (row or [[{"Plan": {}}]])[0][0]["Plan"]
    return plan


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)


def _indexed(plan: dict[str, Any]) -> set[str]:
    """Return the relations, by their names in the statement, whose rows an index finds or orders."""
    found: set[str] = set()
    for node in _nodes(plan):
        by_bitmap = node["Node Type"] == "Bitmap Heap Scan"
        if by_bitmap or "Index Cond" in node or "Order By" in node:
            found.add(str(node.get("Alias", "")))
    return found - {""}


def _sorts(plan: dict[str, Any]) -> int:
    return sum(node["Node Type"] in ("Sort", "Incremental Sort") for node in _nodes(plan))
