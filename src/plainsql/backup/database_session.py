"""The session of a backup or a restore, and the address of its server for PostgreSQL's programs."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import psycopg

from plainsql.backup.errors import BackupError
from plainsql.connect_errors import cannot_connect
from plainsql.conninfo import Conninfo, libpq_options
from plainsql.server_programs import connection_string

__all__ = ["Connection", "connect", "major_of", "same_server", "server_version"]

Connection = psycopg.Connection[Any]

_INSUFFICIENT_PRIVILEGE = "42501"
_LOCK_NOT_AVAILABLE = "55P03"
_OBJECT_IN_USE = "55006"
_UNDEFINED_TABLE = "42P01"
_LIMIT_EXCEEDED = "54000"
_OUT_OF_MEMORY = "53200"
_CONFLICT_WITH_RECOVERY = "40001"


@contextmanager
def connect(url: str, database: str | None = None) -> Generator[Connection]:
    """Connect in autocommit mode, to another database of the same server if one is named.

    Raises ``ConnectError`` if it cannot, and ``BackupError`` if the server refuses a statement of the block.
    """
    options: dict[str, Any] = {**libpq_options(url, fallback_name="plainsql db")}
    # A server in SQL_ASCII would have names as bytes.
    options["client_encoding"] = "utf8"
    if database is not None:
        options["dbname"] = database
    try:
        connection = psycopg.connect(**options, autocommit=True)
    except psycopg.Error as error:
        raise cannot_connect(url, error, error.sqlstate) from None
    with connection:
        try:
            yield connection
        except psycopg.Error as error:
            if error.sqlstate is None or error.sqlstate[:2] in ("08", "57"):
                raise
            raise _refused(error) from None


def same_server(url: str, connection: Connection, database: str | None = None) -> str:
    """Return libpq's text of a connection to the server that this session is on, without secrets.

    A URL may name several servers, and a snapshot is of one.
    """
    info = connection.info
    replaced = {"host": info.host, "port": str(info.port), "hostaddr": info.hostaddr}
    if database is not None:
        replaced["dbname"] = database
    elif info.dbname:
        replaced["dbname"] = info.dbname
    return connection_string(Conninfo(url), replaced | {"load_balance_hosts": ""})


def server_version(connection: Connection) -> str:
    """Return the version of the server, such as ``18.6``."""
    return (connection.info.parameter_status("server_version") or "").split()[0]


def major_of(connection: Connection) -> int:
    """Return the major version of the server."""
    return connection.info.server_version // 10000


def _refused(error: psycopg.Error) -> BackupError:
    """Return the error of a refused statement, without the values that the server may quote in its detail."""
    hints = {
        _INSUFFICIENT_PRIVILEGE: "connect as the owner of the database and its tables, or as a superuser",
        _LOCK_NOT_AVAILABLE: "other sessions use the tables, such as a migration: try again",
        _OBJECT_IN_USE: "end the programs that use the database",
        _UNDEFINED_TABLE: "a table was dropped meanwhile: try again",
        _LIMIT_EXCEEDED: "a row is too long for a digest: --no-digests",
        _OUT_OF_MEMORY: "if a row is very long, there is no digest of it: --no-digests",
        _CONFLICT_WITH_RECOVERY: "the standby had to replay: raise its max_standby_streaming_delay, or "
        "switch hot_standby_feedback on",
    }
    return BackupError(
        f"{error.diag.message_primary} (SQLSTATE {error.sqlstate})",
        hint=hints.get(error.sqlstate or "", error.diag.message_hint),
    )
