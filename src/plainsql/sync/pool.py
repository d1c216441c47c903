"""``plainsql.sync.Pool``: a database on several connections, for the threads of a program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple, Self, TypeVar

import psycopg

from plainsql.application import search_path as path_of
from plainsql.application import tenant_settings
from plainsql.cache import OnFailure
from plainsql.codec import CodecMap
from plainsql.conninfo import libpq_options
from plainsql.credentials import PasswordSource
from plainsql.errors import OptionError
from plainsql.health import Health
from plainsql.options import check
from plainsql.pooler import Pooler
from plainsql.project_codecs import codecs_of_project
from plainsql.query import Args, CompiledQuery
from plainsql.settings import resolve_database, use_database
from plainsql.sync.cache_writer import cache_writer
from plainsql.sync.connect import Connector, OnConnect
from plainsql.sync.connection import GRACE_S
from plainsql.sync.database import Executor, Options
from plainsql.sync.health_check import check_health
from plainsql.sync.lending_executor import LendingExecutor
from plainsql.sync.loss_note import add_note
from plainsql.sync.pooled_connections import PooledConnections, PoolOptions
from plainsql.sync.primary_wait import PrimaryWait
from plainsql.sync.retry import retry
from plainsql.sync.tenant_guard import TenantGuard
from plainsql.sync.transaction import Isolation, Transaction
from plainsql.tenancy import Tenant, tenant_of
from plainsql.urls import hide_password

__all__ = ["Pool", "PoolStats", "TenantPool"]

R = TypeVar("R")
T = TypeVar("T")


class PoolStats(NamedTuple):
    """The number of connections of a pool, and of calls that wait for one."""

    open: int
    in_use: int
    idle: int
    waiting: int
    max_size: int


class _PoolExecutor(LendingExecutor):
    """Runs each call, as one tenant or without one, on a connection that the pool lends to it."""

    def __init__(
        self, connections: PooledConnections, options: Options, guard: TenantGuard, tenant: Tenant | None
    ) -> None:
        self._connections = connections
        self._options = options
        self._guard = guard
        self._tenant = tenant

    def run(self, query: CompiledQuery[Any, R], args: Args, /) -> R:
        """Run a query and commit its changes.

        A read that is proved to change nothing is run a second time if its connection was lost.
        """
        is_again = False
        wait: PrimaryWait | None = None
        while True:
            with self._borrow() as executor:
                try:
                    return executor._run_once(query, args)
                except (psycopg.Error, OSError) as error:
                    wait = wait or PrimaryWait(self._options.failover_timeout)
                    may = not is_again and executor._may_run_again(query, error)
                    if not may and not (executor._changed_nothing(query, error) and wait.pause()):
                        add_note(executor._shared, error, read_only=query.read_only)
                        raise
                    executor._shared.psycopg.close()
            is_again = True

    def stream(self, query: CompiledQuery[T, Any], args: Args, /) -> Iterator[T]:
        """Iterate over a query's rows through a cursor, in a transaction of its own."""
        with self._borrow() as executor:
            yield from executor.stream(query, args)

    @contextmanager
    def transaction(
        self,
        *,
        isolation: Isolation | None = None,
        read_only: bool = False,
        deferrable: bool = False,
    ) -> Iterator[Transaction]:
        """Open a transaction on a connection of its own: ``with db.transaction() as tx``.

        ``isolation`` is the server's default (read committed) if it is not given. ``deferrable`` counts
        only with ``isolation="serializable"`` and ``read_only``: it waits until it cannot fail.

        Raises ``TransactionError`` if the block ends without an error although one of its statements failed:
        nothing is committed then.
        """
        check("transaction", isolation=isolation, read_only=read_only, deferrable=deferrable)
        with (
            self._borrow() as executor,
            executor.transaction(
                isolation=isolation, read_only=read_only, deferrable=deferrable
            ) as transaction,
        ):
            yield transaction

    def retry(
        self,
        work: Callable[[Transaction], R],
        *,
        attempts: int = 5,
        isolation: Isolation | None = "serializable",
        read_only: bool = False,
        on_retry: Callable[[int, BaseException], object] | None = None,
    ) -> R:
        """Run ``work`` in a transaction, and again if it failed by a collision. See ``Database.retry``."""
        check(
            "retry",
            work=work,
            attempts=attempts,
            isolation=isolation,
            read_only=read_only,
            on_retry=on_retry,
        )
        wait = PrimaryWait(self._options.failover_timeout)
        begin = partial(self.transaction, isolation=isolation, read_only=read_only)
        return retry(begin, work, attempts, on_retry, wait)

    @contextmanager
    def _borrow(self) -> Iterator[Executor]:
        with self._connections.borrow() as shared:
            yield Executor(shared, self._options, self._guard, self._tenant)


