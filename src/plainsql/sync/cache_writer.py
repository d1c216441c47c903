"""The cache of the asynchronous side, as the writes of this one invalidate it.

The protocol of the cache is asynchronous: it renews markers while a commit takes long, and repeats what Redis
did not answer. So it runs in an event loop of its own, in a thread, and the threads of the program wait for
each of its steps.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psycopg

from plainsql.application import cache_namespace
from plainsql.cache import Cache, OnFailure, PendingInvalidation, Touched, merge, resolve_change
from plainsql.errors import CacheError
from plainsql.query import Args, CompiledQuery
from plainsql.sqlstate_errors import is_own
from plainsql.sync.connection import SharedConnection

__all__ = ["ANYTHING", "CacheWriter", "Writes", "cache_writer"]

ANYTHING: Final[Touched] = {"*": {}}
"""The rows of a write about which nothing is known: every cached read depends on them."""


class CacheWriter:
    """Invalidates what writes change, in the Redis that cached reads of other programs use."""

    def __init__(self, redis: str, namespace: str, on_failure: OnFailure) -> None:
        # Not at the top: without Redis the redis package is not needed.
        from plainsql.cache.redis_store import RedisStore

        self.redis = redis
        """The URL of the Redis, with its password."""
        self._cache = Cache(RedisStore(redis, namespace=namespace), on_failure=on_failure)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="plainsql-cache-writer", daemon=True
        )
        self._thread.start()

    def begin(self, touched: Touched) -> PendingInvalidation:
        """Begin the invalidation of what a write is about to change, right before the commit.

        Raises ``CacheError`` with ``on_cache_failure="fail"`` if Redis does not answer: do not commit then.
        """
        if self._loop.is_closed():
            raise CacheError(
                "the database is closed: this write was not made", hint="end all transactions before close()"
            )
        begun = asyncio.run_coroutine_threadsafe(self._cache.begin(touched), self._loop)
        try:
            return begun.result()
        except KeyboardInterrupt:
            # The marker may be set already: the cancellation has it published later.
            begun.cancel()
            raise

    def publish(self, pending: PendingInvalidation) -> None:
        """Publish a write: from here on, nothing is served that is older than it."""
        self._wait(self._cache.publish(pending))

    def abandon(self, pending: PendingInvalidation) -> None:
        """Leave the invalidation of a write to expire: it is unknown whether it is committed."""
        self._wait(self._cache.abandon(pending))

    def close(self) -> None:
        """Publish what is left, within the time limit of the cache, and end the thread."""
        if self._loop.is_closed():
            return
        self._wait(self._cache.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, step: Coroutine[Any, Any, None]) -> None:
        if self._loop.is_closed():  # the markers of a write expire then
            step.close()
            return
        asyncio.run_coroutine_threadsafe(step, self._loop).result()


def cache_writer(redis: str | None, prefix: str | None, on_failure: OnFailure) -> CacheWriter | None:
    """Return the writer to the cache in a Redis, or None without one."""
    return None if redis is None else CacheWriter(redis, cache_namespace(prefix), on_failure)


class Writes:
    """The rows that a transaction has written, and their invalidation around its commit.

    ::

        with writes.invalidated(shared):
            writes.before_commit()    # readers store nothing of these rows from here on
            …                         # the commit
        # published: nothing older is served

    If an error comes in place of the commit, the invalidation is published all the same, or, if the server
    may still commit, left to expire.
    """

    def __init__(self, writer: CacheWriter) -> None:
        self._writer = writer
        self._touched: Touched = {}
        self._pending: PendingInvalidation | None = None

    def add(self, touched: Touched) -> None:
        """Add rows."""
        self._touched = merge((self._touched, touched)) if self._touched else touched

    def add_calls(self, query: CompiledQuery[Any, Any], sets: Sequence[Args]) -> None:
        """Add the rows that calls of a query change.

        Rows that only a returned column would name are not known here: their whole table is invalidated.
        """
        by_names: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for args in sets:
            text, values = query.text(args)
            names = tuple(text.variant.parameters)
            by_names.setdefault(names, []).append(dict(zip(names, values, strict=True)))
        for given in by_names.values():
            self.add(merge(resolve_change(change, given) for change in query.changes))

    def before_commit(self) -> None:
        """Begin the invalidation. Raises ``CacheError``: the transaction must not commit then."""
        if self._touched:
            self._pending = self._writer.begin(self._touched)

    @contextmanager
    def invalidated(self, shared: SharedConnection) -> Iterator[None]:
        """Publish the invalidation at the end of the block, which commits or rolls back."""
        try:
            yield
        except BaseException as error:
            if self._pending is not None:
                if _may_still_commit(shared, error):
                    self._writer.abandon(self._pending)
                else:
                    self._writer.publish(self._pending)
            raise
        if self._pending is not None:
            self._writer.publish(self._pending)


def _may_still_commit(shared: SharedConnection, error: BaseException) -> bool:
    """Return whether the server may still be running the statement that this error ended, and commit it."""
    if is_own(error):
        return False
    if isinstance(error, psycopg.Error | OSError):
        return shared.is_lost
    return not isinstance(error, Exception)
