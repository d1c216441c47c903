"""A connection to Redis for any number of calls at a time: they are sent as they come, and answered in order.

redis-py opens the connection: addresses, TLS and the login are its work. Then this protocol takes its place
on the transport. A call costs one future and no task, timer or lock, and the calls of one turn of the event
loop are one write.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple, Protocol, TypeAlias

import hiredis
from redis.exceptions import ConnectionError, InvalidResponse, NoScriptError

__all__ = ["Connections", "Owner", "RedisProtocol", "Script", "take_over"]

_INCOMPLETE = object()

_BUFFER_BYTES = 2**18


class Script(Protocol):
    """A script that the server knows by its digest, if it has not forgotten it."""

    def in_full(self, command: bytes) -> bytes | None:
        """Return a command that names it by its digest with its text instead; None if it has it already."""
        ...


_Call: TypeAlias = "tuple[asyncio.Future[Any], float, float, Script, bytes]"
"""The future of its reply, the end of its deadline, the deadline, the script, and the command."""

_SECOND_LOOK_S = 0.001
"""A reply may have come while something else kept the event loop from reading it. So a call is late only if
two checks find its time over, with a turn of the loop in between."""


class Owner(NamedTuple):
    """The owner of a connection, to which it reports."""

    lost: Callable[[RedisProtocol], None]
    """Called once, when the connection is closed, from either side."""
    retired: Callable[[RedisProtocol], None]
    """Called when it takes no further calls."""
    explain: Callable[[BaseException, float], Exception]
    """Returns the error of a call, by its cause and its deadline. The cause of a late call is a
    ``TimeoutError``."""


class RedisProtocol(asyncio.BufferedProtocol):
    """The protocol on an open connection. Made by `take_over`."""

    def __init__(self, writer: asyncio.StreamWriter, reader: Any, owner: Owner, limit: float) -> None:
        self.transport = writer.transport
        self.writer = writer
        """redis-py's, which closes the transport when it is collected, from Python 3.13 on."""
        self.is_lost = False
        self._loop = asyncio.get_running_loop()
        self._reader = reader
        self._owner = owner
        self._limit = limit
        """The longest deadline of a call."""
        # asyncio's own loop allocates as much for each reply of a few bytes, which may cost 15 µs.
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._waiting: deque[_Call] = deque()
        """The calls without a reply, in the order of the replies."""
        self._unsent: list[bytes] = []
        self._checks_at = inf
        self._check: asyncio.TimerHandle | None = None
        self._looked_at = -inf
        """The time of the last check."""
        self._is_retired = False

    def send(
        self, script: Script, command: bytes, deadline: float, rest: float | None = None
    ) -> asyncio.Future[Any]:
        """Send a command that runs a script by its digest, and return the future of its reply.

        ``rest`` is what is left of the deadline. The reply to a call that was cancelled is dropped.
        """
        if deadline > self._limit:  # noqa: PLR1730 (min() costs ten times as much)
            deadline = self._limit
        loop = self._loop
        reply = loop.create_future()
        self._send((reply, loop.time() + (deadline if rest is None else rest), deadline, script, command))
        return reply

    def _send(self, call: _Call) -> None:
        if not self._waiting:
            self.transport.write(call[4])
        else:
            if not self._unsent:
                self._loop.call_soon(self._flush)
            self._unsent.append(call[4])
        self._waiting.append(call)
        if call[1] < self._checks_at:
            self._check_at(call[1])

    def _flush(self) -> None:
        if self._unsent and not self.is_lost:
            self.transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def retire(self) -> None:
        """Take no further calls, and close the connection as soon as no caller waits for a reply."""
        if not self._is_retired:
            self._is_retired = True
            self._owner.retired(self)
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if all(reply.done() for reply, *_ in self._waiting):
            self.transport.abort()

    # Called by the event loop -------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        reader, waiting = self._reader, self._waiting
        try:
            reader.feed(self._buffer, 0, nbytes)
            while (found := reader.gets()) is not _INCOMPLETE:
                if isinstance(found, Exception):
                    self._refuse(waiting.popleft(), found)
                elif type(found) is not _PUSH:
                    reply = waiting.popleft()[0]
                    if not reply.done():
                        reply.set_result(found)
        except (hiredis.HiredisError, InvalidResponse, IndexError):
            # It is not Redis, or sent a reply without a call: no later reply can be trusted.
            self._fail(ValueError("not a reply of Redis"))
            self.retire()
            return
        if self._is_retired:
            self._close_if_unused()

    def _refuse(self, call: _Call, error: Exception) -> None:
        reply, ends, deadline, script, command = call
        if reply.done():
            return
        if isinstance(error, NoScriptError) and (full := script.in_full(command)) is not None:
            self._send((reply, ends, deadline, script, full))
            return
        reply.set_exception(self._owner.explain(error, deadline))

    def eof_received(self) -> None:
        # The transport closes itself. Until then a call would be lost on it.
        if not self._is_retired:
            self._is_retired = True
            self._owner.retired(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        if self._check is not None:
            self._check.cancel()
        self._fail(exc or ConnectionError("the connection was closed"))
        self._owner.lost(self)

    def _fail(self, error: Exception) -> None:
        while self._waiting:
            reply, _, deadline, *_ = self._waiting.popleft()
            if not reply.done():
                reply.set_exception(self._owner.explain(error, deadline))
        self._unsent.clear()

    # Deadlines: one timer for all calls, which does not move with each of them ----------------------------

    def _check_at(self, when: float) -> None:
        if self._check is not None:
            self._check.cancel()
        self._checks_at = when
        self._check = self._loop.call_at(when, self._end_late_calls)

    def _end_late_calls(self) -> None:
        self._check, self._checks_at = None, inf
        now, looked_at = self._loop.time(), self._looked_at
        next_check, late = inf, []
        for call in self._waiting:
            if call[1] <= looked_at:
                late.append(call)
            else:
                next_check = min(next_check, max(call[1], now + _SECOND_LOOK_S))
        self._looked_at = now
        for reply, _, deadline, *_ in late:
            if not reply.done():
                reply.set_exception(self._owner.explain(TimeoutError(), deadline))
        if late:
            # Cancelled ones count: the server may be gone without a word.
            self.retire()
        if next_check < inf and not self.is_lost:
            self._check_at(next_check)


_PUSH: Any = hiredis.PushNotification


def take_over(connection: Any, owner: Owner) -> RedisProtocol:
    """Take a connection from redis-py, which has opened it and has no further part in it."""
    stream, writer = connection._reader, connection._writer
    connection._reader = connection._writer = None
    transport = writer.transport
    if stream.at_eof() or stream._buffer:
        transport.abort()
        raise ConnectionError("the connection was closed while it was opened")
    reader = hiredis.Reader(
        protocolError=InvalidResponse,
        replyError=connection._parser.parse_error,
        notEnoughData=_INCOMPLETE,
    )
    limit = connection.socket_timeout
    protocol = RedisProtocol(writer, reader, owner, inf if limit is None else limit)
    transport.set_protocol(protocol)
    return protocol


class Connections:
    """The connections of one event loop. One of them takes all calls; former ones end with their last call.

    ``make`` returns a connection of redis-py that is not open yet. At most ``most`` are open at a time.
    """

    def __init__(
        self, make: Callable[[], Any], most: int, explain: Callable[[BaseException, float], Exception]
    ) -> None:
        self.current: RedisProtocol | None = None
        """The open connection that takes calls, if there is one."""
        self.open: set[RedisProtocol] = set()
        self.is_closed = False
        """True if no connection is kept after its calls."""
        self.is_full = False
        """True while a call waits until another connection is closed."""
        self._make = make
        self._slots = asyncio.Semaphore(most)
        self._owner = Owner(self._on_lost, self._on_retired, explain)
        self._opening: asyncio.Task[RedisProtocol] | None = None
        self._waiters = 0
        self._all_lost: asyncio.Future[None] | None = None

    async def connect(self) -> RedisProtocol:
        """Return an open connection. Concurrent callers wait for the same one.

        Raises what redis-py raises.
        """
        if self.current is not None:
            return self.current
        opening = self._opening
        if opening is None:
            opening = self._opening = asyncio.get_running_loop().create_task(self._open())
            opening.add_done_callback(self._on_opened)
            self._waiters = 0
        self._waiters += 1
        try:
            protocol = await asyncio.shield(opening)
        finally:
            if self._opening is opening:
                self._waiters -= 1
                if not self._waiters:
                    # All have left. The next call begins again: the server may be another by then.
                    self._opening = None
                    opening.cancel()
        if protocol.is_lost:
            raise ConnectionError("the connection was closed as soon as it was open")
        return protocol

    async def _open(self) -> RedisProtocol:
        self.is_full = self._slots.locked()
        try:
            await self._slots.acquire()
        finally:
            self.is_full = False
        connection = self._make()
        try:
            await connection.connect()
            protocol = take_over(connection, self._owner)
        except BaseException:
            self._slots.release()
            writer, connection._reader, connection._writer = connection._writer, None, None
            if writer is not None:
                writer.transport.abort()
            raise
        self.open.add(protocol)
        self.current = protocol
        return protocol

    def _on_opened(self, opening: asyncio.Task[RedisProtocol]) -> None:
        if self._opening is opening:
            self._opening = None
        if not opening.cancelled():
            opening.exception()  # all who waited for it may have left

    def _on_retired(self, protocol: RedisProtocol) -> None:
        if self.current is protocol:
            self.current = None

    def _on_lost(self, protocol: RedisProtocol) -> None:
        self._on_retired(protocol)
        if protocol in self.open:
            self.open.discard(protocol)
            self._slots.release()
        if not self.open and self._all_lost is not None and not self._all_lost.done():
            self._all_lost.set_result(None)

    async def aclose(self) -> None:
        """Close all connections. Calls in progress fail."""
        self.is_closed, self.current = True, None
        if self._opening is not None:
            self._opening.cancel()
        if self.open:
            self._all_lost = asyncio.get_running_loop().create_future()
            for protocol in self.open:
                protocol.transport.abort()
            await self._all_lost
