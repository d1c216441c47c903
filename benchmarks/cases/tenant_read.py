"""One row by its key under row-level security, each call for another tenant than the one before."""

from __future__ import annotations

from benchmarks import data
from benchmarks.cases.base import Admin, Case, Work, expect
from benchmarks.contenders.base import Contender

__all__ = ["TenantRead"]


class TenantRead(Case):
    unit = "calls"

    def __init__(self, tasks: int, *, on_asyncio: bool = False) -> None:
        self.name = f"tenant-read/{tasks}"
        self.title = f"tenant read, {tasks} task{'s' if tasks > 1 else ''}"
        self.tasks = tasks
        self.on_asyncio = on_asyncio

    async def check(self, contender: Contender, admin: Admin) -> None:
        for tenant in (data.TENANTS[3], data.TENANTS[-1], data.TENANTS[3]):
            row = data.values(await contender.get_note(tenant, 5), data.NOTE_COLUMNS)
            expect(row, data.note(tenant, 5), "a tenant's note")

    def work(self, contender: Contender, units: int, seed: int) -> Work:
        tenants = data.random_ids(units, len(data.TENANTS), seed)
        ids = data.random_ids(units, data.NOTES_PER_TENANT, seed + 1)
        calls = [(data.TENANTS[tenant - 1], id) for tenant, id in zip(tenants, ids, strict=True)]
        return Work(contender.get_note, calls, units)
