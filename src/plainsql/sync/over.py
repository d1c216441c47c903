"""``plainsql.sync.over``: queries on a connection of the program, in the transaction that is open there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, overload

import psycopg

from plainsql.application import tenant_settings
from plainsql.codec import CodecMap
from plainsql.copy_output import CopyFormat, arguments_of
from plainsql.copy_rows import Progress
from plainsql.errors import BindError, TransactionError
from plainsql.options import check
from plainsql.outcome_notes import NOT_COMMITTED
from plainsql.project_codecs import codecs_once
from plainsql.query import Args, CompiledCopy, CompiledQuery, Query
from plainsql.query.sql_calls import SyncSql
from plainsql.sync.batch import execute_many, run_batch
from plainsql.sync.copy import SyncOutput, copy_in, copy_out, copy_query
from plainsql.sync.driver_errors import (
    classified_errors,
    classify_error,
    name_at_commit,
    named_at_commit,
)
from plainsql.sync.execution import execute, iterate
from plainsql.sync.guest_connection import GuestConnection
from plainsql.sync.lending_executor import LendingExecutor
from plainsql.sync.loss_note import add_note
from plainsql.sync.statement_settings import locally
from plainsql.sync.tenant_guard import TenantGuard
from plainsql.sync.transaction import Isolation

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool
    from sqlalchemy.engine import Connection
    from sqlalchemy.orm import Session, scoped_session

    _Connections = psycopg.Connection[Any] | Connection | Session | scoped_session[Any]

__all__ = ["GuestExecutor", "GuestPoolExecutor", "over"]

_EXPECTED: Final = (
    "a connection or a pool of psycopg 3, or a Connection or Session of SQLAlchemy on postgresql+psycopg"
)

R = TypeVar("R")
T = TypeVar("T")


class _Source(Protocol):
    """The owner of a psycopg connection, queried at each call: a session may have another one by then."""

    governs: bool
    """True if the source has a transaction of its own, which its commit or rollback ends."""

    def connection(self) -> psycopg.Connection[Any]:
        """Return the connection, with the transaction that the source begins before a statement."""
        ...


class _Given:
    """A psycopg connection."""

    governs = False

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def connection(self) -> psycopg.Connection[Any]:
        return self._connection


class GuestExecutor(SyncSql):
    """An executor on a connection of the program: its queries run in the transaction that is open there.

    ``plainsql.sync.over`` makes it. It commits nothing, it rolls nothing back, and it does not close the
    connection. Make one for each request, or keep one for as long as the connection lives.
    """

    def __init__(self, source: _Source, prefetch: int, codecs: CodecMap) -> None:
        self._source = source
        self._codecs = codecs
        self._prefetch = prefetch
        self._guest: GuestConnection | None = None
        self._has_ended = False

    def run(self, query: CompiledQuery[Any, R], args: Args, /) -> R:
        """Run a query in the transaction that is open there."""
        with self._enter(query) as shared:
            if not query.has_settings:
                return execute(shared, query, args)
            with shared.psycopg.transaction(), locally(shared, query, query.text(args)[0].settings):
                return execute(shared, query, args)

    def stream(self, query: CompiledQuery[T, Any], args: Args, /) -> Iterator[T]:
        """Iterate over a query's rows through a cursor of the open transaction; other queries may run in
        between.

        Raises ``TransactionError`` if no transaction is open, on a connection in autocommit mode.
        """
        with self._enter(query) as shared:
            if not shared.in_transaction:
                # A transaction of the stream's own would hold what the program writes meanwhile, and undo it
                # if the stream is closed early.
                raise TransactionError(
                    f"{query.name}: a stream reads through a cursor, and no transaction is open on the "
                    "connection",
                    hint="open a transaction first, or pass the pool to 'plainsql.sync.over'",
                )
        yield from iterate(shared, query, args, self._prefetch)

    def batch(self, query: CompiledQuery[Any, R], sets: Sequence[Args], /) -> list[R]:
        """Run a query for each set of arguments and return the results. An error undoes all sets."""
        return self._run_sets(run_batch, query, sets) if sets else []

    def execute_many(self, query: CompiledQuery[Any, Any], sets: Sequence[Args], /) -> None:
        """Run a query for each set of arguments and return nothing. An error undoes all sets."""
        if sets:
            self._run_sets(execute_many, query, sets)

    def copy_in(
        self,
        table: str,
        rows: Iterable[Any],
        *,
        columns: Sequence[str] | None = None,
        progress: Progress | None = None,
        analyze: bool = False,
    ) -> int:
        """Copy rows into a table with COPY and return how many there were. See ``Database.copy_in``."""
        check("copy_in", table=table, rows=rows, columns=columns, progress=progress, analyze=analyze)
        with self._enter(None) as shared, shared.psycopg.transaction():
            return copy_in(shared, table, rows, columns, progress, analyze=analyze)

    def copy_rows(
        self,
        query: CompiledCopy,
        rows: Iterable[Any],
        progress: Progress | None = None,
        analyze: bool = False,
        /,
    ) -> int:
        """Copy rows into the table of a query; call the query instead."""
        with self._enter(query) as shared, shared.psycopg.transaction():
            return copy_query(shared, query, rows, progress, analyze)

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
        """Copy a query's rows out with COPY and return how many there were. See ``Database.copy_out``."""
        args = arguments_of(query, output, parameters, format, header, progress)
        compiled = query.compiled
        with self._enter(compiled) as shared, shared.psycopg.transaction():
            return copy_out(shared, compiled, args, output, format, header, progress)

    @contextmanager
    def transaction(
        self,
        *,
        isolation: Isolation | None = None,
        read_only: bool = False,
        deferrable: bool = False,
    ) -> Iterator[GuestExecutor]:
        """Open a savepoint if a transaction is open there, and otherwise a transaction, as psycopg's own
        ``connection.transaction()`` does.

        Without an error, the end of the block releases the savepoint, or commits the transaction that it
        opened. An error undoes only what the block did.

        Raises ``TransactionError`` if options are given and a transaction is open there, and if the block
        ends without an error although one of its statements failed.
        """
        check("transaction", isolation=isolation, read_only=read_only, deferrable=deferrable)
        shared = self._claim()
        if self._source.governs:
            shared.begin_implicitly()
        options = [
            *([] if isolation is None else [f"isolation level {isolation}"]),
            *(["read only"] if read_only else []),
            *(["deferrable"] if deferrable else []),
        ]
        if options and shared.in_transaction:
            raise TransactionError(
                "a transaction is open on the connection: isolation, read_only and deferrable are its own",
                hint="pass them to the call that opens the outer transaction",
            )
        shared.raise_if_failed()
        with classified_errors(), shared.psycopg.transaction():
            if options:
                shared.run_command(f"set transaction {', '.join(options)}")
            inner = GuestExecutor(self._source, self._prefetch, self._codecs)
            try:
                yield inner
            finally:
                inner._has_ended = True
            if not shared.is_lost and shared.in_transaction and not shared.is_idle_in_transaction:
                raise TransactionError(
                    "the block is undone: one of its statements failed",
                    hint="let the error leave the block, or try what may fail inside of 'tx.transaction()'",
                )

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The psycopg connection underneath."""
        return self._claim().psycopg

    def __repr__(self) -> str:
        return f"<GuestExecutor {'ended' if self._has_ended else 'open'}>"

    @contextmanager
    def _enter(self, query: CompiledQuery[Any, Any] | None) -> Iterator[GuestConnection]:
        shared = self._claim()
        with shared.lock:
            shared.check_usable()
            in_transaction = shared.in_transaction
            try:
                shared.begin_implicitly()
                if query is not None and query.row_security is not None:
                    # The program may set another role or another tenant at any time.
                    TenantGuard(_tenant_setting()).check(shared, query)
                yield shared
            except (psycopg.Error, OSError) as error:
                if query is None:
                    classify_error(error)
                else:
                    name_at_commit(error, query)
                if not in_transaction:
                    add_note(shared, error, read_only=query is not None and query.read_only)
                elif shared.is_lost:
                    error.add_note(NOT_COMMITTED)
                raise

    def _run_sets(
        self,
        run: Callable[[GuestConnection, CompiledQuery[Any, Any], Sequence[Args]], T],
        query: CompiledQuery[Any, Any],
        sets: Sequence[Args],
    ) -> T:
        with self._enter(query) as shared:
            shared.raise_if_failed()
            with shared.psycopg.transaction():
                return run(shared, query, sets)

    def _claim(self) -> GuestConnection:
        if self._has_ended:
            raise TransactionError("the transaction has ended", hint="use it only inside its 'with' block")
        connection = self._source.connection()
        shared = self._guest
        if shared is None or shared.psycopg is not connection:
            shared = self._guest = GuestConnection(connection, self._codecs)
        shared.check_usable()
        return shared


class GuestPoolExecutor(LendingExecutor):
    """An executor on a pool of the program: each call holds one of its connections, in a transaction.

    ``plainsql.sync.over`` makes it of a ``psycopg_pool.ConnectionPool``. A call commits, as the block of
    ``pool.connection()`` does.
    """

    def __init__(self, pool: ConnectionPool[Any], prefetch: int, codecs: CodecMap) -> None:
        self._pool = pool
        self._codecs = codecs
        self._prefetch = prefetch

    def run(self, query: CompiledQuery[Any, R], args: Args, /) -> R:
        """Run a query and commit its changes."""
        with named_at_commit(query), self._borrow() as executor:
            return executor.run(query, args)

    def stream(self, query: CompiledQuery[T, Any], args: Args, /) -> Iterator[T]:
        """Iterate over a query's rows through a cursor, on a connection that is held until the last row."""
        with named_at_commit(query), self.transaction() as executor:
            yield from executor.stream(query, args)

    @contextmanager
    def transaction(
        self,
        *,
        isolation: Isolation | None = None,
        read_only: bool = False,
        deferrable: bool = False,
    ) -> Iterator[GuestExecutor]:
        """Open a transaction on a connection of the pool. Leaving its block commits; an error rolls back.

        See ``GuestExecutor.transaction``.
        """
        with (
            self._borrow() as executor,
            executor.transaction(
                isolation=isolation, read_only=read_only, deferrable=deferrable
            ) as transaction,
        ):
            yield transaction

    def __repr__(self) -> str:
        return f"<GuestPoolExecutor {self._pool.name}>"

    @contextmanager
    def _borrow(self) -> Iterator[GuestExecutor]:
        acquired: AbstractContextManager[psycopg.Connection[Any]] = self._pool.connection()
        with classified_errors(), acquired as connection:
            yield GuestExecutor(_Given(connection), self._prefetch, self._codecs)


