"""What calls have cost in one form: means of the recent past, which a busy moment hardly moves."""

from __future__ import annotations

__all__ = ["Cost"]

_WEIGHT = 0.1
"""The weight of a measurement; the first ones weigh more. One that is above the figure counts as twice the
figure at most: another process, a lock or a new connection has held it up.
"""


_MANY = 8
"""So many calls in a statement say what one of them adds."""


class Cost:
    """What a call costs, its statement running alone or with others of its kind."""

    __slots__ = ("call_s", "least_s", "measurements", "statement_s", "work_measurements", "work_s")

    def __init__(self) -> None:
        self.measurements = 0
        self.call_s = 0.0
        """Seconds of the whole: what a statement took, divided by its calls and by the statements that ran
        beside it: a query is cheap or not by it."""
        self.statement_s = 0.0
        """Seconds of a statement for each of its calls, as its callers wait for it."""
        self.least_s = float("inf")
        """The least of these that was measured."""
        self.work_s = 0.0
        """Seconds of a statement for each of its calls, without the round trip: of those of many calls, for
        in the time of few what runs beside them weighs too much."""
        self.work_measurements = 0

    def measured(self, elapsed_s: float, calls: int, beside: float, round_trip_s: float = 0.0) -> None:
        """Take note of a statement: its time, its calls, how many statements ran at a time, and what a round
        trip takes.
        """
        statement_s = elapsed_s / calls
        call_s = statement_s / max(beside, 1.0)
        self.least_s = min(self.least_s, statement_s)
        self.measurements += 1
        self.call_s = _mean(self.call_s, call_s, self.measurements)
        self.statement_s = _mean(self.statement_s, statement_s, self.measurements)
        if calls >= _MANY:
            self.work_measurements += 1
            work_s = max(elapsed_s - round_trip_s, 0.0) / calls
            self.work_s = _mean(self.work_s, work_s, self.work_measurements)

    @property
    def known(self) -> bool:
        """Whether anything was measured."""
        return self.measurements > 0


def _mean(figure: float, measured: float, measurements: int) -> float:
    if measurements == 1:
        return measured
    return figure + max(_WEIGHT, 1.0 / measurements) * (min(measured, 2 * figure) - figure)
