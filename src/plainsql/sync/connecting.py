"""``plainsql.sync.connect``: from a URL to a ``Database``."""

from __future__ import annotations

import math
import socket
from contextlib import ExitStack
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from plainsql.diagnose import cannot_connect
from plainsql.errors import ConnectError
from plainsql.settings import hide_password, resolve_database
from plainsql.sync.database import Database

__all__ = ["connect"]

# Values are read from their text, which these settings shape. They are the defaults of PostgreSQL; a role
# or a database may have others. A filtered search by vectors goes on until it has found enough, as on the
# asynchronous side, unless a role or a database says how. Nothing is set where nothing differs: a pooler
# may hand the session to others.
_SETTINGS: Final = """
select set_config(name, wanted, false)
from (
  values
    ('DateStyle', 'ISO', split_part(current_setting('DateStyle'), ',', 1) = 'ISO'),
    ('IntervalStyle', 'postgres', current_setting('IntervalStyle') = 'postgres'),
    ('bytea_output', 'hex', current_setting('bytea_output') = 'hex'),
    ('extra_float_digits', '1', current_setting('extra_float_digits')::int >= 1),
    (
      'hnsw.iterative_scan',
      'strict_order',
      coalesce(current_setting('hnsw.iterative_scan', true), 'off') <> 'off'
    )
) as setting(name, wanted, as_wanted)
where not as_wanted
"""

# libpq hands on only the text of what the server said before the session began. Another language than English
# is shown as it is.
_REFUSALS: Final = (
    ("password authentication failed", "28P01"),
    ("too many", "53300"),
    ("connection slots", "53300"),
    ("starting up", "57P03"),
    ("shutting down", "57P03"),
    ("authentication failed", "28000"),
    ("no pg_hba.conf entry", "28000"),
    ('FATAL:  role "', "28000"),
    ('FATAL:  database "', "3D000"),
)
_FAILURES: Final[tuple[tuple[str, type[OSError]], ...]] = (
    ("resolve host", socket.gaierror),
    ("translate host name", socket.gaierror),
    ("No such file", FileNotFoundError),
    ("refused", ConnectionRefusedError),
    ("timeout", TimeoutError),
    ("timed out", TimeoutError),
)


def connect(
    url: str | None = None,
    *,
    connect_timeout: float = 10.0,
    statement_timeout: float | None = None,
    application_name: str = "plainsql",
    prefetch: int = 500,
) -> Database:
    """Connect to a PostgreSQL database with one connection, for scripts.

    Use it as ``with plainsql.sync.connect(url) as db``, or close it.

    Args:
        url: ``postgresql://user:password@host:5432/database``. By default what the environment or
            ``pyproject.toml`` says (see ``plainsql.settings``), else the project's embedded server.
        connect_timeout: seconds that opening the connection may take, whole ones and two at the least.
        statement_timeout: seconds that the server lets a statement take (``psycopg.errors.QueryCanceled``);
            None is what the server is set to.
        application_name: what ``pg_stat_activity`` shows.
        prefetch: rows that ``.stream`` reads ahead.

    Raises ``ConnectError`` where the server cannot be reached or does not let us in, ``SettingsError`` where
    no database is configured.
    """
    with ExitStack() as stack:
        resolved = stack.enter_context(resolve_database(url))
        connection = _open(resolved, connect_timeout, application_name)
        stack.callback(connection.close)
        _set_up(connection, statement_timeout)
        return Database(
            connection, name=hide_password(resolved), prefetch=prefetch, on_close=stack.pop_all().close
        )


def _open(url: str, timeout: float, application_name: str) -> psycopg.Connection[Any]:
    failed: ConnectError
    try:
        # libpq quotes what it cannot read, and a password may be part of that: its text goes no further.
        given = conninfo_to_dict(url)
        [int(port) for port in str(given.get("port") or "0").split(",")]
    except (psycopg.Error, ValueError):
        failed = cannot_connect(url, ValueError())
    else:
        try:
            return psycopg.connect(
                url,
                autocommit=True,
                prepare_threshold=None,
                client_encoding="utf8",
                application_name=application_name,
                connect_timeout=math.ceil(timeout),
            )
        except (psycopg.Error, OSError) as error:
            failed = _failed(url, error)
    # Outside of the handler, so that the driver's error does not come along with its text.
    raise failed


def _failed(url: str, error: psycopg.Error | OSError) -> ConnectError:
    text = str(error)
    if "FATAL" in text:
        for part, sqlstate in _REFUSALS:
            if part in text:
                return cannot_connect(url, error, sqlstate)
    for part, cause in _FAILURES:
        if part in text:
            return cannot_connect(url, cause())
    return cannot_connect(url, error)


def _set_up(connection: psycopg.Connection[Any], statement_timeout: float | None) -> None:
    connection.execute(_SETTINGS)
    if statement_timeout is not None:
        connection.execute(
            "select set_config('statement_timeout', %s, false)", [f"{statement_timeout * 1000:.0f}ms"]
        )
