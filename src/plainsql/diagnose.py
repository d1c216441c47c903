"""Why a database cannot be reached: one message for every driver, without the password."""

from __future__ import annotations

import shlex
import socket
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from plainsql.errors import ConnectError
from plainsql.settings import hide_password

__all__ = ["cannot_connect"]

_INVALID_PASSWORD = "28P01"
_INVALID_AUTHORIZATION = "28000"
_NO_DATABASE = "3D000"
_TOO_MANY_CONNECTIONS = "53300"
_STARTING_UP = "57P03"
_URL: Final = "a URL looks like postgresql://user:password@host:5432/database"

# Of what happened before the session began, libpq hands on the text and no SQLSTATE. What the server says in
# another language than English is shown as it is.
_REFUSALS: Final = (
    ("password authentication failed", _INVALID_PASSWORD),
    ("no password supplied", _INVALID_PASSWORD),
    ("no pg_hba.conf entry", _INVALID_AUTHORIZATION),
    ("authentication failed", _INVALID_AUTHORIZATION),
    ('role "', _INVALID_AUTHORIZATION),
    ('database "', _NO_DATABASE),
    ("too many", _TOO_MANY_CONNECTIONS),
    ("connection slots", _TOO_MANY_CONNECTIONS),
    ("starting up", _STARTING_UP),
    ("shutting down", _STARTING_UP),
)
_FAILURES: Final[tuple[tuple[str, type[OSError]], ...]] = (
    ("resolve host", socket.gaierror),
    ("translate host name", socket.gaierror),
    ("No such file", FileNotFoundError),
    ("refused", ConnectionRefusedError),
    ("timeout", TimeoutError),
    ("timed out", TimeoutError),
)


def cannot_connect(url: str, error: BaseException, sqlstate: str | None = None) -> ConnectError:
    """Say why connecting to ``url`` failed, and what to do.

    ``sqlstate`` is the server's answer where there was one; ``error`` is what the driver raised.
    """
    if sqlstate is None and type(error).__module__.partition(".")[0] == "psycopg":
        if type(error).__name__ == "ProgrammingError":
            # libpq quotes what it could not read of the URL, and a password may be part of that.
            return ConnectError("the database URL cannot be read", hint=_URL)
        error, sqlstate = _of_libpq(error)
    if isinstance(error, ValueError):
        # Neither the URL nor what the driver says about it is shown: nobody knows which part is the password.
        return ConnectError(
            "the database URL cannot be read",
            hint="a URL looks like postgresql://user:password@host:5432/database; "
            "write %2F for a slash, %40 for an @ in a password",
        )
    what = f"cannot connect to {hide_password(url)}"
    user, database, host = _parts(url)
    if sqlstate == _INVALID_PASSWORD:
        return ConnectError(
            f"{what}: the server refuses the password of {user}",
            hint="check the password in the URL, DATABASE_URL or DB_PASSWORD",
        )
    if sqlstate == _INVALID_AUTHORIZATION:
        return ConnectError(
            f"{what}: the server does not let {user} in",
            detail=_server_text(error),
            hint="check the user's name, and what pg_hba.conf allows from this host",
        )
    if sqlstate == _NO_DATABASE:
        return ConnectError(
            f"{what}: the database {database!r} does not exist",
            hint=f"create it: createdb {shlex.quote(database)}",
        )
    if sqlstate == _TOO_MANY_CONNECTIONS:
        return ConnectError(
            f"{what}: the server has no free connection",
            hint="lower max_size of the pools, raise max_connections, or put PgBouncer in between",
        )
    if sqlstate == _STARTING_UP:
        return ConnectError(
            f"{what}: the server is starting up or shutting down", hint="try again in a moment"
        )
    if sqlstate is not None:
        return ConnectError(f"{what}: the server answers {sqlstate}", detail=_server_text(error))
    if isinstance(error, socket.gaierror):
        return ConnectError(f"{what}: the host {host!r} is not known", hint="check the host in the URL")
    if isinstance(error, TimeoutError):
        return ConnectError(
            f"{what}: no answer in time", hint="check the host and port, and firewalls on the way"
        )
    if isinstance(error, FileNotFoundError):
        return ConnectError(
            f"{what}: there is no server's socket in {host}",
            hint="start the server, or check the host in the URL",
        )
    if isinstance(error, ConnectionError):
        return ConnectError(
            f"{what}: nothing answers there", hint="start the server, or check the host and port in the URL"
        )
    if "does not support SSL" in str(error):
        return ConnectError(
            f"{what}: the server does not offer TLS, and the URL asks for it",
            hint="set up TLS on the server; or, on a network that nobody listens to, sslmode=prefer",
        )
    return ConnectError(
        f"{what}: {type(error).__name__}",
        detail=_server_text(error),
        hint=_URL,
    )


def _of_libpq(error: BaseException) -> tuple[BaseException, str | None]:
    """Read the cause from libpq's text, where it can be told."""
    text = str(error)
    if "FATAL" in text or "no password supplied" in text:
        return error, next((sqlstate for part, sqlstate in _REFUSALS if part in text), None)
    return next((cause(text) for part, cause in _FAILURES if part in text), error), None


def _parts(url: str) -> tuple[str, str, str]:
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query))
        user = unquote(parts.username or "") or query.get("user", "") or "this user"
        return user, unquote(parts.path.lstrip("/")) or user, parts.hostname or query.get("host", "localhost")
    except ValueError:
        return "this user", "?", "?"


def _server_text(error: BaseException) -> str | None:
    text = str(error).strip()
    # A driver's own message about a URL repeats the URL, and with it the password.
    return None if not text or "://" in text else text.splitlines()[0]
