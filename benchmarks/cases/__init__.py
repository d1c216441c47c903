"""The cases that are measured: one module for each kind of work."""

from __future__ import annotations

from typing import Final

from benchmarks.cases.base import Case
from benchmarks.cases.batch_read import BatchRead
from benchmarks.cases.bulk_insert import BulkInsert
from benchmarks.cases.columns import Columns, Matrix
from benchmarks.cases.insert import Insert
from benchmarks.cases.many_rows import ManyRows
from benchmarks.cases.mixed import Mixed
from benchmarks.cases.point_read import PointRead
from benchmarks.cases.search import Search, SearchBurst
from benchmarks.cases.tenant_read import TenantRead
from benchmarks.extent import Extent
from benchmarks.round_trip_proxy import ROUND_TRIP_S

__all__ = ["Case", "make_all_cases", "make_cases", "make_network_cases"]

_QUICK: Final = (
    "point-read/",
    "rows/",
    "tenant-read/",
    "mixed/",
    "search-burst/",
    "insert/1",
    "columns/",
    "matrix",
    "bulk-insert",
    "network-point-read/1",
)
_FOR_ALL: Final = ("point-read/1", "point-read/64", "rows/1000", "tenant-read/1", "insert/1", "bulk-insert")
_QUICK_FOR_ALL: Final = ("point-read/1",)
"""The cases of those that are not among the closest: in all, a run would not end in time."""


def make_cases(extent: Extent) -> list[Case]:
    """Return the cases that run inside this process, in their order; for a quick run, fewer."""
    leads = extent.leads
    return _chosen(
        [
            PointRead(leads, 1, on_asyncio=True),
            PointRead(leads, 8),
            PointRead(leads, 64, on_asyncio=not extent.quick),
            PointRead(leads, 256),
            ManyRows(leads, 50),
            ManyRows(leads, 1000, on_asyncio=not extent.quick),
            BatchRead(leads),
            TenantRead(1, on_asyncio=not extent.quick),
            TenantRead(1, in_a_row=10),
            TenantRead(1, in_a_row=None),
            TenantRead(64),
            Mixed(leads, 64),
            Search(1),
            Search(60),
            SearchBurst(),
            Insert(1),
            Insert(64),
            BulkInsert(extent.bulk_rows),
            Columns(leads, 1000),
            Matrix(extent.vectors),
        ],
        extent,
    )


def make_network_cases(extent: Extent) -> list[Case]:
    """Return the cases that reach the server through a network."""
    leads = extent.leads
    cases = [
        PointRead(leads, 1),
        PointRead(leads, 64),
        ManyRows(leads, 1000),
        TenantRead(1),
        Mixed(leads, 64),
    ]
    for case in cases:
        case.name = f"network-{case.name}"
        case.title += f", {1000 * ROUND_TRIP_S:g} ms away"
    return _chosen(cases, extent)


def make_all_cases(extent: Extent) -> list[Case]:
    """Return all of them."""
    return [*make_cases(extent), *make_network_cases(extent)]


def _chosen(cases: list[Case], extent: Extent) -> list[Case]:
    chosen = [case for case in cases if not extent.quick or case.name.startswith(_QUICK)]
    for case in chosen:
        case.for_all = case.name in (_QUICK_FOR_ALL if extent.quick else _FOR_ALL)
    return chosen
