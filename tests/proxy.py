"""A TCP proxy in front of a server that makes faults (cuts, refusals, silence) and counts what passes.

The test makes the faults and sees them immediately; they do not depend on time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Traffic:
    """The data that reached the proxy from one side, over all connections."""

    bytes: int = 0
    messages: Counter[str] = field(default_factory=Counter)
    """PostgreSQL's messages by type letter, with ``postgres=True``; start-up packets are under ``""``."""


class Messages:
    """Finds the messages in one direction of one PostgreSQL connection."""

    def __init__(self, traffic: Traffic, *, typed: bool) -> None:
        self._traffic = traffic
        self._typed = typed
        self._buffer = b""

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 5:
            # A client begins with packets that have no type letter but their length, whose highest byte is 0.
            typed = self._typed or self._buffer[0] != 0
            letter, rest = (chr(self._buffer[0]), self._buffer[1:]) if typed else ("", self._buffer)
            length = int.from_bytes(rest[:4])
            if len(rest) < length:
                return
            self._traffic.messages[letter] += 1
            self._buffer = rest[length:]


def _end_of(data: bytes, letter: str) -> int:
    """The end of the first message of a type in data that begins with a message; 0 if there is none."""
    at = 0
    while at + 5 <= len(data):
        end = at + 1 + int.from_bytes(data[at + 1 : at + 5])
        if chr(data[at]) == letter:
            return end
        at = end
    return 0


class Link:
    """One connection through the proxy."""

    def __init__(self, chunks: int | None) -> None:
        self.chunks = chunks
        """Answers of the server that still pass before the connection falls silent; None for ever."""

    @property
    def is_silent(self) -> bool:
        return self.chunks is not None and self.chunks <= 0


class Proxy:
    """Made by `open_proxy`; listens on 127.0.0.1."""

    def __init__(self, target: Path | tuple[str, int], *, postgres: bool) -> None:
        self._target = target
        self._postgres = postgres
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._held = ""
        self._flows = asyncio.Event()
        self._flows.set()
        self._changed = asyncio.Condition()
        self._fault: tuple[int, Callable[[], object]] | None = None
        self._links: dict[asyncio.StreamWriter, Link] = {}
        """By both of a connection's writers."""
        self._chunks: int | None = None
        self.port = 0
        self.accepted = 0
        """Connections so far."""
        self.to_server = Traffic()
        self.to_client = Traffic()

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._writers) // 2

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """The URL of a database behind the proxy; its server must trust those who come from the target."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}?sslmode=disable"

    async def accept(self) -> None:
        """Listen, on the same port as before."""
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._listener.sockets[0].getsockname()[1]

    def retarget(self, target: Path | tuple[str, int]) -> None:
        """Lead new connections to another server, as an address that moves does; those that are open stay."""
        self._target = target

    def refuse(self) -> None:
        """Refuse new connections; those that are open stay."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def cut(self) -> int:
        """End all connections at the same time, on both sides, and return how many there were."""
        count = self.connections
        for writer in list(self._writers):
            writer.transport.abort()
        return count

    def pause(self) -> None:
        """Hold back all traffic in both directions; connections stay open and new ones are accepted."""
        self._flows.clear()

    def hold_after(self, letter: str) -> None:
        """Let the server's answers pass up to its next message of a type, which passes too, and hold back all
        that follows, until ``resume``."""
        self._held = letter

    @property
    def holds(self) -> bool:
        """Report whether ``hold_after`` has found its message."""
        return not self._held and not self._flows.is_set()

    def resume(self) -> None:
        """Let the traffic pass again, what was held back first."""
        self._flows.set()

    def after(self, more: int, fault: Callable[[], object]) -> None:
        """Make a fault, ``pause`` or ``cut``, when so many more bytes have come for the server: these do not
        reach it any more."""
        self._fault = (self.to_server.bytes + more, fault)

    @property
    def waits_for_fault(self) -> bool:
        """Report whether ``after`` has not acted yet."""
        return self._fault is not None

    def silence(self, chunks: int = 0) -> None:
        """Swallow all that the open connections send, in both directions, when so many answers have passed.

        They stay open, and silent for ever. New ones are not concerned.
        """
        for link in self._links.values():
            link.chunks = chunks

    def spare(self) -> None:
        """Have those connections that are not silent yet stay well."""
        for link in self._links.values():
            if not link.is_silent:
                link.chunks = None

    def silence_new(self, chunks: int | None) -> None:
        """Have new connections fall silent when so many answers of the server have passed; None: no more."""
        self._chunks = chunks

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that the proxy counts is as wanted: at most 10 s."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(condition)

    async def close(self) -> None:
        self.refuse()
        self.resume()
        self.cut()
        await self.until(lambda: not self._writers)

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            if isinstance(self._target, Path):
                from_server, to_server = await asyncio.open_unix_connection(self._target)
            else:
                from_server, to_server = await asyncio.open_connection(*self._target)
        except OSError:
            to_client.transport.abort()
            return
        self._writers |= {to_client, to_server}
        link = Link(self._chunks)
        self._links |= {to_client: link, to_server: link}
        await self._tell()
        try:
            async with asyncio.TaskGroup() as directions:
                directions.create_task(self._pass_on(from_client, to_server, self.to_server, typed=False))
                directions.create_task(self._pass_on(from_server, to_client, self.to_client, typed=True))
        finally:
            del self._links[to_client], self._links[to_server]
            self._writers -= {to_client, to_server}
            to_client.transport.abort()
            to_server.transport.abort()
            await self._tell()

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        traffic: Traffic,
        *,
        typed: bool,
    ) -> None:
        messages = Messages(traffic, typed=typed)
        link = self._links[writer]
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                traffic.bytes += len(data)
                if self._postgres:
                    messages.feed(data)
                if self._fault is not None and self.to_server.bytes >= self._fault[0]:
                    (_, fault), self._fault = self._fault, None
                    fault()
                if typed and self._held and (end := _end_of(data, self._held)):
                    writer.write(data[:end])
                    await writer.drain()
                    data, self._held = data[end:], ""
                    self.pause()
                await self._tell()
                await self._until_it_flows(typed=typed)
                if link.is_silent:
                    continue
                if typed and link.chunks is not None:
                    link.chunks -= 1
                writer.write(data)
                await writer.drain()
        # One side has ended: so does the other, as soon as it has what was sent.
        writer.close()

    async def _until_it_flows(self, *, typed: bool) -> None:
        """Wait while traffic is held back; ``typed`` is that to the client."""
        del typed
        await self._flows.wait()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@asynccontextmanager
async def open_proxy(target: Path | tuple[str, int], *, postgres: bool = True) -> AsyncGenerator[Proxy]:
    """Put a proxy in front of a Unix socket or of a host and port."""
    proxy = Proxy(target, postgres=postgres)
    await proxy.accept()
    try:
        yield proxy
    finally:
        await proxy.close()
