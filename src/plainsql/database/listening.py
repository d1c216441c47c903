"""LISTEN, through the loss of connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

from asyncpg import exceptions

from plainsql.errors import ConnectError

__all__ = ["Notification", "listen"]


class Notification(NamedTuple):
    """What NOTIFY sent."""

    channel: str
    payload: str
    pid: int
    """The sender's process on the server."""
    gap: bool = False
    """True for one that nobody sent: the connection was lost, and with it what was sent meanwhile."""


_LONGEST_PAUSE = 1.0


async def listen(
    acquire: Callable[[], AbstractAsyncContextManager[Any]], channel: str
) -> AsyncIterator[Notification]:
    """Yield the notifications of a channel; connect again where the connection is lost."""
    pause = 0.05
    lost = False
    while True:
        # None: the connection has ended.
        arrived: asyncio.Queue[Notification | None] = asyncio.Queue()

        def on_notification(_: Any, pid: int, name: str, payload: str) -> None:
            arrived.put_nowait(Notification(name, payload, pid))  # noqa: B023

        def on_end(_: Any) -> None:
            arrived.put_nowait(None)  # noqa: B023

        try:
            async with acquire() as connection:
                connection.add_termination_listener(on_end)
                await connection.add_listener(channel, on_notification)
                if lost:
                    yield Notification(channel, "", 0, gap=True)
                pause = 0.05
                try:
                    while (notification := await arrived.get()) is not None:
                        yield notification
                finally:
                    connection.remove_termination_listener(on_end)
                raise ConnectionResetError
        except (ConnectError, OSError, exceptions.PostgresConnectionError, exceptions.InterfaceError):
            lost = True
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
