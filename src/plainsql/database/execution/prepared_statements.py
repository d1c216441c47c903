"""Statements that a connection has prepared, compared with the row types of queries before they are run.

A statement in the driver's cache may be another query's of the same name and text, or a caller was cancelled
before its columns were compared. So a connection notes which queries a statement was compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyncpg import Record

from plainsql.database.execution.asyncpg_version import IS_KNOWN
from plainsql.database.execution.column_plans import learn_columns
from plainsql.errors import ContractError
from plainsql.query import CompiledQuery
from plainsql.query.compiled_columns import CompiledColumns
from plainsql.query.description import Described
from plainsql.speed.loaded import PROTOCOL
from plainsql.speed.row_plan import row_plan

__all__ = [
    "forget_changed",
    "is_compared",
    "is_prepared",
    "parameter_types",
    "parameters",
    "prepare",
]

_MAX_COMPARED = 1000
"""A connection remembers about so many statements that were compared."""


async def prepare(
    connection: Any, sql: str, query: CompiledQuery[Any, Any], own: int = 0, timeout: float | None = None
) -> Any:
    """Return the statement from the connection's cache, prepared and compared.

    Raises ``ContractError`` if the result has other columns than the query's row type.
    """
    if not IS_KNOWN:
        return await _public_statement(connection, sql, query, own, timeout)
    connection._check_open()
    cached = _found(connection, sql)
    while True:
        statement = await connection._get_statement(sql, timeout)
        if is_compared(connection, statement, query):
            break
        try:
            _describe(statement, query, own)
        except ContractError:
            # The next call describes it again: the tables may fit by then.
            connection._drop_local_statement_cache()
            if statement is not cached:
                raise
            cached = None  # and so may they now
        else:
            if statement.name:  # else it is not in the cache
                _note_compared(connection, statement, query)
            break
    if isinstance(query, CompiledColumns):
        # In the meantime it may leave the cache. It is closed then, unless it is in use.
        statement.attach()
        try:
            await learn_columns(connection, statement, sql, query, timeout)
        finally:
            statement.detach()
            connection._maybe_gc_stmt(statement)
    return statement


async def parameters(connection: Any, sql: str, query: CompiledQuery[Any, Any]) -> Sequence[Any]:
    """Return the types of a text's parameters; prepare it if it is not."""
    return _parameters_of(await prepare(connection, sql, query))


def is_prepared(connection: Any, sql: str) -> bool:
    """Return whether a connection has prepared a text."""
    return _found(connection, sql) is not None


def parameter_types(connection: Any, sql: str) -> list[str] | None:
    """Return the names of the types of a text's parameters, or None if it is not prepared."""
    statement = _found(connection, sql)
    return None if statement is None else [type_.name for type_ in _parameters_of(statement)]


def forget_changed(connection: Any, sql: str, current: Sequence[Any]) -> bool:
    """Drop a prepared text if its parameters have other types now than when it was prepared.

    Returns whether it was dropped.
    """
    statement = _found(connection, sql)
    if statement is None or [type_.oid for type_ in _parameters_of(statement)] == [
        type_.oid for type_ in current
    ]:
        return False
    if IS_KNOWN:
        connection._drop_global_statement_cache()
    else:
        del connection.public_statements[sql]
    return True


def _describe(statement: Any, query: CompiledQuery[Any, Any], own: int = 0) -> None:
    """Compare a statement's result with the query's row type, or make the row type if there is none yet."""
    attributes = (statement._get_attributes if IS_KNOWN else statement.get_attributes)()
    if own:
        attributes = attributes[:-own]
    columns = tuple(Described(name, type_.oid, type_.name) for name, type_ in attributes)
    if query.needs_columns:
        query.set_columns(columns)
    else:
        query.compare(columns)
    if PROTOCOL is not None and query.plan is None and not query.is_columnar:
        query.plan = row_plan(query)


def is_compared(connection: Any, statement: Any, query: CompiledQuery[Any, Any]) -> bool:
    """Return whether a statement's columns were compared with a query's row type."""
    return query in connection.compared.get(statement, ())


def _note_compared(connection: Any, statement: Any, query: CompiledQuery[Any, Any]) -> None:
    compared: dict[Any, tuple[Any, ...]] = connection.compared
    if len(compared) >= _MAX_COMPARED:  # some are not in the cache any more
        compared.clear()
    compared[statement] = (*compared.get(statement, ()), query)


def _found(connection: Any, sql: str) -> Any:
    if IS_KNOWN:
        return connection._stmt_cache.get((sql, Record, False))
    made, statement = connection.public_statements.get(sql, (0, None))
    return statement if made == connection._pool_release_ctr else None


def _parameters_of(statement: Any) -> Sequence[Any]:
    found: Sequence[Any] = (statement._get_parameters if IS_KNOWN else statement.get_parameters)()
    return found


# -- With a version of asyncpg that is not known -----------------------------------------------------------


async def _public_statement(
    connection: Any, sql: str, query: CompiledQuery[Any, Any], own: int, timeout: float | None
) -> Any:
    """Return asyncpg's object of a prepared statement, which has been compared."""
    statement = _found(connection, sql)
    if statement is None or not is_compared(connection, statement, query):
        # A new one, even if another query of the same text has prepared it: the tables may have changed.
        statement = await connection.prepare(sql, timeout=timeout)
        _describe(statement, query, own)
        if connection._config.statement_cache_size:
            _note_compared(connection, statement, query)
            connection.public_statements[sql] = (connection._pool_release_ctr, statement)
    if isinstance(query, CompiledColumns):
        await learn_columns(connection, statement, sql, query, timeout)
    return statement
