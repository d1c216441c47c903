"""The results of a vector run: plain data, written as JSON and read by the report, the page and the chart."""

from __future__ import annotations

import msgspec

from benchmarks.results import Machine

__all__ = ["Searched", "Setting", "StoreResults", "VectorResults"]


class StoreResults(msgspec.Struct):
    """One store: how fast it took the rows."""

    title: str
    version: str
    load_rates: list[float] = []
    """Rows a second without an index of vectors, one for each round."""
    index_seconds: float = 0.0
    """The time that the server took to build the index."""


class Setting(msgspec.Struct):
    """plainsql's searches with one value of ``hnsw.ef_search``."""

    ef_search: int
    recall: float
    median_ms: float
    p95_ms: float


class Searched(msgspec.Struct):
    """One store's searches of one kind."""

    store: str
    """Its short name."""
    way: str
    """``one`` after another, ``at-once``, or ``batch``; ``one-shared`` is in the rounds of these, where
    clients and server share all processors. ``planned`` is ``one`` with the plan that PostgreSQL chooses.
    """
    filtered: str | None
    """The column of the filter."""
    rates: list[float] = []
    """Searches a second, one for each round."""
    median_ms: float = 0.0
    """The time of a search, if they ran one after another."""
    p95_ms: float = 0.0
    recall: float = 0.0
    fewest_rows: int = 0
    mean_rows: float = 0.0
    same: int = 0
    """The searches with the rows, order and values of the same searches one after another."""
    of: int = 0
    """The searches."""


class VectorResults(msgspec.Struct):
    """A run."""

    machine: Machine
    date: str
    quick: bool
    commit: str
    dirty: bool
    compiled: str
    """The state of plainsql's compiled part, in words."""
    rows: int
    questions: int
    dimensions: int
    digest: str
    """The digest of the texts and vectors: runs with the same one searched the same data."""
    limit: int
    at_once: int
    """The searches of a slice, which are those that begin together."""
    index: str
    """The parameters of every HNSW index."""
    server_settings: dict[str, str]
    ef_search: int = 0
    """The value for all stores: the smallest with which plainsql's recall is as wanted."""
    stores: dict[str, StoreResults] = {}
    missing: dict[str, str] = {}
    """Store → why it took no part."""
    settings: list[Setting] = []
    searched: list[Searched] = []
    took: float = 0.0

    def find(self, store: str, way: str, filtered: str | None = None) -> Searched | None:
        """Return the searches of a store, if it made any of this kind."""
        for one in self.searched:
            if (one.store, one.way, one.filtered) == (store, way, filtered):
                return one
        return None
