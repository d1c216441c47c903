"""Opens the connections of a database with libpq, and sets their sessions up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Final, TypeVar

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus

from plainsql.application import search_path as path_of
from plainsql.codec import NO_CODECS, CodecMap
from plainsql.connect_errors import cannot_connect
from plainsql.conninfo import libpq_options
from plainsql.credentials import Credentials, PasswordSource, raised
from plainsql.errors import ConnectError
from plainsql.pooler import PROBE_NAME, Pooler, StatementTexts, is_backend_sql, probe_sql
from plainsql.sync.primary_wait import PrimaryWait
from plainsql.sync.wire import check_result, run_script, wait_for_results

__all__ = ["Connector", "OnConnect", "connector_of"]

# The settings that shape the text of values. They are PostgreSQL's defaults; a role or a database may have
# others. A search by vectors with a filter goes on until it has found enough rows, as on the asynchronous
# side, unless a role or a database configures it. A setting that has the value already is not set: a pooler
# may lend the session to another client.
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

OnConnect = Callable[[psycopg.Connection[Any]], object]
"""Prepares the session of a connection."""

C = TypeVar("C", bound=psycopg.Connection[Any])

_MAX_LOSSES: Final = 3
"""Lost connections in a row, each during its set-up, that count as a failure to connect."""


class Connector:
    """Opens the first connection of a database, and those that replace a lost one."""

    def __init__(
        self,
        url: str,
        options: Mapping[str, Any],
        pooler: Pooler | None,
        statement_timeout: float | None,
        search_path: str,
        codecs: CodecMap = NO_CODECS,
        password: PasswordSource | None = None,
        on_connect: OnConnect | None = None,
        failover_timeout: float | None = None,
    ) -> None:
        self._on_connect = on_connect
        self._failover_timeout = failover_timeout
        self._has_opened = False
        self._credentials = None if password is None else Credentials(password)
        self.codecs = codecs
        """The codecs of types that the project has."""
        self._search_path = search_path
        self._url = url
        self._options = options
        self._pooler = pooler
        self._is_known = pooler is not None
        self.texts: StatementTexts | None = None
        """The texts to prepare, if a pooler keeps its clients' statements."""
        self._has_probed = False
        self._statement_timeout = statement_timeout

    @property
    def local_settings(self) -> str | None:
        """The settings that begin each transaction behind a pooler; None if the session has them."""
        return self._settings() if self._pooler == "transaction" else None

    @property
    def session_settings(self) -> str | None:
        """The settings that a session begins with; None behind a pooler, whose sessions are shared."""
        return None if self._pooler == "transaction" else self._settings()

    def open(self, connect: Callable[..., C] = psycopg.connect, *, waits: bool = True) -> C:  # type: ignore[assignment]
        """Open a connection with a function of psycopg's and set it up, all within the time limit.

        Raises ``ConnectError``.
        """
        failed: ConnectError
        losses = 0
        # The first connection is not waited for: its URL may be wrong.
        wait = PrimaryWait(self._failover_timeout if self._has_opened and waits else None)
        while True:
            try:
                connection = self._open_one(connect)
                self._has_opened = True
                return connection
            except (psycopg.Error, OSError) as error:  # TimeoutError is an OSError
                losses += 1
                if isinstance(error, errors.AdminShutdown) and losses < _MAX_LOSSES:
                    continue  # it was lost during its set-up, and not refused
                if wait.after_opening(error):
                    continue
                failed = cannot_connect(self._url, error)
            # Outside of the handler: the driver's error and its text must not be the context of this one.
            raise failed

    def _open_one(self, connect: Callable[..., C]) -> C:
        connection = self._connected(connect)
        try:
            # libpq's limit is for each host, and so does not include the set-up.
            self._set_up(connection, monotonic() + self._options["connect_timeout"])
        except BaseException:
            connection.close()
            raise
        return connection

    def prepare_session(self, connection: psycopg.Connection[Any]) -> None:
        """Run ``on_connect`` on a connection that serves no call yet, or whose session was reset.

        Raises ``ConnectError`` if the function raises, or leaves a transaction open.
        """
        if self._on_connect is None:
            return
        failed: ConnectError | None = None
        if self._pooler == "transaction":
            failed = ConnectError(
                "on_connect: expected a session for each connection, got a pooler in transaction mode",
                hint="use a pooler in session mode with pooler='session'",
            )
        else:
            try:
                self._on_connect(connection)
            except Exception as error:  # noqa: BLE001 (the function is the program's)
                failed = raised("on_connect", error)
        if failed is None and connection.info.transaction_status != TransactionStatus.IDLE:
            failed = ConnectError(
                "on_connect: expected no open transaction after the function, got one",
                hint="commit it in the function",
            )
        if failed is not None:
            raise failed

    def _connected(self, connect: Callable[..., C]) -> C:
        """Connect with the password of the URL, or with one of the credentials."""

        def with_options(options: Mapping[str, Any]) -> C:
            return connect("", autocommit=True, prepare_threshold=None, client_encoding="utf8", **options)

        if self._credentials is None:
            return with_options(self._options)
        password = self._credentials.get()
        try:
            return with_options({**self._options, "password": password})
        except psycopg.OperationalError as error:
            # The password may have changed since the function returned it. libpq reports no SQLSTATE here.
            was_refused = self._credentials.may_change and getattr(error.pgconn, "used_password", False)
            again = self._credentials.get() if was_refused else password
            if again == password:
                raise
        return with_options({**self._options, "password": again})

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
        elif not self._has_probed:
            self.texts = StatementTexts() if _keeps_statements(connection, left_s()) else None
            self._has_probed = True
        self.prepare_session(connection)

    def _settings(self) -> str:
        scope, is_local = ("local", "true") if self._pooler == "transaction" else ("session", "false")
        settings = _SETTINGS.format(is_local=is_local)
        if self._statement_timeout is not None:
            settings += f"; set {scope} statement_timeout = {round(self._statement_timeout * 1000) or 1:d}"
        if self._search_path:
            settings += f"; set {scope} search_path = {self._search_path}"
        return settings


def connector_of(
    function: str,
    address: str,
    waits_s: float | None,
    *,
    application_name: str | None,
    connect_timeout: float | None,
    ssl: str | None,
    search_path: str | None,
    pooler: Pooler | None,
    statement_timeout: float | None,
    codecs: CodecMap,
    password: PasswordSource | None,
    on_connect: OnConnect | None,
) -> Connector:
    """Return the connector of an address, by the options of ``plainsql.sync``.

    ``waits_s``: seconds to wait for a primary, when a connection is replaced.
    """
    options = libpq_options(
        address, application_name=application_name, connect_timeout=connect_timeout, ssl_mode=ssl
    )
    path = path_of(function, search_path, url_options=str(options.get("options", "")))
    return Connector(address, options, pooler, statement_timeout, path, codecs, password, on_connect, waits_s)


def _keeps_statements(connection: psycopg.Connection[Any], limit_s: float) -> bool:
    """Return whether a pooler in transaction mode keeps its clients' prepared statements, by other names."""
    run_script(connection, "begin", limit_s)
    with connection.lock:
        connection.pgconn.send_prepare(PROBE_NAME.encode(), b"select")
        for result in wait_for_results(connection, limit_s):
            check_result(result)
    (found,) = run_script(connection, probe_sql(), limit_s)
    keeps = found.ntuples == 0
    run_script(connection, "commit" if keeps else f"deallocate {PROBE_NAME}; commit", limit_s)
    return keeps
