"""The cases that are measured: one module for each kind of work."""

from __future__ import annotations

from benchmarks.cases.base import Case
from benchmarks.cases.batch_read import BatchRead
from benchmarks.cases.bulk_insert import BulkInsert
from benchmarks.cases.insert import Insert
from benchmarks.cases.many_rows import ManyRows
from benchmarks.cases.point_read import PointRead
from benchmarks.cases.search import Search
from benchmarks.cases.tenant_read import TenantRead
from benchmarks.extent import Extent

__all__ = ["Case", "make_cases"]


def make_cases(extent: Extent) -> list[Case]:
    """Return the cases that run inside this process, in their order; for a quick run, fewer."""
    leads = extent.leads
    if extent.quick:
        return [
            PointRead(leads, 1, on_asyncio=True),
            PointRead(leads, 64),
            PointRead(leads, 256),
            ManyRows(leads, 1000),
            BatchRead(leads),
            TenantRead(1),
            TenantRead(1, in_a_row=10),
            TenantRead(1, in_a_row=None),
            Search(1),
            Search(60),
            Insert(1),
            BulkInsert(extent.bulk_rows),
        ]
    return [
        PointRead(leads, 1, on_asyncio=True),
        PointRead(leads, 8),
        PointRead(leads, 64, on_asyncio=True),
        PointRead(leads, 256),
        ManyRows(leads, 50),
        ManyRows(leads, 1000, on_asyncio=True),
        BatchRead(leads),
        TenantRead(1, on_asyncio=True),
        TenantRead(1, in_a_row=10),
        TenantRead(1, in_a_row=None),
        TenantRead(64),
        Search(1),
        Search(60),
        Insert(1),
        Insert(64),
        BulkInsert(extent.bulk_rows),
    ]
