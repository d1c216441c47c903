"""The settings of one statement in a transaction that goes on after it: set before, and restored behind it.

The statement that sets them returns the values that the transaction had. Where several statements share a
round trip, no value can come back in between: there the server keeps them, in settings of its own that end
with the transaction. A statement that fails aborts the transaction, or the savepoint that it is in, and the
server undoes its settings with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

from asyncpg import exceptions

from plainsql.database.pool.contexts import asynccontextmanager
from plainsql.query import CompiledQuery
from plainsql.query.setting_values import SetTo, refused_setting

__all__ = ["keeping_sql", "locally", "names_and_values", "names_of", "refused", "restoring_sql"]

_GONE = (exceptions.PostgresError, exceptions.InterfaceError, exceptions.InternalClientError, OSError)
# TimeoutError is an OSError.


@asynccontextmanager
async def locally(connection: Any, query: CompiledQuery[Any, Any], settings: SetTo) -> AsyncIterator[None]:
    """Run a block of one query's work with settings. The connection is in a transaction.

    Raises ``BindError`` or ``ContractError`` if the server refuses one; that aborts the transaction.
    """
    if not settings:
        yield
        return
    try:
        [kept] = await connection.fetch(_setting_sql(len(settings)), *names_and_values(settings))
    except exceptions.PostgresError as error:
        if (said := refused(error, query, settings)) is error:
            raise
        raise said from None
    before = tuple((name, kept[2 * index]) for index, (name, _) in enumerate(settings))
    try:
        yield
    except BaseException:
        # The transaction may be usable: if nothing was sent, if a result had too many rows, or if the
        # statement ended before its cancellation came.
        with suppress(*_GONE):
            async with asyncio.timeout(connection.control_timeout_s):
                await _restore(connection, before)
        raise
    await _restore(connection, before)


async def _restore(connection: Any, settings: Sequence[tuple[str, str | None]]) -> None:
    await connection.fetch(_restoring_sql(len(settings)), *(part for setting in settings for part in setting))


def refused(error: BaseException, query: CompiledQuery[Any, Any], settings: SetTo) -> BaseException:
    """Return the error to raise if the server has refused settings: it does not hold a value."""
    state: str | None = getattr(error, "sqlstate", None)
    return refused_setting(query.name, query.file, settings, state, str(error)) or error


def names_and_values(settings: SetTo) -> tuple[str, ...]:
    """Return the arguments of `keeping_sql`."""
    return tuple(part for setting in settings for part in setting)


def names_of(settings: SetTo) -> tuple[str, ...]:
    """Return the arguments of `restoring_sql`."""
    return tuple(name for name, _ in settings)


@cache
def _setting_sql(count: int) -> str:
    """Return the statement that sets settings, and returns the values that they had."""
    # The columns are evaluated from the left to the right. A setting of a library that is not loaded is null.
    return "select " + ", ".join(
        f"pg_catalog.current_setting(${2 * i + 1}::text, true),"
        f" pg_catalog.set_config(${2 * i + 1}::text, ${2 * i + 2}::text, true)"
        for i in range(count)
    )


@cache
def _restoring_sql(count: int) -> str:
    return "select " + ", ".join(
        f"pg_catalog.set_config(${2 * i + 1}, ${2 * i + 2}, true)" for i in range(count)
    )


@cache
def keeping_sql(count: int) -> str:
    """Return the statement that sets settings, and keeps the values that they had on the server."""
    # The first letter says whether there was a value, as a setting is never null.
    return "select " + ", ".join(
        f"pg_catalog.set_config('plainsql.kept_{i}',"
        f" coalesce('v' || pg_catalog.current_setting(${2 * i + 1}::text, true), 'n'), true),"
        f" pg_catalog.set_config(${2 * i + 1}::text, ${2 * i + 2}::text, true)"
        for i in range(count)
    )


@cache
def restoring_sql(count: int) -> str:
    """Return the statement that restores what `keeping_sql` has kept."""
    kept = "pg_catalog.current_setting('plainsql.kept_{}')"
    return "select " + ", ".join(
        f"pg_catalog.set_config(${i + 1}, case when pg_catalog.starts_with({kept.format(i)}, 'v')"
        f" then pg_catalog.substr({kept.format(i)}, 2) end, true)"
        for i in range(count)
    )
