"""LISTEN, which survives the loss of its connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, NamedTuple, Self

from asyncpg import exceptions

from plainsql.errors import ConnectError, PlainsqlError, PoolTimeoutError

__all__ = ["Listener", "Notification"]


class Notification(NamedTuple):
    """A notification."""

    channel: str
    payload: str
    pid: int
    """The sender's process on the server."""
    gap: bool = False
    """True for one that was not sent: notifications were lost, with a connection or because too many
    waited."""


MAX_PENDING = 10_000
"""The most notifications that wait for their consumer. More are dropped, with a gap in their place."""

_MAX_PAUSE_S = 1.0

_UNLISTEN_S = 2.0
"""Seconds to end a subscription; otherwise the reset of the connection ends it."""

_LOST_ERRORS = (
    ConnectError,
    PoolTimeoutError,
    OSError,
    exceptions.PostgresConnectionError,
    exceptions.AdminShutdownError,
    exceptions.CannotConnectNowError,
    exceptions.InterfaceError,
    exceptions.InternalClientError,
)

Acquire = Callable[[], AbstractAsyncContextManager[Any]]


class Listener:
    """The notifications of a channel, on a connection of its own. Made by ``Database.listen``.

    ``async with`` subscribes immediately and unsubscribes at the end; ``async for`` alone subscribes at its
    first step. The connection is held in the background, so a step may be cancelled, or given a time limit,
    and nothing is lost. The iteration ends when the database is closed.
    """

    def __init__(self, acquire: Acquire, channel: str, heartbeat: float) -> None:
        self._subscription = _Subscription(acquire, channel, heartbeat)
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Notification:
        self._check_open()
        self._subscription.begin()
        notification = await self._subscription.take()
        if notification is None:
            raise StopAsyncIteration
        return notification

    async def __aenter__(self) -> Self:
        self._check_open()
        try:
            await self._subscription.established()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # Iterated without a block and left: its connection would be held while the database is open.
        subscription = getattr(self, "_subscription", None)
        if subscription is not None:
            subscription.abandon()

    async def aclose(self) -> None:
        """Unsubscribe, and release the connection."""
        self._closed = True
        await self._subscription.end()

    def stop(self) -> None:
        """End the iteration after the notifications that have arrived."""
        self._subscription.stop()

    def _check_open(self) -> None:
        if self._closed:
            raise PlainsqlError(
                "the listener is closed", hint="iterate inside its block, or call 'listen' again"
            )

    @property
    def _subscribed(self) -> bool:
        return self._subscription.subscribed


class _Subscription:
    """The task that holds a connection, and the notifications that have arrived on it."""

    def __init__(self, acquire: Acquire, channel: str, heartbeat: float) -> None:
        self._acquire = acquire
        self._channel = channel
        self._heartbeat = heartbeat
        self._arrived: asyncio.Queue[Notification | None] = asyncio.Queue()
        """The notifications that were not taken yet. None: there will be no more."""
        self._count = 0
        """The number of notifications so far."""
        self._task: asyncio.Task[None] | None = None
        self._established = asyncio.Event()
        """Set when it is subscribed, and when the task has ended."""
        self._stopped = False
        self._pause = 0.0
        """Seconds before the next attempt to connect again."""
        self._drops = False
        """True while too many wait, and new ones are dropped."""
        self._failure: BaseException | None = None
        """The error that ended the task; raised once."""
        self.subscribed = False

    def begin(self) -> None:
        """Start to subscribe, if that has not begun; again after a failure that was raised."""
        if self._task is None and not self._stopped:
            self._established.clear()
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def established(self) -> None:
        """Wait until it is subscribed. Raises the error that prevents that."""
        self.begin()
        await self._established.wait()
        if self._failure is not None:
            self._raise_failure()

    async def take(self) -> Notification | None:
        """Wait for the next notification; None if there will be none. Raises once the error of the task."""
        notification = await self._arrived.get()
        if notification is None:
            if self._failure is not None:
                self._raise_failure()
            self._arrived.put_nowait(None)  # for other consumers
        return notification

    def stop(self) -> None:
        """End the task, if there is one. Notifications that have arrived can still be taken."""
        self._stopped = True
        if self._task is None:
            self._arrived.put_nowait(None)
        else:
            self._task.cancel()

    async def end(self) -> None:
        """End the task and wait for it."""
        self.stop()
        if self._task is not None:
            await asyncio.wait([self._task])

    def _is_stopped(self) -> bool:
        return self._stopped  # a call, as it changes while the task waits

    def abandon(self) -> None:
        """End the task from a finalizer, which may run anywhere."""
        if self._task is not None and not self._task.done():
            with suppress(RuntimeError):  # the loop is closed, and with it the task
                self._task.get_loop().call_soon_threadsafe(self.stop)

    def _raise_failure(self) -> None:
        failure, self._failure, self._task = self._failure, None, None
        if failure is not None:
            raise failure

    async def _run(self) -> None:
        try:
            await self._keep_subscribed()
        except asyncio.CancelledError:
            if not self._stopped:
                raise
        except Exception as error:  # noqa: BLE001 (raised to the consumer)
            self._failure = error
        finally:
            self._arrived.put_nowait(None)
            self._established.set()

    async def _keep_subscribed(self) -> None:
        """Hold a subscription; connect again if the connection is lost."""
        while not self._is_stopped():
            try:
                async with self._acquire() as connection:
                    try:
                        await self._hold(connection)
                    except asyncio.CancelledError:
                        if not self._is_stopped():
                            raise
                        return  # out of the block without an error, so that the connection can serve again
            except _LOST_ERRORS as error:
                if not self.subscribed and isinstance(error, PlainsqlError):
                    raise  # the first subscription reports that there is no server
                # The first time immediately: the server may be there, and only this connection gone.
                await asyncio.sleep(self._pause)
                self._pause = min(self._pause * 2 or 0.05, _MAX_PAUSE_S)

    async def _hold(self, connection: Any) -> None:
        """Subscribe on a connection until the task is cancelled, or until it is lost, which raises."""
        lost = asyncio.Event()

        def on_end(_: Any) -> None:
            lost.set()

        connection.add_termination_listener(on_end)
        try:
            async with asyncio.timeout(self._heartbeat):
                await connection.add_listener(self._channel, self._on_notification)
            if self.subscribed:
                self._put(Notification(self._channel, "", 0, gap=True))
            self.subscribed = True
            self._pause = 0.0
            self._established.set()
            while True:
                count = self._count
                try:
                    async with asyncio.timeout(self._heartbeat):
                        await lost.wait()
                except TimeoutError:
                    # A connection that was cut stays silent for ever.
                    if count == self._count:
                        await connection.execute("select", timeout=self._heartbeat)
                else:
                    raise ConnectionResetError("the connection of a listener was lost")
        finally:
            connection.remove_termination_listener(on_end)
            with suppress(*_LOST_ERRORS):
                async with asyncio.timeout(_UNLISTEN_S):
                    await connection.remove_listener(self._channel, self._on_notification)

    def _on_notification(self, _: Any, pid: int, name: str, payload: str) -> None:
        self._count += 1
        self._put(Notification(name, payload, pid))

    def _put(self, notification: Notification) -> None:
        waiting = self._arrived.qsize()
        if self._drops:
            # Not again for each that is taken: most of the queue would be gaps.
            self._drops = waiting > MAX_PENDING // 2
        elif waiting >= MAX_PENDING:
            self._drops = True
            self._arrived.put_nowait(Notification(self._channel, "", 0, gap=True))
        if not self._drops:
            self._arrived.put_nowait(notification)
