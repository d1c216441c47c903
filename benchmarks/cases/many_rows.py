"""A run of rows in one result."""

from __future__ import annotations

from benchmarks import data
from benchmarks.cases.base import Admin, Case, Work, expect
from benchmarks.contenders.base import Contender

__all__ = ["ManyRows"]


class ManyRows(Case):
    unit = "calls"

    def __init__(self, leads: int, rows: int, *, on_asyncio: bool = False) -> None:
        self.name = f"rows/{rows}"
        self.title = f"{rows:,} rows, 1 task"
        self.leads = leads
        self.rows = rows
        self.on_asyncio = on_asyncio

    async def check(self, contender: Contender, admin: Admin) -> None:
        rows = [data.values(row) for row in await contender.list_leads(17, self.rows)]
        expect(rows, [data.lead(id) for id in range(18, 18 + self.rows)], f"{self.rows} leads")

    def work(self, contender: Contender, units: int, seed: int) -> Work:
        starts = data.random_ids(units, self.leads - self.rows, seed)
        return Work(contender.list_leads, [(start, self.rows) for start in starts], units)
