"""Different calls at the same time: six reads and two writes in each eight, in any order."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks import data
from benchmarks.cases.base import Admin, Case, Work, expect
from benchmarks.contenders.base import Contender

__all__ = ["Mixed"]

_FEW_ROWS = 10
_COUNTED = 50


class Mixed(Case):
    unit = "calls"

    def __init__(self, leads: int, tasks: int) -> None:
        self.name = f"mixed/{tasks}"
        self.title = f"six reads and two writes, {tasks} tasks"
        self.tasks = tasks
        self.leads = leads
        self._visited = min(leads, data.VISITED)

    async def check(self, contender: Contender, admin: Admin) -> None:
        id = self.leads // 2
        lead = data.lead(id)
        contact = data.values(await contender.get_contact(id), data.CONTACT_COLUMNS)
        expect(contact, lead[1:3], f"the contact of lead {id}")
        expect(await contender.get_score(id), lead[3], f"the score of lead {id}")
        has = [await contender.has_lead(id), await contender.has_lead(self.leads + 1)]
        expect(has, [True, False], "whether there are leads")
        expect(await contender.count_leads(11, 60), 50, "a number of leads")
        rows = [data.values(row) for row in await contender.list_leads(17, _FEW_ROWS)]
        expect(rows, [data.lead(id) for id in range(18, 18 + _FEW_ROWS)], f"{_FEW_ROWS} leads")
        expect(data.values(await contender.get_lead(id)), lead, f"lead {id}")
        visits = await admin.fetchval("select v.visits from bench.visits as v where v.id = 7")
        expect(await contender.add_visit(7), visits + 1, "a number of visits")
        _, name, email, score, created_at = data.arrivals(1)[0]
        new = await contender.insert(name, email, score, created_at)
        found = await admin.fetchrow("select a.* from bench.arrivals as a where a.id = $1", new)
        expect(found and tuple(found), (new, name, email, score, created_at), "the row in the table")

    def work(self, contender: Contender, units: int, seed: int) -> Work:
        choose = random.Random(seed)
        arrivals = data.arrivals(-(-units // 8))
        last = self.leads - max(_FEW_ROWS, _COUNTED)
        calls: list[tuple[Any, ...]] = []
        for arrival in arrivals:
            ids = [choose.randint(1, last) for _ in range(6)]
            eight = [
                (contender.get_lead, ids[0]),
                (contender.list_leads, ids[1], _FEW_ROWS),
                (contender.get_contact, ids[2]),
                (contender.get_score, ids[3]),
                (contender.has_lead, ids[4]),
                (contender.count_leads, ids[5], ids[5] + _COUNTED - 1),
                (contender.add_visit, choose.randint(1, self._visited)),
                (contender.insert, *arrival[1:]),
            ]
            choose.shuffle(eight)
            calls += eight
        return Work(_call, calls[:units], units)


def _call(method: Callable[..., Awaitable[object]], *arguments: object) -> Awaitable[object]:
    return method(*arguments)
