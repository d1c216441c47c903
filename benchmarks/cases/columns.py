"""Results as columns: rows as a table of Arrow, and vectors as one matrix of NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks import data
from benchmarks.cases.base import Admin, Case, Work, expect
from benchmarks.contenders.base import Contender, NotOfferedError

__all__ = ["Columns", "Matrix"]


class Columns(Case):
    unit = "calls"

    def __init__(self, leads: int, rows: int) -> None:
        self.name = f"columns/{rows}"
        self.title = f"{rows:,} rows as columns, 1 task"
        self.leads = leads
        self.rows = rows

    async def check(self, contender: Contender, admin: Admin) -> None:
        try:
            import pyarrow as pa
        except ImportError:
            raise NotOfferedError("pyarrow, which looks at the answers, is not installed") from None
        table: Any = pa.table(await contender.list_columns(17, self.rows))
        rows = [tuple(row[name] for name in data.COLUMNS) for row in table.to_pylist()]
        expect(rows, [data.lead(id) for id in range(18, 18 + self.rows)], f"{self.rows} leads")

    def work(self, contender: Contender, units: int, seed: int) -> Work:
        starts = data.random_ids(units, self.leads - self.rows, seed)
        return Work(contender.list_columns, [(start, self.rows) for start in starts], units)


class Matrix(Case):
    unit = "vectors"
    name = "matrix"
    heavy = True

    def __init__(self, vectors: int) -> None:
        self.title = f"{vectors:,} vectors of {data.DIMENSIONS} into one matrix"
        # A slice reads them all, some times: never fewer than all.
        self.vectors = self.least = vectors

    async def check(self, contender: Contender, admin: Admin) -> None:
        matrix = await contender.read_matrix(self.vectors)
        expect((matrix.shape, str(matrix.dtype)), ((self.vectors, data.DIMENSIONS), "float32"), "the matrix")
        ids: Sequence[int] = (1, 2, self.vectors)
        expect([matrix[id - 1].tolist() for id in ids], [data.vector(id) for id in ids], "vectors")

    def work(self, contender: Contender, units: int, seed: int) -> Work:
        times = max(1, units // self.vectors)
        return Work(contender.read_matrix, [(self.vectors,)] * times, times * self.vectors)
