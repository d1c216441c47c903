"""``plainsql.connect``: it makes a ``Database`` from a URL and options."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict, Unpack, cast

from asyncpg import exceptions

from plainsql.application import cache_namespace, tenant_settings
from plainsql.application import search_path as path_of
from plainsql.cache import Cache, OnFailure, Store
from plainsql.cache_times import CacheTimes, cache_times
from plainsql.codec import CodecMap
from plainsql.connect_errors import cannot_connect
from plainsql.conninfo import CONNECT_TIMEOUT_S, Conninfo
from plainsql.credentials import AsyncPasswordSource, Credentials
from plainsql.database.caching.cached_queries import CachedQueries
from plainsql.database.caching.server_identity import ServerIdentity
from plainsql.database.database import Database
from plainsql.database.pool.call import OnCall
from plainsql.database.pool.failover_wait import FailoverWait
from plainsql.database.pool.hosts import Hosts
from plainsql.database.pool.keepalive import Keepalive
from plainsql.database.pool.open_pool import Identify, OpenedPool, open_pool
from plainsql.database.pool.session_hook import OnConnect
from plainsql.database.pool.tenant_guard import TenantGuard
from plainsql.database.pool.tenant_pool import DatabasePool
from plainsql.database.replica_opener import ReplicaOpener
from plainsql.database.state import DatabaseState
from plainsql.deprecation import renamed_options, warn_of_old_name
from plainsql.errors import ConnectError, OptionError
from plainsql.options import check
from plainsql.pooler import Pooler
from plainsql.project_codecs import codecs_of_project
from plainsql.replica_sources import Source, Urls, configured_source, of_primary, read_source
from plainsql.settings import resolve_database, use_database
from plainsql.speed.loaded import PROTOCOL
from plainsql.urls import hide_password, write_url

if TYPE_CHECKING:
    from plainsql.redis_connection import RedisSource

__all__ = ["Connecting", "connect"]

_log = logging.getLogger("plainsql")


def connect(
    url: str | None = None,
    *,
    password: AsyncPasswordSource | None = None,
    ssl: SSLContext | str | None = None,
    on_connect: OnConnect | None = None,
    min_size: int = 1,
    max_size: int = 10,
    connect_timeout: float | None = None,
    acquire_timeout: float | None = 30.0,
    max_waiting: int = 10_000,
    max_lifetime: float = 3600.0,
    max_idle: float = 300.0,
    statement_timeout: float | None = None,
    failover_timeout: float | None = None,
    application_name: str | None = None,
    server_settings: Mapping[str, str] | None = None,
    search_path: str | None = None,
    database: str | None = None,
    prefetch: int = 500,
    autobatch: bool = True,
    tenant_setting: str | None = None,
    user_setting: str | None = None,
    pooler: Pooler | None = None,
    on_call: OnCall | None = None,
    redis: RedisSource = None,
    cache: bool = True,
    on_cache_failure: OnFailure = "commit",
    cache_audit: float = 0.0,
    cache_outbox: bool = False,
    cache_prefix: str | None = None,
    cache_ttl: Mapping[str, str] | None = None,
    codecs: CodecMap | None = None,
    replicas: Sequence[str] | str | None = None,
    **former: Unpack[FormerOptions],
) -> Connecting:
    """Connect to a PostgreSQL database.

    Use it as ``async with plainsql.connect(url) as db`` or ``db = await plainsql.connect(url)``.

    Args:
        url: ``postgresql://user:password@host:5432/database``. By default the environment or
            ``pyproject.toml`` names it (see ``plainsql.settings``), else it is the project's embedded server.
        password: the password, or a function that returns one, async or not: it is called for each new
            connection. It wins over the URL's.
        ssl: an ``ssl.SSLContext``, or one of libpq's modes, such as ``"verify-full"``. It wins over the URL's
            ``sslmode``.
        on_connect: an async function that prepares the session of each new asyncpg connection, before it
            serves a call, and again after a reset. Not behind a pooler in transaction mode.
        min_size: connections that are opened immediately, at least one, and kept.
        max_size: the most connections.
        connect_timeout: seconds that opening a connection may take; by default the URL's ``connect_timeout``,
            else 10.
        acquire_timeout: seconds that a call waits for a free connection; None waits for ever.
        max_waiting: calls that may wait for a connection at the same time; one more is refused.
        max_lifetime: seconds after which a connection is replaced by a new one.
        max_idle: seconds after which an idle connection is closed, down to ``min_size``.
        statement_timeout: seconds that a statement may take, None is no limit; asyncio's own
            ``asyncio.timeout`` works around any call as well.
        failover_timeout: seconds that a call waits for a primary and runs again if it is proved that nothing
            of it was executed: the server refused it as read-only, it was not sent, or there was no
            connection. None: it fails, after a second attempt on a new connection.
        application_name: the name in ``pg_stat_activity``; by default the URL's, else ``plainsql``.
        server_settings: settings of the server for every connection, such as ``{"work_mem": "64MB"}``.
        search_path: the schemas in which names without a schema are looked up, such as ``"shop, public"``. By
            default ``PLAINSQL_SEARCH_PATH``, or ``search_path`` in ``[tool.plainsql]``, or the server's own.
        database: the name of one of several databases, a table of ``[tool.plainsql.databases]``: its settings
            apply, and by default its URL.
        prefetch: rows that ``.stream`` reads ahead.
        tenant_setting: the setting that ``db.tenant`` sets to the tenant's id. By default
            ``PLAINSQL_TENANT_SETTING``, or ``tenant_setting`` in ``[tool.plainsql]``, or ``app.jwt_tenant``.
        user_setting: the setting that ``db.tenant`` sets to the acting user's id. By default
            ``PLAINSQL_USER_SETTING``, or ``user_setting`` in ``[tool.plainsql]``, or ``app.jwt_user``.
        autobatch: whether concurrent calls of the same read may share a round trip.
        pooler: how long PgBouncer, or another pooler in front of the server, lends its connections. By
            default ``connect`` finds out whether there is one, and takes it for one in transaction mode,
            which is right for all modes.
        on_call: called when a call has ended, with a ``Call``: name, duration, rows and more. See
            ``plainsql.otel`` for one.
        redis: the Redis in which results of queries with ``cache:`` are stored for all processes: a URL, a
            client of redis-py or a ``RedisConnection``. Without it each ``Database`` stores its own, and only
            its own writes invalidate them.
        cache: whether results of queries with ``cache:`` are stored.
        on_cache_failure: what a write does if Redis does not answer: ``"commit"``, and invalidate as soon as
            Redis answers; or ``"fail"`` before the commit, with ``CacheError``.
        cache_audit: the part of hits, 0 to 1, that are read again from PostgreSQL and compared.
            ``plainsql cache audit`` sets it from outside, for all processes that share a Redis.
        cache_outbox: invalidate the cache for external writes, which the triggers of ``plainsql cache
            triggers`` record. One of all processes does so at a time, on a connection of its pool.
        cache_prefix: a prefix of the cache's keys in Redis, such as ``"staging"``, the same for all programs
            that write to this database. By default ``PLAINSQL_CACHE_PREFIX``, or ``cache_prefix`` in
            ``[tool.plainsql]``, or nothing.
        cache_ttl: times to live in place of those in the headers, by names of queries or patterns, such as
            ``{"realty.properties.search": "30m", "realty.messages.*": "off"}``. By default
            ``PLAINSQL_CACHE_TTL``, or ``[tool.plainsql.cache]``.
        codecs: a ``plainsql.Codec`` for each type that plainsql does not know, by the type's name. By default
            those of ``[tool.plainsql.codecs]``.
        replicas: the URLs of read replicas; or ``"hosts"`` for those of the URL, ``"primary"`` for the
            standbys that the primary names, or ``"patroni+http://host:8008"``. Reads go there through
            ``db.replica()`` and ``db.causal()``, and by the header ``replica:`` of a query. By default
            ``DATABASE_REPLICA_URLS``, if the URL of the database is not given either.

    Raises ``OptionError``, a ``SettingsError``, for an option that it cannot take, ``SettingsError`` if no
    database is configured, ``ConnectError`` if the server cannot be reached or refuses the connection.
    """
    if former:
        given = renamed_options("connect", former, _NEW_NAMES)
        max_lifetime, autobatch = given.get("max_lifetime", max_lifetime), given.get("autobatch", autobatch)
    former_cache = cast("object", cache)  # it may be a former value
    if former_cache is None or former_cache in ("available", "strict"):
        cache, on_cache_failure = _former_cache(former_cache)
    check(
        "connect",
        url=url,
        password=password,
        ssl=ssl,
        on_connect=on_connect,
        min_size=min_size,
        max_size=max_size,
        connect_timeout=connect_timeout,
        acquire_timeout=acquire_timeout,
        max_waiting=max_waiting,
        max_lifetime=max_lifetime,
        max_idle=max_idle,
        statement_timeout=statement_timeout,
        failover_timeout=failover_timeout,
        application_name=application_name,
        server_settings=server_settings,
        search_path=search_path,
        database=database,
        prefetch=prefetch,
        autobatch=autobatch,
        tenant_setting=tenant_setting,
        user_setting=user_setting,
        pooler=pooler,
        on_call=on_call,
        redis=redis,
        cache=cache,
        on_cache_failure=on_cache_failure,
        cache_audit=cache_audit,
        cache_outbox=cache_outbox,
        cache_prefix=cache_prefix,
        cache_ttl=cache_ttl,
        codecs=codecs,
        replicas=replicas,
    )
    if min_size > max_size:
        raise OptionError(
            f"connect(): min_size: expected at most max_size, which is {max_size}, got {min_size}"
        )
    if cache_outbox and (not cache or max_size < 2):
        expected = "a cache" if not cache else "max_size=2 or more, as one connection drains"
        raise OptionError(f"connect(): cache_outbox: expected {expected}")
    driver_options = {
        "timeout": connect_timeout,
        "command_timeout": statement_timeout,
        "server_settings": ({} if application_name is None else {"application_name": application_name})
        | dict(server_settings or {}),
        # The statements of all queries stay prepared: their number is limited.
        "statement_cache_size": 2048,
        "max_cached_statement_lifetime": 0,
    }
    pool_options = {
        "min_size": min_size,
        "max_size": max_size,
        "wait_timeout": acquire_timeout,
        "max_waiting": max_waiting,
        "max_lifetime": max_lifetime,
        "max_idle": max_idle,
    }
    with use_database(database):
        settings = tenant_settings("connect", tenant_setting, user_setting)
        store = _redis_store(redis, cache_prefix) if cache and redis is not None else None
        times = cache_times(cache_ttl) if cache else None
    return Connecting(
        url,
        Options(
            driver_options,
            pool_options,
            prefetch,
            autobatch,
            settings,
            pooler,
            search_path,
            on_call,
            cache,
            on_cache_failure,
            cache_audit,
            cache_outbox,
            times,
            store,
            database,
            codecs,
            None if password is None else Credentials(password),
            on_connect,
            ssl,
            failover_timeout,
            None if replicas is None else read_source(replicas, "connect(): replicas"),
        ),
    )


def _former_cache(cache: object) -> tuple[bool, OnFailure]:
    """Return ``cache`` and ``on_cache_failure`` for the former option with three values."""
    if cache is None:
        warn_of_old_name("connect(): cache=None", "cache=False", stacklevel=3)
        return False, "commit"
    on_failure: OnFailure = "fail" if cache == "strict" else "commit"
    warn_of_old_name(f"connect(): cache={cache!r}", f"on_cache_failure={on_failure!r}", stacklevel=3)
    return True, on_failure


class FormerOptions(TypedDict, total=False):
    """Options by their old names."""

    max_age: float
    join: bool


_NEW_NAMES = {"max_age": "max_lifetime", "join": "autobatch"}


class Options(NamedTuple):
    """The options of ``connect``, checked."""

    driver: dict[str, Any]
    """The options of ``asyncpg.connect``, and a ``keepalive``."""
    pool: dict[str, Any]
    prefetch: int
    autobatch: bool
    tenant_settings: tuple[str, str]
    pooler: Pooler | None
    search_path: str | None
    on_call: OnCall | None
    cache: bool
    on_cache_failure: OnFailure
    cache_audit: float
    cache_outbox: bool
    cache_times: CacheTimes | None
    """The times to live in place of those in the headers."""
    store: Store | None
    """The store in Redis, which connects when it is first used; None if results are stored in the process."""
    database: str | None
    """The name of one of the project's databases."""
    codecs: CodecMap | None
    """The codecs of types; None for those of the project."""
    credentials: Credentials | None
    """The password that is given apart from the URL."""
    on_connect: OnConnect | None
    """Prepares each session."""
    ssl: SSLContext | str | None
    """The TLS of the connections, or its mode; None for that of the URL."""
    failover_timeout: float | None
    """Seconds that calls wait for a primary."""
    replicas: Source | None
    """The source of the replicas; None for that of the environment."""

    def path(self, server_options: str) -> str:
        """Return the ``search_path`` of the connections; empty for the server's own.

        ``server_options``: the ``options`` that the URL gives to its sessions.
        """
        if "search_path" in self.driver["server_settings"]:
            if self.search_path is not None:
                raise OptionError(
                    "connect(): search_path: expected it once, got it in server_settings as well"
                )
            return ""
        with use_database(self.database):
            return path_of("connect", self.search_path, url_options=server_options)

    def replica_opener(self, given_url: str | None, url: str) -> ReplicaOpener:
        """Return the opener of the replicas of the database at ``url``, which is given or configured."""
        source = self.replicas
        if source is None:
            with use_database(self.database):
                source = configured_source() if given_url is None else Urls(())
        return ReplicaOpener(
            of_primary(source, url),
            url,
            lambda each: _Address.of(each, self),
            pool_options=self.pool,
            prefetch=self.prefetch,
            autobatch=self.autobatch,
        )

    def open_cache(self, server_options: str) -> CachedQueries | None:
        """Make the cache.

        ``server_options``: the ``options`` that the URL gives to its sessions, and the ``search_path``.
        """
        if not self.cache:
            return None
        url = write_url({"options": server_options} if server_options else {})
        given = (*self.tenant_settings, *self.driver["server_settings"])
        settings = [name for name in given if name != "application_name"]
        cache = Cache(self.store, on_failure=self.on_cache_failure, audit_rate=self.cache_audit)
        return CachedQueries(
            cache, shared=self.store is not None, settings=settings, url=url, times=self.cache_times
        )


