"""Tortoise ORM on its asyncpg backend."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from tortoise import Tortoise, fields
from tortoise.models import Model
from tortoise.transactions import in_transaction

from benchmarks.contenders.base import POOL_SIZE, Arrival, Contender, NotOfferedError
from benchmarks.data import COLUMNS, SET_TENANT
from benchmarks.database import Place

__all__ = ["TortoiseOrm"]

# Its insert is prepared once and executed for all rows of a batch.
_ROWS_AT_ONCE = 10_000


class TortoiseLead(Model):
    id = fields.BigIntField(primary_key=True)
    name = fields.TextField()
    email = fields.TextField()
    score = fields.IntField()
    created_at = fields.DatetimeField()

    class Meta:  # pyright: ignore[reportIncompatibleVariableOverride]
        schema = "bench"
        table = "leads"


class TortoiseArrival(Model):
    id = fields.BigIntField(primary_key=True)
    name = fields.TextField()
    email = fields.TextField()
    score = fields.IntField()
    created_at = fields.DatetimeField()

    class Meta:  # pyright: ignore[reportIncompatibleVariableOverride]
        schema = "bench"
        table = "arrivals"


class TortoiseNote(Model):
    id = fields.BigIntField(primary_key=True)
    title = fields.TextField()
    body = fields.TextField()
    created_at = fields.DatetimeField()

    class Meta:  # pyright: ignore[reportIncompatibleVariableOverride]
        schema = "bench"
        table = "notes"


class TortoiseOrm(Contender):
    name = "Tortoise ORM"
    distributions = ("tortoise-orm", "asyncpg")

    async def open(self, place: Place) -> None:
        credentials = {
            "host": place.host,
            "port": place.port,
            "user": place.user,
            "password": None,
            "database": place.database,
            "minsize": POOL_SIZE,
            "maxsize": POOL_SIZE,
        }
        await Tortoise.init(
            config={
                "connections": {
                    "default": {"engine": "tortoise.backends.asyncpg", "credentials": credentials}
                },
                "apps": {"bench": {"models": [__name__], "default_connection": "default"}},
                "use_tz": True,
            },
            _enable_global_fallback=True,
        )

    async def close(self) -> None:
        await Tortoise.close_connections()

    async def get_lead(self, id: int) -> Any:
        return await TortoiseLead.get(id=id)

    async def list_leads(self, after: int, limit: int) -> Sequence[Any]:
        return await TortoiseLead.filter(id__gt=after).order_by("id").limit(limit)

    async def get_note(self, tenant: UUID, id: int) -> Any:
        async with in_transaction() as connection:
            await connection.execute_query(SET_TENANT, [str(tenant)])
            return await TortoiseNote.get(id=id, using_db=connection)

    async def insert(self, name: str, email: str, score: int, created_at: datetime) -> int:
        row = await TortoiseArrival.create(name=name, email=email, score=score, created_at=created_at)
        new: int = row.id
        return new

    def batch_of(self, arrivals: Sequence[Arrival]) -> Any:
        return [TortoiseArrival(**dict(zip(COLUMNS, row, strict=True))) for row in arrivals]

    async def insert_many(self, batch: Any) -> None:
        await TortoiseArrival.bulk_create(batch, batch_size=_ROWS_AT_ONCE)

    def stream(self) -> AsyncIterator[Any]:
        raise NotOfferedError("Tortoise reads a result whole: iterating a query set fetches all of it first")
