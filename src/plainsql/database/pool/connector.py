"""The connector of one database: it connects and sets up within one time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Any
from weakref import WeakSet

from asyncpg import exceptions

from plainsql.database.pool.connection_classes import DriverConnection
from plainsql.database.pool.keepalive import Keepalive, set_keepalive

__all__ = ["Connect", "Connector"]

Connect = Callable[..., Awaitable[Any]]
"""Connects with the options of ``asyncpg.connect``."""

_MAX_ATTEMPTS = 3
"""A connection is opened so many times if the server ends it before it is set up: that is no refusal."""

_MAX_CONTROL_S = 10.0
"""Seconds that a rollback, a reset or a close may take before the connection is cut; fewer if opening one may
take fewer."""


class Connector:
    """Opens the connections of one database, all in the same way."""

    def __init__(
        self,
        connect: Connect,
        options: Mapping[str, Any],
        connection_class: type[DriverConnection],
        *,
        timeout: float,
        keepalive: Keepalive = Keepalive(),  # noqa: B008 (immutable)
        set_up: Callable[[Any], Awaitable[object]] | None = None,
    ) -> None:
        self._connect = connect
        self._options = dict(options)
        """The options of ``asyncpg.connect``."""
        self._connection_class = connection_class
        self.timeout = timeout
        """Seconds that connecting and setting up may take together."""
        self.control_timeout_s = min(_MAX_CONTROL_S, timeout)
        self._keepalive = keepalive
        self._set_up = set_up
        self.connections: WeakSet[DriverConnection] = WeakSet()
        """The open connections, with those that are being set up."""

    async def open(self) -> DriverConnection:
        """Open a connection.

        Raises what connecting and setting up raise, ``TimeoutError`` after the time limit for both.
        """
        attempt = 0
        async with asyncio.timeout(self.timeout):
            while True:
                attempt += 1
                try:
                    return await self._open()
                except (exceptions.ConnectionDoesNotExistError, exceptions.InternalClientError):
                    if attempt == _MAX_ATTEMPTS:
                        raise

    async def _open(self) -> DriverConnection:
        born = monotonic()
        connection: DriverConnection = await self._connect(
            connection_class=self._connection_class, **self._options
        )
        connection.born = born
        connection.control_timeout_s = self.control_timeout_s
        connection.siblings = self.connections
        self.connections.add(connection)
        try:
            set_keepalive(connection._transport, self._keepalive)
            if self._set_up is not None:
                await self._set_up(connection)
        except BaseException as error:
            has_ended: bool = connection.is_closed()  # type: ignore[no-untyped-call]
            # Not `close()`, which waits for the server: its silence may be what ended this.
            connection.terminate()
            if has_ended and isinstance(error, AttributeError):
                # The driver's, for a connection that the server ends between two steps of a statement.
                raise exceptions.ConnectionDoesNotExistError("the server has ended the connection") from error
            raise
        return connection
