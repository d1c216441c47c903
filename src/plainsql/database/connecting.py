"""``plainsql.connect``: from a URL to a ``Database``."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncpg import exceptions

from plainsql.application import cache_namespace
from plainsql.cache import Cache, Mode, Store
from plainsql.database.borrowing import Core, Pooler
from plainsql.database.database import Database
from plainsql.database.observing import OnCall
from plainsql.database.open_pool import OpenedPool, open_pool
from plainsql.database.tenancy import Admission
from plainsql.database.through import Through
from plainsql.diagnose import cannot_connect
from plainsql.errors import ConnectError, SettingsError
from plainsql.settings import hide_password, resolve_database

if TYPE_CHECKING:
    from plainsql.redis_link import RedisSource

__all__ = ["Connecting", "connect"]


def connect(
    url: str | None = None,
    *,
    min_size: int = 1,
    max_size: int = 10,
    connect_timeout: float = 10.0,
    acquire_timeout: float | None = 30.0,
    max_waiting: int = 10_000,
    max_age: float = 3600.0,
    max_idle: float = 300.0,
    statement_timeout: float | None = None,
    application_name: str = "plainsql",
    server_settings: Mapping[str, str] | None = None,
    prefetch: int = 500,
    join: bool = True,
    tenant_setting: str = "app.jwt_tenant",
    user_setting: str = "app.jwt_user",
    pooler: Pooler | None = None,
    on_call: OnCall | None = None,
    redis: RedisSource = None,
    cache: Mode | None = "available",
    cache_audit: float = 0.0,
    cache_outbox: bool = False,
    cache_prefix: str | None = None,
) -> Connecting:
    """Connect to a PostgreSQL database.

    Use it as ``async with plainsql.connect(url) as db`` or ``db = await plainsql.connect(url)``.

    Args:
        url: ``postgresql://user:password@host:5432/database``. By default what the environment or
            ``pyproject.toml`` says (see ``plainsql.settings``), else the project's embedded server.
        min_size: connections that are opened at once, one at the least, and kept.
        max_size: connections at the most.
        connect_timeout: seconds that opening a connection may take.
        acquire_timeout: seconds that a call waits for a free connection; None waits for ever.
        max_waiting: calls that may wait for a connection at once; one more is refused.
        max_age: seconds after which a connection is replaced by a new one.
        max_idle: seconds after which an idle connection is closed, down to ``min_size``.
        statement_timeout: seconds that a statement may take, None is no limit; asyncio's own
            ``asyncio.timeout`` works around any call as well.
        application_name: what ``pg_stat_activity`` shows.
        server_settings: settings of the server for every connection, such as ``{"search_path": "shop"}``.
        prefetch: rows that ``.stream`` reads ahead.
        tenant_setting: the setting that ``db.tenant`` sets to the tenant's id.
        user_setting: the setting that ``db.tenant`` sets to the acting user's id.
        join: run concurrent calls of the same read as one statement.
        pooler: what PgBouncer, or another, between us and the server lends its connections for. By default
            that is found out: where something stands in between, it is taken for one in transaction mode,
            which is right for all modes.
        on_call: called when a call has ended, with a ``Call``: name, duration, rows and more. See
            ``plainsql.otel`` for one.
        redis: where results of queries with ``cache:`` are stored, for all processes: a URL, a client of
            redis-py or a ``Link``. Without, each ``Database`` stores its own, and hears only of its own
            writes.
        cache: what a write does when Redis does not answer: ``"available"`` commits and makes it known as
            soon as Redis answers; ``"strict"`` fails before the commit; None caches nothing.
        cache_audit: the part of hits, 0 to 1, that are read again from PostgreSQL and compared.
            ``plainsql cache audit`` asks for more from outside, of all processes that share a Redis.
        cache_outbox: tell the cache of writes by others, which the triggers of ``plainsql cache triggers``
            have noted: one of all processes does so at a time, on a connection of its pool.
        cache_prefix: what the cache's keys in Redis are told apart by, such as ``"staging"``: the same for
            all programs that write to this database. By default ``PLAINSQL_CACHE_PREFIX``, or
            ``cache_prefix`` in ``[tool.plainsql]``, or nothing.

    Raises ``ConnectError`` where the server cannot be reached or does not let us in, ``SettingsError`` where
    no database is configured or an option cannot be.
    """
    _check(max_size, min_size, tenant_setting, user_setting, pooler)
    if cache_outbox and (cache is None or max_size < 2):
        expected = "a cache" if cache is None else "max_size=2 or more: one connection drains"
        raise SettingsError(f"connect(): cache_outbox: expected {expected}")
    given = dict(server_settings or {})
    pool_options = {
        # The connections that are kept are leased: the pool, which has none to keep, need not look after
        # them.
        "min_size": 0,
        "max_size": max_size,
        "timeout": connect_timeout,
        "command_timeout": statement_timeout,
        # Leases outlive these: idle and old connections are theirs to close.
        "max_inactive_connection_lifetime": 0,
        "max_queries": 2**62,
        "server_settings": {"application_name": application_name, **given},
        # Every variant of every query stays prepared: there are no others.
        "statement_cache_size": 2048,
        "max_cached_statement_lifetime": 0,
    }
    lease_options = {
        "min_size": min_size,
        "max_size": max_size,
        "wait_timeout": acquire_timeout,
        "max_waiting": max_waiting,
        "max_age": max_age,
        "max_idle": max_idle,
    }
    settings = (tenant_setting, user_setting)
    return Connecting(
        url,
        Options(
            pool_options,
            lease_options,
            prefetch,
            join,
            settings,
            pooler,
            on_call,
            cache,
            cache_audit,
            cache_outbox,
            _redis_store(redis, cache_prefix) if cache is not None and redis is not None else None,
        ),
    )


class Options(NamedTuple):
    """What ``connect`` was told."""

    pool: dict[str, Any]
    """Of asyncpg's pool."""
    leases: dict[str, Any]
    prefetch: int
    join: bool
    tenant_settings: tuple[str, str]
    pooler: Pooler | None
    on_call: OnCall | None
    cache: Mode | None
    cache_audit: float
    cache_outbox: bool
    store: Store | None
    """In Redis; it connects when it is first needed. None where nothing is stored there."""

    def open_cache(self, url: str) -> Through | None:
        """Make the cache."""
        if self.cache is None:
            return None
        given = (*self.tenant_settings, *self.pool["server_settings"])
        settings = [name for name in given if name != "application_name"]
        cache = Cache(self.store, mode=self.cache, audit_rate=self.cache_audit)
        return Through(cache, shared=self.store is not None, settings=settings, url=url)


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
            # The embedded server starts in a thread: it takes a second or two.
            url = await asyncio.to_thread(stack.enter_context, resolve_database(self._url))
            failed: ConnectError | None = None
            opened: OpenedPool | None = None
            through: Through | None = None
            try:
                through = self._options.open_cache(url)
                identify = None if through is None else through.servers.identify
                opened = await open_pool(
                    url, self._options.pool, self._options.leases, self._options.pooler, identify
                )
            except exceptions.PostgresError as error:
                failed = cannot_connect(url, error, getattr(error, "sqlstate", None))
            except (OSError, TimeoutError, exceptions.InterfaceError, ValueError) as error:
                failed = cannot_connect(url, error)
            if opened is None:
                # Outside of the handler, so that the driver's error, which may quote the URL, does not come
                # along.
                raise failed or AssertionError("opened or failed")
            options = self._options
            if through is not None:
                through.by_transaction = opened.pooler == "transaction"
                through.cache.follow()
            core = Core(
                opened.leases,
                hide_password(url),
                options.prefetch,
                options.join,
                opened.pooler,
                options.on_call,
                Admission(options.tenant_settings[0]),
                through,
                opened.floor,
            )
            database = Database(core, opened.pool, options.tenant_settings, stack.pop_all().close)
            if options.cache_outbox:
                try:
                    await database._drain_outbox()
                except BaseException:
                    await database.close()
                    raise
            if (watch := getattr(options.on_call, "watch", None)) is not None:
                watch(database)  # it wants the pool's numbers too
            return database


def _redis_store(redis: RedisSource, prefix: str | None) -> Store:
    # Not at the top: who has no Redis needs no redis package.
    from plainsql.cache.redis_store import RedisStore

    return RedisStore(redis, namespace=cache_namespace(prefix))


def _check(
    max_size: int, min_size: int, tenant_setting: str, user_setting: str, pooler: Pooler | None
) -> None:
    if max_size < 1 or not 0 <= min_size <= max_size:
        raise SettingsError(
            f"connect(): expected 0 <= min_size <= max_size and 1 <= max_size, "
            f"got min_size={min_size}, max_size={max_size}"
        )
    for name in (tenant_setting, user_setting):
        prefix, dot, rest = name.partition(".")
        if not (prefix.isidentifier() and dot and all(part.isidentifier() for part in rest.split("."))):
            raise SettingsError(
                f"connect(): {name!r} cannot be a tenant's setting, "
                "expected a name with a dot, like 'app.tenant'"
            )
    if pooler not in (None, "transaction", "session"):
        raise SettingsError(f"connect(): pooler: expected 'transaction', 'session' or None, got {pooler!r}")
