"""Transactions that are retried after a collision with another one, or a change of tables or server."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, TypeVar

import psycopg

from plainsql.sync.driver_errors import is_refusal
from plainsql.sync.execution import is_stale
from plainsql.sync.primary_wait import PrimaryWait
from plainsql.sync.transaction import Transaction

__all__ = ["retry"]

R = TypeVar("R")

_COLLISION_STATES: Final = frozenset({"40001", "40P01"})
"""A serialization failure and a deadlock. A standby may end the session with one of them too."""


def retry(
    begin: Callable[[], AbstractContextManager[Transaction]],
    work: Callable[[Transaction], R],
    attempts: int,
    on_retry: Callable[[int, BaseException], object] | None,
    wait: PrimaryWait,
) -> R:
    """Run ``work`` in a transaction, and again if it failed by a collision: a serialization failure, a
    deadlock, a statement that a change of the tables has made invalid, a server that is read-only now.

    While calls wait for a primary, also if its connection was lost before the commit.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            with begin() as transaction:
                return work(transaction)
        except psycopg.Error as error:
            if wait.after_transaction(error):
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
        time.sleep(random.uniform(0, min(0.01 * 2**attempt, 1.0)))


def _is_passing(error: psycopg.Error) -> bool:
    """Return whether another attempt may succeed."""
    if error.sqlstate in _COLLISION_STATES or is_stale(error):
        return True
    # The former primary of a failover refuses: the next attempt has a new connection.
    return is_refusal(error)
