"""The loads of a process: one of a key at a time, whose result the callers that wait behind it share.

A caller may share a result only if Redis confirms, after that caller came, that the value was neither written
nor deleted while it was loaded. If not, it looks again.
"""

from __future__ import annotations

import asyncio
import copy
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

__all__ = ["Load", "Loads"]


@dataclass(slots=True, eq=False)
class Load:
    """One load in progress, or the wait for that of another process."""

    result: asyncio.Future[bytes | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    """The stored value; None if those who wait must look again; an error if the function failed."""


class Loads:
    """The loads in progress, by event loop and key."""

    def __init__(self) -> None:
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Load]] = WeakKeyDictionary()

    def get(self, key: str) -> Load | None:
        """Return the load of a key that is in progress in this event loop."""
        return self._of_loop().get(key)

    def begin(self, key: str) -> Load:
        """Begin the load of a key that has none in progress. ``end`` must follow."""
        load = self._of_loop()[key] = Load()
        return load

    def end(self, key: str, load: Load, result: bytes | None = None, error: Exception | None = None) -> None:
        """End a load with its result, its error, or neither."""
        loads = self._of_loop()
        if loads.get(key) is load:
            del loads[key]
        if load.result.done():
            return
        if error is None:
            load.result.set_result(result)
        else:
            load.result.set_exception(error)
            load.result.exception()  # it counts as retrieved if no caller waits

    @staticmethod
    async def wait(load: Load) -> bytes | None:
        """Wait for the end of a load.

        Raises a copy of its error: notes and a traceback belong to one call.
        """
        try:
            return await asyncio.shield(load.result)
        except Exception as error:  # noqa: BLE001 (the function may raise anything)
            raise _own(error) from error.__cause__

    def _of_loop(self) -> dict[str, Load]:
        loop = asyncio.get_running_loop()
        loads = self._by_loop.get(loop)
        if loads is None:
            loads = self._by_loop[loop] = {}
        return loads


def _own(error: Exception) -> Exception:
    try:
        own = copy.copy(error)
    except Exception:  # noqa: BLE001 (it cannot be copied)
        return error
    return own.with_traceback(error.__traceback__)
