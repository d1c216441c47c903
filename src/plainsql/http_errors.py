"""The HTTP statuses of plainsql's errors, for web frameworks: one table serves all of them."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from plainsql.errors import (
    BindError,
    CacheError,
    ConnectError,
    NoRowError,
    PoolTimeoutError,
    RedisUnavailableError,
)

__all__ = ["HttpAnswer", "answer_to", "answered_errors"]

RETRY_AFTER_S = 5
"""A pool that has lost its server connects again within seconds."""


class HttpAnswer(NamedTuple):
    """The answer to a request that an error of plainsql has ended."""

    status: int
    detail: str
    """A text for the client: never a parameter's value, a table or a constraint."""
    headers: dict[str, str]


def answered_errors() -> tuple[type[Exception], ...]:
    """Return the classes of errors that have an answer; other errors are the application's: 500."""
    # The drivers' errors are imported with the drivers, which an application has imported anyway.
    lost: type[Exception] = import_module("plainsql.database").ConnectionLostError
    return (
        BindError,
        NoRowError,
        ConnectError,
        lost,
        PoolTimeoutError,
        RedisUnavailableError,
        CacheError,
    )


def answer_to(error: Exception) -> HttpAnswer | None:
    """Return the answer to a request; ``None`` for an error that is the application's own.

    A parameter that does not fit is 422, a missing row is 404. A database or Redis that cannot be reached is
    503, with ``Retry-After`` if nothing of the call was done.
    """
    if isinstance(error, BindError):
        # Its text names the parameter and its bounds, and never holds a value.
        return HttpAnswer(422, error.message, {})
    if isinstance(error, NoRowError):
        return HttpAnswer(404, "not found", {})
    if isinstance(error, ConnectError | PoolTimeoutError):
        return HttpAnswer(503, "try again", {"Retry-After": str(RETRY_AFTER_S)})
    if isinstance(error, answered_errors()):
        return HttpAnswer(503, "the database is not available", {})
    return None
