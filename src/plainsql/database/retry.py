"""Transactions that are retried after a collision with another one, or a change of tables or server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from asyncpg import exceptions

from plainsql.database.pool.failover_wait import FailoverWait
from plainsql.database.pool.lost_connection import ConnectionLostError
from plainsql.database.pool.read_only_servers import is_refusal
from plainsql.database.transaction import Transaction
from plainsql.outcome_notes import ON_REPLICA

__all__ = ["retry"]

R = TypeVar("R")

_COLLISIONS = (
    exceptions.SerializationError,
    exceptions.DeadlockDetectedError,
    # The tables have changed since the statement was prepared, or their types since they were read. The next
    # transaction prepares again.
    exceptions.InvalidCachedStatementError,
    exceptions.OutdatedSchemaCacheError,
)

_COLLISION_STATES = frozenset({"40001", "40P01"})
"""A standby may end the session of a query that conflicts with the changes that it applies."""


async def retry(
    begin: Callable[[], AbstractAsyncContextManager[Transaction]],
    work: Callable[[Transaction], Awaitable[R]],
    attempts: int,
    on_retry: Callable[[int, BaseException], object] | None,
    failover: FailoverWait,
) -> R:
    """Run ``work`` in a transaction, and again if it failed by a collision: a serialization failure, a
    deadlock, a statement that a change of the tables has made invalid, a server that is read-only now.

    While calls wait for a primary, also if its connection was lost before the commit.
    """
    attempt, ends = 0, 0.0
    while True:
        attempt += 1
        try:
            async with begin() as transaction:
                return await work(transaction)
        except (exceptions.PostgresError, exceptions.OutdatedSchemaCacheError) as error:
            if failover.allows_transaction(error):
                ends = ends or failover.ends()
                if await failover.pause(ends):
                    if on_retry is not None:
                        on_retry(attempt, error)
                    attempts += 1
                    continue
            if not _is_passing(error):
                raise
            if attempt == attempts:
                error.add_note(f"after {attempts} attempts")
                raise
            if on_retry is not None:
                on_retry(attempt, error)
        # Full jitter: two that collided do not collide again.
        await asyncio.sleep(random.uniform(0, min(0.01 * 2**attempt, 1.0)))


def _is_passing(error: BaseException) -> bool:
    """Return whether another attempt may succeed."""
    if ON_REPLICA in getattr(error, "__notes__", ()):
        return True  # whatever it was, the next attempt is on the primary
    if isinstance(error, ConnectionLostError):
        return error.sqlstate in _COLLISION_STATES
    # The former primary of a failover refuses: the next attempt has a new connection.
    return isinstance(error, _COLLISIONS) or is_refusal(error)
