"""One row in, its id back; each call is a transaction of its own."""

from __future__ import annotations

from benchmarks import data
from benchmarks.cases.base import Admin, Case, Work, expect
from benchmarks.contenders.base import Contender

__all__ = ["Insert"]


class Insert(Case):
    unit = "calls"

    def __init__(self, tasks: int) -> None:
        self.name = f"insert/{tasks}"
        self.title = f"insert, {tasks} task{'s' if tasks > 1 else ''}"
        self.tasks = tasks
        self.least = 8 * tasks

    async def before(self, admin: Admin) -> None:
        await admin.execute("truncate bench.arrivals")

    async def check(self, contender: Contender, admin: Admin) -> None:
        (_, *row) = data.arrivals(1)[0]
        id = await contender.insert(*row)
        found = await admin.fetchrow("select * from bench.arrivals")
        expect(None if found is None else tuple(found), (id, *row), "the row in the table")

    def work(self, contender: Contender, units: int, seed: int) -> Work:
        return Work(contender.insert, [row[1:] for row in data.arrivals(units)], units)
