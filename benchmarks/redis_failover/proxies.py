"""Proxies in a thread of their own, for programs that wait for the servers behind them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

from tests.proxy import Proxy

__all__ = ["Proxies"]

T = TypeVar("T")


class Proxies:
    """Proxies in front of ports of 127.0.0.1."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._found: dict[int, Proxy] = {}

    def announce(self, port: int) -> int:
        """Open a proxy in front of a port, and return its own port."""

        async def opened() -> Proxy:
            proxy = Proxy(("127.0.0.1", port), postgres=False)
            await proxy.accept()
            return proxy

        proxy = self._found[port] = self._run(opened())
        return proxy.port

    @property
    def direct(self) -> dict[int, int]:
        """The ports behind the proxies, by the ports of the proxies."""
        return {proxy.port: port for port, proxy in self._found.items()}

    def pause(self, port: int) -> None:
        """Hold back all traffic of a server."""
        self._loop.call_soon_threadsafe(self._found[port].pause)

    def resume(self, port: int) -> None:
        """Let the traffic of a server pass again."""
        self._loop.call_soon_threadsafe(self._found[port].resume)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        async def close() -> None:
            for proxy in self._found.values():
                await proxy.close()

        self._run(close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
