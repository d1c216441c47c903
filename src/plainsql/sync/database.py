"""The database as a synchronous executor: one psycopg connection, replaced when it is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, NamedTuple, Self, TypeVar

import psycopg

from plainsql.copy_output import CopyFormat, arguments_of
from plainsql.copy_rows import Progress
from plainsql.health import Health
from plainsql.options import check
from plainsql.query import Args, CompiledCopy, CompiledQuery, Query
from plainsql.query.setting_values import SetTo
from plainsql.query.sql_calls import SyncSql
from plainsql.replication.demand import MAX_WAIT_S, Demand
from plainsql.statements.model import DEFAULT_MAX_LAG_S
from plainsql.sync.batch import execute_many, run_batch
from plainsql.sync.cache_writer import CacheWriter, Writes
from plainsql.sync.connection import SharedConnection
from plainsql.sync.copy import SyncOutput
from plainsql.sync.driver_errors import is_refusal, named_at_commit
from plainsql.sync.execution import execute, is_stale
from plainsql.sync.health_check import check_health, lend_shared
from plainsql.sync.loss_note import add_note
from plainsql.sync.primary_wait import PrimaryWait
from plainsql.sync.replicas.causal_block import CausalBlock
from plainsql.sync.replicas.replica_choice import Replicas
from plainsql.sync.replicas.route import Route
from plainsql.sync.retry import retry
from plainsql.sync.statement_settings import refused
from plainsql.sync.tenant_guard import TenantGuard
from plainsql.sync.transaction import Isolation, Transaction, begin
from plainsql.tenancy import Tenant, local_settings, tenant_of

__all__ = ["CausalSession", "Database", "Executor", "Options", "ReplicaView", "TenantDatabase"]

R = TypeVar("R")
T = TypeVar("T")


class Options(NamedTuple):
    """The options of ``connect`` that executors need."""

    name: str
    """The URL without its password."""
    prefetch: int
    """Rows that a stream reads ahead."""
    tenant_settings: tuple[str, str]
    """The names of the settings of the tenant and the user."""
    writer: CacheWriter | None = None
    """Invalidates what writes change; None without ``redis``."""
    failover_timeout: float | None = None
    """Seconds that calls wait for a primary."""

    def of_replica(self) -> Options:
        """Return the options of reads on a replica: they run on the primary if they fail."""
        return self._replace(writer=None, failover_timeout=None)


class Executor(SyncSql):
    """Runs queries as one tenant, or without one, on the connection that a database and its tenants share."""

    def __init__(
        self,
        shared: SharedConnection,
        options: Options,
        guard: TenantGuard,
        tenant: Tenant | None,
        route: Route | None = None,
    ) -> None:
        self._route = route
        """The way of reads to replicas; None if all calls run on this connection and no position counts."""
        self._shared = shared
        self._options = options
        self._guard = guard
        self._tenant = tenant
        parts = [] if shared.local_settings is None else [shared.local_settings]
        if parts or tenant is not None:
            parts.append(local_settings(tenant, options.tenant_settings))
        self._local = "; ".join(parts)
        """The settings that begin each transaction. A call opens a transaction only if there are some."""

    def run(self, query: CompiledQuery[Any, R], args: Args, /) -> R:
        """Run a query and commit its changes."""
        shared = self._shared
        if (route := self._route) is not None and (demand := route.demand(query)) is not None:
            self._check_free()
            found = route.read(
                demand, query, lambda on: self._on(on)._run_once(query, args), tenant=self._tenant
            )
            if found is not None:
                return found[0]
        with shared.lock:
            shared.check_free()
            shared.revive()
            is_again = False
            wait: PrimaryWait | None = None
            while True:
                try:
                    return self._run_once(query, args)
                except (psycopg.Error, OSError) as error:
                    wait = wait or PrimaryWait(self._options.failover_timeout)
                    may = not is_again and self._may_run_again(query, error)
                    if may or (self._changed_nothing(query, error) and wait.pause()):
                        is_again = True
                        shared.reopen()
                        continue
                    add_note(shared, error, read_only=query.read_only)
                    raise

    def stream(self, query: CompiledQuery[T, Any], args: Args, /) -> Iterator[T]:
        """Iterate over a query's rows through a cursor, in a transaction of its own."""
        if (route := self._route) is not None and (demand := route.demand(query)) is not None:
            self._check_free()
            rows = route.stream(demand, lambda on: self._on(on).stream(query, args))
            if rows is not None:
                yield from rows
                return
        holder = f"the rows of {query.name}"
        with named_at_commit(query), self._begin(holder, changes=not query.read_only) as transaction:
            yield from transaction.stream(query, args)

    def batch(self, query: CompiledQuery[Any, R], sets: Sequence[Args], /) -> list[R]:
        """Run a query for each set of arguments, all or none, and return the results."""
        if not sets:
            return []
        if (route := self._route) is not None and (demand := route.demand(query)) is not None:
            self._check_free()
            found = route.read(demand, query, lambda on: self._on(on).batch(query, sets), is_batch=True)
            if found is not None:
                return found[0]
        return self._run_sets(run_batch, query, sets)

    def execute_many(self, query: CompiledQuery[Any, Any], sets: Sequence[Args], /) -> None:
        """Run a query for each set of arguments, all or none, and return nothing."""
        if sets:
            self._run_sets(execute_many, query, sets)

    @contextmanager
    def transaction(
        self,
        *,
        isolation: Isolation | None = None,
        read_only: bool = False,
        deferrable: bool = False,
    ) -> Iterator[Transaction]:
        """Open a transaction: ``with db.transaction() as tx``.

        ``isolation`` is the server's default (read committed) if it is not given. ``deferrable`` counts
        only with ``isolation="serializable"`` and ``read_only``: it waits until it cannot fail.

        Raises ``TransactionError`` if a transaction is open, and if the block ends without an error although
        one of its statements failed: nothing is committed then.
        """
        begun = self._begin("a transaction", isolation, read_only, deferrable, changes=not read_only)
        with begun as transaction:
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
        """Run ``work`` in a transaction, and again if it failed by a serialization failure or a deadlock, by
        a change of the tables, or because the server is read-only since a failover.

        Between attempts it waits a random time that grows, up to a second. ``on_retry`` is called with the
        number of the attempt that failed and its error. The last error is raised with a note of how many
        attempts were made.
        """
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

    def copy_in(
        self,
        table: str,
        rows: Iterable[Any],
        *,
        columns: Sequence[str] | None = None,
        progress: Progress | None = None,
        analyze: bool = False,
    ) -> int:
        """Copy rows into a table with COPY, all or none, and return how many there were.

        Args:
            table: ``realty.messages``.
            rows: structs, whose fields name the columns, or tuples; or a table in Arrow's format, such as a
                data frame.
            columns: the columns' names, if the rows are tuples; of a table, those to copy.
            progress: called with the number of rows taken so far, every 1,000 and at the end.
            analyze: analyze the table afterwards, in the same transaction. Searches of a table that was empty
                need its statistics; the role must own the table, or hold the privilege MAINTAIN.
        """
        check("copy_in", table=table, rows=rows, columns=columns, progress=progress, analyze=analyze)
        with self._begin(f"a copy into {table}") as transaction:
            return transaction.copy_in(table, rows, columns=columns, progress=progress, analyze=analyze)

    def copy_rows(
        self,
        query: CompiledCopy,
        rows: Iterable[Any],
        progress: Progress | None = None,
        analyze: bool = False,
        /,
    ) -> int:
        """Copy rows into the table of a query; call the query instead."""
        with named_at_commit(query), self._begin(f"the rows of {query.name}") as transaction:
            return transaction.copy_rows(query, rows, progress, analyze)

    def copy_out(
        self,
        query: Query[..., Any, Any],
        output: SyncOutput,
        parameters: Mapping[str, object] | None = None,
        *,
        format: CopyFormat = "csv",
        header: bool = True,
        progress: Progress | None = None,
    ) -> int:
        """Copy a query's rows to a file or to a function, with COPY, and return how many there were.

        For rows as structs there is ``query.stream``.

        Args:
            query: the query whose rows are copied.
            output: the path of a file, which exists when it is complete; an object with ``write``; or a
                function that takes bytes.
            parameters: the query's, by name.
            format: ``csv``, ``text`` or ``binary``, as COPY has them.
            header: whether the columns' names come first; not in the binary format.
            progress: called with the number of bytes so far.
        """
        arguments_of(query, output, parameters, format, header, progress)
        holder = f"a copy of {query.name}"
        with self._begin(holder, changes=not query.compiled.read_only) as transaction:
            return transaction.copy_out(
                query, output, parameters, format=format, header=header, progress=progress
            )

    def _run_sets(self, run: Callable[..., T], query: CompiledQuery[Any, Any], sets: Sequence[Args]) -> T:
        """Run sets in a transaction of their own, and once again if a statement must be prepared again."""

        def attempt() -> T:
            begun = self._begin(f"the sets of {query.name}", changes=not query.read_only)
            with named_at_commit(query), begun as transaction:
                shared = transaction.claim_for(query)
                transaction._track(query, sets)
                return run(shared, query, sets)

        with self._shared.lock:
            try:
                return attempt()
            except psycopg.Error as error:
                if not is_stale(error):
                    raise
            return attempt()

    def _begin(self, holder: str, *options: Any, changes: bool = True) -> AbstractContextManager[Transaction]:
        guard = self._guard if self._tenant is None else None
        transaction = begin(
            self._shared, self._options.prefetch, guard, self._options.writer, holder, self._local, *options
        )
        if self._route is None:
            return transaction
        return self._route.recorded_transaction(self._shared, transaction, read_only=not changes)

    def _on(self, shared: SharedConnection) -> Executor:
        """Return the executor of the same tenant on a connection to a replica."""
        return Executor(shared, self._options.of_replica(), self._guard, self._tenant)

    def _check_free(self) -> None:
        """Raise ``TransactionError`` if a transaction is open, also if a replica would serve the call."""
        self._shared.check_usable()
        self._shared.check_free()

    def _run_once(self, query: CompiledQuery[Any, R], args: Args) -> R:
        """Run a query on the connection, which is open and free."""
        if self._route is not None:
            return self._run_recorded(self._route, query, args)
        if (writer := self._options.writer) is None or not query.changes:
            return self._execute(query, args)
        writes = Writes(writer)
        writes.add_calls(query, [args])
        with writes.invalidated(self._shared):
            writes.before_commit()
            return self._execute(query, args)

    def _run_recorded(self, route: Route, query: CompiledQuery[Any, R], args: Args) -> R:
        """Run a query on the connection, and record what it has written or seen."""
        unrecorded = Executor(self._shared, self._options, self._guard, self._tenant)
        in_flight = not self._local and not query.has_settings
        with route.scope.recorded(self._shared, read_only=query.read_only, in_flight=in_flight):
            return unrecorded._run_once(query, args)

    def _execute(self, query: CompiledQuery[Any, R], args: Args) -> R:
        shared = self._shared
        own = query.text(args)[0].settings if query.has_settings else ()
        if not self._local and not own:
            if self._tenant is None:
                self._guard.check(shared, query, lasting=True)
            return execute(shared, query, args)
        # The tenant's settings come last: they win.
        local = "; ".join(filter(None, (local_settings(own, ()) if own else "", self._local)))
        try:
            return self._in_transaction(query, args, own, local)
        except psycopg.Error as error:
            if not is_stale(error):
                raise
        # It was not executed: its tables have changed since it was prepared.
        return self._in_transaction(query, args, own, local)

    def _in_transaction(self, query: CompiledQuery[Any, R], args: Args, own: SetTo, local: str) -> R:
        """Run a query in a transaction that begins with settings."""
        shared = self._shared
        try:
            shared.run_script(f"begin; {local}")
        except psycopg.Error as error:
            shared.rollback()
            if (said := refused(error, query, own)) is error:
                raise
            raise said from None
        try:
            if self._tenant is None:
                self._guard.check(shared, query)
            result = execute(shared, query, args)
        except BaseException:
            shared.rollback()
            raise
        with named_at_commit(query):
            shared.run_script("commit")
        return result

    def _may_run_again(self, query: CompiledQuery[Any, Any], error: BaseException) -> bool:
        """Return whether a failed call has changed nothing, and may succeed on another connection."""
        if is_refusal(error):
            # The server is no longer the primary: the next connection may find the new one.
            return self._shared.may_leave_read_only_server()
        return self._changed_nothing(query, error)

    def _changed_nothing(self, query: CompiledQuery[Any, Any], error: BaseException) -> bool:
        """Return whether a call has changed nothing because its server is read-only or gone."""
        if is_refusal(error):
            return self._shared.is_read_only
        return query.read_only and self._shared.is_lost and not isinstance(error, TimeoutError)


