"""SQLSpec on asyncpg, rows through its ``schema_type``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlspec import SQLSpec
from sqlspec.adapters.asyncpg import AsyncpgConfig

from benchmarks.contenders.base import POOL_SIZE, PREFETCH, Arrival, Contender
from benchmarks.data import (
    COLUMNS,
    EXPORT,
    GET_LEAD,
    GET_NOTE,
    INSERT_ARRIVAL,
    LIST_LEADS,
    SET_TENANT,
    Lead,
    Note,
)
from benchmarks.database import Place

__all__ = ["SqlspecAsyncpg"]


class SqlspecAsyncpg(Contender):
    name = "SQLSpec"
    distributions = ("sqlspec", "asyncpg")

    async def open(self, place: Place) -> None:
        self.spec = SQLSpec()
        self.config: Any = self.spec.add_config(
            AsyncpgConfig(
                connection_config={"dsn": place.url, "min_size": POOL_SIZE, "max_size": POOL_SIZE},
                driver_features={"enable_pgvector": False},
            )
        )

    async def close(self) -> None:
        await self.config.close_pool()

    async def get_lead(self, id: int) -> Any:
        async with self.spec.provide_session(self.config) as session:
            return await session.select_one_or_none(GET_LEAD, id, schema_type=Lead)

    async def list_leads(self, after: int, limit: int) -> Sequence[Any]:
        async with self.spec.provide_session(self.config) as session:
            rows: list[Any] = await session.select(LIST_LEADS, after, limit, schema_type=Lead)
            return rows

    async def get_note(self, tenant: UUID, id: int) -> Any:
        async with self.spec.provide_session(self.config) as session:
            await session.begin()
            await session.select_value(SET_TENANT, str(tenant))
            note = await session.select_one_or_none(GET_NOTE, id, schema_type=Note)
            await session.commit()
            return note

    async def insert(self, name: str, email: str, score: int, created_at: datetime) -> int:
        async with self.spec.provide_session(self.config) as session:
            id: int = await session.select_value(INSERT_ARRIVAL, name, email, score, created_at)
            return id

    async def insert_many(self, batch: Sequence[Arrival]) -> None:
        async with self.spec.provide_session(self.config) as session:
            await session.load_from_records("bench.arrivals", batch, columns=list(COLUMNS))

    async def stream(self) -> AsyncIterator[Any]:
        async with (
            self.spec.provide_session(self.config) as session,
            session.select_stream(EXPORT, schema_type=Lead, chunk_size=PREFETCH) as rows,
        ):
            async for row in rows:
                yield row
