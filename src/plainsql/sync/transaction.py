"""A transaction as an executor; nested ones are savepoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Literal, TypeVar

import psycopg

from plainsql.copy_output import CopyFormat, arguments_of
from plainsql.copy_rows import Progress
from plainsql.errors import TransactionError
from plainsql.options import check
from plainsql.query import Args, CompiledCopy, CompiledQuery, Query
from plainsql.query.sql_calls import SyncSql
from plainsql.sync.batch import execute_many, run_batch
from plainsql.sync.cache_writer import ANYTHING, CacheWriter, Writes
from plainsql.sync.connection import SharedConnection
from plainsql.sync.copy import SyncOutput, copy_in, copy_out, copy_query
from plainsql.sync.driver_errors import is_refusal
from plainsql.sync.execution import execute, iterate
from plainsql.sync.loss_note import add_transaction_note
from plainsql.sync.statement_settings import locally
from plainsql.sync.tenant_guard import TenantGuard

__all__ = ["Isolation", "Transaction", "begin"]

R = TypeVar("R")
T = TypeVar("T")

Isolation = Literal["read committed", "repeatable read", "serializable"]


class Transaction(SyncSql):
    """A transaction: an executor whose queries all succeed or all leave no trace.

    Leaving its block commits; leaving it by any error rolls back.
    """

    def __init__(
        self,
        shared: SharedConnection,
        prefetch: int,
        guard: TenantGuard | None,
        writes: Writes | None = None,
    ) -> None:
        self._shared = shared
        self._writes = writes
        """The rows that it and its savepoints have written; None without a cache."""
        self._prefetch = prefetch
        self._guard = guard
        """None in a tenant's transaction."""
        self._open = True
        self._savepoint: Transaction | None = None
        """The savepoint whose block is open."""

    def run(self, query: CompiledQuery[Any, R], args: Args, /) -> R:
        """Run a query inside the transaction."""
        shared = self.claim_for(query)
        self._track(query, [args])
        if not query.has_settings:
            return execute(shared, query, args)
        with locally(shared, query, query.text(args)[0].settings):
            return execute(shared, query, args)

    def stream(self, query: CompiledQuery[T, Any], args: Args, /) -> Iterator[T]:
        """Iterate over a query's rows through a cursor; other queries may run in between."""
        shared = self.claim_for(query)
        self._track(query, [args])
        for row in iterate(shared, query, args, self._prefetch):
            yield row
            self._claim()

    def batch(self, query: CompiledQuery[Any, R], sets: Sequence[Args], /) -> list[R]:
        """Run a query for each set of arguments and return the results. An error undoes all sets."""
        if not sets:
            return []
        with self.transaction() as savepoint:
            self._track(query, sets)
            return run_batch(savepoint.claim_for(query), query, sets)

    def execute_many(self, query: CompiledQuery[Any, Any], sets: Sequence[Args], /) -> None:
        """Run a query for each set of arguments and return nothing. An error undoes all sets."""
        if sets:
            with self.transaction() as savepoint:
                self._track(query, sets)
                execute_many(savepoint.claim_for(query), query, sets)

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
        if self._writes is not None:
            self._writes.add(ANYTHING)  # the triggers of the table may write to any other
        return copy_in(self._claim(), table, rows, columns, progress, analyze=analyze)

    def copy_rows(
        self,
        query: CompiledCopy,
        rows: Iterable[Any],
        progress: Progress | None = None,
        analyze: bool = False,
        /,
    ) -> int:
        """Copy rows into the table of a query; call the query instead."""
        if self._writes is not None:
            self._writes.add({change.table: {} for change in query.changes} or ANYTHING)
        return copy_query(self.claim_for(query), query, rows, progress, analyze)

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
        return copy_out(self.claim_for(compiled), compiled, args, output, format, header, progress)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open a savepoint: an error that leaves its block undoes only what the block did.

        Inside the block the savepoint is the executor: the outer transaction waits.
        """
        shared = self._claim()
        name = shared.new_name()
        shared.run_text(f"savepoint {name}")
        inner = self._savepoint = Transaction(shared, self._prefetch, self._guard, self._writes)
        try:
            try:
                yield inner
            finally:
                inner._open = False
                self._savepoint = None
        except BaseException:
            # If the connection is gone, the error that says so is on its way to the caller.
            with suppress(psycopg.Error, OSError):
                if shared.is_own:
                    shared.run_text(f"rollback to savepoint {name}")
            raise
        shared.run_text(f"release savepoint {name}")

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The psycopg connection underneath, for what queries cannot do: COPY, LISTEN."""
        shared = self._claim()
        shared.session_is_altered = shared.statements_are_altered = True
        return shared.psycopg

    def __repr__(self) -> str:
        return f"<Transaction {'open' if self._open else 'ended'}>"

    def check_usable(self) -> None:
        """Raise ``TransactionError`` if it has ended, or a savepoint of it is open."""
        self._claim()

    def claim_for(self, query: CompiledQuery[Any, Any]) -> SharedConnection:
        """Return the connection for a query. Raises ``TenantError``, and what ``check_usable`` raises."""
        shared = self._claim()
        if self._guard is not None:
            self._guard.check(shared, query)
        return shared

    def _track(self, query: CompiledQuery[Any, Any], sets: Sequence[Args]) -> None:
        if self._writes is not None and query.changes:
            self._writes.add_calls(query, sets)

    def _claim(self) -> SharedConnection:
        self._shared.check_usable()
        if not self._open:
            raise TransactionError("the transaction has ended", hint="use it only inside its 'with' block")
        if self._savepoint is not None:
            raise TransactionError(
                "the transaction has an open savepoint: the savepoint's rollback would undo this call",
                hint="use the savepoint inside its block: 'with tx.transaction() as savepoint'",
            )
        return self._shared


