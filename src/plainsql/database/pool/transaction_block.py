"""A transaction or savepoint on a connection as a block: begun, and at its end committed or rolled back.

Not asyncpg's ``async with``: if the connection is gone, its end raises an ``InterfaceError`` that hides the
original error.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

from asyncpg import exceptions

from plainsql.database.pool.commit_outcome import CommitOutcome
from plainsql.database.pool.contexts import asynccontextmanager

__all__ = ["block"]

_FAILED = (exceptions.PostgresError, exceptions.InterfaceError, exceptions.InternalClientError, OSError)


def block(
    connection: Any,
    outcome: CommitOutcome | None,
    *,
    isolation: str | None = None,
    read_only: bool = False,
    deferrable: bool = False,
) -> AbstractAsyncContextManager[None]:
    """Run a block in a transaction, or in a savepoint if ``outcome`` is None.

    Raises ``ValueError`` for an unknown isolation level.
    """
    transaction = connection.transaction(isolation=isolation, readonly=read_only, deferrable=deferrable)
    return _run(connection, transaction, outcome)


@asynccontextmanager
async def _run(connection: Any, transaction: Any, outcome: CommitOutcome | None) -> AsyncIterator[None]:
    await transaction.start()
    try:
        yield
    except BaseException as error:
        _end_use(connection, transaction, outcome)
        # A cancellation must not wait for the server: the pool rolls back when the connection is released.
        if isinstance(error, Exception) or outcome is None:
            await _roll_back(connection, transaction, is_savepoint=outcome is None)
        raise
    if outcome is not None:
        outcome.commit_begun = True
    _end_use(connection, transaction, outcome)
    await transaction.commit()


def _end_use(connection: Any, transaction: Any, outcome: CommitOutcome | None) -> None:
    """End what was made on the connection inside the transaction: statements, cursors, transactions. Their
    work after the block, before or after the commit, would not be part of it.
    """
    if outcome is not None:
        connection._pool_release_ctr += 1
        transaction._con_release_ctr = connection._pool_release_ctr


async def _roll_back(connection: Any, transaction: Any, *, is_savepoint: bool) -> None:
    """Roll back. The original error says more than an error of the rollback."""
    if connection.is_closed():
        return
    try:
        async with asyncio.timeout(connection.control_timeout_s):
            await transaction.rollback()
    except BaseException as error:
        if is_savepoint or isinstance(error, TimeoutError):
            # The outer transaction must not commit what the savepoint left.
            connection.terminate()
        if not isinstance(error, _FAILED):
            raise
