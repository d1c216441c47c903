"""The measured cost of calls in one form: means of the recent past, which a busy moment hardly changes."""

from __future__ import annotations

__all__ = ["Cost"]

_WEIGHT = 0.1
"""The weight of a measurement; the first ones weigh more. A measurement above the mean counts as twice the
mean at most: another process, a lock or a new connection has delayed it.
"""


_MANY_CALLS = 8
"""A statement of so many calls shows what one call adds to it."""


class Cost:
    """The cost of a call whose statement runs alone or with others of its kind."""

    __slots__ = ("call_s", "least_s", "measurements", "statement_s", "work_measurements", "work_s")

    def __init__(self) -> None:
        self.measurements = 0
        self.call_s = 0.0
        """Seconds of a statement, divided by its calls and by the statements that ran at the same time. It
        decides whether a query is cheap."""
        self.statement_s = 0.0
        """Seconds of a statement for each of its calls, as its callers wait for it."""
        self.least_s = float("inf")
        """The least measured ``statement_s``."""
        self.work_s = 0.0
        """Seconds of a statement for each of its calls, without the round trip. Measured with many calls
        only: in the time of few, statements that run at the same time weigh too much."""
        self.work_measurements = 0

    def record(self, elapsed_s: float, calls: int, concurrent: float, round_trip_s: float = 0.0) -> None:
        """Record the time of a statement, its number of calls, the number of statements that ran at the same
        time, and the time of a round trip.
        """
        statement_s = elapsed_s / calls
        call_s = statement_s / max(concurrent, 1.0)
        self.least_s = min(self.least_s, statement_s)
        self.measurements += 1
        self.call_s = _mean(self.call_s, call_s, self.measurements)
        self.statement_s = _mean(self.statement_s, statement_s, self.measurements)
        if calls >= _MANY_CALLS:
            self.work_measurements += 1
            work_s = max(elapsed_s - round_trip_s, 0.0) / calls
            self.work_s = _mean(self.work_s, work_s, self.work_measurements)

    @property
    def known(self) -> bool:
        """True if there is a measurement."""
        return self.measurements > 0


def _mean(figure: float, record: float, measurements: int) -> float:
    if measurements == 1:
        return record
    return figure + max(_WEIGHT, 1.0 / measurements) * (min(record, 2 * figure) - figure)
