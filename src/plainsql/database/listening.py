"""LISTEN, through the loss of connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from typing import Any, NamedTuple, Self

from asyncpg import exceptions

from plainsql.errors import ConnectError, PlainsqlError, PoolTimeoutError

__all__ = ["Listener", "Notification"]


class Notification(NamedTuple):
    """What NOTIFY sent."""

    channel: str
    payload: str
    pid: int
    """The sender's process on the server."""
    gap: bool = False
    """True for one that nobody sent: the connection was lost, and with it what was sent meanwhile."""


_LONGEST_PAUSE = 1.0

_LOST = (
    ConnectError,
    PoolTimeoutError,
    OSError,
    exceptions.PostgresConnectionError,
    exceptions.AdminShutdownError,
    exceptions.CannotConnectNowError,
    exceptions.InterfaceError,
)


class Listener:
    """The notifications of a channel, on a connection of its own. Made by ``Database.listen``.

    ``async with`` subscribes at once and unsubscribes at the end; ``async for`` alone subscribes at its first
    step. The iteration ends when the database is closed.
    """

    def __init__(
        self, acquire: Callable[[], AbstractAsyncContextManager[Any]], channel: str, heartbeat: float
    ) -> None:
        self._acquire = acquire
        self._channel = channel
        self._heartbeat = heartbeat
        self._subscribed = False
        self._stopped = False
        self._arrived: asyncio.Queue[Notification | None] = asyncio.Queue()
        """None: the connection has ended."""
        self._stream = self._listen()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Notification:
        while (notification := await anext(self._stream)) is None:
            pass
        return notification

    async def __aenter__(self) -> Self:
        if not self._subscribed:
            await anext(self._stream)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Unsubscribe, and give the connection back."""
        await self._stream.aclose()

    def stop(self) -> None:
        """Let the iteration end."""
        self._stopped = True
        self._arrived.put_nowait(None)

    async def _listen(self) -> AsyncGenerator[Notification | None]:
        """Yield None when it has subscribed first, then what arrives; connect again where the connection is
        lost.
        """
        pause = 0.0
        while not self._stopped:
            try:
                async with (
                    self._acquire() as connection,
                    aclosing(self._subscription(connection)) as arriving,
                ):
                    async for notification in arriving:
                        pause = 0.0
                        yield notification
            except _LOST as error:
                if not self._subscribed and isinstance(error, PlainsqlError):
                    raise  # who begins to listen is told that there is no server
                # The first time at once: the server may be there, and only this connection gone.
                await asyncio.sleep(pause)
                pause = min(pause * 2 or 0.05, _LONGEST_PAUSE)

    async def _subscription(self, connection: Any) -> AsyncGenerator[Notification | None]:
        arrived = self._arrived = asyncio.Queue()

        def on_notification(_: Any, pid: int, name: str, payload: str) -> None:
            arrived.put_nowait(Notification(name, payload, pid))

        def on_end(_: Any) -> None:
            arrived.put_nowait(None)

        connection.add_termination_listener(on_end)
        try:
            await connection.add_listener(self._channel, on_notification)
            again, self._subscribed = self._subscribed, True
            yield Notification(self._channel, "", 0, gap=True) if again else None
            while not self._stopped:
                try:
                    async with asyncio.timeout(self._heartbeat):
                        notification = await arrived.get()
                except TimeoutError:
                    # A connection that was cut without a word stays silent for ever.
                    await connection.execute("select", timeout=self._heartbeat)
                    continue
                if notification is not None:
                    yield notification
                elif not self._stopped:
                    raise ConnectionResetError
        finally:
            connection.remove_termination_listener(on_end)
            with suppress(*_LOST):
                await connection.remove_listener(self._channel, on_notification)
