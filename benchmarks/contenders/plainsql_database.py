"""plainsql: generated queries on a ``Database``, as an application calls them."""

from __future__ import annotations

import operator
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from benchmarks.contenders import plainsql_paths
from benchmarks.contenders.base import Arrival, Contender
from benchmarks.contenders.columns_by_hand import to_matrix, to_table
from benchmarks.data import COLUMNS
from benchmarks.database import Place
from benchmarks.queries import arrivals, leads, notes, passages, vectors, visits

__all__ = [
    "Plainsql",
    "PlainsqlBefore",
    "PlainsqlNotCompiled",
    "PlainsqlOneByOne",
    "PlainsqlRows",
    "PlainsqlUnjoined",
]

_values = operator.attrgetter(*COLUMNS)


class Plainsql(Contender):
    name = "plainsql"
    distributions = ("plainsql",)
    joining: ClassVar[bool] = True

    async def open(self, place: Place) -> None:
        self.db: Any = await plainsql_paths.connect(place.url, joining=self.joining)

    async def close(self) -> None:
        await self.db.close()

    async def get_lead(self, id: int) -> Any:
        return await leads.get_by_id(self.db, id=id)

    async def list_leads(self, after: int, limit: int) -> Sequence[Any]:
        rows: Sequence[Any] = await leads.list_after(self.db, after=after, limit=limit)
        return rows

    async def get_leads(self, ids: Sequence[int]) -> Sequence[Any]:
        return await plainsql_paths.batch(leads.get_by_id, self.db, [{"id": id} for id in ids])

    async def get_note(self, tenant: UUID, id: int) -> Any:
        return await notes.get_by_id(plainsql_paths.tenant(self.db, tenant), id=id)

    async def search(self, embedding: list[float], below: int, limit: int) -> Sequence[Any]:
        rows: Sequence[Any] = await passages.nearest(self.db, embedding=embedding, below=below, limit=limit)
        return rows

    async def get_contact(self, id: int) -> Any:
        return await leads.get_contact(self.db, id=id)

    async def get_score(self, id: int) -> int:
        value: int = await leads.get_score(self.db, id=id)
        return value

    async def has_lead(self, id: int) -> bool:
        value: bool = await leads.has(self.db, id=id)
        return value

    async def count_leads(self, low: int, high: int) -> int:
        value: int = await leads.count_between(self.db, low=low, high=high)
        return value

    async def add_visit(self, id: int) -> int:
        value: int = await visits.add(self.db, id=id)
        return value

    async def list_columns(self, after: int, limit: int) -> Any:
        return await plainsql_paths.columns(leads.list_after, self.db, after=after, limit=limit)

    async def read_matrix(self, count: int) -> Any:
        found = await plainsql_paths.columns(vectors.list, self.db, limit=count)
        return plainsql_paths.matrix(found, "embedding")

    async def insert(self, name: str, email: str, score: int, created_at: datetime) -> int:
        id: int = await arrivals.create(self.db, name=name, email=email, score=score, created_at=created_at)
        return id

    def batch_of(self, arrivals: Sequence[Arrival]) -> Any:
        return [leads.Lead(*row) for row in arrivals]

    async def insert_many(self, batch: Any) -> None:
        await plainsql_paths.copy(self.db, "bench.arrivals", batch)

    def stream(self) -> AsyncIterator[Any]:
        rows: AsyncIterator[Any] = leads.export.stream(self.db)
        return rows


class PlainsqlUnjoined(Plainsql):
    name = "plainsql, autobatching off"
    joining = False


class PlainsqlOneByOne(Contender):
    """Several searches one after another, to compare with those that begin together."""

    name = "plainsql, one by one"
    distributions = ("plainsql",)

    async def open(self, place: Place) -> None:
        self.db: Any = await plainsql_paths.connect(place.url)

    async def close(self) -> None:
        await self.db.close()

    async def search_all(self, searches: Sequence[tuple[list[float], int, int]]) -> Sequence[Sequence[Any]]:
        return [
            await passages.nearest(self.db, embedding=embedding, below=below, limit=limit)
            for embedding, below, limit in searches
        ]


class PlainsqlRows(Contender):
    """Rows turned into columns by hand, for what ``.columns`` gains."""

    name = "plainsql, rows"
    distributions = ("plainsql",)

    async def open(self, place: Place) -> None:
        self.db: Any = await plainsql_paths.connect(place.url)

    async def close(self) -> None:
        await self.db.close()

    async def list_columns(self, after: int, limit: int) -> Any:
        return to_table(list(map(_values, await leads.list_after(self.db, after=after, limit=limit))))

    async def read_matrix(self, count: int) -> Any:
        rows = await vectors.list(self.db, limit=count)
        return to_matrix([(row.id, row.embedding.to_numpy()) for row in rows])


class PlainsqlNotCompiled(Plainsql):
    """The path that runs where there is no compiled part. Whether there is one is decided at import."""

    name = "plainsql, not compiled"
    environment: Mapping[str, str] = {"PLAINSQL_SPEED": "0"}

    async def open(self, place: Place) -> None:
        if plainsql_paths.is_compiled():
            raise RuntimeError("the compiled part runs all the same")
        await super().open(place)


class PlainsqlBefore(Plainsql):
    """The plainsql of another checkout, such as the last release's, with the queries of this one."""

    name = "plainsql, before"

    def __init__(self, checkout: Path | None = None) -> None:
        if checkout is not None:  # in its own process, the path is that of the environment already
            self.environment = {"PYTHONPATH": str(checkout.absolute() / "src")}
