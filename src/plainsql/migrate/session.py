"""The connection that a run uses: opened, a file sent over it, and brought back to a clean state."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress

import psycopg
from psycopg import generators, pq
from psycopg.conninfo import conninfo_to_dict

from plainsql.diagnose import cannot_connect
from plainsql.errors import ConnectError, MigrationError

__all__ = ["Connection", "ServerRefusal", "clean", "connected", "send", "watch_client"]

Connection = psycopg.Connection[tuple[object, ...]]

_COPYING = {pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH}


class ServerRefusal(Exception):  # noqa: N818 - never leaves the package: it carries an error to where its file is known
    """The server refused a statement of a script."""

    def __init__(self, cause: psycopg.Error, completed: int) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.completed = completed
        """How many statements of the script had run before."""


@contextmanager
def connected(url: str) -> Generator[Connection]:
    """Connect, in autocommit mode: each transaction is begun where one is meant.

    `url` is a libpq URL or connection string; SQLAlchemy's and yoyo's ``postgresql+psycopg://`` is taken too.

    Raises:
        ConnectError: the server cannot be reached or does not let us in.
    """
    conninfo = url.replace("postgresql+psycopg://", "postgresql://", 1)
    try:
        given = conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError:
        # libpq quotes what it could not read, and a password may be part of that.
        raise ConnectError(
            "the database URL cannot be read", hint="write postgresql://user@host:5432/database"
        ) from None
    try:
        connection: Connection = psycopg.connect(
            conninfo,
            autocommit=True,
            client_encoding="utf8",
            fallback_application_name="plainsql migrate",
            connect_timeout=int(given.get("connect_timeout") or 10),
        )
    except psycopg.OperationalError as error:
        raise cannot_connect(conninfo, error, error.sqlstate) from error
    with connection:
        try:
            yield connection
        except psycopg.Error as error:
            # Not a statement of a migration, those are explained where their file is known: our own records.
            raise MigrationError(
                f"the records of migrations cannot be read or written: "
                f"{error.diag.message_primary or error} (SQLSTATE {error.sqlstate})",
                detail=error.diag.message_detail,
                hint=error.diag.message_hint or "the role must be able to create and write their tables",
            ) from error


def clean(connection: Connection) -> None:
    """Undo what a file left in the session: its role, its ``search_path``, any other setting.

    A dump that was made a migration starts with ``set_config('search_path', '', false)``; without this,
    the next file would not find its tables. It works inside a transaction as well.
    """
    connection.execute("reset session authorization")
    connection.execute("reset role")
    connection.execute("reset all")


def watch_client(connection: Connection) -> None:
    """Have the server look each second whether we are still there, also while it runs a statement.

    A killed run would otherwise leave its statement running, and with it the lock held, for as long as an
    index takes to build. Some platforms cannot look, and refuse the setting.
    """
    with suppress(psycopg.Error):
        connection.execute("set client_connection_check_interval = '1s'")


def send(connection: Connection, sql: str) -> None:
    """Send text in one message of the simple protocol: the server cuts it into statements.

    Nothing in it is a placeholder, so percent signs are percent signs.

    Raises:
        ServerRefusal: a statement failed.
    """
    completed = 0
    try:
        connection.pgconn.send_query(sql.encode())
        for result in connection.wait(generators.execute(connection.pgconn)):
            if result.status in _COPYING:
                connection.close()
                raise psycopg.NotSupportedError("a migration has no standard input or output to copy")
            if result.status == pq.ExecStatus.FATAL_ERROR:
                raise psycopg.errors.error_from_result(result, "utf-8")
            completed += 1
    except psycopg.Error as error:
        raise ServerRefusal(error, completed) from error
