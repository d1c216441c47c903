"""The connection to Redis of programs that are not asynchronous.

The calls run in an event loop of its own, in a thread. So limits, sessions and values have one protocol with
Redis, and one implementation of all that they do.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import CancelledError
from typing import Any, Self, TypeVar

from plainsql.errors import PlainsqlError, SettingsError
from plainsql.redis_connection import Client, RedisConnection, Script

__all__ = ["SyncRedisConnection", "SyncRedisService", "SyncRedisSource", "run_here"]

T = TypeVar("T")


class SyncRedisConnection(RedisConnection):
    """The connection to one Redis server or cluster for the threads of a program.

    ``redis`` is a URL, as for ``RedisConnection``; or nothing, for the configured one; or an unused client
    of ``redis.asyncio``, which nothing else uses and ``close`` closes. ``SyncLimits``, ``SyncSessions`` and
    ``SyncValues`` may share a connection.

    All threads may use it; with a URL also the processes that are forked later, each on connections of its
    own. ``max_connections`` limits their number.

    Raises ``SettingsError`` if there is no URL, if it cannot be read, or if ``redis`` is of another type.
    """

    def __init__(self, redis: Client | str | None = None, *, max_connections: int = 32) -> None:
        _check_kind(redis)
        super().__init__(redis, max_connections=max_connections)
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @classmethod
    def of_threads(cls, redis: SyncRedisSource) -> tuple[SyncRedisConnection, bool]:
        """Return the connection to ``redis``, and whether the caller must close it."""
        return (redis, False) if isinstance(redis, SyncRedisConnection) else (cls(redis), True)

    async def run(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[bytes | str | int],
        *,
        deadline: float,
        trusted: bool = False,
    ) -> Any:
        """Run a script as ``RedisConnection.run`` does. Outside of its own thread, this blocks."""
        call = super().run(script, keys, arguments, deadline=deadline, trusted=trusted)
        return await call if self._is_own_thread() else self.wait_for(call)

    def wait_for(self, coroutine: Coroutine[Any, Any, T], *, undo: Callable[[T], None] | None = None) -> T:
        """Run a coroutine in the thread of the connection, and return its result.

        If something interrupts the wait, such as Ctrl-C, the coroutine is cancelled. ``undo`` is called, in
        the thread, with a result that comes all the same.
        """
        tasks: list[asyncio.Task[T]] = []

        async def recorded() -> T:
            task: Any = asyncio.current_task()
            tasks.append(task)
            return await coroutine

        loop = self._started_loop()
        future = asyncio.run_coroutine_threadsafe(recorded(), loop)
        try:
            return future.result()
        except BaseException as error:
            if future.done() and not future.cancelled() and future.exception() is error:
                raise
            if isinstance(error, CancelledError):
                raise PlainsqlError(
                    "the connection to Redis was closed during the call", hint="end all calls before close()"
                ) from None
            future.cancel()
            loop.call_soon_threadsafe(_abandon, coroutine, tasks, undo)
            raise

    def _is_own_thread(self) -> bool:
        return self._thread is not None and self._thread.ident == threading.get_ident()

    def _started_loop(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="plainsql-redis", daemon=True
                )
                self._thread.start()
            return self._loop

    def abandon_to_parent(self) -> None:
        """Abandon all connections, and the thread, in a forked child; it opens and starts new ones."""
        super().abandon_to_parent()
        # The parent may have held the lock.
        self._starting, self._loop, self._thread = threading.Lock(), None, None

    def close(self) -> None:
        """Close the connections, and end the thread."""
        with self._starting:
            loop, thread, self._loop = self._loop, self._thread, None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._close_in_thread(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    async def _close_in_thread(self) -> None:
        await super().aclose()
        if not self._owned:
            await self._client.aclose()
        own = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not own]
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others)

    async def aclose(self) -> None:
        """Close it as ``close`` does. Outside of its own thread, this blocks."""
        if not self._is_own_thread():
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


SyncRedisSource = SyncRedisConnection | Client | str | None
"""A connection, a URL, an unused client of redis.asyncio, or nothing for the configured one."""


class SyncRedisService:
    """A service over a connection to Redis, which it closes if it has made it."""

    def __init__(self, redis: SyncRedisSource) -> None:
        self._link, self._owned = SyncRedisConnection.of_threads(redis)

    def close(self) -> None:
        """Close the connections to Redis, unless a connection was given."""
        if self._owned:
            self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check_kind(redis: object) -> None:
    if not isinstance(redis, Client | str | None):
        kind = f"{type(redis).__module__}.{type(redis).__qualname__}"
        raise SettingsError(
            f"redis: expected a URL, a SyncRedisConnection or a client of redis.asyncio, got {kind}",
            hint="give a URL: the asynchronous and the synchronous objects do not share a connection",
        )


def run_here(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine, whose only waits are calls of a `SyncRedisConnection`, in this thread.

    The functions that it calls, such as the caller's own, run in this thread too.
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        coroutine.close()
    raise AssertionError("a call that waits for more than Redis")


def _abandon(
    coroutine: Coroutine[Any, Any, T], tasks: list[asyncio.Task[T]], undo: Callable[[T], None] | None
) -> None:
    if not tasks:
        coroutine.close()  # it was cancelled before its first step
    elif undo is not None:
        tasks[0].add_done_callback(lambda task: _undo(task, undo))


def _undo(task: asyncio.Task[T], undo: Callable[[T], None]) -> None:
    if not task.cancelled() and task.exception() is None:
        undo(task.result())
