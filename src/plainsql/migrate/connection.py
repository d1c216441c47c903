"""The connection of a run: it is opened, sends files, and is reset after each of them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import generators, pq
from psycopg.abc import PQGen

from plainsql.connect_errors import cannot_connect, is_starting
from plainsql.conninfo import libpq_options
from plainsql.errors import MigrationError

__all__ = ["Connection", "Interruption", "ServerRefusal", "clean", "connected", "send", "watch_client"]

Connection = psycopg.Connection[tuple[object, ...]]

_MIN_PAUSE_S, _MAX_PAUSE_S = 0.1, 1.0
_COPYING = {pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH}


class ServerRefusal(Exception):  # noqa: N818 - never leaves the package: it carries an error to where its file is known
    """The server refused a statement of a script."""

    def __init__(self, cause: psycopg.Error, completed: int) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.completed = completed
        """The number of statements of the script that had run before."""


class Interruption(KeyboardInterrupt):
    """Ctrl-C or a signal during a script: the statement was cancelled."""

    def __init__(self, completed: int) -> None:
        super().__init__()
        self.completed = completed
        """The number of sent statements that had completed anyway."""


@contextmanager
def connected(
    url: str, *, wait: float = 0.0, on_waiting: Callable[[str], None] = lambda _: None
) -> Generator[Connection]:
    """Connect in autocommit mode: transactions begin explicitly.

    ``url`` is a libpq URL or connection string, as for ``plainsql.connect``. No statement is prepared by
    name: through a pooler it would stay in another client's session.

    Args:
        url: the database.
        wait: seconds to wait for a server that is starting.
        on_waiting: called with the reason of the wait, once for each.

    Raises ``ConnectError`` if the server cannot be reached or refuses the connection.
    """
    options: dict[str, Any] = {**libpq_options(url, fallback_name="plainsql migrate")}
    options["client_encoding"] = "utf8"
    with _connect(url, options, wait, on_waiting) as connection:
        try:
            yield connection
        except psycopg.Error as error:
            # Only statements on our own records get here: errors of a migration are reported with its file.
            raise _of_records(connection, error) from error


def _connect(url: str, options: dict[str, Any], wait: float, on_waiting: Callable[[str], None]) -> Connection:
    began, pause, reasons = time.monotonic(), _MIN_PAUSE_S, set[str]()
    while True:
        try:
            return psycopg.connect("", autocommit=True, prepare_threshold=None, **options)
        except psycopg.OperationalError as error:
            refusal = cannot_connect(url, error, error.sqlstate)
            left = began + wait - time.monotonic()
            if wait <= 0 or not is_starting(error):
                raise refusal from error
            if left <= 0:
                refusal.detail = "\n        ".join(filter(None, (refusal.detail, f"waited {wait:g} s")))
                raise refusal from error
            if refusal.message not in reasons:
                reasons.add(refusal.message)
                on_waiting(refusal.message)
        # Half of the pause is random: replicas that start together do not connect together.
        time.sleep(min(random.uniform(pause / 2, pause), left))
        pause = min(pause * 1.5, _MAX_PAUSE_S)


def _of_records(connection: Connection, error: psycopg.Error) -> MigrationError:
    """Return the error of a statement that reads or writes the records."""
    sqlstate, said = error.sqlstate, error.diag
    if sqlstate is None or connection.broken:
        lost = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return MigrationError(
            "the connection to the server was lost",
            detail=said.message_primary or lost,
            hint="see 'plainsql migrate status', then run it again",
        )
    user = connection.info.user
    hints = {
        "42501": f"connect as the role that ran the first migration; or grant {user} create on the schema of "
        "the records and select, insert, update, delete on its tables (for 'migrate status', select)",
        "25006": "this is a standby or a read-only database: connect to the primary",
        "55P03": "another session holds a lock on the records: run it again when it is done",
        "57014": "it was cancelled: by a statement_timeout, by Ctrl-C or by an operator",
    }
    return MigrationError(
        f"the records of migrations cannot be read or written: "
        f"{said.message_primary or error} (SQLSTATE {sqlstate})",
        detail=said.message_detail,
        hint=said.message_hint or hints.get(sqlstate, "read the server's log"),
    )


def clean(connection: Connection) -> None:
    """Reset the session after a file: its role, its ``search_path``, any other setting.

    A dump that became a migration starts with ``set_config('search_path', '', false)``; without this, the
    next file would not find its tables. It works inside a transaction as well.
    """
    connection.execute("reset session authorization")
    connection.execute("reset role")
    connection.execute("reset all")


def watch_client(connection: Connection) -> None:
    """Let the server check each second that its client is connected, also while it runs a statement.

    Otherwise the statement of a killed run would go on, and hold the lock, for as long as an index takes to
    build. Some platforms cannot check, and refuse the setting.
    """
    with suppress(psycopg.Error):
        connection.execute("set client_connection_check_interval = '1s'")


def send(connection: Connection, sql: str) -> None:
    """Send text in one message of the simple protocol; the server splits it into statements.

    It has no placeholders, so percent signs are percent signs.

    Raises ``ServerRefusal`` if a statement fails, ``Interruption`` after Ctrl-C, when the statement is
    cancelled.
    """
    results: list[pq.abc.PGresult] = []

    def collect() -> PQGen[None]:
        results.extend((yield from generators.execute(connection.pgconn)))

    completed = 0
    try:
        connection.pgconn.send_query(sql.encode())
        connection.wait(collect())
        for result in results:
            if result.status in _COPYING:
                connection.close()
                raise psycopg.NotSupportedError("a migration has no standard input or output to copy")
            if result.status == pq.ExecStatus.FATAL_ERROR:
                raise psycopg.errors.error_from_result(result, "utf-8")
            completed += 1
    except psycopg.Error as error:
        raise ServerRefusal(error, completed) from error
    except KeyboardInterrupt:
        # psycopg has cancelled the statement and read the result: it may have completed before.
        fatal = pq.ExecStatus.FATAL_ERROR
        done = next((at for at, result in enumerate(results) if result.status == fatal), len(results))
        raise Interruption(done) from None