class _ReadingExecutor(Executor):
    """An executor whose reads may run on replicas."""

    def replica(
        self,
        *,
        max_lag: float = DEFAULT_MAX_LAG_S,
        max_wait: float = MAX_WAIT_S,
        own_writes: bool = True,
    ) -> ReplicaView:
        """Return a view whose reads run on a replica. Its writes and transactions run on the primary.

        A read runs on the primary if it is not proved to change nothing, or if no replica is new enough.
        Without replicas all of its calls do.

        Args:
            max_lag: seconds that the replica may be behind the primary.
            max_wait: seconds that a read waits for a replica that is new enough, before it runs on the
                primary.
            own_writes: whether the replica must have what was written through this database, or this
                tenant's view of it, and through the view.
        """
        check("replica", max_lag=max_lag, max_wait=max_wait, own_writes=own_writes)
        route = Route.of_view(self._route, Demand(max_lag, max_wait), own_writes=own_writes)
        return ReplicaView(self._shared, self._options, self._guard, self._tenant, route)

    def causal(
        self,
        token: bytes | None = None,
        *,
        max_lag: float = DEFAULT_MAX_LAG_S,
        max_wait: float = MAX_WAIT_S,
    ) -> CausalSession:
        """Return a session whose reads see its own writes, and never less than its reads before.

        Use it as ``with db.causal(token) as session``. Its reads run on a replica that has replayed what the
        session has written and seen, or on the primary.

        Args:
            token: the ``token`` of the session that this one continues, in this or another process.
            max_lag: seconds that the replica may be behind the primary.
            max_wait: seconds that a read waits for a replica that is new enough, before it runs on the
                primary.
        """
        check("causal", token=token, max_lag=max_lag, max_wait=max_wait)
        route = Route.of_session(self._route, token, Demand(max_lag, max_wait))
        return CausalSession(self._shared, self._options, self._guard, self._tenant, route)