class Connecting:
    """A database that is about to be connected: await it, or enter it with ``async with``."""

    def __init__(self, url: str | None, options: Options) -> None:
        self._url = url
        self._options = options
        self._database: Database | None = None

    def __await__(self) -> Generator[Any, None, Database]:
        return self._open().__await__()

    async def __aenter__(self) -> Database:
        self._database = await self._open()
        return self._database

    async def __aexit__(self, *_: object) -> None:
        if self._database is not None:
            await self._database.close()

    async def _open(self) -> Database:
        with ExitStack() as stack:
            # The embedded server starts in a thread, which takes a second or two.
            options = self._options
            with use_database(options.database):  # the thread has the context of this block
                url = await asyncio.to_thread(stack.enter_context, resolve_database(self._url))
            address = _Address.of(url, options)
            opener = options.replica_opener(self._url, url)
            # Before a connection is opened: it may refuse an option.
            cached_queries = options.open_cache(address.server_options)
            servers = ServerIdentity(_ignore) if cached_queries is None else cached_queries.servers
            knows_server = cached_queries is not None or opener.has_replicas
            pool, opened = await address.open(options.pool, servers.identify if knows_server else None)
            if cached_queries is not None:
                cached_queries.by_transaction = opened.pooler == "transaction"
                cached_queries.cache.follow()
            replicas = opener.make(pool, servers) if opener.has_replicas else None
            state = DatabaseState.build(
                pool,
                prefetch=options.prefetch,
                autobatch=options.autobatch,
                cached_queries=cached_queries,
                on_call=options.on_call,
                round_trip=opened.round_trip,
                replicas=replicas,
            )
            database = Database(state, stack.pop_all().close)
            try:
                if replicas is not None:
                    await replicas.start()
                if options.cache_outbox:
                    await database._drain_outbox()
                _watch(options.on_call, database)
            except BaseException:
                await database.close()
                raise
            return database


