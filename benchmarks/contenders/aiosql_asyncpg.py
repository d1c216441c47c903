"""aiosql on asyncpg's pool, rows through its ``record_class``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import aiosql
import asyncpg

from benchmarks.contenders.base import POOL_SIZE, PREFETCH, Arrival, Contender
from benchmarks.data import COLUMNS, Lead, Note
from benchmarks.database import Place

__all__ = ["AiosqlAsyncpg"]

_QUERIES = """
-- name: get_lead(id)^
-- record_class: Lead
select l.id, l.name, l.email, l.score, l.created_at from bench.leads as l where l.id = :id

-- name: list_leads(after, limit)
-- record_class: Lead
select l.id, l.name, l.email, l.score, l.created_at from bench.leads as l
where l.id > :after order by l.id limit :limit

-- name: export()
select l.id, l.name, l.email, l.score, l.created_at from bench.leads as l order by l.id

-- name: set_tenant(tenant)$
select set_config('app.jwt_tenant', :tenant, true)

-- name: get_note(id)^
-- record_class: Note
select n.id, n.title, n.body, n.created_at from bench.notes as n where n.id = :id

-- name: insert_arrival(name, email, score, created_at)<!
insert into bench.arrivals (name, email, score, created_at) values (:name, :email, :score, :created_at)
returning id

-- name: add_arrivals(id, name, email, score, created_at)*!
insert into bench.arrivals (id, name, email, score, created_at)
values (:id, :name, :email, :score, :created_at)
"""


class AiosqlAsyncpg(Contender):
    name = "aiosql"
    distributions = ("aiosql", "asyncpg")

    async def open(self, place: Place) -> None:
        self.queries: Any = aiosql.from_str(_QUERIES, "asyncpg", record_classes={"Lead": Lead, "Note": Note})
        self.pool: Any = await asyncpg.create_pool(place.url, min_size=POOL_SIZE, max_size=POOL_SIZE)

    async def close(self) -> None:
        await self.pool.close()

    async def get_lead(self, id: int) -> Any:
        return await self.queries.get_lead(self.pool, id=id)

    async def list_leads(self, after: int, limit: int) -> Sequence[Any]:
        return [row async for row in self.queries.list_leads(self.pool, after=after, limit=limit)]

    async def get_note(self, tenant: UUID, id: int) -> Any:
        async with self.pool.acquire() as connection, connection.transaction():
            await self.queries.set_tenant(connection, tenant=str(tenant))
            return await self.queries.get_note(connection, id=id)

    async def insert(self, name: str, email: str, score: int, created_at: datetime) -> int:
        id: int = await self.queries.insert_arrival(
            self.pool, name=name, email=email, score=score, created_at=created_at
        )
        return id

    def batch_of(self, arrivals: Sequence[Arrival]) -> Any:
        return [dict(zip(COLUMNS, row, strict=True)) for row in arrivals]

    async def insert_many(self, batch: Any) -> None:
        await self.queries.add_arrivals(self.pool, batch)

    async def stream(self) -> AsyncIterator[Any]:
        async with self.pool.acquire() as connection, self.queries.export_cursor(connection) as factory:
            # What aiosql hands over is asyncpg's, and is read as there.
            cursor = await factory
            while records := await cursor.fetch(PREFETCH):
                for record in records:
                    yield Lead(*record)
