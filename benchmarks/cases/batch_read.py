"""A hundred rows by a hundred keys, in one call that takes any query's parameter sets."""

from __future__ import annotations

from benchmarks import data
from benchmarks.cases.base import Admin, Case, Work, expect
from benchmarks.contenders.base import Contender

__all__ = ["BatchRead"]

_READS = 100


class BatchRead(Case):
    unit = "calls"
    name = f"batch-read/{_READS}"
    title = f"batch of {_READS} point reads, 1 task"

    def __init__(self, leads: int) -> None:
        self.leads = leads

    async def check(self, contender: Contender, admin: Admin) -> None:
        ids = [self.leads, 3, 1, 3]
        rows = [data.values(row) for row in await contender.get_leads(ids)]
        expect(rows, [data.lead(id) for id in ids], "leads in the order asked for")

    def work(self, contender: Contender, units: int, seed: int) -> Work:
        ids = data.random_ids(units * _READS, self.leads, seed)
        calls = [(ids[start : start + _READS],) for start in range(0, len(ids), _READS)]
        return Work(contender.get_leads, calls, units)