class _Address(NamedTuple):
    """The server or the servers of a URL, with the options of their connections."""

    url: str
    options: Options
    hosts: Hosts
    driver_options: dict[str, Any]
    path: str
    """The ``search_path`` of the connections; empty for the server's own."""
    server_options: str
    """The ``options`` that the URL gives to its sessions, and the ``search_path``."""

    @classmethod
    def of(cls, url: str, options: Options) -> _Address:
        """Read a URL. Raises ``ConnectError`` and ``OptionError`` if a parameter cannot be honoured."""
        mode = options.ssl if isinstance(options.ssl, str) else None
        conninfo = Conninfo(url, ssl_mode=mode)
        path = options.path(conninfo["options"])
        driver_options = _of_url(conninfo, options.driver)
        driver_options["search_path"] = path
        with use_database(options.database):
            driver_options["codecs"] = codecs_of_project(options.codecs)
        driver_options["on_connect"] = options.on_connect
        hosts = Hosts(
            conninfo,
            timeout=driver_options["timeout"],
            credentials=options.credentials,
            context=options.ssl if isinstance(options.ssl, SSLContext) else None,
        )
        server_options = " ".join(part for part in (conninfo["options"], path) if part)
        return cls(url, options, hosts, driver_options, path, server_options)

    async def open(
        self, pool_options: Mapping[str, Any], identify: Identify | None
    ) -> tuple[DatabasePool, OpenedPool]:
        """Open the first connections. Raises ``ConnectError``."""
        options = self.options
        failed: ConnectError | None = None
        opened: OpenedPool | None = None
        try:
            opened = await open_pool(
                self.hosts.connect, self.driver_options, pool_options, options.pooler, identify
            )
        except exceptions.PostgresError as error:
            failed = cannot_connect(self.url, error, getattr(error, "sqlstate", None))
        except (OSError, exceptions.InterfaceError, exceptions.InternalClientError) as error:
            failed = cannot_connect(self.url, error)
        if opened is None:
            # Outside of the handler: the driver's error, which may quote the URL, must not be its context.
            raise failed or AssertionError("opened or failed")
        pool = DatabasePool(
            opened.pool,
            hide_password(self.url),
            opened.pooler == "transaction",
            options.tenant_settings,
            TenantGuard(options.tenant_settings[0]),
            self.path,
            sends_settings=PROTOCOL is not None and opened.keeps_statements,
            failover=FailoverWait(options.failover_timeout),
        )
        return pool, opened


