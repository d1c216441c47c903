"""The forms in which concurrent calls of one read may run, and the choice of the cheapest.

- *alone*: each call is a statement on a connection of its own;
- *pipelined*: one prepared statement, executed for each call, in one round trip (`pipelined_statement`);
- *batched*: one statement over arrays of the calls' arguments (`batched_statement`), for reads by a unique
key
  only.

All return the same rows. Their costs differ, depending on the query, the server and the network. So the costs
are measured while the program runs, and the costlier forms are left alone but for a trial now and then.
"""

from __future__ import annotations

import sys
from typing import Any

from plainsql.database.execution.batched_statement import BatchedStatement
from plainsql.database.execution.cost import Cost
from plainsql.database.execution.pipelined_statement import PipelinedStatement
from plainsql.database.pool.round_trip import RoundTrip
from plainsql.query import CompiledQuery, QueryText

__all__ = ["Form", "Forms", "FormsByText"]

Form = BatchedStatement | PipelinedStatement

_BATCHED_FROM_CALLS = 4
"""While nothing is measured, so many calls are batched and not pipelined: fewer save less than the batched
statement costs."""

_WORK_ROUND_TRIPS = 8
"""A statement that takes so many round trips is mostly work, which costs the same in every form. Its calls go
alone: together they would only wait for each other.
"""

_SAVED_ROUND_TRIPS = 0.7
"""The round trips that a call saves if it is sent with others. If its work is more, the waiting of the others
is not worth it. (Measured: a read of twenty rows is 12 % slower together, one of three rows 40 % faster.)
"""

_TRIAL_EVERY = 1000
"""The form that is not the cheapest is tried once in so many choices, because measurements grow old. Not more
often: the first five executions on each connection are planned one by one.
"""

_TRIAL_EVERY_ALONE = 64
"""The same for calls that go together, counted in calls that are measured alone."""

_CERTAIN_MEASUREMENTS = 4
"""So many measurements decide that calls go alone: the first groups run while connections are being
opened."""


class Forms:
    """The forms of one text of a query, shared by all tenants."""

    __slots__ = (
        "_is_exact",
        "_round_trip",
        "_turns",
        "alone",
        "batched",
        "call_s",
        "pipelined",
        "prefers_alone",
        "trial",
    )

    def __init__(
        self,
        query: CompiledQuery[Any, Any],
        text: QueryText,
        *,
        by_key: bool,
        round_trip: RoundTrip | None = None,
    ) -> None:
        self._round_trip = round_trip or RoundTrip()
        self.alone = Cost()
        self.pipelined = PipelinedStatement(query, text)
        self.batched = BatchedStatement(query, text) if by_key else None
        """None for a query that is not proved to have the same plan and rows in that form."""
        self.prefers_alone = self._refused
        """True if calls cost least alone."""
        self.call_s = 0.0
        """Seconds that a call costs in the cheapest form, as far as is known."""
        self.trial = False
        """True if the next calls that arrive together are sent together all the same, to measure the cost."""
        self._is_exact = False
        """True if ``alone`` holds times without preparing."""
        self._turns = 0

    @property
    def _refused(self) -> bool:
        return self.pipelined.refused and (self.batched is None or self.batched.refused)

    def seconds(self, form: Form, calls: int) -> float:
        """Return about how long a statement for so many calls takes."""
        alone_s = self.alone.statement_s
        return alone_s + calls * self._more_s(form)

    def most(self, form: Form, longest_s: float) -> int:
        """Return how many calls a statement may hold without taking longer than that."""
        more_s = self._more_s(form)
        return 1 + int(longest_s / more_s) if more_s > 0 else sys.maxsize

    def _more_s(self, form: Form) -> float:
        """Return the seconds that one more call adds to a statement: at least half of its share, because the
        round trip belongs to no call.
        """
        return form.cost.statement_s / 2 if form.cost.known else self.alone.statement_s

    def choose(self, calls: int) -> Form | None:
        """Return the form for so many calls; None: each alone."""
        if calls < 2:
            return None
        pipelined = None if self.pipelined.refused else self.pipelined
        batched = self.batched
        if batched is None or batched.refused or (calls < _BATCHED_FROM_CALLS and pipelined is not None):
            return pipelined
        if pipelined is None:
            return batched
        self._turns += 1
        first: Form = batched
        second: Form = pipelined
        both = batched.cost.work_measurements and pipelined.cost.work_measurements
        if both and pipelined.cost.work_s < batched.cost.work_s:
            first, second = second, first
        return second if self._turns % _TRIAL_EVERY == 0 else first

    def record_alone(self, elapsed_s: float, *, prepared: bool) -> None:
        """Record a call that ran alone while others of its kind did.

        If its connection had to prepare the statement first, it counts only until there is another.
        """
        if prepared and not self._is_exact:
            self.alone = Cost()
            self._is_exact = True
        if prepared or not self._is_exact:
            self.alone.record(elapsed_s, 1, 1)
        if prepared:
            self._round_trip.record(elapsed_s)
        self._compare()
        self._turns += 1
        if self.prefers_alone and self._turns % _TRIAL_EVERY_ALONE == 0:
            self.trial = not (self._refused or self._is_work)

    def record(self, form: Form, elapsed_s: float, calls: int, concurrent: float) -> None:
        """Record calls that ran together, and the number of statements that ran at the same time."""
        form.cost.record(elapsed_s, calls, concurrent, self._round_trip.statement_s)
        self._compare()

    def refuse(self, form: Form) -> None:
        """Record that PostgreSQL does not accept the query in a form."""
        form.refused = True
        self._compare()

    @property
    def _is_work(self) -> bool:
        return self._is_exact and self.alone.least_s > _WORK_ROUND_TRIPS * self._round_trip.statement_s

    def _compare(self) -> None:
        costs = [form.cost for form in (self.pipelined, self.batched) if form is not None and form.cost.known]
        self.call_s = min((cost.call_s for cost in costs), default=self.alone.statement_s)
        if self._refused or self._is_work:
            self.prefers_alone = True
        elif self.batched is not None and not self.batched.refused:
            self.prefers_alone = False  # a row by its key is never much work
        else:
            work = self.pipelined.cost
            self.prefers_alone = (
                work.work_measurements >= _CERTAIN_MEASUREMENTS
                and work.work_s > _SAVED_ROUND_TRIPS * self._round_trip.statement_s
            )


class FormsByText:
    """The forms of all reads of a database, with the measurements of each."""

    __slots__ = ("_autobatch", "_forms", "_round_trip")

    def __init__(self, round_trip: RoundTrip, *, autobatch: bool) -> None:
        self._round_trip = round_trip
        self._autobatch = autobatch
        self._forms: dict[int, Forms] = {}
        """By the identity of a text's variant, which the forms keep alive."""

    def of(self, query: CompiledQuery[Any, Any], text: QueryText) -> Forms:
        """Return the forms of one text of a read."""
        forms = self._forms.get(id(text.variant))
        if forms is None:
            by_key = query.by_key and self._autobatch
            forms = Forms(query, text, by_key=by_key, round_trip=self._round_trip)
            self._forms[id(text.variant)] = forms
        return forms