@overload
def over(
    source: ConnectionPool[Any], *, prefetch: int = 500, codecs: CodecMap | None = None
) -> GuestPoolExecutor: ...


@overload
def over(source: _Connections, *, prefetch: int = 500, codecs: CodecMap | None = None) -> GuestExecutor: ...


def over(
    source: Any, *, prefetch: int = 500, codecs: CodecMap | None = None
) -> GuestExecutor | GuestPoolExecutor:
    """Return an executor over a connection or a pool that the program has opened.

    Queries run inside the transaction that is open there, and never commit it. If none is open, psycopg's
    rules hold: without autocommit the first query begins one, and the connection's own commit governs. It
    costs next to nothing: make one for each request.

    Args:
        source: a connection or a ``psycopg_pool.ConnectionPool`` of psycopg 3, or a ``Connection``, a
            ``Session`` or a ``scoped_session`` of SQLAlchemy on ``postgresql+psycopg``. Over a pool each call
            holds a connection of its own, and commits.
        prefetch: rows that ``.stream`` reads ahead.
        codecs: a ``plainsql.Codec`` for each type that plainsql does not know, by the type's name; by default
            those of ``[tool.plainsql.codecs]``. Those of the first executor on a connection count.

    Raises ``BindError`` for any other source.
    """
    check("sync.over", prefetch=prefetch, codecs=codecs)
    codecs = codecs_once() if codecs is None else codecs
    if isinstance(source, psycopg.Connection):
        return GuestExecutor(_Given(source), prefetch, codecs)
    modules = {kind.__module__.partition(".")[0] for kind in type(source).__mro__}
    if "psycopg_pool" in modules:
        from psycopg_pool import ConnectionPool

        if isinstance(source, ConnectionPool):
            return GuestPoolExecutor(source, prefetch, codecs)
    if "sqlalchemy" in modules:
        from plainsql.sync.sqlalchemy_source import source_of

        if (found := source_of(source)) is not None:
            return GuestExecutor(found, prefetch, codecs)
    raise _refusal(source, modules)


def _refusal(source: object, modules: set[str]) -> BindError:
    kind = type(source)
    hint = None
    if hasattr(source, "run") and hasattr(source, "execute_many"):
        hint = "it runs queries already: call the query with it"
    elif "psycopg2" in modules:
        hint = "connect with psycopg 3: psycopg2 cannot describe a statement before it runs"
    elif "asyncpg" in modules or kind.__name__.lower().startswith("async"):
        hint = "use 'plainsql.over' for an asynchronous connection"
    elif "sqlalchemy" in modules and "Engine" in kind.__name__:
        hint = "open a connection of the engine: 'with engine.begin() as connection'"
    return BindError(f"sync.over(): expected {_EXPECTED}, got {kind.__name__}", hint=hint)


@cache
def _tenant_setting() -> str:
    """Return the setting of a tenant's id. It is read from the project once: executors are made often."""
    return tenant_settings("sync.over")[0]
