"""The protocols of what runs queries.

They are for type checkers: nothing is registered, nothing is inherited. What a call returns is known from
the query, so here it is any object.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from typing import Any, Protocol

from plainsql.binding import Args

__all__ = ["AsyncExecutor", "SyncExecutor"]


class AsyncExecutor(Protocol):
    """What runs queries and is awaited: a ``Database``, a ``Transaction``, a tenant's view of one."""

    def run(self, query: Any, args: Args, /) -> Coroutine[Any, Any, Any]: ...

    def stream(self, query: Any, args: Args, /) -> AsyncIterator[Any]: ...

    def run_batch(self, query: Any, sets: Sequence[Args], /) -> Coroutine[Any, Any, list[Any]]: ...

    def run_many(self, query: Any, sets: Sequence[Args], /) -> Coroutine[Any, Any, None]: ...


class SyncExecutor(Protocol):
    """What runs queries and returns their results: ``plainsql.sync``'s ``Database`` and ``Transaction``."""

    def run(self, query: Any, args: Args, /) -> Any: ...

    def stream(self, query: Any, args: Args, /) -> Iterator[Any]: ...
