"""plainsql: generated queries on a ``Database``, as an application calls them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from benchmarks.contenders import plainsql_paths
from benchmarks.contenders.base import Arrival, Contender
from benchmarks.database import Place
from benchmarks.queries import arrivals, leads, notes, passages

__all__ = ["Plainsql", "PlainsqlUnjoined"]


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
