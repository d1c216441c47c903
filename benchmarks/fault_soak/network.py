"""The proxy that all calls go through, with the faults of a network."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.proxy import Link, Messages, Proxy, Traffic

__all__ = ["Network", "open_network"]


class Network(Proxy):
    """A proxy that can also lose the answers alone, forget the connections that are open, and cut one."""

    def __init__(self, target: Path) -> None:
        super().__init__(target, postgres=False)
        self._answers = asyncio.Event()
        self._answers.set()
        self._forgotten: set[asyncio.StreamWriter] = set()

    def hold_answers(self) -> None:
        """Let requests pass and hold their answers back: what is cut now has been executed, unknown to its
        caller.
        """
        self._answers.clear()

    def let_answers_pass(self) -> None:
        self._answers.set()

    def forget_open_connections(self) -> int:
        """Drop what is sent on the connections that are open, as a firewall does that has forgotten them."""
        self._forgotten |= self._writers
        return len(self._forgotten)

    def cut_one(self, chance: random.Random) -> None:
        """End one connection on both sides."""
        if self._writers:
            chance.choice([*self._writers]).transport.abort()

    async def close(self) -> None:
        self.let_answers_pass()
        await super().close()

    async def _pass_on(
        self,
        link: Link,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        traffic: Traffic,
        *,
        typed: bool,
    ) -> None:
        messages = Messages(traffic, typed=typed)
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if self._postgres:
                    messages.feed(data)
                await self._flows.wait()
                if typed:  # to the client
                    await self._answers.wait()
                if writer in self._forgotten:
                    continue
                writer.write(data)
                await writer.drain()
        self._forgotten.discard(writer)
        writer.close()


@asynccontextmanager
async def open_network(target: Path) -> AsyncGenerator[Network]:
    """Put the network in front of a server's Unix socket."""
    network = Network(target)
    await network.accept()
    try:
        yield network
    finally:
        await network.close()


Faulted = Counter[str]
"""How many faults of each kind were made."""
