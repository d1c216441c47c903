"""``plainsql.sync.Pool``: a database on several connections, for the threads of a program."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final, NamedTuple, Self, TypeVar

import psycopg

from plainsql.application import tenant_settings
from plainsql.cache import OnFailure
from plainsql.codec import CodecMap
from plainsql.credentials import PasswordSource
from plainsql.errors import OptionError
from plainsql.health import Health
from plainsql.options import check
from plainsql.pooler import Pooler
from plainsql.project_codecs import codecs_of_project
from plainsql.query import Args, CompiledQuery
from plainsql.replication.demand import MAX_WAIT_S, Demand
from plainsql.replication.replica_stats import ReplicaStats
from plainsql.settings import resolve_database, use_database
from plainsql.statements.model import DEFAULT_MAX_LAG_S
from plainsql.sync.cache_writer import cache_writer
from plainsql.sync.connection import GRACE_S
from plainsql.sync.database import Executor, Options
from plainsql.sync.health_check import check_health
from plainsql.sync.lending_executor import LendingExecutor
from plainsql.sync.libpq_connector import OnConnect, connector_of
from plainsql.sync.loss_note import add_note
from plainsql.sync.pooled_connections import PooledConnection, PooledConnections, PoolOptions
from plainsql.sync.primary_wait import PrimaryWait
from plainsql.sync.replicas.causal_block import CausalBlock
from plainsql.sync.replicas.open_replicas import LEND_S, open_replicas, replica_connectors
from plainsql.sync.replicas.route import Route
from plainsql.sync.retry import retry
from plainsql.sync.tenant_guard import TenantGuard
from plainsql.sync.transaction import Isolation, Transaction
from plainsql.tenancy import Tenant, tenant_of
from plainsql.urls import hide_password

__all__ = ["Pool", "PoolCausalSession", "PoolReplicaView", "PoolStats", "TenantPool"]

R = TypeVar("R")
T = TypeVar("T")


_CLOSE_S: Final = 10.0
"""Seconds that threads of the pool may take to end if ``Pool`` fails."""


class _Counts(NamedTuple):
    open: int
    in_use: int
    idle: int
    waiting: int
    max_size: int


class PoolStats(_Counts):
    """The number of connections of a pool, and of calls that wait for one."""

    replicas: tuple[ReplicaStats, ...] = ()
    """The state of each replica, as the last read that tried it has found it."""


class _PoolExecutor(LendingExecutor):
    """Runs each call, as one tenant or without one, on a connection that the pool lends to it."""

    def __init__(
        self,
        connections: PooledConnections,
        options: Options,
        guard: TenantGuard,
        tenant: Tenant | None,
        route: Route | None = None,
    ) -> None:
        self._route = route
        """The way of reads to replicas; None if all calls run on the pool and no position counts."""
        self._connections = connections
        self._options = options
        self._guard = guard
        self._tenant = tenant

    def run(self, query: CompiledQuery[Any, R], args: Args, /) -> R:
        """Run a query and commit its changes.

        A read that is proved to change nothing is run a second time if its connection was lost.
        """
        if (route := self._route) is not None and (demand := route.demand(query)) is not None:
            found = route.read(
                demand, query, lambda on: self._on(on)._run_once(query, args), tenant=self._tenant
            )
            if found is not None:
                return found[0]
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
        if (route := self._route) is not None and (demand := route.demand(query)) is not None:
            rows = route.stream(demand, lambda on: self._on(on).stream(query, args))
            if rows is not None:
                yield from rows
                return
        with self._borrow() as executor:
            yield from executor.stream(query, args)

    def batch(self, query: CompiledQuery[Any, R], sets: Sequence[Args], /) -> list[R]:
        """Run a query for each set of arguments, all or none, and return the results."""
        route = self._route
        if sets and route is not None and (demand := route.demand(query)) is not None:
            found = route.read(demand, query, lambda on: self._on(on).batch(query, sets), is_batch=True)
            if found is not None:
                return found[0]
        return super().batch(query, sets)

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
            route = None if self._route is None else self._route.to_primary()
            yield Executor(shared, self._options, self._guard, self._tenant, route)

    def _on(self, shared: PooledConnection) -> Executor:
        """Return the executor of the same tenant on a connection to a replica."""
        return Executor(shared, self._options.of_replica(), self._guard, self._tenant)


class _ReadingPool(_PoolExecutor):
    """A pool whose reads may run on replicas."""

    def replica(
        self,
        *,
        max_lag: float = DEFAULT_MAX_LAG_S,
        max_wait: float = MAX_WAIT_S,
        own_writes: bool = True,
    ) -> PoolReplicaView:
        """Return a view whose reads run on a replica. See ``Database.replica``."""
        check("replica", max_lag=max_lag, max_wait=max_wait, own_writes=own_writes)
        route = Route.of_view(self._route, Demand(max_lag, max_wait), own_writes=own_writes)
        return PoolReplicaView(self._connections, self._options, self._guard, self._tenant, route)

    def causal(
        self,
        token: bytes | None = None,
        *,
        max_lag: float = DEFAULT_MAX_LAG_S,
        max_wait: float = MAX_WAIT_S,
    ) -> PoolCausalSession:
        """Return a session whose reads see its own writes, and never less than its reads before. See
        ``Database.causal``.
        """
        check("causal", token=token, max_lag=max_lag, max_wait=max_wait)
        route = Route.of_session(self._route, token, Demand(max_lag, max_wait))
        return PoolCausalSession(self._connections, self._options, self._guard, self._tenant, route)


class PoolReplicaView(_PoolExecutor):
    """A pool, or a tenant's view of it, whose reads run on replicas. It holds no connection."""

    def __repr__(self) -> str:
        return f"<PoolReplicaView {self._options.name}>"