class TenantPool(_PoolExecutor):
    """A pool as one tenant sees it: each call is a transaction with the tenant's settings. It holds no
    connection.
    """

    def __repr__(self) -> str:
        return f"<TenantPool {self._options.name}>"


class Pool(_PoolExecutor):
    """A PostgreSQL database on several connections: an executor that threads share without taking turns.

    Use it as ``with plainsql.sync.Pool(url) as db``, or close it. Each call, transaction and stream has a
    connection of its own. psycopg_pool opens the connections, and replaces those that are lost or too old.

    Args:
        url: ``postgresql://user:password@host:5432/database``, as for ``plainsql.sync.connect``.
        password: the password, or a function that returns one: it is called for each new connection.
        ssl: one of libpq's modes, such as ``"verify-full"``.
        on_connect: a function that prepares the session of each new psycopg connection, before it serves a
            call, and again after a reset. Not behind a pooler in transaction mode.
        min_size: connections that are opened immediately and kept.
        max_size: the most connections.
        acquire_timeout: seconds that a call waits for a free connection; None waits for ever.
        max_waiting: calls that may wait for a connection at the same time; one more is refused.
        max_lifetime: seconds after which a connection is replaced by a new one.
        max_idle: seconds after which an idle connection is closed, down to ``min_size``.
        connect_timeout: whole seconds for opening a connection; by default the URL's ``connect_timeout``,
            else 10.
        statement_timeout: seconds after which the server cancels a statement, as for
            ``plainsql.sync.connect``.
        failover_timeout: seconds that a call waits for a primary and runs again if it is proved that nothing
            of it was executed: the server refused it as read-only, it was not sent, or there was no
            connection. None: it fails, after a second attempt on a new connection.
        application_name: the name in ``pg_stat_activity``; by default the URL's, else ``plainsql``.
        search_path: the schemas in which names without a schema are looked up, as for
            ``plainsql.sync.connect``.
        database: the name of one of several databases, a table of ``[tool.plainsql.databases]``.
        prefetch: rows that ``.stream`` reads ahead.
        tenant_setting: the setting that ``db.tenant`` sets to the tenant's id.
        user_setting: the setting that ``db.tenant`` sets to the acting user's id.
        pooler: the mode of PgBouncer, or another pooler, in front of the server.
        redis: the URL of the Redis in which ``plainsql.connect(redis=…)`` of other programs stores results:
            writes invalidate there what they change. Reads are not cached.
        on_cache_failure: what a write does if Redis does not answer: ``"commit"``, and invalidate as soon as
            Redis answers; or ``"fail"`` before the commit, with ``CacheError``.
        cache_prefix: the prefix of the cache's keys in Redis, as for ``plainsql.connect``.
        codecs: a ``plainsql.Codec`` for each type, as for ``plainsql.sync.connect``.

    Raises what ``plainsql.sync.connect`` raises.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        password: PasswordSource | None = None,
        ssl: str | None = None,
        on_connect: OnConnect | None = None,
        min_size: int = 1,
        max_size: int = 10,
        acquire_timeout: float | None = 30.0,
        max_waiting: int = 10_000,
        max_lifetime: float = 3600.0,
        max_idle: float = 300.0,
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
    ) -> None:
        check(
            "sync.Pool",
            url=url,
            password=password,
            ssl=ssl,
            on_connect=on_connect,
            min_size=min_size,
            max_size=max_size,
            acquire_timeout=acquire_timeout,
            max_waiting=max_waiting,
            max_lifetime=max_lifetime,
            max_idle=max_idle,
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
        )
        if min_size > max_size:
            raise OptionError(
                f"sync.Pool(): min_size: expected at most max_size, which is {max_size}, got {min_size}"
            )
        sizes = PoolOptions(min_size, max_size, acquire_timeout, max_waiting, max_lifetime, max_idle)
        with ExitStack() as stack:
            with use_database(database):
                settings = tenant_settings("sync.Pool", tenant_setting, user_setting)
                resolved = stack.enter_context(resolve_database(url))
                libpq = libpq_options(
                    resolved,
                    application_name=application_name,
                    connect_timeout=connect_timeout,
                    ssl_mode=ssl,
                )
                path = path_of("sync.Pool", search_path, url_options=str(libpq.get("options", "")))
                codecs = codecs_of_project(codecs)
                writer = cache_writer(redis, cache_prefix, on_cache_failure)
            if writer is not None:
                stack.callback(writer.close)
            connections = PooledConnections(
                Connector(
                    resolved,
                    libpq,
                    pooler,
                    statement_timeout,
                    path,
                    codecs,
                    password,
                    on_connect,
                    failover_timeout,
                ),
                sizes,
                None if statement_timeout is None else statement_timeout + GRACE_S,
            )
            connections.open()
            options = Options(hide_password(resolved), prefetch, settings, writer, failover_timeout)
            super().__init__(connections, options, TenantGuard(settings[0]), None)
            self._max_size = max_size
            self._on_close: Callable[[], object] = stack.pop_all().close

    def tenant(self, tenant_id: object, *, user_id: object = None) -> TenantPool:
        """Return the database as a tenant sees it, for row-level security.

        Every call on it is a transaction that begins with the settings ``app.jwt_tenant`` and
        ``app.jwt_user``; ``Pool`` can name others. No connection keeps them afterwards. Without a user
        ``app.jwt_user`` is empty.
        """
        check("tenant", tenant_id=tenant_id, user_id=user_id)
        tenant = tenant_of(self._options.tenant_settings, tenant_id, user_id)
        return TenantPool(self._connections, self._options, self._guard, tenant)

    @contextmanager
    def acquire(self) -> Iterator[psycopg.Connection[Any]]:
        """Acquire a psycopg connection in autocommit mode, for what queries cannot say: COPY, LISTEN.

        It is yours inside the block only. It is reset afterwards.
        """
        with self._borrow() as executor:
            executor._shared.session_is_altered = executor._shared.statements_are_altered = True
            yield executor._shared.psycopg

    @property
    def name(self) -> str:
        """The database's URL without its password."""
        return self._options.name

    def stats(self) -> PoolStats:
        """Return the number of connections, and of calls that wait for one."""
        size, idle, waiting = self._connections.stats()
        return PoolStats(size, size - idle, idle, waiting, self._max_size)

    def check(self, *, layer: str | None = None, migrations: bool = True, timeout: float = 5.0) -> Health:
        """Check the server, the role, TLS, pgvector, the migrations and Redis, as ``db doctor`` does.

        Each result has a name, a state (``ok``, ``warning``, ``failed``, ``skipped``), a text without secrets
        and a hint; ``.ok`` is true if no check failed. A failed check raises nothing.

        Args:
            layer: check this layer alone, and also its extensions, its indexes, and whether the role can run
                each of its queries.
            migrations: check the migrations of the project and of the layers in the database.
            timeout: seconds after which PostgreSQL, or a call of Redis, counts as failed.

        Raises ``SettingsError`` if there is no layer of that name.
        """
        check("check", layer=layer, migrations=migrations, timeout=timeout)
        options = self._options
        return check_health(
            self._connections.borrow,
            options.name,
            options.tenant_settings,
            options.writer,
            layer=layer,
            migrations=migrations,
            timeout=timeout,
        )

    def close(self, timeout: float | None = 10.0) -> None:
        """Close the idle connections, and each one in use when its call has ended.

        Later calls raise ``PlainsqlError``. It waits up to ``timeout`` seconds for the
        threads of the pool; None waits for ever.
        """
        check("close", timeout=timeout)
        self._connections.close(timeout)
        self._on_close()

    def __repr__(self) -> str:
        return f"<Pool {self._options.name}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
