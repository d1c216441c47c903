"""The time limit of a connection."""

from __future__ import annotations

from time import monotonic
from typing import Any

__all__ = ["TimeLimit"]


class TimeLimit:
    """The time limit of a connection, for several statements together."""

    __slots__ = ("_ends",)

    def __init__(self, connection: Any, timeout: float | None = None) -> None:
        timeout = connection._protocol._get_timeout(timeout)
        self._ends = None if timeout is None else monotonic() + timeout

    @property
    def left(self) -> float | None:
        """The seconds that are left, never 0, which would mean no limit; None if there is no limit."""
        return None if self._ends is None else max(self._ends - monotonic(), 0.001)
