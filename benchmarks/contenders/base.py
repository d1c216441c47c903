"""The work of a contender, each part in the fastest way that its own documentation shows."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, ClassVar
from uuid import UUID

from benchmarks.database import Place

__all__ = ["POOL_SIZE", "PREFETCH", "Contender", "NotOfferedError"]

POOL_SIZE = 10
"""Connections, for every contender: opened at the start where it can be said, and at the most."""
PREFETCH = 500
"""Rows that are read ahead in a stream, for every contender."""

Arrival = tuple[int, str, str, int, datetime]


class NotOfferedError(Exception):
    """This contender has no way to do this; the text says why. The case goes on without it."""


class Contender(ABC):
    """One way to reach the database. Opened once for an event loop; every method may be called by many tasks.

    What is not overridden is not offered.
    """

    name: ClassVar[str]
    """The name in the report."""
    distributions: ClassVar[tuple[str, ...]]
    """The packages whose versions the report shows."""
    environment: Mapping[str, str] = MappingProxyType({})
    """Variables that must be set before its library is imported: it runs in a process of its own."""

    @abstractmethod
    async def open(self, place: Place) -> None:
        """Open the pool."""

    @abstractmethod
    async def close(self) -> None:
        """Close it."""

    async def get_lead(self, id: int) -> Any:
        """Return the lead with this id, as an object with attributes (or, for bare records, keys)."""
        raise NotOfferedError("no point read")

    async def list_leads(self, after: int, limit: int) -> Sequence[Any]:
        """Return ``limit`` leads, the ids above ``after``."""
        raise NotOfferedError("no lists")

    async def get_leads(self, ids: Sequence[int]) -> Sequence[Any]:
        """Return the leads of these ids in their order, in one call that takes any query's parameter sets."""
        raise NotOfferedError("no call that runs one query for many parameter sets and returns the rows")

    async def get_note(self, tenant: UUID, id: int) -> Any:
        """Return the note with this id that row-level security lets the tenant see."""
        raise NotOfferedError("no tenant read")

    async def search(self, embedding: list[float], below: int, limit: int) -> Sequence[Any]:
        """Return the passages nearest to a vector in the buckets below one, nearest first."""
        raise NotOfferedError("no search by vectors here")

    async def search_all(self, searches: Sequence[tuple[list[float], int, int]]) -> Sequence[Sequence[Any]]:
        """Return the answers of several searches that begin together."""
        return await asyncio.gather(*(self.search(*search) for search in searches))

    async def get_contact(self, id: int) -> Any:
        """Return the name and the address of a lead, as `get_lead` returns the whole."""
        raise NotOfferedError("no mixed load here")

    async def get_score(self, id: int) -> int:
        """Return the score of a lead."""
        raise NotOfferedError("no mixed load here")

    async def has_lead(self, id: int) -> bool:
        """Report whether there is such a lead."""
        raise NotOfferedError("no mixed load here")

    async def count_leads(self, low: int, high: int) -> int:
        """Count the leads with ids from ``low`` to ``high``."""
        raise NotOfferedError("no mixed load here")

    async def add_visit(self, id: int) -> int:
        """Add one to a row's number of visits, and return the sum."""
        raise NotOfferedError("no mixed load here")

    async def list_columns(self, after: int, limit: int) -> Any:
        """Return what `list_leads` does as columns: an object with ``__arrow_c_stream__``."""
        raise NotOfferedError("no columns here")

    async def read_matrix(self, count: int) -> Any:
        """Return the first vectors of bench.vectors as one NumPy array, ``(count, 256) float32``."""
        raise NotOfferedError("no vectors as one array here")

    async def insert(self, name: str, email: str, score: int, created_at: datetime) -> int:
        """Insert one row and return its id."""
        raise NotOfferedError("no insert")

    def batch_of(self, arrivals: Sequence[Arrival]) -> Any:
        """Turn rows into what `insert_many` takes. Not timed: an application has its rows in some form."""
        return arrivals

    async def insert_many(self, batch: Any) -> None:
        """Insert all rows of a batch."""
        raise NotOfferedError("no bulk insert")

    def stream(self) -> AsyncIterator[Any]:
        """Iterate over all leads in the order of their ids, in bounded memory."""
        raise NotOfferedError("no stream")
