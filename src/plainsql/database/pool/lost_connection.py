"""The error of a lost connection: one class for the four of asyncpg.

asyncpg raises ``ConnectionDoesNotExistError`` if the connection ends while a statement runs, caused by the
server's last message if there was one. It raises ``InterfaceError`` if it knows the connection as closed, and
``InternalClientError`` if the server's last message is unread in the buffer. The server itself may end a
session with an error of severity FATAL.
"""

from __future__ import annotations

from typing import Any

from asyncpg import exceptions

from plainsql.database.pool.driver_errors import classify_error
from plainsql.errors import PlainsqlError
from plainsql.sqlstate_errors import is_own

__all__ = ["ConnectionLostError", "as_lost", "is_lost", "is_unreadable"]

# The server ends a session or does not begin one: it is shut down, it crashed, it starts up.
_SHUT_DOWN = frozenset({"57P01", "57P02", "57P03", "57P05"})

_FATAL = frozenset({"FATAL", "PANIC"})


class ConnectionLostError(exceptions.ConnectionDoesNotExistError, exceptions.InterfaceError):
    """The connection is gone: the server, the network or an operator has ended it.

    It is of both classes that asyncpg raises in this case. ``sqlstate`` is the server's if it gave a reason
    (``57P01`` is a shutdown or ``pg_terminate_backend``), else ``08003``. The notes name the outcome of the
    statement or the transaction.
    """

    def __init__(
        self,
        message: str,
        *,
        sqlstate: str | None = None,
        detail: str | None = None,
        hint: str | None = None,
        was_sent: bool = True,
    ) -> None:
        exceptions.InterfaceError.__init__(self, message, detail=detail, hint=hint)
        if sqlstate is not None:
            self.sqlstate = sqlstate
        self.was_sent = was_sent
        """True if the statement may have reached the server."""


def is_lost(error: BaseException) -> bool:
    """Return whether a call failed because its connection is gone."""
    if isinstance(error, ConnectionLostError):
        return True
    if isinstance(error, exceptions.PostgresError):
        if (severity := _severity(error)) is not None:
            # The server's own error. Class 08 also comes from servers that it connects to itself.
            return severity in _FATAL
        state: str | None = getattr(error, "sqlstate", None)
        return state is not None and (state.startswith("08") or state in _SHUT_DOWN)
    if is_unreadable(error):
        return False
    # The driver's state is confused if the server's last message came just before our statement.
    lost = ConnectionError | exceptions.InterfaceError | exceptions.InternalClientError
    return isinstance(error, lost) and not is_own(error)


def is_unreadable(error: BaseException) -> bool:
    """Return whether the driver could not decode a type: it has no codec for a composite type without
    fields.
    """
    is_confused = isinstance(error, exceptions.InternalClientError)
    return is_confused and str(error).startswith("type record missing field types")


def as_lost(error: BaseException, connection: Any = None) -> BaseException:
    """Return a ``ConnectionLostError`` if the error means that the connection is gone, else the error.

    An error of the server gets the class of its SQLSTATE.

    ``connection``: the connection in question, if the error may come from elsewhere, such as the user's code
    in a block.
    """
    if isinstance(error, ConnectionLostError | PlainsqlError):
        return error
    was_sent = True
    if isinstance(error, exceptions.InternalClientError):
        if not str(error).startswith("cannot switch to state"):
            return error
        was_sent = False  # the server's last message came first, and the end of the connection follows
    elif connection is not None and not connection.is_closed():
        classify_error(error)
        return error
    elif isinstance(error, exceptions.PostgresError):
        if not is_lost(error):
            classify_error(error)
            return error
    elif isinstance(error, exceptions.InterfaceError):
        # It has no code, only a text: "connection is closed", "the underlying connection is closed".
        if "connection is closed" not in str(error):
            return error
        # The end of the user's own `async with connection.transaction()` hides the error that caused it.
        hidden = error.__context__ if "Transaction.__aexit__()" in str(error) else None
        if hidden is not None and is_lost(hidden):
            return as_lost(hidden)
        was_sent = False
    elif not isinstance(error, ConnectionError):
        return error
    said = _said_by_server(error)
    lost = ConnectionLostError(
        "the connection to the server was lost" if was_sent else "the connection to the server is closed",
        sqlstate=None if said is None else getattr(said, "sqlstate", None),
        detail=str((said or error).args[0]) if (said or error).args else None,
        was_sent=was_sent,
    )
    lost.__cause__ = error
    lost.__traceback__ = error.__traceback__
    for note in getattr(error, "__notes__", ()):
        lost.add_note(note)
    return lost


def _said_by_server(error: BaseException) -> exceptions.PostgresError | None:
    """Return the server's own error, if it sent one: it has a severity."""
    for candidate in (error, error.__cause__):
        if isinstance(candidate, exceptions.PostgresError) and _severity(candidate) is not None:
            return candidate
    return None


def _severity(error: exceptions.PostgresError) -> str | None:
    severity: str | None = getattr(error, "severity_en", None) or getattr(error, "severity", None)
    return severity
