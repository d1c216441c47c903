"""The error of a failed call: with the query's name and place, and the parameter that does not fit."""

from __future__ import annotations

import re
from typing import Any

from asyncpg import exceptions

from plainsql.database.execution.prepared_statements import forget_changed
from plainsql.database.pool.driver_errors import classify_error
from plainsql.database.pool.lost_connection import as_lost, is_lost, is_unreadable
from plainsql.errors import BindError, DecodeError
from plainsql.query import CompiledQuery, QueryText
from plainsql.sqlstate_errors import StatementTimeoutError, is_own

__all__ = ["add_query_note", "explain", "is_lost", "name_violation", "unfit_argument"]

# asyncpg names the argument that it could not encode only in the text, which holds the value as well. The
# number is at the beginning, before any part of the value.
_ARGUMENT = re.compile(r"invalid input for query argument \$(\d+)")

_CHANGED = (
    "the tables have changed since this connection prepared the statement: run the transaction again, "
    "as 'db.retry' does"
)


async def explain(
    error: BaseException,
    connection: Any,
    query: CompiledQuery[Any, Any],
    text: QueryText,
    values: tuple[object, ...],
) -> BaseException:
    """Return the error to raise: the same one with a note, or a ``BindError`` for an unfit argument.

    Errors of the server keep the driver's classes, so that they can be caught by them.
    """
    error = as_lost(error)
    if isinstance(error, exceptions.DataError) and error.severity is None:  # type: ignore[attr-defined]
        return await _encode_error(error, connection, query, text, values)
    if isinstance(error, exceptions.UnsupportedClientFeatureError) or is_unreadable(error):
        # Ranges and composite types with a part that asyncpg knows only as text: a tsvector, a type of an
        # extension. `plainsql check` refuses them; queries that are loaded at run time get this error.
        return DecodeError(
            f"{query.name}: a type that asyncpg has no way for",
            detail=str(error).partition("\n")[0],
            hint=f"select its parts as columns, or cast it to text in {query.file}",
        )
    if is_own(error):
        return error
    if isinstance(error, ValueError | OverflowError) and not isinstance(error, exceptions.InterfaceError):
        return DecodeError(
            f"{query.name}: a column holds a value that Python does not have",
            hint=f"cast dates and times beyond Python's years to text in {query.file}",
        )
    if isinstance(error, exceptions.InvalidCachedStatementError):
        error.add_note(_CHANGED)
    if isinstance(error, TimeoutError) and not error.args:
        limit_s: float | None = connection._config.command_timeout
        # The driver's own has no text.
        error = StatementTimeoutError(
            f"the statement took longer than statement_timeout={limit_s:g}" if limit_s else ""
        )
    name_violation(error, query)
    error.add_note(
        query.error_note(
            text,
            getattr(error, "position", None),
            sqlstate=getattr(error, "sqlstate", None),
            message=str(error).partition("\n")[0],
        )
    )
    return error


def add_query_note(error: BaseException, query: CompiledQuery[Any, Any], text: QueryText) -> None:
    """Add the note that names the query to an error whose position is not one of the query's text."""
    classify_error(error)
    name_violation(error, query)
    error.add_note(query.error_note(text, None))


def name_violation(error: BaseException, query: CompiledQuery[Any, Any]) -> None:
    """Give the violation of a constraint the class that the query's header names for it."""
    if query.errors and isinstance(error, exceptions.IntegrityConstraintViolationError):
        kind = query.errors.get(getattr(error, "constraint_name", None) or "")
        if kind is not None:
            classify_error(error, kind)


def unfit_argument(error: BaseException) -> int | None:
    """Return the index, from 0, of the argument that the driver could not encode; None if it names none."""
    found = _ARGUMENT.match(str(error))
    return None if found is None else int(found[1]) - 1


async def _encode_error(
    error: exceptions.DataError,
    connection: Any,
    query: CompiledQuery[Any, Any],
    text: QueryText,
    values: tuple[object, ...],
) -> BindError:
    index = unfit_argument(error)
    if index is None:
        return BindError(f"{query.name}: a parameter does not fit its type", hint=f"see {query.file}")
    detail = None
    try:
        # Nothing was sent for the failed call.
        types = (await connection.prepare(text.sql)).get_parameters()
        expected = types[index].name
        if forget_changed(connection, text.sql, types):
            # The server refuses no such statement: it would be refused here for ever.
            detail = "the type has changed since the statement was prepared: call again"
    except (exceptions.PostgresError, exceptions.InterfaceError, OSError):
        expected = "another type"
    return query.encode_error(text, index, expected, values[index], error.__cause__, detail=detail)
