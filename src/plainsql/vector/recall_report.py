"""The report of a recall measurement: structs for programs, which are JSON as well."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["RecallCase", "RecallMeasurement", "RecallReport"]


class RecallMeasurement(msgspec.Struct, frozen=True, kw_only=True):
    """The searches of one case with one combination of settings, compared with their exact answers."""

    settings: dict[str, str]
    """The settings that were tried, or else those of the query's header; empty for the connection's."""
    recall: float
    """The mean share of the exact answer that was found, from 0 to 1."""
    lowest: float
    """The recall of the worst search."""
    rows: float
    """The rows of a search on average."""
    short: int
    """The number of searches with fewer rows than their exact answers."""
    median_ms: float
    p95_ms: float
    """Times of a search at the client, with the round trip."""
    indexes: tuple[str, ...]
    """The vector indexes that the plan scans; empty if the search is exact."""
    generic: bool
    """True if the plan cache took the generic plan after the first calls."""


class RecallCase(msgspec.Struct, frozen=True, kw_only=True):
    """The searches under one condition: all rows, a filter, or a tenant."""

    name: str
    kind: Literal["all", "filter", "tenant"]
    searches: int
    """The number of searches whose exact answer has rows."""
    matching: int | None
    """The rows that pass the conditions of the first search; ``None`` if its plan does not show them."""
    selectivity: float | None
    """Those rows as a share of the table."""
    exact_rows: float
    """The rows of an exact answer on average: the k of recall@k."""
    exact_ms: float
    """The median time of an exact search."""
    measurements: tuple[RecallMeasurement, ...]
    """In the order of the settings."""


class RecallReport(msgspec.Struct, frozen=True, kw_only=True):
    """The recall of one query's searches."""

    query: str
    file: str
    table: str
    column: str
    """The column whose vectors are searched; empty if it is not known."""
    table_rows: int | None
    compared_by: Literal["distance", "rows"]
    """``distance`` if the result has a column of it: rows as near as the last exact one are right."""
    at_least: float | None
    reached_by: dict[str, str] | None
    """The fastest settings that reach the wanted recall in all cases; ``None`` if there are none, or if no
    recall is wanted."""
    cases: tuple[RecallCase, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_reached(self) -> bool:
        """True if some settings reach the wanted recall in all cases, or if no recall is wanted."""
        return self.at_least is None or self.reached_by is not None
