"""The rows that writes change, which the cache invalidates around their commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Self, TypeVar

from plainsql.cache import PendingInvalidation, Touched, merge, resolve_change
from plainsql.database.caching.cached_queries import ANY_TABLE, CachedQueries
from plainsql.database.execution.batch import divide
from plainsql.database.execution.statement import execute, fetch
from plainsql.database.pool.commit_outcome import may_still_commit
from plainsql.query import Args, CompiledQuery, QueryText

__all__ = ["ANYTHING", "WriteSet", "needs_returned_rows", "tables_of", "touched_by"]

R = TypeVar("R")

ANYTHING: Final[Touched] = {ANY_TABLE: {}}
"""The rows of a write about which nothing is known: every cached read depends on them."""


def touched_by(
    query: CompiledQuery[Any, Any],
    text: QueryText,
    sets: Sequence[Args],
    returned: Sequence[Mapping[str, Any]] | None = None,
) -> Touched:
    """Return the rows that calls of a query may have changed.

    ``sets`` are their values in the order of ``$n``; ``returned`` are the rows that came back, if known.
    """
    names = text.variant.parameters
    given = [dict(zip(names, values, strict=True)) for values in sets]
    return merge(resolve_change(change, given, returned) for change in query.changes)


def tables_of(query: CompiledQuery[Any, Any]) -> Touched:
    """Return all rows of the tables that a query may change: the rows of a copy are not kept."""
    return {change.table: {} for change in query.changes} or ANYTHING


def needs_returned_rows(query: CompiledQuery[Any, Any]) -> bool:
    """Return whether only the returned rows of a write name the partition of a table that it changes."""
    for change in query.changes:
        given = {column for column, source, _ in change.known if source == "parameter"}
        if any(source == "returned" and column not in given for column, source, _ in change.known):
            return True
    return False


class WriteSet:
    """The rows that a transaction has written, and their invalidation around its commit.

    The one path from a write to the cache::

        async with write_set:
            …                                  # the writes, each added to the set
            await write_set.before_commit()    # readers store nothing of these rows from here on
            …                                  # the commit
        # published: nothing older is served

    If an error comes in place of the commit, the invalidation is published all the same, or, if the server
    may still commit, left to expire.
    """

    __slots__ = ("_cached_queries", "_calls", "_pending", "_touched", "_unmarked", "_written")

    def __init__(
        self,
        cached_queries: CachedQueries,
        query: CompiledQuery[Any, Any] | None = None,
        sets: Sequence[Args] = (),
    ) -> None:
        self._cached_queries = cached_queries
        self._calls = None if query is None else (query, sets)
        """Calls that are added when the block begins."""
        self._touched: Touched = {}
        self._written: set[CompiledQuery[Any, Any]] = set()
        """The queries that wrote while nothing was stored. Their rows are not kept."""
        self._unmarked = False
        """True if the commit may have run without an invalidation, because nothing was stored then."""
        self._pending: PendingInvalidation | None = None

    async def execute(
        self, connection: Any, query: CompiledQuery[Any, R], text: QueryText, values: Args
    ) -> R:
        """Run a write and add the rows that it changes."""
        if self._cached_queries.is_empty:
            self._written.add(query)
            return await execute(connection, query, text, values)
        if query.kind != "count":
            return query.result(await self.fetch(connection, query, text, values))
        try:
            return await execute(connection, query, text, values)
        finally:
            self.add(touched_by(query, text, [values]))

    async def fetch(
        self, connection: Any, query: CompiledQuery[Any, Any], text: QueryText, values: Args
    ) -> list[Any]:
        """Run a write that returns rows and add the rows that it changes. The cache is not empty."""
        records: list[Any] | None = None
        try:
            records = await fetch(connection, query, text, values)
            return records
        finally:
            # Also after an error: the server has done what failed on this side only, such as a row that
            # cannot be decoded or a cancellation that came too late.
            self.add(touched_by(query, text, [values], records))

    def add(self, touched: Touched) -> None:
        """Add rows."""
        self._touched = merge((self._touched, touched)) if self._touched else touched

    def add_calls(self, query: CompiledQuery[Any, Any], sets: Sequence[Args]) -> None:
        """Add the rows that calls of a query change; ``sets`` are as the caller gave them."""
        if self._cached_queries.is_empty:
            self._written.add(query)
            return
        for text, values in divide(query, sets):
            self.add(touched_by(query, text, values))

    async def before_commit(self) -> None:
        """Begin the invalidation.

        Raises ``CacheError`` with ``on_cache_failure="fail"`` if the cache does not answer: the transaction
        must not commit.
        """
        if not (self._touched or self._written):
            return
        if self._cached_queries.is_empty:
            self._unmarked = True
            return
        self._pending = await self._cached_queries.cache.begin(self._all())

    async def __aenter__(self) -> Self:
        if self._calls is not None:
            self.add_calls(*self._calls)
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        pending, self._pending = self._pending, None
        cache = self._cached_queries.cache
        if pending is not None and error is not None and may_still_commit(error):
            await cache.abandon(pending)
        elif pending is not None:
            await cache.publish(pending)
        elif self._unmarked and not self._cached_queries.is_empty:
            # The first read through the cache began in the meantime.
            await cache.invalidate_rows(self._all())

    def _all(self) -> Touched:
        written: list[Touched] = [{change.table: {}} for query in self._written for change in query.changes]
        return merge((*([self._touched] if self._touched else []), *written))
