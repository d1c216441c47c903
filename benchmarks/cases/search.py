"""The ten passages nearest to a vector, with a filter, by some concurrent tasks."""

from __future__ import annotations

import asyncio

from benchmarks import data
from benchmarks.cases.base import Admin, Case, Work, expect
from benchmarks.contenders.base import Contender

__all__ = ["Search"]

_COMPARED = 60
_LIMIT = 10
_RECALL = 0.8


class Search(Case):
    unit = "calls"

    def __init__(self, tasks: int) -> None:
        self.name = f"search/{tasks}"
        self.title = f"vector search, {tasks} task{'s' if tasks > 1 else ''}"
        self.tasks = tasks

    async def check(self, contender: Contender, admin: Admin) -> None:
        """Compare the rows and their order with those of single searches, and those with the exact answer."""
        searches = [(*data.search(number), _LIMIT) for number in range(_COMPARED)]
        found = await asyncio.gather(*(contender.search(*search) for search in searches))
        hits = wanted = 0
        for (embedding, below, limit), rows in zip(searches, found, strict=True):
            alone: list[int] = []
            exact: list[int] = []
            for answer_ids, indexes in ((alone, "on"), (exact, "off")):
                async with admin.transaction():
                    await admin.execute(f"set local enable_indexscan = {indexes}")
                    await admin.execute("set local hnsw.iterative_scan = strict_order")
                    answer = await admin.fetch(data.SEARCH, data.vector_text(embedding), below, limit)
                    answer_ids += [row["id"] for row in answer]
            ids = [data.values(row, ("id", "distance"))[0] for row in rows]
            expect(ids, alone, "the rows of a single search")
            hits, wanted = hits + len({*alone} & {*exact}), wanted + len(exact)
        expect(hits >= _RECALL * wanted, True, f"a recall of {_RECALL}")

    def work(self, contender: Contender, units: int, seed: int) -> Work:
        numbers = data.random_ids(units, data.SEARCHES, seed)
        return Work(contender.search, [(*data.search(number), _LIMIT) for number in numbers], units)
