"""Proxies in a thread of their own, for programs that wait for the servers behind them."""

from __future__ import annotations

import asyncio
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, Literal, Self, TypeAlias, TypeVar

from tests.proxy import Proxy

__all__ = ["Programs", "Proxies"]

T = TypeVar("T")
Programs: TypeAlias = Literal["none", "second", "both"]
_SOURCE: ContextVar[str] = ContextVar("source")
"""The address that the connection of this task comes from."""


class _Crossing(Proxy):
    """A proxy that holds back the connections from some addresses."""

    def __init__(self, port: int, until_passed: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        super().__init__(("127.0.0.1", port), postgres=False)
        self._until_passed = until_passed

    async def _serve(self, from_client: StreamReader, to_client: StreamWriter) -> None:
        _SOURCE.set((to_client.get_extra_info("peername") or ("",))[0])
        await super()._serve(from_client, to_client)

    async def _until_it_flows(self, *, typed: bool) -> None:
        await super()._until_it_flows(typed=typed)
        await self._until_passed(_SOURCE.get())


class Proxies:
    """Proxies in front of ports of 127.0.0.1: a network that can be divided.

    Servers are known by the ports of their proxies. Programs of the second side go through proxies of their
    own, so that a division may have some of them on each side.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._opened: list[Proxy] = []
        self._sources: dict[str, int] = {}
        """The ports of servers, by the addresses that they connect from."""
        self.second: dict[int, int] = {}
        """The ports by which the second side reaches the servers, by the ports by which they are known."""
        self._cut_off: int | None = None
        """The port of the server that the others do not reach."""
        self._programs: Programs = "none"
        self._changed = asyncio.Event()

    def announce(self, port: int) -> int:
        """Open a proxy in front of a port, past which the second side goes; return its own port."""
        known = self._open(port, second=False)
        self.second[known] = port
        return known

    def announce_node(self, port: int, source: str) -> tuple[int, int]:
        """Open the proxies in front of a cluster's node, for programs and for the bus; return their ports.

        ``source`` is the address that the node connects from.
        """
        self._sources[source] = port
        known = self._open(port, second=False)
        self.second[known] = self._open(port, second=True)
        return known, self._open(port, second=False, bus=True)

    def divide(self, port: int, programs: Programs = "both") -> None:
        """Cut a server off from the others, until `join`.

        ``programs``: those that are divided too, and not reached by all servers. The first side stays with
        the others, and the second one with the server.
        """
        self._change(port, programs)

    def join(self) -> None:
        """Let all traffic pass again, what was held back first."""
        self._change(None, "none")

    def _change(self, port: int | None, programs: Programs) -> None:
        def change() -> None:
            self._cut_off, self._programs = port, programs
            self._changed.set()
            self._changed = asyncio.Event()

        self._loop.call_soon_threadsafe(change)

    def _open(self, port: int, *, second: bool, bus: bool = False) -> int:
        async def until_passed(source: str) -> None:
            while self._is_divided(source, port, second=second):
                await self._changed.wait()

        async def opened() -> Proxy:
            proxy = _Crossing(port + 10_000 if bus else port, until_passed)
            await proxy.accept()
            return proxy

        proxy = self._run(opened())
        self._opened.append(proxy)
        return proxy.port

    def _is_divided(self, source: str, port: int, *, second: bool) -> bool:
        """Return whether a connection leads from one part of the network to the other."""
        if self._cut_off is None:
            return False
        is_there = port == self._cut_off
        if (server := self._sources.get(source)) is not None:
            return (server == self._cut_off) != is_there
        if second:
            return self._programs != "none" and not is_there
        return self._programs == "both" and is_there

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        async def close() -> None:
            for proxy in self._opened:
                await proxy.close()

        self.join()
        self._run(close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
