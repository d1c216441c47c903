"""The measured costs of one read: whether its calls share round trips, and in which form."""

from __future__ import annotations

from typing import Any

from plainsql.database.execution.batched_statement import BatchedStatement
from plainsql.database.execution.prepared_statements import is_prepared
from plainsql.database.pool.round_trip import RoundTrip
from plainsql.query import CompiledQuery, QueryText

__all__ = ["ReadCosts"]

_WORK_S = 0.0003
"""Seconds. A call with more work than this goes alone: others would wait for it, and the server's other
processors can work on it at the same time."""

_LIGHT_S = 0.0001
"""Seconds. Calls with no more work than this share a Sync."""

_NOT_KNOWN_S = 0.00003
"""Seconds that a row by its key is taken for while nothing is measured."""

_WEIGHT = 0.1
"""The weight of a measurement. One above the mean counts as twice the mean at most: another process, a lock
or a new connection has delayed it."""

_BATCHED_FROM_CALLS = 4
"""While nothing is measured, so many calls of one read are batched: fewer cost less one by one."""

_PREPARED_FROM_CALLS = 16
"""A batched statement is prepared on a connection for so many calls, or if they are most of a pipeline: that
takes longer than a few of them."""

_PREPARED_AFTER_CALLS = 1000
"""The same after so many calls that were not batched because it was not prepared."""

_CERTAIN_CALLS = 16
"""A pipeline of so many calls shows what one of them costs, and not the round trip."""

_CLEARLY = 1.5
"""The factor by which the batched form must cost more, to be left: by a key it should cost less."""

_MAX_BATCHED_S = 0.02
"""The most seconds that a batched statement should take: its calls are answered together."""

_MAX_BATCHED = 256
"""The most calls in one batched statement."""

_TRIAL_EVERY = 500
"""The form that is not the cheapest is tried once in so many choices: measurements grow old."""

_MEASURED_ONE_IN = 16
"""One of so many calls that go alone is measured."""


class ReadCosts:
    """The costs of one text of a read, shared by all tenants."""

    __slots__ = (
        "_alone_s",
        "_can_share",
        "_is_doubtful",
        "_is_slow_step",
        "_not_batched",
        "_round_trip",
        "_turns",
        "_until_measured",
        "batched",
        "batched_s",
        "query",
        "shares",
        "single_s",
        "step_s",
        "text",
    )

    def __init__(
        self, query: CompiledQuery[Any, Any], text: QueryText, round_trip: RoundTrip, *, can_share: bool
    ) -> None:
        self.query = query
        self.text = text
        self._round_trip = round_trip
        self._can_share = can_share
        self.batched = BatchedStatement(query, text) if can_share and query.by_key else None
        """The form that answers many calls by one statement; None if the same rows are not proved."""
        self.shares = can_share and query.by_key
        """True if calls share round trips. A row by its key is hardly any work; others are measured first."""
        self.step_s = 0.0
        """Seconds until a call was answered after the one before it; 0 if nothing is measured."""
        self.batched_s = 0.0
        """Seconds of a call in a batched statement; 0 if nothing is measured."""
        self.single_s = 0.0
        """Seconds of a call in a pipeline of this read alone; 0 if nothing is measured."""
        self._alone_s = 0.0
        """Seconds of a call alone, without what delays it; 0 if nothing is measured."""
        self._is_slow_step = False
        """True if its calls took long in shared round trips."""
        self._is_doubtful = False
        """True if PostgreSQL did not understand the batched statement."""
        self._not_batched = 0
        """The calls that were not batched because a connection had not prepared the statement for them."""
        self._turns = 0
        self._until_measured = 0

    def is_measured(self) -> bool:
        """Count a call that goes alone, and return whether it should be measured."""
        self._until_measured -= 1
        if self._until_measured > 0 or not self._can_share:
            return False
        self._until_measured = _MEASURED_ONE_IN if self.shares else 0
        return True

    def record_alone(self, elapsed_s: float, concurrent: int) -> None:
        """Record the time of a call that went alone, on a connection that had prepared its statement, and the
        number of statements at the same time.
        """
        self._round_trip.record(elapsed_s)
        self._alone_s = min(_mean(self._alone_s, elapsed_s), elapsed_s)
        # They share the server's time. Whether it has a processor for each is not known.
        share_s = self._alone_s if self._is_slow_step else self._alone_s / max(concurrent, 1)
        self.shares = share_s - self._round_trip.statement_s < _WORK_S

    def record_step(self, elapsed_s: float) -> None:
        """Record the time of a call in a shared round trip."""
        mean = self.step_s
        self.step_s = (
            mean + _WEIGHT * (min(elapsed_s, max(2 * mean, 2 * _WORK_S)) - mean) if mean else elapsed_s
        )
        if self.step_s > _WORK_S:
            self.shares, self._is_slow_step = False, True
            self.step_s = self._alone_s = 0.0

    @property
    def light_s(self) -> float:
        """The seconds of a call that may share a Sync with others; 0 if it may not."""
        if self.step_s:
            return self.step_s if self.step_s <= _LIGHT_S else 0.0
        return 0.0 if self.batched is None else _NOT_KNOWN_S

    def record_form(self, elapsed_s: float, calls: int, *, is_batch: bool) -> None:
        """Record the time of a pipeline of this read alone, whose calls were batched or not."""
        if calls < _CERTAIN_CALLS:
            return
        call_s = elapsed_s / calls
        if is_batch:
            self.batched_s = _mean(self.batched_s, call_s)
        else:
            self.single_s = _mean(self.single_s, call_s)

    def batch_refused(self) -> None:
        """Record that PostgreSQL did not understand the batched statement."""
        self._is_doubtful = True

    def succeeded_alone(self) -> None:
        """Record that a call has succeeded by itself after its batched statement had failed."""
        if self._is_doubtful and self.batched is not None:
            self.batched.refused = True

    def batch_size(self, calls: int, all_calls: int, connection: Any) -> int:
        """Return how many of so many calls should be batched into one statement on a connection; 0: none.

        They are among ``all_calls`` of a pipeline.
        """
        batched = self.batched
        if batched is None or batched.refused or calls < 2:
            return 0
        self._turns += 1
        cheaper = calls >= _BATCHED_FROM_CALLS
        if (
            cheaper
            and calls < _PREPARED_FROM_CALLS
            and 2 * calls < all_calls
            and not is_prepared(connection, batched.sql)
        ):
            self._not_batched += calls
            cheaper = self._not_batched >= _PREPARED_AFTER_CALLS
            if cheaper:
                self._not_batched = 0
        if self.single_s and self.batched_s > _CLEARLY * self.single_s:
            cheaper = False
        if self._turns % _TRIAL_EVERY == 0:
            cheaper = not cheaper
        if not cheaper:
            return 0
        most = int(_MAX_BATCHED_S / self.batched_s) if self.batched_s else _MAX_BATCHED
        return max(min(calls, most, _MAX_BATCHED), 1)


def _mean(mean: float, value: float) -> float:
    return mean + _WEIGHT * (min(value, 2 * mean) - mean) if mean else value
