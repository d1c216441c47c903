"""A vector store, each part in the fastest way that its own documentation shows."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DIMENSIONS",
    "EF_CONSTRUCTION",
    "FILTERS",
    "LIMIT",
    "POOL_SIZE",
    "Filter",
    "M",
    "Rows",
    "Server",
    "Store",
    "make_rows",
]

DIMENSIONS = 256
LIMIT = 10
M, EF_CONSTRUCTION = 16, 64
"""The parameters of every HNSW index: pgvector's defaults."""
POOL_SIZE = 10
"""Connections of every store that has a setting for them."""
FILTERS = {"section": 100, "shelf": 1000}
"""The columns to filter by, with the number of their values: 1 % and 0.1 % of the rows have each."""

Filter = tuple[str, int] | None


@dataclass(frozen=True)
class Rows:
    """Rows to store; the id of a row is its place."""

    first: int
    """The id of the first."""
    texts: Sequence[str]
    section: NDArray[np.int64]
    shelf: NDArray[np.int64]
    embeddings: NDArray[np.float32]


def make_rows(texts: Sequence[str], embeddings: NDArray[np.float32], first: int = 0) -> Rows:
    """Return rows, with values to filter by that have nothing to do with the texts."""
    shelf = np.arange(first, first + len(texts)) * 7919 % FILTERS["shelf"]
    return Rows(first, texts, shelf % FILTERS["section"], shelf, embeddings)


@dataclass(frozen=True)
class Server:
    """The database, through a Unix socket."""

    folder: str
    port: int
    user: str
    database: str

    def url(self, driver: str = "") -> str:
        scheme = f"postgresql+{driver}" if driver else "postgresql"
        return f"{scheme}://{self.user}@/{self.database}?host={quote(self.folder, safe='')}&port={self.port}"


class Store(ABC):
    """One library, on a table of its own."""

    title: ClassVar[str]
    """The name in the report."""
    distribution: ClassVar[str]
    """The package whose version the report shows."""
    table: ClassVar[str]

    def __init__(self, server: Server) -> None:
        self.server = server

    @abstractmethod
    async def create(self) -> None:
        """Create the table, with what its filters need, and without an index of vectors."""

    @abstractmethod
    def prepare(self, rows: Rows) -> Any:
        """Return rows in the form that the library takes. Not timed."""

    @abstractmethod
    async def add(self, prepared: Any) -> None:
        """Store them."""

    @abstractmethod
    async def index(self) -> None:
        """Create the index of vectors."""

    @abstractmethod
    async def ready(self, ef_search: int) -> None:
        """Make ready for searches with as many candidates."""

    @abstractmethod
    def question(self, embedding: NDArray[np.float32]) -> Any:
        """Return a vector in the form that the library takes. Not timed."""

    @abstractmethod
    async def search(self, question: Any, filtered: Filter) -> Any:
        """Return the rows nearest to a vector, with text and distance, as the library returns them."""

    @abstractmethod
    def ids(self, answer: Any) -> list[int]:
        """Return the ids of an answer in its order. Not timed."""

    async def search_planned(self, question: Any, filtered: Filter) -> Any:
        """Search with the plan that PostgreSQL chooses, if `search` says which one with a filter."""
        raise NotImplementedError

    async def search_all(self, questions: Sequence[Any], filtered: Sequence[Filter]) -> Sequence[Any]:
        """Return the answers of several searches that begin together."""
        return await asyncio.gather(*map(self.search, questions, filtered))

    async def search_batch(self, questions: Sequence[Any], filtered: Sequence[Filter]) -> Sequence[Any]:
        """Return the answers of several searches that are one call."""
        raise NotImplementedError

    @abstractmethod
    async def close(self) -> None:
        """Close its connections."""