def _ignore() -> None:
    pass


def _watch(on_call: OnCall | None, database: Database) -> None:
    """Give the database to a hook that reports the pool's numbers too."""
    try:
        if (watch := getattr(on_call, "watch", None)) is not None:
            watch(database)
    except Exception:  # noqa: BLE001 (a hook may raise anything, and a database works without one)
        _log.exception("the hook cannot watch %s", database.name)


def _of_url(conninfo: Conninfo, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the pool together with those of the URL.

    A caller's option wins over the URL, and the URL over the default.
    """
    timeout = options["timeout"] or conninfo.connect_timeout or CONNECT_TIMEOUT_S
    settings = {"application_name": conninfo.application_name or "plainsql"} | options["server_settings"]
    return {
        **options,
        "timeout": timeout,
        "server_settings": settings,
        "keepalive": _keepalive_of(conninfo),
    }


def _keepalive_of(conninfo: Conninfo) -> Keepalive:
    """Return the keepalive settings of a URL. 0 is the system's default, as in libpq."""
    default = Keepalive()

    def given(name: str, otherwise: int) -> int:
        value = conninfo.integer(name)
        return otherwise if value is None else max(value, 0)

    return Keepalive(
        on=given("keepalives", 1) != 0,
        idle=given("keepalives_idle", default.idle),
        interval=given("keepalives_interval", default.interval),
        count=given("keepalives_count", default.count),
        user_timeout_ms=given("tcp_user_timeout", default.user_timeout_ms),
    )


def _redis_store(redis: RedisSource, prefix: str | None) -> Store:
    # Not at the top: without Redis the redis package is not needed.
    from plainsql.cache.redis_store import RedisStore

    return RedisStore(redis, namespace=cache_namespace(prefix))
