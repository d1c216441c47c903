"""One query on one asyncpg connection: sent, read, built, and its errors explained."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from asyncpg import exceptions

from plainsql.database.execution import driver
from plainsql.database.execution.column_plans import column_types
from plainsql.database.execution.errors import explain
from plainsql.database.execution.nul_characters import nul_refused, refuse_nul
from plainsql.database.pool.tenant_settings import LocalSettings, is_of_settings
from plainsql.query import Args, CompiledQuery, QueryText
from plainsql.query.compiled_columns import CompiledColumns

if TYPE_CHECKING:
    from plainsql.columns import Columns

__all__ = ["EXPLAINED", "execute", "explained", "fetch", "fetch_rows"]

R = TypeVar("R")
T = TypeVar("T")

# The errors of the driver, the network and the clock, and of values that the driver's decoders cannot make,
# such as a date before Christ.
EXPLAINED = (
    exceptions.PostgresError,
    exceptions.InterfaceError,
    exceptions.InternalClientError,
    asyncio.TimeoutError,
    OSError,
    ValueError,
    OverflowError,
)


async def execute(
    connection: Any,
    query: CompiledQuery[Any, R],
    text: QueryText,
    values: Args,
    settings: LocalSettings | None = None,
) -> R:
    """Run a query to its end and build its result. ``settings`` go in the round trip of the statement."""
    if query.kind != "count":
        if isinstance(query, CompiledColumns):
            # Its result is `Columns` by its class; the type checker knows only R.
            return await _columns(connection, query, text, values, settings)  # type: ignore[return-value]
        if driver.reads_rows(connection, query):
            return query.result_of(await fetch_rows(connection, query, text, values, settings))
        return query.result(await fetch(connection, query, text, values, settings))
    if connection._top_xact is not None:
        await refuse_nul(connection, query, text, values)
    try:
        if settings is None:
            status = await connection.execute(text.sql, *values)
        else:
            status = await driver.status_with(connection, settings, text.sql, values)
        # The query's class makes the result an int; the type checker knows only R.
        return affected(status)  # type: ignore[return-value]
    except EXPLAINED as error:
        said = await explained(error, connection, query, text, values)
        if said is error:
            raise
        raise said from None


async def fetch(
    connection: Any,
    query: CompiledQuery[Any, Any],
    text: QueryText,
    values: Args,
    settings: LocalSettings | None = None,
) -> list[Any]:
    """Run a query to its end and return its records."""
    if connection._top_xact is not None:
        await refuse_nul(connection, query, text, values)
    try:
        return await driver.fetch(connection, text.sql, values, query, 0, settings)
    except EXPLAINED as error:
        said = await explained(error, connection, query, text, values)
        if said is error:
            raise
        raise said from None


async def fetch_rows(
    connection: Any,
    query: CompiledQuery[T, Any],
    text: QueryText,
    values: Args,
    settings: LocalSettings | None = None,
) -> list[T]:
    """Run a query to its end and return its rows."""
    if not driver.reads_rows(connection, query):
        return query.build(await fetch(connection, query, text, values, settings))
    if connection._top_xact is not None:
        await refuse_nul(connection, query, text, values)
    try:
        return await driver.fetch_rows(connection, text.sql, values, query, settings)
    except EXPLAINED as error:
        said = await explained(error, connection, query, text, values)
        if said is error:
            raise
        raise said from None


async def _columns(
    connection: Any,
    query: CompiledColumns,
    text: QueryText,
    values: Args,
    settings: LocalSettings | None,
) -> Columns:
    """Run a query to its end and return its columns."""
    if driver.reads_rows(connection, query):
        rows = await fetch_rows(connection, query, text, values, settings)
        if rows:
            return query.result_of(rows)
        return query.columns(column_types(connection, text.sql), [])
    records = await fetch(connection, query, text, values, settings)
    return query.columns(column_types(connection, text.sql), records)


async def explained(
    error: BaseException, connection: Any, query: CompiledQuery[Any, Any], text: QueryText, values: Args
) -> BaseException:
    """Return the error to raise for one of a statement, as `explain` does; for a NUL, a `BindError`."""
    if is_of_settings(error):
        return error
    refusal = nul_refused(error, connection, query, text, values)
    return await explain(error, connection, query, text, values) if refusal is None else refusal


def affected(status: str) -> int:
    """Return the number of rows of a command's status: ``INSERT 0 3`` is 3, ``CREATE TABLE`` is 0."""
    last = status.rpartition(" ")[2]
    return int(last) if last.isdecimal() else 0
