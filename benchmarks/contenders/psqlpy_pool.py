"""psqlpy: a driver in Rust with a pool of its own. Statements are prepared and kept by default."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psqlpy import ConnectionPool

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

__all__ = ["PsqlpyPool"]


class PsqlpyPool(Contender):
    name = "psqlpy pool"
    distributions = ("psqlpy",)

    async def open(self, place: Place) -> None:
        self.pool = ConnectionPool(
            username=place.user,
            host=place.host,
            port=place.port,
            db_name=place.database,
            max_db_pool_size=POOL_SIZE,
        )

    async def close(self) -> None:
        self.pool.close()

    async def get_lead(self, id: int) -> Any:
        async with self.pool.acquire() as connection:
            return (await connection.fetch_row(GET_LEAD, [id])).as_class(Lead)

    async def list_leads(self, after: int, limit: int) -> Sequence[Any]:
        async with self.pool.acquire() as connection:
            return (await connection.fetch(LIST_LEADS, [after, limit])).as_class(Lead)

    async def get_leads(self, ids: Sequence[int]) -> Sequence[Any]:
        async with self.pool.acquire() as connection, connection.transaction() as transaction:
            results = await transaction.pipeline([(GET_LEAD, [id]) for id in ids])
            return [result.as_class(Lead)[0] for result in results]

    async def get_note(self, tenant: UUID, id: int) -> Any:
        async with self.pool.acquire() as connection, connection.transaction() as transaction:
            await transaction.execute(SET_TENANT, [str(tenant)])
            return (await transaction.fetch_row(GET_NOTE, [id])).as_class(Note)

    async def insert(self, name: str, email: str, score: int, created_at: datetime) -> int:
        async with self.pool.acquire() as connection:
            id: Any = await connection.fetch_val(INSERT_ARRIVAL, [name, email, score, created_at])
            return int(id)

    async def insert_many(self, batch: Sequence[Arrival]) -> None:
        async with self.pool.acquire() as connection:
            await connection.copy_records_to_table(
                "arrivals", records=batch, columns=COLUMNS, schema_name="bench"
            )

    async def stream(self) -> AsyncIterator[Any]:
        options: dict[str, Any] = {"array_size": PREFETCH}  # its stubs have an older name for it
        async with (
            self.pool.acquire() as connection,
            connection.transaction() as transaction,
            transaction.cursor(EXPORT, **options) as cursor,
        ):
            async for result in cursor:
                for row in result.as_class(Lead):
                    yield row
