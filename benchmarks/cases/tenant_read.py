"""One row by its key under row-level security: of another tenant each time, of one some times, or always."""

from __future__ import annotations

from benchmarks import data
from benchmarks.cases.base import Admin, Case, Work, expect
from benchmarks.contenders.base import Contender

__all__ = ["TenantRead"]


class TenantRead(Case):
    unit = "calls"

    def __init__(self, tasks: int, *, in_a_row: int | None = 1, on_asyncio: bool = False) -> None:
        """``in_a_row``: so many calls for one tenant, as a request makes them, before the next tenant's; with
        None, all of a slice.
        """
        kind = "tenant-same" if in_a_row is None else "tenant-read" if in_a_row == 1 else "tenant-request"
        self.name = f"{kind}/{tasks}"
        self.title = f"tenant read, {tasks} task{'s' if tasks > 1 else ''}"
        if in_a_row is None:
            self.title += ", the same tenant"
        elif in_a_row > 1:
            self.title += f", {in_a_row} in a row for one tenant"
        self.in_a_row = in_a_row
        self.tasks = tasks
        self.on_asyncio = on_asyncio

    async def check(self, contender: Contender, admin: Admin) -> None:
        for tenant in (data.TENANTS[3], data.TENANTS[-1], data.TENANTS[3]):
            row = data.values(await contender.get_note(tenant, 5), data.NOTE_COLUMNS)
            expect(row, data.note(tenant, 5), "a tenant's note")

    def work(self, contender: Contender, units: int, seed: int) -> Work:
        in_a_row = self.in_a_row or units
        changes = data.random_ids(-(-units // in_a_row), len(data.TENANTS), seed)
        tenants = [tenant for tenant in changes for _ in range(in_a_row)][:units]
        ids = data.random_ids(units, data.NOTES_PER_TENANT, seed + 1)
        calls = [(data.TENANTS[tenant - 1], id) for tenant, id in zip(tenants, ids, strict=True)]
        return Work(contender.get_note, calls, units)
