"""Many sets of parameters for one query: in one round trip where that can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from plainsql.database.execution import EXPLAINED, execute
from plainsql.database.failure import explain
from plainsql.database.joined import JoinedStatement, Values
from plainsql.errors import NoRowError
from plainsql.query import Args, Plan, Query

__all__ = ["execute_many", "run_batch"]

R = TypeVar("R")

_CHUNK = 1000
"""At the most so many reads in one statement: the answer to one is in memory as a whole."""


async def run_batch(connection: Any, query: Query[..., Any, R], sets: Sequence[Args]) -> list[R]:
    """Run a query once for each set of arguments and return the results in the order of the sets.

    Reads go as joined statements, writes that return exactly one row through the driver's pipeline, all
    others one after the other. The connection is in a transaction, so that writes are done all or not at all.
    """
    results: list[R] = []
    for plan, values in _runs(query, sets):
        if query.effect == "reads" and len(values) > 1:
            joined = JoinedStatement(plan)
            for start in range(0, len(values), _CHUNK):
                chunk = values[start : start + _CHUNK]
                found = await _explained(connection, query, plan, chunk, joined.fetch(connection, chunk))
                if found is None:
                    results += [await execute(connection, query, plan, one) for one in chunk]
                else:
                    results += [query.result(records) for records in found]
        elif query.kind == "one" and query.effect == "writes" and len(values) > 1:
            fetched = connection.fetchmany(plan.sql, values)
            records = await _explained(connection, query, plan, values, fetched)
            if len(records) != len(values):
                # Which set has none, or two, is not to be seen in the pipeline's answer.
                raise NoRowError(
                    f"{query.name}: expected exactly one row for each of {len(values)} sets of parameters, "
                    f"got {len(records)} in all",
                    hint=f"where no row is an answer, declare 'returns: optional …' in {query.file}",
                )
            results += query.build(records)
        else:
            results += [await execute(connection, query, plan, one) for one in values]
    return results


async def execute_many(connection: Any, query: Query[..., Any, Any], sets: Sequence[Args]) -> None:
    """Run a query once for each set of arguments, pipelined, and return nothing of what it returns."""
    for plan, values in _runs(query, sets):
        await _explained(connection, query, plan, values, connection.executemany(plan.sql, values))


def _runs(query: Query[..., Any, Any], sets: Sequence[Args]) -> list[tuple[Plan, list[Values]]]:
    """Divide sets into runs of the same variant, their order kept."""
    runs: list[tuple[Plan, list[Values]]] = []
    for args in sets:
        plan, values = query.plan(args)
        if not runs or runs[-1][0] is not plan:
            runs.append((plan, []))
        runs[-1][1].append(values)
    return runs


async def _explained(
    connection: Any, query: Query[..., Any, Any], plan: Plan, values: list[Values], work: Any
) -> Any:
    try:
        return await work
    except EXPLAINED as error:
        explained = await explain(error, connection, query, plan, values[0])
        if explained is error:
            raise
        raise explained from None
