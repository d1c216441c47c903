"""Cancel a coroutine at each point at which it waits, in two ways."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Literal

__all__ = ["Moment", "at_every_wait", "settled"]

Moment = Literal["waiting", "answered"]
"""The moment of the cancellation: as the task begins to wait, or when its event has come but it has not gone
on.
"""


@types.coroutine
def _cancelled_at(work: Coroutine[Any, Any, Any], wait: int, moment: Moment) -> Generator[Any, Any, bool]:
    task = asyncio.current_task()
    assert task is not None
    count = 0
    step: Callable[[], Any] = lambda: work.send(None)  # noqa: E731
    while True:
        try:
            future = step()
        except StopIteration:
            return count <= wait
        if count == wait:
            if moment == "waiting" or future is None:
                task.cancel()
            else:
                # Called before the task's own callback, which is added when the future is handed on.
                blocking = future._asyncio_future_blocking
                future.add_done_callback(lambda _: task.cancel())
                future._asyncio_future_blocking = blocking
        count += 1
        try:
            value = yield future
        except BaseException as error:  # noqa: BLE001 (handed on)
            step = _throw(work, error)
        else:
            step = _send(work, value)


def _throw(work: Coroutine[Any, Any, Any], error: BaseException) -> Callable[[], Any]:
    return lambda: work.throw(error)


def _send(work: Coroutine[Any, Any, Any], value: Any) -> Callable[[], Any]:
    return lambda: work.send(value)


async def at_every_wait(
    make: Callable[[], Coroutine[Any, Any, Any]],
    check: Callable[[], Awaitable[object]],
    *,
    start: Callable[[], Awaitable[object]] | None = None,
) -> int:
    """Cancel what ``make`` makes at its first wait, at its second…, until it ends by itself; return how many
    there were."""

    async def whole(wait: int, moment: Moment) -> bool:
        return bool(await _cancelled_at(make(), wait, moment))

    moments: tuple[Moment, ...] = ("waiting", "answered")
    for wait in range(1000):
        ended = True
        for moment in moments:
            if start is not None:
                await start()
            task = asyncio.create_task(whole(wait, moment))
            [result] = await asyncio.gather(task, return_exceptions=True)
            assert result is True or isinstance(result, asyncio.CancelledError), result
            ended = ended and result is True
            await check()
        if ended:
            return wait
    raise AssertionError("it never ended by itself")


async def settled(condition: Callable[[], bool]) -> None:
    """Wait until what goes on in the background is done: at most 10 s."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (any condition)
            await asyncio.sleep(0)
