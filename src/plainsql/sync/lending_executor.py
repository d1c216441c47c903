"""The calls that a pool of either kind runs as they are, on a connection that it lends for each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from plainsql.copy_output import CopyFormat
from plainsql.copy_rows import Progress
from plainsql.options import check
from plainsql.query import Args, CompiledCopy, CompiledQuery, Query
from plainsql.query.sql_calls import SyncSql
from plainsql.sync.copy import SyncOutput
from plainsql.sync.driver_errors import named_at_commit

__all__ = ["LendingExecutor"]

R = TypeVar("R")


class _Borrowed(Protocol):
    """An executor on one connection."""

    def batch(self, query: CompiledQuery[Any, R], sets: Sequence[Args], /) -> list[R]: ...

    def execute_many(self, query: CompiledQuery[Any, Any], sets: Sequence[Args], /) -> None: ...

    def copy_in(
        self,
        table: str,
        rows: Iterable[Any],
        *,
        columns: Sequence[str] | None = None,
        progress: Progress | None = None,
        analyze: bool = False,
    ) -> int: ...

    def copy_rows(
        self,
        query: CompiledCopy,
        rows: Iterable[Any],
        progress: Progress | None = None,
        analyze: bool = False,
        /,
    ) -> int: ...

    def copy_out(
        self,
        query: Query[..., Any, Any],
        output: SyncOutput,
        parameters: Mapping[str, object] | None = None,
        *,
        format: CopyFormat = "csv",
        header: bool = True,
        progress: Progress | None = None,
    ) -> int: ...


class LendingExecutor(SyncSql, ABC):
    """Runs each call on a connection that is lent to it."""

    @abstractmethod
    def _borrow(self) -> AbstractContextManager[_Borrowed]:
        """Borrow a connection for the block, as an executor."""

    def batch(self, query: CompiledQuery[Any, R], sets: Sequence[Args], /) -> list[R]:
        """Run a query for each set of arguments, all or none, and return the results."""
        with named_at_commit(query), self._borrow() as executor:
            return executor.batch(query, sets)

    def execute_many(self, query: CompiledQuery[Any, Any], sets: Sequence[Args], /) -> None:
        """Run a query for each set of arguments, all or none, and return nothing."""
        with named_at_commit(query), self._borrow() as executor:
            executor.execute_many(query, sets)

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
        with self._borrow() as executor:
            return executor.copy_in(table, rows, columns=columns, progress=progress, analyze=analyze)

    def copy_rows(
        self,
        query: CompiledCopy,
        rows: Iterable[Any],
        progress: Progress | None = None,
        analyze: bool = False,
        /,
    ) -> int:
        """Copy rows into the table of a query; call the query instead."""
        with named_at_commit(query), self._borrow() as executor:
            return executor.copy_rows(query, rows, progress, analyze)

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
        with self._borrow() as executor:
            return executor.copy_out(
                query, output, parameters, format=format, header=header, progress=progress
            )
