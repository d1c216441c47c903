"""The HTTP statuses of plainsql's errors, for web frameworks: one table serves all of them."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from typing import Any, NamedTuple

from plainsql.errors import (
    BindError,
    CacheError,
    ConnectError,
    NoRowError,
    PageTokenError,
    PoolTimeoutError,
    RedisUnavailableError,
)
from plainsql.sqlstate_errors import (
    CheckViolation,
    ConstraintViolation,
    DeadlockDetected,
    ForeignKeyViolation,
    InsufficientPrivilege,
    LockNotAvailable,
    NotNullViolation,
    QueryCanceled,
    ReadOnlySqlTransaction,
    SerializationFailure,
    ServerError,
)

__all__ = ["HttpAnswer", "answer_to", "answered_errors", "log_answer"]

RETRY_AFTER_S = 5
"""A pool that has lost its server connects again within seconds."""

_log = logging.getLogger("plainsql")

_LOST_CLASSES = ("08", "53", "57P")
"""The server's connection, its resources, and its shutdown."""
_UNFIT_VALUES = frozenset({"22001", "22003", "22021"})
"""A text too long for its column, a number out of range, a character that the database does not have."""


class HttpAnswer(NamedTuple):
    """The answer to a request that an error of plainsql has ended."""

    status: int
    detail: str
    """A text for the client: never a parameter's value, a table or a constraint."""
    headers: dict[str, str]


_RETRY = {"Retry-After": str(RETRY_AFTER_S)}
_NOT_AVAILABLE = HttpAnswer(503, "the database is not available", {})
_ANSWERS: tuple[tuple[type[Exception], HttpAnswer], ...] = (
    (NoRowError, HttpAnswer(404, "not found", {})),
    (PageTokenError, HttpAnswer(422, "the page token is not one of these pages", {})),
    (ConnectError, HttpAnswer(503, "try again", _RETRY)),
    (PoolTimeoutError, HttpAnswer(503, "try again", _RETRY)),
    (RedisUnavailableError, _NOT_AVAILABLE),
    (CacheError, _NOT_AVAILABLE),
    (CheckViolation, HttpAnswer(422, "a value is refused", {})),
    (NotNullViolation, HttpAnswer(422, "a value is missing", {})),
    (ForeignKeyViolation, HttpAnswer(409, "an object that it refers to is missing, or still in use", {})),
    (ConstraintViolation, HttpAnswer(409, "it conflicts with an object that exists", {})),
    (SerializationFailure, HttpAnswer(503, "try again", _RETRY)),
    (DeadlockDetected, HttpAnswer(503, "try again", _RETRY)),
    (LockNotAvailable, HttpAnswer(503, "try again", _RETRY)),
    (ReadOnlySqlTransaction, HttpAnswer(503, "the database is read-only", _RETRY)),
    (QueryCanceled, HttpAnswer(504, "the database took too long", {})),
    (InsufficientPrivilege, HttpAnswer(403, "not allowed", {})),
)
"""The first class that fits counts."""


def answered_errors() -> tuple[type[Exception], ...]:
    """Return the classes that a framework gives to `answer_to`.

    Not every error of the class ``ServerError``, and no group of other errors, has an answer.
    """
    # The drivers' errors are imported with the drivers, which an application has imported anyway.
    lost: type[Exception] = import_module("plainsql.database").ConnectionLostError
    own = (BindError, NoRowError, PageTokenError, ConnectError, PoolTimeoutError, RedisUnavailableError)
    return (*own, CacheError, lost, *_lost_of_psycopg(), ServerError, ExceptionGroup)


def answer_to(error: BaseException) -> HttpAnswer | None:
    """Return the answer to a request; ``None`` for an error that is the application's own.

    A parameter that does not fit is 422, a missing row is 404, and a conflict with other rows is 409. A
    database or Redis that cannot be reached is 503, with ``Retry-After`` if nothing of the call was done. A
    group of errors has an answer if all of them have the same one.
    """
    if isinstance(error, BaseExceptionGroup):
        answers = [answer_to(part) for part in error.exceptions]
        return answers[0] if all(answer == answers[0] for answer in answers) else None
    if isinstance(error, BindError):
        # Its text names the parameter and its bounds, and never holds a value.
        return HttpAnswer(422, ": ".join(filter(None, (error.message, error.detail))), {})
    for kind, answer in _ANSWERS:
        if isinstance(error, kind):
            return answer
    if isinstance(error, import_module("plainsql.database").ConnectionLostError):
        return _NOT_AVAILABLE
    state: Any = getattr(error, "sqlstate", None)
    if isinstance(error, ServerError) and state in _UNFIT_VALUES:
        return HttpAnswer(422, "a value is refused", {})
    if isinstance(error, (ServerError, *_lost_of_psycopg())) and (state or "08").startswith(_LOST_CLASSES):
        return _NOT_AVAILABLE
    return None


def log_answer(error: BaseException, answer: HttpAnswer) -> None:
    """Log an answer that an operator must know: from 500 on, and a missing privilege. Logs no values."""
    if answer.status < 500 and answer.status != 403:
        return
    for part in error.exceptions if isinstance(error, BaseExceptionGroup) else (error,):
        # The server's further lines may hold values of rows.
        lines = [str(part).partition("\n")[0], *getattr(part, "__notes__", ())]
        _log.warning("answered %d: %s: %s", answer.status, type(part).__name__, "\n".join(lines))


def _lost_of_psycopg() -> tuple[type[Exception], ...]:
    # psycopg's own class has no sqlstate if the connection is lost.
    psycopg: Any = sys.modules.get("psycopg")
    return () if psycopg is None else (psycopg.OperationalError,)
