"""The protocols of what runs queries. They are for type checkers: nothing is registered, nothing is
inherited.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from plainsql.binding import Args
from plainsql.query import Query

__all__ = ["AsyncExecutor", "SyncExecutor"]

T = TypeVar("T")
R = TypeVar("R")


class AsyncExecutor(Protocol):
    """What runs queries and is awaited: a ``Database``, a ``Transaction``, a tenant's view of one."""

    def run(self, query: Query[..., Any, R], args: Args, /) -> Coroutine[Any, Any, R]: ...

    def stream(self, query: Query[..., T, Any], args: Args, /) -> AsyncIterator[T]: ...

    def run_batch(
        self, query: Query[..., Any, R], sets: Sequence[Args], /
    ) -> Coroutine[Any, Any, list[R]]: ...

    def run_many(self, query: Query[..., Any, Any], sets: Sequence[Args], /) -> Coroutine[Any, Any, None]: ...


class SyncExecutor(Protocol):
    """What runs queries and returns their results: ``plainsql.sync``'s ``Database`` and ``Transaction``."""

    def run(self, query: Query[..., Any, R], args: Args, /) -> R: ...

    def stream(self, query: Query[..., T, Any], args: Args, /) -> Iterator[T]: ...
