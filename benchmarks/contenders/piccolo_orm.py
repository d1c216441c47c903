"""piccolo on its asyncpg engine, rows as its objects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from piccolo.columns import BigInt, BigSerial, Integer, Text, Timestamptz
from piccolo.engine.postgres import PostgresEngine
from piccolo.table import Table

from benchmarks.contenders.base import POOL_SIZE, PREFETCH, Arrival, Contender
from benchmarks.data import COLUMNS
from benchmarks.database import Place

__all__ = ["PiccoloOrm"]

# Its insert is one statement with a parameter for each value; PostgreSQL takes 65,535 parameters.
_ROWS_AT_ONCE = 32767 // 6


class PiccoloLead(Table, schema="bench", tablename="leads"):
    id = BigSerial(primary_key=True)
    name = Text()
    email = Text()
    score = Integer()
    created_at = Timestamptz()


class PiccoloArrival(Table, schema="bench", tablename="arrivals"):
    id = BigSerial(primary_key=True)
    name = Text()
    email = Text()
    score = Integer()
    created_at = Timestamptz()


class PiccoloNote(Table, schema="bench", tablename="notes"):
    id = BigInt(primary_key=True)
    title = Text()
    body = Text()
    created_at = Timestamptz()


class PiccoloOrm(Contender):
    name = "piccolo"
    distributions = ("piccolo", "asyncpg")

    async def open(self, place: Place) -> None:
        self.engine = PostgresEngine(
            {"host": place.host, "port": place.port, "user": place.user, "database": place.database}
        )
        await self.engine.start_connection_pool(min_size=POOL_SIZE, max_size=POOL_SIZE)
        for table in (PiccoloLead, PiccoloArrival, PiccoloNote):
            table._meta._db = self.engine

    async def close(self) -> None:
        await self.engine.close_connection_pool()

    async def get_lead(self, id: int) -> Any:
        return await PiccoloLead.objects().get(PiccoloLead.id == id)

    async def list_leads(self, after: int, limit: int) -> Sequence[Any]:
        query = PiccoloLead.objects().where(PiccoloLead.id > after).order_by(PiccoloLead.id).limit(limit)
        rows: list[Any] = await query
        return rows

    async def get_note(self, tenant: UUID, id: int) -> Any:
        async with self.engine.transaction():
            await PiccoloNote.raw("select set_config('app.jwt_tenant', {}, true)", str(tenant))
            return await PiccoloNote.objects().get(PiccoloNote.id == id)

    async def insert(self, name: str, email: str, score: int, created_at: datetime) -> int:
        row = PiccoloArrival(name=name, email=email, score=score, created_at=created_at)
        (inserted,) = await PiccoloArrival.insert(row)
        id: int = inserted["id"]
        return id

    def batch_of(self, arrivals: Sequence[Arrival]) -> Any:
        make: Any = PiccoloArrival  # a column's name as a keyword is not in its signature
        return [make(**dict(zip(COLUMNS, row, strict=True))) for row in arrivals]

    async def insert_many(self, batch: Any) -> None:
        async with self.engine.transaction():
            for start in range(0, len(batch), _ROWS_AT_ONCE):
                await PiccoloArrival.insert(*batch[start : start + _ROWS_AT_ONCE])

    async def stream(self) -> AsyncIterator[Any]:
        query = PiccoloLead.objects().order_by(PiccoloLead.id)
        async with await query.batch(batch_size=PREFETCH) as batches:
            async for batch in batches:
                for row in batch:
                    yield row
