"""Errors of the PostgreSQL server by their SQLSTATE: one class for both drivers.

An error of the server stays the object that the driver raised, with its traceback, its notes and its text.
Only its class becomes a more specific one, which derives from the driver's class and from one of this
module's: ``except plainsql.UniqueViolation``, ``except asyncpg.UniqueViolationError`` and
``except psycopg.errors.UniqueViolation`` catch the same error. The classes have the names of PostgreSQL's
conditions.
"""

from __future__ import annotations

from typing import Any, ClassVar

from plainsql.errors import Place, PlainsqlError

__all__ = [
    "CheckViolation",
    "ConstraintViolation",
    "DeadlockDetected",
    "ExclusionViolation",
    "ForeignKeyViolation",
    "InsufficientPrivilege",
    "LockNotAvailable",
    "NotNullViolation",
    "QueryCanceled",
    "ReadOnlySqlTransaction",
    "RestrictViolation",
    "SerializationFailure",
    "ServerError",
    "StatementTimeoutError",
    "UniqueViolation",
    "class_of",
    "classify",
    "is_own",
    "joined",
]


class ServerError(PlainsqlError):
    """An error that the PostgreSQL server reports; also of the driver's class."""

    sqlstate: str = ""
    """The five characters of the condition: ``23505``."""
    constraint: str | None = None
    """The name of the violated constraint, or of the unique index."""
    table: str | None = None
    """The table with its schema: ``shop.customers``."""
    column: str | None = None
    """The column, if the server names one: for a null in a column that is not null."""
    place: Place | None = None

    _plain: ClassVar[type[ServerError] | None] = None
    _driver: ClassVar[type[BaseException] | None] = None

    def __init__(
        self,
        message: str,
        *,
        constraint: str | None = None,
        table: str | None = None,
        column: str | None = None,
        detail: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.constraint = constraint
        self.table = table
        self.column = column

    def __reduce__(self) -> Any:
        kind = type(self)
        if kind._plain is None or kind._driver is None:
            return super().__reduce__()
        # The class was made at run time, so it cannot be found by its name.
        return _restored, (kind._plain, kind._driver, self.args), dict(self.__dict__)


class ConstraintViolation(ServerError):  # noqa: N818 (the condition's name)
    """A constraint refuses a row: the conditions of class 23."""


class UniqueViolation(ConstraintViolation):
    """A row has the key of another row: ``.constraint`` is the key, or the unique index."""

    sqlstate = "23505"


class ForeignKeyViolation(ConstraintViolation):
    """A row refers to a row that does not exist, or rows refer to one that is deleted or changed."""

    sqlstate = "23503"


class RestrictViolation(ForeignKeyViolation):
    """A foreign key with ``restrict`` keeps the row: from PostgreSQL 18 on it has a condition of its own."""

    sqlstate = "23001"


class CheckViolation(ConstraintViolation):
    """A check of a table or of a domain refuses a row, or no partition takes it."""

    sqlstate = "23514"


class NotNullViolation(ConstraintViolation):
    """A column that is not null gets a null: ``.column`` is its name."""

    sqlstate = "23502"


class ExclusionViolation(ConstraintViolation):
    """An exclusion constraint refuses a row that conflicts with another one."""

    sqlstate = "23P01"


class SerializationFailure(ServerError):  # noqa: N818 (the condition's name)
    """The transaction collides with another one: run it again, as ``db.retry`` does."""

    sqlstate = "40001"


class DeadlockDetected(ServerError):  # noqa: N818 (the condition's name)
    """Two transactions wait for each other, and this one is ended: run it again, as ``db.retry`` does."""

    sqlstate = "40P01"


class QueryCanceled(ServerError):  # noqa: N818 (the condition's name)
    """A statement is ended before its end: by a time limit, by an operator, or by a cancellation."""

    sqlstate = "57014"


class StatementTimeoutError(QueryCanceled, TimeoutError):
    """A statement that the client has ended at its ``statement_timeout``."""


class LockNotAvailable(ServerError):  # noqa: N818 (the condition's name)
    """A lock is not free: ``nowait``, or ``lock_timeout`` is over."""

    sqlstate = "55P03"


class ReadOnlySqlTransaction(ServerError):  # noqa: N818 (the condition's name)
    """A write in a read-only transaction, or on a standby."""

    sqlstate = "25006"


class InsufficientPrivilege(ServerError):  # noqa: N818 (the condition's name)
    """The role lacks a privilege, or row-level security refuses a row."""

    sqlstate = "42501"


_CLASSES: dict[str, type[ServerError]] = {
    kind.sqlstate: kind
    for kind in (
        UniqueViolation,
        ForeignKeyViolation,
        RestrictViolation,
        CheckViolation,
        NotNullViolation,
        ExclusionViolation,
        SerializationFailure,
        DeadlockDetected,
        QueryCanceled,
        LockNotAvailable,
        ReadOnlySqlTransaction,
        InsufficientPrivilege,
    )
}

_JOINED: dict[tuple[type[ServerError], type[BaseException]], type[Any]] = {}
"""The classes that were made, by the two that they derive from."""


def class_of(sqlstate: str | None) -> type[ServerError]:
    """Return the class of a condition."""
    state = sqlstate or ""
    return _CLASSES.get(state) or (ConstraintViolation if state.startswith("23") else ServerError)


def classify(
    error: BaseException,
    kind: type[ServerError],
    *,
    sqlstate: str | None,
    constraint: str | None,
    schema: str | None,
    table: str | None,
    column: str | None,
    message: str | None,
    detail: str | None,
    hint: str | None,
) -> None:
    """Give an error of a driver the class ``kind`` in addition to its own, and the server's fields."""
    own = type(error)
    driver = getattr(own, "_driver", None) or own
    fields: dict[str, Any] = error.__dict__
    fields["sqlstate"] = sqlstate or ""
    fields["constraint"] = constraint
    fields["table"] = f"{schema}.{table}" if schema and table else table
    fields["column"] = column
    fields["message"] = message or ""
    fields["detail"] = detail
    fields["hint"] = hint
    # The object stays the same: its traceback, its notes, and the `except` clauses that it passes already.
    error.__class__ = joined(kind, driver)


def joined(kind: type[ServerError], driver: type[BaseException]) -> type[Any]:
    """Return the class that derives from a driver's class and from ``kind``."""
    made = _JOINED.get((kind, driver))
    if made is None:
        named: type[Any] = driver if kind in (ServerError, ConstraintViolation) else kind
        # asyncpg registers classes of its own module.
        metaclass: Any = type(driver)
        made = metaclass(named.__name__, (driver, kind), {"__module__": __name__})
        made.__module__ = "plainsql" if named.__module__ == __name__ else named.__module__
        made.__qualname__ = named.__qualname__
        made.__doc__ = named.__doc__
        made._plain, made._driver = kind, driver
        made = _JOINED.setdefault((kind, driver), made)
    return made


def is_own(error: BaseException) -> bool:
    """Return whether an error is plainsql's own, and not the server's."""
    return isinstance(error, PlainsqlError) and not isinstance(error, ServerError)


def _restored(kind: type[ServerError], driver: type[BaseException], args: tuple[Any, ...]) -> Any:
    made = joined(kind, driver)
    error = made.__new__(made, *args)
    error.args = args
    return error
