"""Transactions that are run again where they collided with others."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from asyncpg import exceptions

from plainsql.database.transaction import Transaction

__all__ = ["retry"]

R = TypeVar("R")


async def retry(
    begin: Callable[[], AbstractAsyncContextManager[Transaction]],
    work: Callable[[Transaction], Awaitable[R]],
    attempts: int,
    on_retry: Callable[[int, BaseException], object] | None,
) -> R:
    """Run ``work`` in a transaction, again where it failed by a serialization failure or a deadlock."""
    attempt = 0
    while True:
        attempt += 1
        try:
            async with begin() as transaction:
                return await work(transaction)
        except (exceptions.SerializationError, exceptions.DeadlockDetectedError) as error:
            if attempt == attempts:
                error.add_note(f"after {attempts} attempts")
                raise
            if on_retry is not None:
                on_retry(attempt, error)
        # Full jitter: two that collided do not collide again.
        await asyncio.sleep(random.uniform(0, min(0.01 * 2**attempt, 1.0)))