class ReplicaView(Executor):
    """A database, or a tenant's view of it, whose reads run on replicas."""

    def __repr__(self) -> str:
        return f"<ReplicaView {self._options.name}>"


class CausalSession(CausalBlock, Executor):
    """An executor whose reads see its own writes, and never less than its reads before."""

    def __repr__(self) -> str:
        return f"<CausalSession {self._options.name}>"


class TenantDatabase(_ReadingExecutor):
    """A database as one tenant sees it: each call is a transaction with the tenant's settings."""

    def __repr__(self) -> str:
        return f"<TenantDatabase {self._options.name}>"


class Database(_ReadingExecutor):
    """A PostgreSQL database on one connection: an executor for scripts.

    ``plainsql.sync.connect`` makes it. Outside of ``transaction()`` each call commits by itself. Threads may
    share it: their calls take turns. While a transaction or a stream is open, it has the connection, and a
    call on the database raises ``TransactionError``. The next call replaces a connection that is lost.
    """

    def __init__(
        self,
        shared: SharedConnection,
        options: Options,
        *,
        on_close: Callable[[], object],
        replicas: Replicas | None = None,
    ) -> None:
        route = None if replicas is None else Route.of_database(replicas)
        super().__init__(shared, options, TenantGuard(options.tenant_settings[0]), None, route)
        self._on_close = on_close

    def tenant(self, tenant_id: object, *, user_id: object = None) -> TenantDatabase:
        """Return the database as a tenant sees it, for row-level security.

        Every call on it is a transaction that begins with the settings ``app.jwt_tenant`` and
        ``app.jwt_user``; ``connect`` can name others. Their values are the ``str`` of each id. Without a user
        ``app.jwt_user`` is empty. It shares the connection.
        """
        check("tenant", tenant_id=tenant_id, user_id=user_id)
        tenant = tenant_of(self._options.tenant_settings, tenant_id, user_id)
        route = Route.of_tenant(self._route)
        return TenantDatabase(self._shared, self._options, self._guard, tenant, route)

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The psycopg connection, in autocommit mode, for what queries cannot do: COPY, LISTEN.

        After a loss it is another one: read this property again each time.
        """
        with self._shared.lock:
            if self._shared.holder is None:
                self._shared.revive()
            self._shared.check_usable()
            self._shared.session_is_altered = self._shared.statements_are_altered = True
            if self._route is not None:
                self._route.scope.stays_open()
            return self._shared.psycopg

    def check(self, *, layer: str | None = None, migrations: bool = True, timeout: float = 5.0) -> Health:
        """Check the server, the role, TLS, pgvector, the migrations and Redis, as ``db doctor`` does.

        Each result has a name, a state (``ok``, ``warning``, ``failed``, ``skipped``), a text without secrets
        and a hint; ``.ok`` is true if no check failed. A failed check raises nothing.

        Args:
            layer: check this layer alone, and also its extensions, its indexes, and whether the role can run
                each of its queries.
            migrations: check the migrations of the project and of the layers in the database.
            timeout: seconds after which PostgreSQL, or a call of Redis, counts as failed. A connection
                that was lost is opened first, within ``connect_timeout``.

        Raises ``SettingsError`` if there is no layer of that name.
        """
        check("check", layer=layer, migrations=migrations, timeout=timeout)
        options = self._options
        return check_health(
            partial(lend_shared, self._shared),
            options.name,
            options.tenant_settings,
            options.writer,
            layer=layer,
            migrations=migrations,
            timeout=timeout,
        )

    def close(self) -> None:
        """Close the connections. An open transaction is rolled back."""
        self._shared.close()
        self._on_close()

    def __repr__(self) -> str:
        return f"<Database {self._options.name}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
