"""The proxy that all calls go through, with faults of a network's own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.proxy import Proxy

__all__ = ["Network", "open_network"]


class Network(Proxy):
    """A proxy that can also lose the answers alone, and cut one connection."""

    def __init__(self, target: Path) -> None:
        super().__init__(target, postgres=False)
        self._answers = asyncio.Event()
        self._answers.set()

    def hold_answers(self) -> None:
        """Let requests pass and hold their answers back: what is cut now has been executed, unknown to its
        caller.
        """
        self._answers.clear()

    def let_answers_pass(self) -> None:
        self._answers.set()

    def cut_one(self, chance: random.Random) -> None:
        """End one connection on both sides."""
        if self._writers:
            chance.choice([*self._writers]).transport.abort()

    async def close(self) -> None:
        self.let_answers_pass()
        await super().close()

    async def _until_it_flows(self, *, typed: bool) -> None:
        await super()._until_it_flows(typed=typed)
        if typed:
            await self._answers.wait()


@asynccontextmanager
async def open_network(target: Path) -> AsyncGenerator[Network]:
    """Put the network in front of a server's Unix socket."""
    network = Network(target)
    await network.accept()
    try:
        yield network
    finally:
        await network.close()
