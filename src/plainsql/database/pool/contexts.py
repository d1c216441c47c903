"""``asynccontextmanager`` for blocks inside other blocks and inside streams.

An event loop that ends closes all asynchronous generators that have begun, all together and in no order. With
a stream, these would be the stream and each block around it. Each would be closed by itself and by the one
around it, an error that asyncio logs. These generators are not registered with the event loop, and end with
the object that holds them.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import _AsyncGeneratorContextManager
from functools import wraps
from typing import ParamSpec, TypeVar, cast

__all__ = ["asynccontextmanager"]

P = ParamSpec("P")
T = TypeVar("T")


class Block(_AsyncGeneratorContextManager[T]):
    async def __aenter__(self) -> T:
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            first = self.gen.__anext__()  # reads the hooks
        finally:
            sys.set_asyncgen_hooks(*hooks)
        del self.args, self.kwds, self.func
        try:
            return await first
        except StopAsyncIteration:
            raise RuntimeError("generator didn't yield") from None


def asynccontextmanager(function: Callable[P, AsyncIterator[T]]) -> Callable[P, Block[T]]:
    """Return a factory of context managers for an asynchronous generator function, as contextlib's does."""

    @wraps(function)
    def make(*args: P.args, **kwargs: P.kwargs) -> Block[T]:
        return Block(cast("Callable[..., AsyncGenerator[T, None]]", function), args, kwargs)

    return make
