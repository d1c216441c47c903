"""The errors of connecting to a database: one message for every driver, without the password."""

from __future__ import annotations

import re
import shlex
import socket
from typing import Final, NamedTuple

from plainsql.conninfo import Conninfo
from plainsql.errors import ConnectError
from plainsql.tls import tls_failure, tls_failure_of_libpq
from plainsql.urls import hide_password

__all__ = ["UnsuitableServerError", "cannot_connect", "is_starting", "is_unsuitable"]

_INVALID_PASSWORD = "28P01"
_INVALID_AUTHORIZATION = "28000"
_NO_DATABASE = "3D000"
_TOO_MANY_CONNECTIONS = "53300"
_STARTING_UP = "57P03"
_INVALID_PARAMETER = "22023"
_UNKNOWN_PARAMETER = "42704"
_PROTOCOL_VIOLATION = "08P01"
_URL: Final = "a URL looks like postgresql://user:password@host:5432/database"

# Before the session begins, libpq passes on the text of an error and no SQLSTATE. What the server says in
# another language than English is shown as it is.
_REFUSALS: Final = (
    ("password authentication failed", _INVALID_PASSWORD),
    ("no password supplied", _INVALID_PASSWORD),
    ("too many", _TOO_MANY_CONNECTIONS),
    ("connection slots", _TOO_MANY_CONNECTIONS),
    ("no pg_hba.conf entry", _INVALID_AUTHORIZATION),
    ("pg_hba.conf rejects connection", _INVALID_AUTHORIZATION),
    ("authentication failed", _INVALID_AUTHORIZATION),
    ('role "', _INVALID_AUTHORIZATION),
    ('database "', _NO_DATABASE),
    ("starting up", _STARTING_UP),
    ("shutting down", _STARTING_UP),
    ("not yet accepting connections", _STARTING_UP),
    ("not accepting connections", _STARTING_UP),
    ("in recovery mode", _STARTING_UP),
    ("unsupported startup parameter", _PROTOCOL_VIOLATION),
    ("unrecognized configuration parameter", _UNKNOWN_PARAMETER),
    ("invalid value for parameter", _INVALID_PARAMETER),
)
_FAILURES: Final[tuple[tuple[str, type[OSError]], ...]] = (
    ("resolve host", socket.gaierror),
    ("translate host name", socket.gaierror),
    ("parse network address", socket.gaierror),
    ("No such file", FileNotFoundError),
    ("refused", ConnectionRefusedError),
    ("timeout", TimeoutError),
    ("timed out", TimeoutError),
    ("closed the connection unexpectedly", ConnectionResetError),
    ("reset by peer", ConnectionResetError),
)
# What libpq says of a server that is not of the kind that target_session_attrs requires.
_UNSUITABLE: Final = ("session is read-only", "session is not read-only", "hot standby mode")


_REFUSED_SETTING: Final = re.compile(r"unsupported startup parameter(?: in options)?: ([A-Za-z_][\w.]*)")


class UnsuitableServerError(ConnectionError):
    """A server answers, but none is of the kind that ``target_session_attrs`` requires."""


class _Shown(NamedTuple):
    """The names in messages: never a password."""

    what: str
    user: str
    database: str
    host: str
    kind: str
    may_use_tls: bool


def cannot_connect(url: str, error: BaseException, sqlstate: str | None = None) -> ConnectError:
    """Return the error of a failed connection to ``url``, with its cause and a hint.

    ``sqlstate`` is the server's answer, if there was one; ``error`` is the driver's exception.
    """
    if isinstance(error, ConnectError):  # it has its words already
        return error
    try:
        conninfo = Conninfo(url)
        hosts = ", ".join(conninfo["host"].split(",")) or conninfo["hostaddr"] or "localhost"
        what = f"cannot connect to {hide_password(url)}"
        shown = _Shown(
            what,
            conninfo.user,
            conninfo.database,
            hosts,
            conninfo["target_session_attrs"],
            may_use_tls=conninfo["sslmode"] != "disable" and "/" not in hosts,
        )
    except ConnectError as unreadable:
        # Without the driver's error, which may quote the URL.
        unreadable.__context__ = None
        return unreadable
    if sqlstate is None and type(error).__module__.partition(".")[0] == "psycopg":
        text = str(error)
        if is_unsuitable(error):
            error = UnsuitableServerError()
        elif failure := tls_failure_of_libpq(text):
            return ConnectError(f"{what}: {failure.what}", hint=failure.hint)
        else:
            error, sqlstate = _of_libpq(error)
    if sqlstate is not None:
        return _refused(shown, error, sqlstate)
    if failure := tls_failure(error):
        return ConnectError(f"{what}: {failure.what}", hint=failure.hint)
    return _unreachable(shown, error)