class PoolCausalSession(CausalBlock, _PoolExecutor):
    """An executor whose reads see its own writes, and never less than its reads before. It holds no
    connection.
    """

    def __repr__(self) -> str:
        return f"<PoolCausalSession {self._options.name}>"


class TenantPool(_ReadingPool):
    """A pool as one tenant sees it: each call is a transaction with the tenant's settings. It holds no
    connection.
    """

    def __repr__(self) -> str:
        return f"<TenantPool {self._options.name}>"


class Pool(_ReadingPool):
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
        replicas: the URLs of read replicas, each with up to ``max_size`` connections. Reads go there through
            ``db.replica()`` and ``db.causal()``, and by the header ``replica:`` of a query. ``"hosts"``: the
            hosts of the database's URL. By default ``DATABASE_REPLICA_URLS``, if the URL of the database is
            not given either.

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
        replicas: Sequence[str] | str | None = None,
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
            replicas=replicas,
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
                codecs = codecs_of_project(codecs)

                make = partial(
                    connector_of,
                    "sync.Pool",
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
                of_replicas = replica_connectors("sync.Pool", url, resolved, replicas, make)
                writer = cache_writer(redis, cache_prefix, on_cache_failure)
            if writer is not None:
                stack.callback(writer.close)
            limit_s = None if statement_timeout is None else statement_timeout + GRACE_S
            connections = PooledConnections(connector, sizes, limit_s)
            connections.open()
            stack.callback(connections.close, _CLOSE_S)
            self._replicas = open_replicas(of_replicas, sizes, limit_s, partial(connections.borrow, LEND_S))
            options = Options(hide_password(resolved), prefetch, settings, writer, failover_timeout)
            route = None if self._replicas is None else Route.of_database(self._replicas)
            super().__init__(connections, options, TenantGuard(settings[0]), None, route)
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
        route = Route.of_tenant(self._route)
        return TenantPool(self._connections, self._options, self._guard, tenant, route)

    @contextmanager
    def acquire(self) -> Iterator[psycopg.Connection[Any]]:
        """Acquire a psycopg connection in autocommit mode, for what queries cannot say: COPY, LISTEN.

        It is yours inside the block only. It is reset afterwards.
        """
        with self._borrow() as executor:
            shared = executor._shared
            shared.session_is_altered = shared.statements_are_altered = True
            route = self._route
            if route is None:
                yield shared.psycopg
                return
            with route.scope.recorded(shared, read_only=False, autocommits=True):
                yield shared.psycopg

    @property
    def name(self) -> str:
        """The database's URL without its password."""
        return self._options.name

    def stats(self) -> PoolStats:
        """Return the number of connections, and of calls that wait for one; and the same of each replica."""
        size, idle, waiting = self._connections.stats()
        stats = PoolStats(size, size - idle, idle, waiting, self._max_size)
        if self._replicas is not None:
            stats.replicas = tuple(replica.stats() for replica in self._replicas.replicas)
        return stats

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
        if self._replicas is not None:
            self._replicas.close(timeout)
        self._connections.close(timeout)
        self._on_close()

    def __repr__(self) -> str:
        return f"<Pool {self._options.name}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
