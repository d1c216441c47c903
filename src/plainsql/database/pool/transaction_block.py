"""A transaction or savepoint on a connection as a block: begun, and at its end committed or rolled back.

Not asyncpg's ``async with``: if the connection is gone, its end raises an ``InterfaceError`` that hides the
original error.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from asyncpg import exceptions
from asyncpg.transaction import TransactionState

from plainsql.database.pool.commit_outcome import CommitOutcome
from plainsql.database.pool.contexts import asynccontextmanager
from plainsql.database.pool.following_statement import FollowingStatement
from plainsql.speed.loaded import STEP

__all__ = ["block"]

_COMMIT: Final = "commit"

_FAILED = (exceptions.PostgresError, exceptions.InterfaceError, exceptions.InternalClientError, OSError)


def block(
    connection: Any,
    outcome: CommitOutcome | None,
    *,
    isolation: str | None = None,
    read_only: bool = False,
    deferrable: bool = False,
    opening: str | None = None,
    following: FollowingStatement | None = None,
) -> AbstractAsyncContextManager[None]:
    """Run a block in a transaction, or in a savepoint if ``outcome`` is None.

    ``opening``: statements that the transaction begins with, in the same round trip. ``following``: the
    statement to send in the round trip of its commit. Raises ``ValueError`` for an unknown isolation level.
    """
    transaction = connection.transaction(isolation=isolation, readonly=read_only, deferrable=deferrable)
    return _run(connection, transaction, outcome, opening, following)


@asynccontextmanager
async def _run(
    connection: Any,
    transaction: Any,
    outcome: CommitOutcome | None,
    opening: str | None,
    following: FollowingStatement | None,
) -> AsyncIterator[None]:
    if opening is None:
        await transaction.start()
    try:
        if opening is not None:
            await _start_with(connection, transaction, opening)
        yield
        commit = None
        if following is not None and following.is_ready(connection) and not connection._query_loggers:
            commit = await connection._get_statement(_COMMIT, None)
    except BaseException as error:
        _end_use(connection, transaction, outcome)
        # A cancellation must not wait for the server: the pool rolls back when the connection is released.
        if isinstance(error, Exception) or outcome is None:
            await _roll_back(connection, transaction, is_savepoint=outcome is None)
        raise
    if outcome is not None:
        outcome.commit_begun = True
    _end_use(connection, transaction, outcome)
    if commit is None or following is None:
        await transaction.commit()
    else:
        await _commit_with(connection, transaction, commit, following)


async def _commit_with(connection: Any, transaction: Any, commit: Any, following: FollowingStatement) -> None:
    """Commit as asyncpg's ``commit`` does, with a statement behind it in the same round trip."""
    connection._top_xact = None
    transaction._state = TransactionState.FAILED
    step = STEP(commit, (), waiter=following.waiter())
    await following.exchange(connection, (step,), connection._protocol._get_timeout(None))
    if step.error is not None:
        raise step.error
    transaction._state = TransactionState.COMMITTED


async def _start_with(connection: Any, transaction: Any, opening: str) -> None:
    """Begin a transaction that is not nested, as asyncpg's ``start`` does, and run the opening statements in
    the same message.
    """
    begin = "begin"
    if transaction._isolation is not None:
        begin += f" isolation level {transaction._isolation.replace('_', ' ')}"
    if transaction._readonly:
        begin += " read only"
    if transaction._deferrable:
        begin += " deferrable"
    connection._top_xact = transaction
    transaction._state = TransactionState.STARTED  # even if the opening fails: then it is rolled back
    await connection.execute(f"{begin}; {opening}")


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
