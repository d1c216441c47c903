"""What calls have cost in one form: figures that follow the recent past, and that a busy moment does not
move.
"""

from __future__ import annotations

__all__ = ["Cost", "Floor"]

_DOWN = 0.5
"""The weight of a measurement that is below the figure."""

_UP = 0.04
"""The weight of one that is above it, which counts as twice the figure at most. So the figure stays near
the lower quartile: what a statement costs if no other process, lock or new connection holds it up."""


class Cost:
    """What a call costs, its statement running alone or with others of its kind."""

    __slots__ = ("call_s", "known", "least_s", "statement_s")

    def __init__(self) -> None:
        self.known = False
        """Whether anything was measured."""
        self.call_s = 0.0
        """Seconds of the whole: what a statement took, divided by its calls and by the statements that ran
        beside it. The forms are compared by it."""
        self.statement_s = 0.0
        """Seconds of a statement for each of its calls, as its callers wait for it."""
        self.least_s = float("inf")
        """The least of these that was measured."""

    def measured(self, elapsed_s: float, calls: int, beside: float) -> None:
        """Take note of a statement: its time, its calls, and how many statements ran at a time."""
        statement_s = elapsed_s / calls
        call_s = statement_s / max(beside, 1.0)
        self.least_s = min(self.least_s, statement_s)
        if not self.known:
            self.known = True
            self.call_s, self.statement_s = call_s, statement_s
            return
        self.call_s = _moved(self.call_s, call_s)
        self.statement_s = _moved(self.statement_s, statement_s)


class Floor:
    """The least time in which a statement was answered: one round trip, and hardly any work."""

    __slots__ = ("measurements", "statement_s")

    def __init__(self) -> None:
        self.measurements = 0
        self.statement_s = float("inf")

    def measured(self, elapsed_s: float) -> None:
        """Take note of a statement."""
        self.measurements += 1
        self.statement_s = min(self.statement_s, elapsed_s)


def _moved(figure: float, measured: float) -> float:
    if measured < figure:
        return figure + _DOWN * (measured - figure)
    return figure + _UP * min(measured - figure, figure)
