"""The protocols of executors.

They are for type checkers: an executor registers nowhere and inherits nothing. The query's type says what a
call returns, so a result is any object here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Protocol

from plainsql.types import Args

__all__ = ["AsyncExecutor", "AsyncTransactional", "SyncExecutor", "SyncTransactional"]


class AsyncExecutor(Protocol):
    """Anything that runs queries and is awaited: a ``Database``, a ``Transaction``, a tenant's view of one.

    Annotate a function with it if it works with each of them::

        async def hire(db: plainsql.AsyncExecutor, name: str) -> Employee: ...
    """

    def run(self, query: Any, args: Args, /) -> Coroutine[Any, Any, Any]:
        """Run a query; call the query instead."""
        ...

    def stream(self, query: Any, args: Args, /) -> AsyncIterator[Any]:
        """Run a query and yield its rows; call ``query.stream`` instead."""
        ...

    def batch(self, query: Any, sets: Sequence[Args], /) -> Coroutine[Any, Any, list[Any]]:
        """Run a query for each set of arguments; call ``query.batch`` instead."""
        ...

    def execute_many(self, query: Any, sets: Sequence[Args], /) -> Coroutine[Any, Any, None]:
        """Run a query for each set of arguments and return nothing; call ``query.execute_many`` instead."""
        ...


class SyncExecutor(Protocol):
    """Anything that runs queries and returns their results: ``plainsql.sync``'s ``Database`` and
    ``Transaction``.
    """

    def run(self, query: Any, args: Args, /) -> Any:
        """Run a query; call the query instead."""
        ...

    def stream(self, query: Any, args: Args, /) -> Iterator[Any]:
        """Run a query and yield its rows; call ``query.stream`` instead."""
        ...

    def batch(self, query: Any, sets: Sequence[Args], /) -> list[Any]:
        """Run a query for each set of arguments; call ``query.batch`` instead."""
        ...

    def execute_many(self, query: Any, sets: Sequence[Args], /) -> None:
        """Run a query for each set of arguments and return nothing; call ``query.execute_many`` instead."""
        ...


class AsyncTransactional(AsyncExecutor, Protocol):
    """An ``AsyncExecutor`` that opens transactions: a savepoint if it is a transaction itself."""

    def transaction(self) -> AbstractAsyncContextManager[AsyncTransactional]:
        """Open a transaction: ``async with db.transaction() as tx``."""
        ...


class SyncTransactional(SyncExecutor, Protocol):
    """A ``SyncExecutor`` that opens transactions: a savepoint if it is a transaction itself."""

    def transaction(self) -> AbstractContextManager[SyncTransactional]:
        """Open a transaction: ``with db.transaction() as tx``."""
        ...