def is_starting(error: BaseException) -> bool:
    """Return True if a server may answer in a moment: nothing listens there yet, or it is starting up.

    A host that is not known counts: in a cluster its name appears with the server. A refused login does not.
    ``error`` is the exception of libpq's driver.
    """
    if tls_failure_of_libpq(str(error)):
        return False
    cause, sqlstate = _of_libpq(error)
    if sqlstate is not None or "FATAL" in str(error):
        return sqlstate == _STARTING_UP
    # The proxy of a container that has not started accepts a connection, and closes it.
    kinds = (socket.gaierror, ConnectionRefusedError, FileNotFoundError, TimeoutError, ConnectionResetError)
    return isinstance(cause, kinds)


def is_unsuitable(error: BaseException) -> bool:
    """Return True if servers answer, and none is of the kind that is required.

    ``error`` is the exception of libpq's driver.
    """
    return any(part in str(error) for part in _UNSUITABLE)


def _refused(shown: _Shown, error: BaseException, sqlstate: str) -> ConnectError:
    """Return the error of a server that answers and refuses the login."""
    what, text = shown.what, _server_text(error)
    match sqlstate:
        case "28P01":
            return ConnectError(
                f"{what}: the server refuses the password of {shown.user}",
                hint="check the password in the URL, DATABASE_URL or DB_PASSWORD",
            )
        case "28000":
            hint = "check the user's name, and what pg_hba.conf allows from this host"
            if text and "no encryption" in text:
                hint = "write sslmode=require: pg_hba.conf may let this user in with TLS only"
            return ConnectError(f"{what}: the server does not let {shown.user} in", detail=text, hint=hint)
        case "3D000":
            return ConnectError(
                f"{what}: the database {shown.database!r} does not exist",
                hint=f"create it: createdb {shlex.quote(shown.database)}",
            )
        case "53300":
            return ConnectError(
                f"{what}: the server has no free connection",
                hint="lower max_size of the pools, raise max_connections, or put PgBouncer in between",
            )
        case "57P03":
            return ConnectError(
                f"{what}: the server is starting up or shutting down", hint="try again in a moment"
            )
        case "08P01" if text and "startup parameter" in text:
            found = _REFUSED_SETTING.search(text)
            name = found[1] if found else ""
            which = f"the startup setting {name}" if name else "a startup setting"
            if name == "options":  # before 1.20 it names no setting of them
                which, name = "the options of the URL", "…"
            return ConnectError(
                f"{what}: the pooler refuses {which}",
                detail=text,
                hint=f"leave it out and set it on the server (alter role … set {name or '…'} = …), "
                "or name it in PgBouncer's ignore_startup_parameters, which drops it",
            )
        case "42704" | "22023" | "42501":
            return ConnectError(
                f"{what}: the server refuses a startup setting",
                detail=text,
                hint="check server_settings, and options in the URL",
            )
        case "08000" | "08003" | "08006":  # the driver's own, for a connection that ends
            return _closed(shown)
        case _:
            return ConnectError(
                f"{what}: the server answers {sqlstate}", detail=text, hint="check the server's log"
            )


def _unreachable(shown: _Shown, error: BaseException) -> ConnectError:
    """Say why there is no answer, or one that is none of PostgreSQL's."""
    what = shown.what
    if isinstance(error, UnsuitableServerError):
        return ConnectError(
            f"{what}: no reachable server is {shown.kind or 'suitable'}",
            hint="check target_session_attrs in the URL, and which server is the primary",
        )
    if isinstance(error, socket.gaierror):
        return ConnectError(f"{what}: the host {shown.host!r} is not known", hint="check the host in the URL")
    if isinstance(error, TimeoutError):
        return ConnectError(
            f"{what}: no answer in time", hint="check the host and port, and firewalls on the way"
        )
    if isinstance(error, FileNotFoundError):
        return ConnectError(
            f"{what}: there is no server socket in {shown.host}",
            hint="start the server, or check the host in the URL",
        )
    if isinstance(error, PermissionError):
        return ConnectError(
            f"{what}: the server's socket in {shown.host} cannot be opened",
            hint="check the permissions of the folder and the socket",
        )
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return _closed(shown)
    if isinstance(error, ConnectionError):
        return ConnectError(
            f"{what}: no server answers there", hint="start the server, or check the host and port in the URL"
        )
    return ConnectError(f"{what}: {type(error).__name__}", detail=_server_text(error), hint=_URL)


def _closed(shown: _Shown) -> ConnectError:
    # A server that refuses the client's certificate says so in an alert, which may be lost with the
    # connection.
    certificate = ": with TLS, it may want a certificate of the client, sslcert" if shown.may_use_tls else ""
    return ConnectError(
        f"{shown.what}: the server there has closed the connection",
        hint=f"check that it is a PostgreSQL server, and check its log{certificate}",
    )


def _of_libpq(error: BaseException) -> tuple[BaseException, str | None]:
    """Return the cause that libpq's text names, if it can be recognised."""
    text = str(error)
    if "FATAL" in text or "no password supplied" in text:
        return error, next((sqlstate for part, sqlstate in _REFUSALS if part in text), None)
    return next((cause(text) for part, cause in _FAILURES if part in text), error), None


def _server_text(error: BaseException) -> str | None:
    text = str(error).strip()
    # A driver's own message about a URL repeats the URL, and with it the password.
    return None if not text or "://" in text else text.splitlines()[0]
