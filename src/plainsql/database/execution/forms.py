"""The forms in which concurrent calls of one read may run, and which of them costs least.

- *alone*: each call is a statement on a connection of its own;
- *pipelined*: one prepared statement, executed for each call, in one round trip (`pipelined`);
- *joined*: one statement over the arrays of the calls' arguments (`joined`), for reads by a unique key only.

All return the same rows. They differ in what they cost, which depends on the query, the server and the
network; so it is measured while the program runs, and the costlier forms are left, but for a trial now and
then.
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

_JOINED_FROM = 4
"""So many calls are joined rather than pipelined, as long as nothing is measured: fewer save less than the
joined statement costs."""

_WORK = 8
"""A statement that takes so many round trips' time is mostly work, which costs the same in every form: its
calls go alone, for together they would only wait for each other.
"""

_SAVED = 0.7
"""What a call saves that is sent with others, in round trips. If its work is more, the others' waiting is not
worth it. (Measured: a read of twenty rows is 12 % slower together, one of three rows 40 % faster.)
"""

_TRIAL = 1000
"""Each so-many-th time, the form that is not the cheapest is tried: what was measured grows old. Not more
often: the first five executions on each connection are planned one by one.
"""

_TRIAL_ALONE = 64
"""The same for calls together, counted in calls that are measured alone."""

_CERTAIN = 4
"""So many measurements decide that calls go alone: the first groups run beside connections that open."""


class Forms:
    """The forms of one variant of a query, shared by all tenants."""

    __slots__ = (
        "_is_exact",
        "_round_trip",
        "_turns",
        "alone",
        "call_s",
        "joined",
        "pipelined",
        "prefers_alone",
        "trial",
    )

    def __init__(
        self,
        query: CompiledQuery[Any, Any],
        text: QueryText,
        *,
        joins: bool,
        round_trip: RoundTrip | None = None,
    ) -> None:
        self._round_trip = round_trip or RoundTrip()
        self.alone = Cost()
        self.pipelined = PipelinedStatement(query, text)
        self.joined = BatchedStatement(query, text) if joins else None
        """None for a query that is not proved to have the same text and rows in that form."""
        self.prefers_alone = self._refused
        """Whether calls cost least alone."""
        self.call_s = 0.0
        """Seconds that a call costs in the cheapest form, as far as is known."""
        self.trial = False
        """Whether the next calls that arrive together are sent together all the same, to see what it
        costs."""
        self._is_exact = False
        """Whether ``alone`` holds statements alone, and no preparing."""
        self._turns = 0

    @property
    def _refused(self) -> bool:
        return self.pipelined.refused and (self.joined is None or self.joined.refused)

    def seconds(self, form: Form, calls: int) -> float:
        """Return about how long a statement for so many calls takes."""
        alone_s = self.alone.statement_s
        return alone_s + calls * self._more_s(form)

    def most(self, form: Form, longest_s: float) -> int:
        """Return how many calls a statement may hold so that it takes no longer than that."""
        more_s = self._more_s(form)
        return 1 + int(longest_s / more_s) if more_s > 0 else sys.maxsize

    def _more_s(self, form: Form) -> float:
        """Return what one call more adds to a statement: at least half of its share, for the round trip is no
        one's.
        """
        return form.cost.statement_s / 2 if form.cost.known else self.alone.statement_s

    def choose(self, calls: int) -> Form | None:
        """Return the form for so many calls; None: each alone."""
        if calls < 2:
            return None
        pipelined = None if self.pipelined.refused else self.pipelined
        joined = self.joined
        if joined is None or joined.refused or (calls < _JOINED_FROM and pipelined is not None):
            return pipelined
        if pipelined is None:
            return joined
        self._turns += 1
        first: Form = joined
        second: Form = pipelined
        both = joined.cost.work_measurements and pipelined.cost.work_measurements
        if both and pipelined.cost.work_s < joined.cost.work_s:
            first, second = second, first
        return second if self._turns % _TRIAL == 0 else first

    def measured_alone(self, elapsed_s: float, *, prepared: bool) -> None:
        """Take note of a call that ran alone, with others of its kind beside it.

        One whose connection had to prepare the statement first counts until there is another.
        """
        if prepared and not self._is_exact:
            self.alone = Cost()
            self._is_exact = True
        if prepared or not self._is_exact:
            self.alone.measured(elapsed_s, 1, 1)
        if prepared:
            self._round_trip.measured(elapsed_s)
        self._compare()
        self._turns += 1
        if self.prefers_alone and self._turns % _TRIAL_ALONE == 0:
            self.trial = not (self._refused or self._is_work)

    def measured(self, form: Form, elapsed_s: float, calls: int, beside: float) -> None:
        """Take note of calls that ran together, and of how many statements ran beside theirs."""
        form.cost.measured(elapsed_s, calls, beside, self._round_trip.statement_s)
        self._compare()

    def refuse(self, form: Form) -> None:
        """Take note that PostgreSQL does not take the query in a form."""
        form.refused = True
        self._compare()

    @property
    def _is_work(self) -> bool:
        return self._is_exact and self.alone.least_s > _WORK * self._round_trip.statement_s

    def _compare(self) -> None:
        costs = [form.cost for form in (self.pipelined, self.joined) if form is not None and form.cost.known]
        self.call_s = min((cost.call_s for cost in costs), default=self.alone.statement_s)
        if self._refused or self._is_work:
            self.prefers_alone = True
        elif self.joined is not None and not self.joined.refused:
            self.prefers_alone = False  # a row by its key is never much work
        else:
            work = self.pipelined.cost
            self.prefers_alone = (
                work.work_measurements >= _CERTAIN and work.work_s > _SAVED * self._round_trip.statement_s
            )


class FormsByText:
    """The forms of all reads of a database, with what was measured of each."""

    __slots__ = ("_autobatch", "_forms", "_round_trip")

    def __init__(self, round_trip: RoundTrip, *, autobatch: bool) -> None:
        self._round_trip = round_trip
        self._autobatch = autobatch
        self._forms: dict[int, Forms] = {}
        """By the identity of a query's text, which the forms keep alive."""

    def of(self, query: CompiledQuery[Any, Any], text: QueryText) -> Forms:
        """Return the forms of one text of a read."""
        forms = self._forms.get(id(text))
        if forms is None:
            joins = query.by_key and self._autobatch
            forms = self._forms[id(text)] = Forms(query, text, joins=joins, round_trip=self._round_trip)
        return forms