@contextmanager
def begin(
    shared: SharedConnection,
    prefetch: int,
    guard: TenantGuard | None,
    writer: CacheWriter | None,
    holder: str,
    local: str = "",
    isolation: Isolation | None = None,
    read_only: bool = False,
    deferrable: bool = False,
) -> Iterator[Transaction]:
    """Open a transaction on a free connection. ``local``: the settings that it begins with, a tenant's.

    ``writer`` invalidates what it writes; None without a cache.
    """
    check("transaction", isolation=isolation, read_only=read_only, deferrable=deferrable)
    command = "begin"
    if isolation is not None:
        command += f" isolation level {isolation}"
    command += " read only" * read_only + " deferrable" * deferrable
    with shared.lock:
        shared.check_free()
        shared.revive()
        shared.holder = holder
    writes = None if writer is None else Writes(writer)
    transaction = Transaction(shared, prefetch, guard, writes)
    is_committing = False
    try:
        shared.run_script(f"{command}; {local}" if local else command)
        yield transaction
        shared.check_usable()
        with nullcontext() if writes is None else writes.invalidated(shared):
            if writes is not None:
                writes.before_commit()
            is_committing = True
            _commit(shared)
    except BaseException as error:
        transaction._open = False
        if not is_committing or isinstance(error, KeyboardInterrupt):
            shared.rollback()
        wanted = read_only and isinstance(error, psycopg.errors.ReadOnlySqlTransaction)
        if is_refusal(error) and not wanted:
            _leave_read_only_server(shared)
        if isinstance(error, psycopg.Error | OSError):
            add_transaction_note(shared, error, committing=is_committing)
        raise
    finally:
        transaction._open = False
        shared.holder = None


def _leave_read_only_server(shared: SharedConnection) -> None:
    """Close the connection to a server that is no longer the primary: the next call finds the new one."""
    if shared.may_leave_read_only_server():
        shared.psycopg.close()


def _commit(shared: SharedConnection) -> None:
    result = shared.run_text("commit")
    # The server's answer if an error has ended the transaction, and the block caught it.
    if result.command_status == b"ROLLBACK":
        raise TransactionError(
            "the transaction is not committed: one of its statements failed",
            hint="let the error leave the block, or try what may fail inside of 'tx.transaction()', "
            "a savepoint",
        )
