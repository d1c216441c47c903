"""``plainsql.sync.connect``: from a URL to a ``Database``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final

from plainsql.application import tenant_settings
from plainsql.cache import OnFailure
from plainsql.codec import CodecMap
from plainsql.credentials import PasswordSource
from plainsql.options import check
from plainsql.pooler import Pooler
from plainsql.project_codecs import codecs_of_project
from plainsql.settings import resolve_database, use_database
from plainsql.sync.cache_writer import cache_writer
from plainsql.sync.connection import SharedConnection
from plainsql.sync.database import Database, Options
from plainsql.sync.libpq_connector import OnConnect, connector_of
from plainsql.sync.pooled_connections import PoolOptions
from plainsql.sync.replicas.open_replicas import lend_idle, open_replicas, replica_connectors
from plainsql.urls import hide_password

__all__ = ["connect"]

_OF_A_REPLICA: Final = PoolOptions(
    min_size=1, max_size=2, acquire_timeout=1.0, max_waiting=10_000, max_lifetime=3600.0, max_idle=300.0
)
_CLOSE_S: Final = 10.0


def connect(
    url: str | None = None,
    *,
    password: PasswordSource | None = None,
    ssl: str | None = None,
    on_connect: OnConnect | None = None,
    connect_timeout: float | None = None,
    statement_timeout: float | None = None,
    failover_timeout: float | None = None,
    application_name: str | None = None,
    search_path: str | None = None,
    database: str | None = None,
    prefetch: int = 500,
    tenant_setting: str | None = None,
    user_setting: str | None = None,
    pooler: Pooler | None = None,
    redis: str | None = None,
    on_cache_failure: OnFailure = "commit",
    cache_prefix: str | None = None,
    codecs: CodecMap | None = None,
    replicas: Sequence[str] | str | None = None,
) -> Database:
    """Connect to a PostgreSQL database with one connection, for scripts.

    Use it as ``with plainsql.sync.connect(url) as db``, or close it.

    Args:
        url: ``postgresql://user:password@host:5432/database``. By default the URL of the environment or of
            ``pyproject.toml`` (see ``plainsql.settings``), else the project's embedded server.
        password: the password, or a function that returns one: it is called for each new connection. It wins
            over the URL's.
        ssl: one of libpq's modes, such as ``"verify-full"``. It wins over the URL's ``sslmode``.
        on_connect: a function that prepares the session of each new psycopg connection, before it serves a
            call. Not behind a pooler in transaction mode.
        connect_timeout: whole seconds for connecting to each host, and for the set-up of the connection; by
            default the URL's ``connect_timeout``, else 10.
        statement_timeout: seconds after which the server cancels a statement
            (``psycopg.errors.QueryCanceled``). If the server has not answered a second later, the connection
            is closed (``TimeoutError``). None: the server's own setting.
        failover_timeout: seconds that a call waits for a primary and runs again if it is proved that nothing
            of it was executed: the server refused it as read-only, it was not sent, or there was no
            connection. None: it fails, after a second attempt on a new connection.
        application_name: the name in ``pg_stat_activity``; by default the URL's, else ``plainsql``.
        search_path: the schemas in which names without a schema are looked up, such as ``"shop, public"``. By
            default ``PLAINSQL_SEARCH_PATH``, or ``search_path`` in ``[tool.plainsql]``, or the server's own.
        database: the name of one of several databases, a table of ``[tool.plainsql.databases]``: its settings
            apply, and by default its URL.
        prefetch: rows that ``.stream`` reads ahead.
        tenant_setting: the setting that ``db.tenant`` sets to the tenant's id. By default
            ``PLAINSQL_TENANT_SETTING``, or ``tenant_setting`` in ``[tool.plainsql]``, or ``app.jwt_tenant``.
        user_setting: the setting that ``db.tenant`` sets to the acting user's id. By default
            ``PLAINSQL_USER_SETTING``, or ``user_setting`` in ``[tool.plainsql]``, or ``app.jwt_user``.
        pooler: the mode of PgBouncer, or another pooler, in front of the server. By default a pooler is
            detected and treated as one in transaction mode, which is right for all modes.
        redis: the URL of the Redis in which ``plainsql.connect(redis=…)`` of other programs stores results:
            writes invalidate there what they change. Reads are not cached.
        on_cache_failure: what a write does if Redis does not answer: ``"commit"``, and invalidate as soon as
            Redis answers; or ``"fail"`` before the commit, with ``CacheError``.
        cache_prefix: the prefix of the cache's keys in Redis, as for ``plainsql.connect``.
        codecs: a ``plainsql.Codec`` for each type that plainsql does not know, by the type's name. By default
            those of ``[tool.plainsql.codecs]``.
        replicas: the URLs of read replicas, each with connections of its own. Reads go there through
            ``db.replica()`` and ``db.causal()``, and by the header ``replica:`` of a query. ``"hosts"``: the
            hosts of the database's URL. By default ``DATABASE_REPLICA_URLS``, if the URL of the database is
            not given either.

    Raises ``OptionError``, a ``SettingsError``, if an option has a wrong value, and ``SettingsError`` if no
    database is configured. Raises ``ConnectError`` if the server cannot be reached or refuses the connection.
    """
    check(
        "sync.connect",
        url=url,
        password=password,
        ssl=ssl,
        on_connect=on_connect,
        connect_timeout=connect_timeout,
        statement_timeout=statement_timeout,
        failover_timeout=failover_timeout,
        application_name=application_name,
        search_path=search_path,
        database=database,
        prefetch=prefetch,
        tenant_setting=tenant_setting,
        user_setting=user_setting,
        pooler=pooler,
        redis=redis,
        on_cache_failure=on_cache_failure,
        cache_prefix=cache_prefix,
        codecs=codecs,
        replicas=replicas,
    )
    with ExitStack() as stack:
        with use_database(database):
            settings = tenant_settings("sync.connect", tenant_setting, user_setting)
            resolved = stack.enter_context(resolve_database(url))
            codecs = codecs_of_project(codecs)

            make = partial(
                connector_of,
                "sync.connect",
                application_name=application_name,
                connect_timeout=connect_timeout,
                ssl=ssl,
                search_path=search_path,
                pooler=pooler,
                statement_timeout=statement_timeout,
                codecs=codecs,
                password=password,
                on_connect=on_connect,
            )
            connector = make(resolved, failover_timeout)
            of_replicas = replica_connectors("sync.connect", url, resolved, replicas, make)
            writer = cache_writer(redis, cache_prefix, on_cache_failure)
        if writer is not None:
            stack.callback(writer.close)
        shared = SharedConnection(connector.open, statement_timeout=statement_timeout, codecs=codecs)
        stack.callback(shared.close)
        shared.local_settings, shared.texts = connector.local_settings, connector.texts
        opened = open_replicas(of_replicas, _OF_A_REPLICA, shared.limit_s, partial(lend_idle, shared))
        if opened is not None:
            stack.callback(opened.close, _CLOSE_S)
        return Database(
            shared,
            Options(hide_password(resolved), prefetch, settings, writer, failover_timeout),
            on_close=stack.pop_all().close,
            replicas=opened,
        )
