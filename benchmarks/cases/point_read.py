"""One row by its key, by some concurrent tasks."""

from __future__ import annotations

from benchmarks import data
from benchmarks.cases.base import Admin, Case, Work, expect
from benchmarks.contenders.base import Contender

__all__ = ["PointRead"]


class PointRead(Case):
    unit = "calls"

    def __init__(self, leads: int, tasks: int, *, on_asyncio: bool = False) -> None:
        self.name = f"point-read/{tasks}"
        self.title = f"point read, {tasks} task{'s' if tasks > 1 else ''}"
        self.tasks = tasks
        self.leads = leads
        self.on_asyncio = on_asyncio

    async def check(self, contender: Contender, admin: Admin) -> None:
        for id in (1, self.leads // 2, self.leads):
            expect(data.values(await contender.get_lead(id)), data.lead(id), f"lead {id}")

    def work(self, contender: Contender, units: int, seed: int) -> Work:
        ids = data.random_ids(units, self.leads, seed)
        return Work(contender.get_lead, [(id,) for id in ids], units)
