"""Statements of any queries in one round trip, in a transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

from asyncpg import exceptions

from plainsql.database.execution import driver
from plainsql.database.execution.nul_characters import refuse_nul
from plainsql.database.execution.own_settings import (
    keeping_sql,
    locally,
    names_and_values,
    names_of,
    refused,
    restoring_sql,
)
from plainsql.database.execution.pipelined_statement import MAX_PIPELINE_BYTES, Values
from plainsql.database.execution.prepared_statements import prepare
from plainsql.database.execution.savepoint import aborting, atomic
from plainsql.database.execution.statement import EXPLAINED, affected, execute, explained
from plainsql.database.execution.time_limit import TimeLimit
from plainsql.database.execution.wire_size import wire_size
from plainsql.query import CompiledQuery, QueryText
from plainsql.speed.loaded import STEP

__all__ = ["Statement", "run_in_order"]


class Statement(NamedTuple):
    """One call of a query."""

    query: CompiledQuery[Any, Any]
    text: QueryText
    values: Values


async def run_in_order(connection: Any, statements: Sequence[Statement], *, own: bool) -> list[Any]:
    """Run statements, all or none, and return their results in order.

    With the compiled part in one round trip, or in a few if their arguments are large. The connection is in a
    transaction. If that is their ``own``, an error ends it; in another's, they are undone.
    """
    if not driver.takes_steps(connection):
        async with nullcontext() if own else atomic(connection):
            return [await _alone(connection, statement) for statement in statements]
    for query, text, values in statements:
        await refuse_nul(connection, query, text, values)
    pieces = [*_pieces(statements)]
    # An error of the server aborts the transaction. A result with another number of rows than expected is an
    # error that leaves it usable.
    is_undone = len(pieces) == 1 and all(query.kind in {"many", "count"} for query, _, _ in statements)
    aborts = is_undone and not own and not all(query.read_only for query, _, _ in statements)
    results: list[Any] = []
    async with nullcontext() if own or is_undone else atomic(connection):
        for piece in pieces:
            results += await _run_piece(connection, piece, aborts=aborts)
    return results


async def _alone(connection: Any, statement: Statement) -> Any:
    async with locally(connection, statement.query, statement.text.settings):
        return await execute(connection, *statement)


async def _run_piece(connection: Any, statements: Sequence[Statement], *, aborts: bool) -> list[Any]:
    """Run statements in one round trip. ``aborts``: if something fails after they were sent, the transaction
    is aborted.
    """
    steps: list[Any] = []

    def was_sent(_: BaseException) -> bool:
        return len(steps) == len(statements) and not any(step.is_unfit for step in steps)

    async with aborting(connection, was_sent) if aborts else nullcontext():
        await _exchange(connection, statements, steps)
        return [_result(statement.query, step) for statement, step in zip(statements, steps, strict=True)]


async def _exchange(connection: Any, statements: Sequence[Statement], steps: list[Any]) -> None:
    """Run statements in one round trip, and add the step of each. Raises the error of the one that fails.

    The settings of a statement have a step in front of its own, and one behind it that restores them.
    """
    limit = TimeLimit(connection)
    kept: list[Any] = []
    sent: list[Any] = []
    of_settings: dict[int, Any] = {}
    at = 0

    async def add_settings(sql: str, values: tuple[str, ...]) -> Any:
        prepared = await connection._get_statement(sql, limit.left)
        prepared.attach()
        kept.append(prepared)
        sent.append(STEP(prepared, values, synced=False, drop_rows=True))
        return sent[-1]

    try:
        for at, (query, text, values) in enumerate(statements):
            own = text.settings
            if own:
                of_settings[at] = await add_settings(keeping_sql(len(own)), names_and_values(own))
            prepared = await prepare(connection, text.sql, query, 0, limit.left)
            # While the next is prepared it may leave the cache. It is closed then, unless it is in use.
            prepared.attach()
            kept.append(prepared)
            plan = None if query.kind == "count" else query.plan
            reader = None if plan is None else driver.reader_of(connection._protocol, prepared, plan)
            steps.append(STEP(prepared, values, reader, synced=False, drop_rows=query.kind == "count"))
            sent.append(steps[-1])
            if own:
                await add_settings(restoring_sql(len(own)), names_of(own))
        at = 0
        await connection._protocol.exchange(tuple(sent), limit.left)
        if steps[0].error is not None:
            raise steps[0].error
    except EXPLAINED as error:
        for number, step in of_settings.items():
            if step.has_failed:
                query, text, _ = statements[number]
                raise refused(error, query, text.settings) from None
        for number, step in enumerate(steps):
            if step.has_failed or step.is_unfit:
                at = number
        # The transaction ends with it, and the next one on the connection prepares them again.
        if isinstance(error, exceptions.OutdatedSchemaCacheError):
            await connection.reload_schema_state()
        elif isinstance(error, exceptions.InvalidCachedStatementError):
            connection._drop_global_statement_cache()
        said = await explained(error, connection, *statements[at])
        if said is error:
            raise
        raise said from None
    finally:
        for prepared in kept:
            prepared.detach()
            connection._maybe_gc_stmt(prepared)


def _result(query: CompiledQuery[Any, Any], step: Any) -> Any:
    if query.kind == "count":
        return affected(step.status)
    plan = query.plan
    if plan is None:
        return query.result(step.rows)
    return query.result_of(step.rows if plan.finish is None else plan.finish(step.rows))


def _pieces(statements: Sequence[Statement]) -> Iterator[list[Statement]]:
    """Divide statements into those of each round trip, by the size of their arguments."""
    piece: list[Statement] = []
    size = 0
    for statement in statements:
        own = wire_size(statement.values)
        if piece and size + own > MAX_PIPELINE_BYTES:
            yield piece
            piece, size = [], 0
        piece.append(statement)
        size += own
    if piece:
        yield piece
