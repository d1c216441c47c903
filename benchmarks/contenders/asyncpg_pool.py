"""asyncpg's own pool: its short cuts (``pool.fetchrow``) where there are any, else ``pool.acquire``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from itertools import starmap
from typing import Any, ClassVar
from uuid import UUID

import asyncpg

from benchmarks.contenders.base import POOL_SIZE, PREFETCH, Arrival, Contender
from benchmarks.contenders.columns_by_hand import decode_vector, to_matrix, to_table
from benchmarks.data import (
    ADD_VISIT,
    COLUMNS,
    COUNT_LEADS,
    EXPORT,
    GET_CONTACT,
    GET_LEAD,
    GET_NOTE,
    GET_SCORE,
    HAS_LEAD,
    INSERT_ARRIVAL,
    LIST_LEADS,
    LIST_VECTORS,
    SEARCH,
    SET_TENANT,
    Contact,
    Lead,
    Note,
    Passage,
    vector_text,
)
from benchmarks.database import Place

__all__ = ["PoolWithRecords", "PoolWithStructs", "PoolWithoutReset"]


async def _keep_session(connection: Any) -> None:
    """Leave a connection as it is: for applications that prove, or hope, that no call changes the session."""


async def _read_vectors_binary(connection: Any) -> None:
    await connection.set_type_codec(
        "vector", schema="public", encoder=str, decoder=decode_vector, format="binary"
    )


class PoolWithRecords(Contender):
    """Rows stay asyncpg's records: what a caller gets who is content with ``row["name"]``."""

    name = "asyncpg pool, records"
    distributions = ("asyncpg",)
    reset: ClassVar[Callable[[Any], Awaitable[None]] | None] = None

    async def open(self, place: Place) -> None:
        self.pool: Any = await asyncpg.create_pool(
            place.url,
            min_size=POOL_SIZE,
            max_size=POOL_SIZE,
            server_settings={"hnsw.iterative_scan": "strict_order"},
            init=_read_vectors_binary,
            reset=type(self).reset,
        )

    async def close(self) -> None:
        await self.pool.close()

    async def get_lead(self, id: int) -> Any:
        return await self.pool.fetchrow(GET_LEAD, id)

    async def list_leads(self, after: int, limit: int) -> Sequence[Any]:
        records: list[Any] = await self.pool.fetch(LIST_LEADS, after, limit)
        return records

    async def get_leads(self, ids: Sequence[int]) -> Sequence[Any]:
        records: list[Any] = await self.pool.fetchmany(GET_LEAD, [(id,) for id in ids])
        return records

    async def get_note(self, tenant: UUID, id: int) -> Any:
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(SET_TENANT, str(tenant))
            return await connection.fetchrow(GET_NOTE, id)

    async def search(self, embedding: list[float], below: int, limit: int) -> Sequence[Any]:
        records: list[Any] = await self.pool.fetch(SEARCH, vector_text(embedding), below, limit)
        return records

    async def get_contact(self, id: int) -> Any:
        return await self.pool.fetchrow(GET_CONTACT, id)

    async def get_score(self, id: int) -> int:
        score: int = await self.pool.fetchval(GET_SCORE, id)
        return score

    async def has_lead(self, id: int) -> bool:
        found: bool = await self.pool.fetchval(HAS_LEAD, id)
        return found

    async def count_leads(self, low: int, high: int) -> int:
        count: int = await self.pool.fetchval(COUNT_LEADS, low, high)
        return count

    async def add_visit(self, id: int) -> int:
        visits: int = await self.pool.fetchval(ADD_VISIT, id)
        return visits

    async def list_columns(self, after: int, limit: int) -> Any:
        return to_table(await self.pool.fetch(LIST_LEADS, after, limit))

    async def read_matrix(self, count: int) -> Any:
        return to_matrix(await self.pool.fetch(LIST_VECTORS, count))

    async def insert(self, name: str, email: str, score: int, created_at: datetime) -> int:
        id: int = await self.pool.fetchval(INSERT_ARRIVAL, name, email, score, created_at)
        return id

    async def insert_many(self, batch: Sequence[Arrival]) -> None:
        await self.pool.copy_records_to_table("arrivals", schema_name="bench", columns=COLUMNS, records=batch)

    async def stream(self) -> AsyncIterator[Any]:
        async with self.pool.acquire() as connection, connection.transaction():
            # Faster than to iterate over the cursor, which awaits for each row.
            cursor = await connection.cursor(EXPORT)
            while records := await cursor.fetch(PREFETCH):
                for record in records:
                    yield record


class PoolWithStructs(PoolWithRecords):
    """Rows as objects with types, built by position: what a careful caller writes by hand."""

    name = "asyncpg pool, structs"

    async def search(self, embedding: list[float], below: int, limit: int) -> Sequence[Any]:
        records = await self.pool.fetch(SEARCH, vector_text(embedding), below, limit)
        return list(starmap(Passage, records))

    async def get_lead(self, id: int) -> Any:
        record = await self.pool.fetchrow(GET_LEAD, id)
        return None if record is None else Lead(*record)

    async def get_contact(self, id: int) -> Any:
        record = await self.pool.fetchrow(GET_CONTACT, id)
        return None if record is None else Contact(*record)

    async def list_leads(self, after: int, limit: int) -> Sequence[Any]:
        return list(starmap(Lead, await self.pool.fetch(LIST_LEADS, after, limit)))

    async def get_leads(self, ids: Sequence[int]) -> Sequence[Any]:
        return list(starmap(Lead, await self.pool.fetchmany(GET_LEAD, [(id,) for id in ids])))

    async def get_note(self, tenant: UUID, id: int) -> Any:
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(SET_TENANT, str(tenant))
            record = await connection.fetchrow(GET_NOTE, id)
            return None if record is None else Note(*record)

    async def stream(self) -> AsyncIterator[Any]:
        async with self.pool.acquire() as connection, connection.transaction():
            cursor = await connection.cursor(EXPORT)
            while records := await cursor.fetch(PREFETCH):
                for record in records:
                    yield Lead(*record)


class PoolWithoutReset(PoolWithStructs):
    """The same without the query that resets a connection at each release, and its round trip.

    What one call leaves in the session (a setting, a lock, a temporary table) reaches the next.
    """

    name = "asyncpg pool, no reset"
    reset = _keep_session
