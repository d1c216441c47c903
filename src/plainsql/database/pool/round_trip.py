"""The time of a round trip to the server."""

from __future__ import annotations

__all__ = ["RoundTrip"]


class RoundTrip:
    """The least time in which a statement was answered: one round trip and hardly any work."""

    __slots__ = ("measurements", "statement_s")

    def __init__(self) -> None:
        self.measurements = 0
        self.statement_s = float("inf")

    def record(self, elapsed_s: float) -> None:
        """Record the time of a statement."""
        self.measurements += 1
        self.statement_s = min(self.statement_s, elapsed_s)
