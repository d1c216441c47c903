"""100,000 rows, which are there already as what a contender takes: tuples, structs, dictionaries, instances.

One that would take too long gets fewer of them; the unit is rows a second, and the report says how many.
"""

from __future__ import annotations

from typing import Any

from benchmarks import data
from benchmarks.cases.base import Admin, Case, Work, expect
from benchmarks.contenders.base import Contender

__all__ = ["BulkInsert"]


class BulkInsert(Case):
    unit = "rows"
    name = "bulk-insert"
    heavy = True
    least = 500

    def __init__(self, rows: int) -> None:
        self.title = f"bulk insert of {rows:,} rows"
        self.most = rows
        self._rows = data.arrivals(rows)
        self._batches: dict[tuple[str, int], Any] = {}

    async def before(self, admin: Admin) -> None:
        await admin.execute("truncate bench.arrivals")

    async def check(self, contender: Contender, admin: Admin) -> None:
        await contender.insert_many(contender.batch_of(self._rows[:100]))
        found = [tuple(record) for record in await admin.fetch("select * from bench.arrivals order by id")]
        expect(found, self._rows[:100], "the rows in the table")

    def work(self, contender: Contender, units: int, seed: int) -> Work:
        # Kept: making instances takes some contenders longer than inserting them, and is not timed.
        key = (contender.name, units)
        if key not in self._batches:
            self._batches[key] = contender.batch_of(self._rows[:units])
        return Work(contender.insert_many, [(self._batches[key],)], units)
