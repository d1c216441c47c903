"""The chain that a call of a database passes through, and its links.

`connect` builds one chain for each database and leaves out what is not configured::

    Observed → Routed → Cached → Autobatch → OnConnection

Each link knows the next one only. The tenant is no part of the chain: every call brings the `TenantPool` that
its connections come from.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from plainsql.database.pool.call import Call
from plainsql.database.pool.tenant_pool import AroundCommit, TenantPool
from plainsql.query import Args, CompiledQuery

__all__ = ["CopyWork", "Executes", "Link"]

R = TypeVar("R")
T = TypeVar("T")

CopyWork = Callable[[Any], Awaitable[int]]
"""Copies rows on the connection that it gets, and returns how many."""


class Executes(Protocol):
    """The next link, whichever it is."""

    def run(
        self, query: CompiledQuery[Any, R], args: Args, pool: TenantPool, call: Call | None, /
    ) -> Coroutine[Any, Any, R]:
        """Run a query and return its result."""
        ...

    def fresh(
        self, query: CompiledQuery[Any, R], args: Args, pool: TenantPool, call: Call | None, /
    ) -> Coroutine[Any, Any, R]:
        """Run a query without reading its result from a cache."""
        ...

    def stream(
        self,
        query: CompiledQuery[T, Any],
        args: Args,
        pool: TenantPool,
        call: Call | None,
        around: AroundCommit | None = None,
        /,
    ) -> AsyncIterator[T]:
        """Iterate over the rows of a query, in a transaction of its own."""
        ...

    def batch(
        self, query: CompiledQuery[Any, R], sets: Sequence[Args], pool: TenantPool, call: Call | None, /
    ) -> Coroutine[Any, Any, list[R]]:
        """Run a query for each set of arguments, all or none."""
        ...

    def execute_many(
        self, query: CompiledQuery[Any, Any], sets: Sequence[Args], pool: TenantPool, call: Call | None, /
    ) -> Coroutine[Any, Any, None]:
        """Run a query for each set of arguments, all or none, and drop the results."""
        ...

    def copy_in(
        self, copy: CopyWork, pool: TenantPool, around: AroundCommit | None = None, /
    ) -> Coroutine[Any, Any, int]:
        """Copy rows into a table, in a transaction of its own."""
        ...

    def copy_rows(
        self,
        query: CompiledQuery[Any, Any],
        copy: CopyWork,
        pool: TenantPool,
        call: Call | None,
        around: AroundCommit | None = None,
        /,
    ) -> Coroutine[Any, Any, int]:
        """Copy rows into the table of a query, in a transaction of its own."""
        ...

    def copy_out(
        self, query: CompiledQuery[Any, Any], copy: CopyWork, pool: TenantPool, call: Call | None, /
    ) -> Coroutine[Any, Any, int]:
        """Copy the rows of a query out, in a transaction of its own."""
        ...


class Link:
    """A link that passes every call to the next one. A subclass replaces what it does itself."""

    __slots__ = ("_next",)

    def __init__(self, following: Executes) -> None:
        self._next = following

    def run(
        self, query: CompiledQuery[Any, R], args: Args, pool: TenantPool, call: Call | None, /
    ) -> Coroutine[Any, Any, R]:
        return self._next.run(query, args, pool, call)

    def fresh(
        self, query: CompiledQuery[Any, R], args: Args, pool: TenantPool, call: Call | None, /
    ) -> Coroutine[Any, Any, R]:
        return self._next.fresh(query, args, pool, call)

    def stream(
        self,
        query: CompiledQuery[T, Any],
        args: Args,
        pool: TenantPool,
        call: Call | None,
        around: AroundCommit | None = None,
        /,
    ) -> AsyncIterator[T]:
        return self._next.stream(query, args, pool, call, around)

    def batch(
        self, query: CompiledQuery[Any, R], sets: Sequence[Args], pool: TenantPool, call: Call | None, /
    ) -> Coroutine[Any, Any, list[R]]:
        return self._next.batch(query, sets, pool, call)

    def execute_many(
        self, query: CompiledQuery[Any, Any], sets: Sequence[Args], pool: TenantPool, call: Call | None, /
    ) -> Coroutine[Any, Any, None]:
        return self._next.execute_many(query, sets, pool, call)

    def copy_in(
        self, copy: CopyWork, pool: TenantPool, around: AroundCommit | None = None, /
    ) -> Coroutine[Any, Any, int]:
        return self._next.copy_in(copy, pool, around)

    def copy_rows(
        self,
        query: CompiledQuery[Any, Any],
        copy: CopyWork,
        pool: TenantPool,
        call: Call | None,
        around: AroundCommit | None = None,
        /,
    ) -> Coroutine[Any, Any, int]:
        return self._next.copy_rows(query, copy, pool, call, around)

    def copy_out(
        self, query: CompiledQuery[Any, Any], copy: CopyWork, pool: TenantPool, call: Call | None, /
    ) -> Coroutine[Any, Any, int]:
        return self._next.copy_out(query, copy, pool, call)
