"""``plainsql.sync.connect``: from a URL to a ``Database``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from time import monotonic
from typing import Any, Final

import psycopg
from psycopg import errors

from plainsql.application import tenant_settings
from plainsql.conninfo import libpq_options
from plainsql.diagnose import cannot_connect
from plainsql.errors import ConnectError
from plainsql.options import check
from plainsql.pooler import Pooler, is_backend_sql
from plainsql.settings import resolve_database
from plainsql.sync.database import Database, Terms
from plainsql.sync.session import Session
from plainsql.sync.wire import run_script
from plainsql.urls import hide_password

__all__ = ["connect"]

# Values are read from their text, which these settings shape. They are the defaults of PostgreSQL; a role
# or a database may have others. A filtered search by vectors goes on until it has found enough, as on the
# asynchronous side, unless a role or a database says how. Nothing is set where nothing differs: a pooler
# may hand the session to others.
_SETTINGS: Final = """
select set_config(name, wanted, {is_local})
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
where not as_wanted"""

_LOSSES: Final = 3
"""So many connections that are lost while they are set up are a failure to connect."""


def connect(
    url: str | None = None,
    *,
    connect_timeout: float | None = None,
    statement_timeout: float | None = None,
    application_name: str | None = None,
    prefetch: int = 500,
    tenant_setting: str | None = None,
    user_setting: str | None = None,
    pooler: Pooler | None = None,
) -> Database:
    """Connect to a PostgreSQL database with one connection, for scripts.

    Use it as ``with plainsql.sync.connect(url) as db``, or close it.

    Args:
        url: ``postgresql://user:password@host:5432/database``. By default what the environment or
            ``pyproject.toml`` says (see ``plainsql.settings``), else the project's embedded server.
        connect_timeout: seconds that connecting to each host and setting the connection up may take, whole
            ones; by default the URL's ``connect_timeout``, else 10.
        statement_timeout: seconds that the server lets a statement take (``psycopg.errors.QueryCanceled``);
            if the server has not said so a second later, the connection is given up (``TimeoutError``). None
            is what the server is set to.
        application_name: what ``pg_stat_activity`` shows; by default the URL's, else ``plainsql``.
        prefetch: rows that ``.stream`` reads ahead.
        tenant_setting: the setting that ``db.tenant`` sets to the tenant's id. By default
            ``PLAINSQL_TENANT_SETTING``, or ``tenant_setting`` in ``[tool.plainsql]``, or ``app.jwt_tenant``.
        user_setting: the setting that ``db.tenant`` sets to the acting user's id. By default
            ``PLAINSQL_USER_SETTING``, or ``user_setting`` in ``[tool.plainsql]``, or ``app.jwt_user``.
        pooler: what PgBouncer, or another, between us and the server lends its connections for. By default
            that is found out: something in between is taken for a pooler in transaction mode, which is right
            for all modes.

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
        tenant_setting=tenant_setting,
        user_setting=user_setting,
        pooler=pooler,
    )
    settings = tenant_settings("sync.connect", tenant_setting, user_setting)
    with ExitStack() as stack:
        resolved = stack.enter_context(resolve_database(url))
        options = libpq_options(resolved, application_name=application_name, connect_timeout=connect_timeout)
        connector = _Connector(resolved, options, pooler, statement_timeout)
        session = Session(connector.open, statement_timeout=statement_timeout)
        stack.callback(session.close)
        session.local_settings = connector.local_settings
        return Database(
            session,
            Terms(hide_password(resolved), prefetch, settings),
            on_close=stack.pop_all().close,
        )


class _Connector:
    """Opens the connections of one database, the first one and those that replace a lost one."""

    def __init__(
        self,
        url: str,
        options: Mapping[str, Any],
        pooler: Pooler | None,
        statement_timeout: float | None,
    ) -> None:
        self._url = url
        self._options = options
        self._pooler = pooler
        self._is_known = pooler is not None
        self._statement_timeout = statement_timeout

    @property
    def local_settings(self) -> str | None:
        """The statements that each transaction begins with behind a pooler; None if the session has all."""
        return self._settings() if self._pooler == "transaction" else None

    def open(self) -> psycopg.Connection[Any]:
        """Open a connection and set it up, all within the time limit.

        Raises ``ConnectError``.
        """
        failed: ConnectError
        losses = 0
        while True:
            try:
                return self._open_one()
            except (psycopg.Error, OSError) as error:  # TimeoutError is an OSError
                losses += 1
                if isinstance(error, errors.AdminShutdown) and losses < _LOSSES:
                    continue  # it was lost while it was set up, and not refused
                failed = cannot_connect(self._url, error)
            # Outside of the handler, so that the driver's error does not come along with its text.
            raise failed

    def _open_one(self) -> psycopg.Connection[Any]:
        connection: psycopg.Connection[Any] = psycopg.connect(
            "", autocommit=True, prepare_threshold=None, client_encoding="utf8", **self._options
        )
        try:
            # libpq's limit is for each host: what it has taken is no part of this one.
            self._set_up(connection, monotonic() + self._options["connect_timeout"])
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: psycopg.Connection[Any], ends: float) -> None:
        def left_s() -> float:
            return max(ends - monotonic(), 0.1)

        if not self._is_known:
            (found,) = run_script(connection, is_backend_sql(connection.info.backend_pid), left_s())
            if found.ntuples == 0:
                self._pooler = "transaction"
            self._is_known = True
        if self._pooler != "transaction":
            run_script(connection, self._settings(), left_s())

    def _settings(self) -> str:
        scope, is_local = ("local", "true") if self._pooler == "transaction" else ("session", "false")
        settings = _SETTINGS.format(is_local=is_local)
        if self._statement_timeout is not None:
            settings += f"; set {scope} statement_timeout = {round(self._statement_timeout * 1000) or 1:d}"
        return settings
