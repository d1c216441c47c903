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

    async def check(self, contender: Contender, admin: Admin) -> None:
        await admin.execute("truncate bench.arrivals")
        _, name, email, score, created_at = data.arrivals(1)[0]
        id = await contender.insert(name, email, score, created_at)
        found = await admin.fetchrow("select * from bench.arrivals")
        expect(found and tuple(found), (id, name, email, score, created_at), "the row in the table")

    def work(self, contender: Contender, units: int, seed: int) -> Work:
        return Work(contender.insert, [row[1:] for row in data.arrivals(units)], units)
