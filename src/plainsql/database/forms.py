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

from plainsql.database.cost import Cost, Floor
from plainsql.database.joined import JoinedStatement
from plainsql.database.pipelined import PipelinedStatement
from plainsql.query import Plan, Query

__all__ = ["Form", "Forms"]

Form = JoinedStatement | PipelinedStatement

_JOINED_FROM = 8
"""So many calls are joined rather than pipelined, as long as nothing is measured: fewer save less than the
joined statement costs (measured: equal at 8 to 16 calls)."""

_WORK = 2.5
"""A statement that takes so many round trips' time is mostly work, which costs the same in every form: its
calls go alone, for together they would only wait for each other. (Measured: a read of twenty rows takes
three, and goes 12 % slower together; one of three rows takes little more than one, and goes 40 % faster.)
"""

_NEVER_S = 1e9
"""The cost of a form that was not measured."""

_TRIAL = 64
"""Each so-many-th time, the form that is not the cheapest is tried: what was measured grows old."""

_TRIAL_ALONE = 16
"""The same for calls together, counted in calls that are measured alone."""

_TRIAL_TOGETHER = 128
"""The same for calls alone, counted in groups."""


class Forms:
    """The forms of one variant of a query, shared by all tenants."""

    __slots__ = (
        "_floor",
        "_is_exact",
        "_turns",
        "_until_alone",
        "alone",
        "call_s",
        "joined",
        "pipelined",
        "prefers_alone",
        "trial",
    )

    def __init__(
        self, query: Query[..., Any, Any], plan: Plan, *, joins: bool, floor: Floor | None = None
    ) -> None:
        self._floor = floor or Floor()
        self.alone = Cost()
        self.pipelined = PipelinedStatement(query, plan)
        self.joined = JoinedStatement(query, plan) if joins else None
        """None for a query that is not proved to have the same plan and rows in that form."""
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
        self._until_alone = _TRIAL_TOGETHER

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
        if joined.cost.known and pipelined.cost.known and pipelined.cost.call_s < joined.cost.call_s:
            first, second = second, first
        return second if self._turns % _TRIAL == 0 else first

    def measured_alone(self, elapsed_s: float, beside: float, *, prepared: bool) -> None:
        """Take note of a call that ran alone, with others of its kind beside it.

        One whose connection had to prepare the statement first counts until there is another.
        """
        if prepared and not self._is_exact:
            self.alone = Cost()
            self._is_exact = True
        if prepared or not self._is_exact:
            self.alone.measured(elapsed_s, 1, beside)
        if prepared:
            self._floor.measured(elapsed_s)
        self._compare()
        self._turns += 1
        if self.prefers_alone and self._turns % _TRIAL_ALONE == 0:
            self.trial = self.pipelined.cost.known and not self._refused

    def measured(self, form: Form, elapsed_s: float, calls: int, beside: float) -> None:
        """Take note of calls that ran together."""
        form.cost.measured(elapsed_s, calls, beside)
        self._until_alone -= 1
        self._compare()

    def tries_alone(self) -> bool:
        """Whether a few calls should run alone now, though they cost less together, to see what it costs."""
        if self._until_alone > 0:
            return False
        self._until_alone = _TRIAL_TOGETHER
        return True

    def refuse(self, form: Form) -> None:
        """Take note that PostgreSQL does not take the query in a form."""
        form.refused = True
        self._compare()

    def _compare(self) -> None:
        alone_s = self.alone.call_s if self.alone.known else _NEVER_S
        pipelined, joined = self.pipelined, self.joined
        together_s = _NEVER_S
        if pipelined.cost.known and not pipelined.refused:
            together_s = pipelined.cost.call_s
        if joined is not None and joined.cost.known and not joined.refused:
            together_s = min(together_s, joined.cost.call_s)
        self.call_s = min(alone_s, together_s)
        is_work = self._is_exact and self.alone.least_s > _WORK * self._floor.statement_s
        if self._refused or is_work:
            self.prefers_alone, self.trial = True, False
        else:
            self.prefers_alone = alone_s <= together_s < _NEVER_S
