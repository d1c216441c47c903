"""``plainsql.sync.connect``: from a URL to a ``Database``."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Final

import psycopg

from plainsql.conninfo import libpq_options
from plainsql.diagnose import cannot_connect
from plainsql.errors import ConnectError
from plainsql.options import check
from plainsql.settings import resolve_database
from plainsql.sync.database import Database
from plainsql.urls import hide_password

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


def connect(
    url: str | None = None,
    *,
    connect_timeout: float | None = None,
    statement_timeout: float | None = None,
    application_name: str | None = None,
    prefetch: int = 500,
) -> Database:
    """Connect to a PostgreSQL database with one connection, for scripts.

    Use it as ``with plainsql.sync.connect(url) as db``, or close it.

    Args:
        url: ``postgresql://user:password@host:5432/database``. By default what the environment or
            ``pyproject.toml`` says (see ``plainsql.settings``), else the project's embedded server.
        connect_timeout: seconds that opening the connection may take, whole ones and two at the least; by
            default the URL's ``connect_timeout``, else 10.
        statement_timeout: seconds that the server lets a statement take (``psycopg.errors.QueryCanceled``);
            None is what the server is set to.
        application_name: what ``pg_stat_activity`` shows; by default the URL's, else ``plainsql``.
        prefetch: rows that ``.stream`` reads ahead.

    Raises ``OptionError``, a ``SettingsError``, if an option is not what it may be, ``SettingsError`` if no
    database is configured, ``ConnectError`` if the server cannot be reached or does not let us in.
    """
    check(
        "sync.connect",
        url=url,
        connect_timeout=connect_timeout,
        statement_timeout=statement_timeout,
        application_name=application_name,
        prefetch=prefetch,
    )
    with ExitStack() as stack:
        resolved = stack.enter_context(resolve_database(url))
        connection = _open(resolved, connect_timeout, application_name)
        stack.callback(connection.close)
        _set_up(connection, statement_timeout)
        return Database(
            connection, name=hide_password(resolved), prefetch=prefetch, on_close=stack.pop_all().close
        )


def _open(url: str, timeout: float | None, application_name: str | None) -> psycopg.Connection[Any]:
    options: dict[str, Any] = {
        **libpq_options(url, application_name=application_name, connect_timeout=timeout),
        "client_encoding": "utf8",
    }
    failed: ConnectError
    try:
        return psycopg.connect("", autocommit=True, prepare_threshold=None, **options)
    except (psycopg.Error, OSError) as error:
        failed = cannot_connect(url, error)
    # Outside of the handler, so that the driver's error does not come along with its text.
    raise failed


def _set_up(connection: psycopg.Connection[Any], statement_timeout: float | None) -> None:
    connection.execute(_SETTINGS)
    if statement_timeout is not None:
        connection.execute(
            "select set_config('statement_timeout', %s, false)", [f"{statement_timeout * 1000:.0f}ms"]
        )
