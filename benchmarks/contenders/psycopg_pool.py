"""psycopg 3 with its asynchronous pool.

As its documentation advises where speed counts: autocommit for single statements (no ``begin`` and ``commit``
around them), binary results, a row factory that builds the object by position. It prepares a statement once
it has been used five times on a connection.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import args_row
from psycopg_pool import AsyncConnectionPool

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

__all__ = ["PsycopgPool"]

_SEARCH = "-c hnsw.iterative_scan=strict_order"


class PsycopgPool(Contender):
    name = "psycopg 3 pool"
    distributions = ("psycopg", "psycopg-pool")

    async def open(self, place: Place) -> None:
        # The raw cursor takes $1 as it is and does not look for %s in the text.
        self.pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
            place.url,
            min_size=POOL_SIZE,
            max_size=POOL_SIZE,
            kwargs={"autocommit": True, "cursor_factory": psycopg.AsyncRawCursor, "options": _SEARCH},
            open=False,
        )
        await self.pool.open(wait=True)

    async def close(self) -> None:
        await self.pool.close()

    async def get_lead(self, id: int) -> Any:
        async with self.pool.connection() as connection:
            cursor = connection.cursor(binary=True, row_factory=args_row(Lead))
            await cursor.execute(GET_LEAD, (id,))
            return await cursor.fetchone()

    async def list_leads(self, after: int, limit: int) -> Sequence[Any]:
        async with self.pool.connection() as connection:
            cursor = connection.cursor(binary=True, row_factory=args_row(Lead))
            await cursor.execute(LIST_LEADS, (after, limit))
            rows: list[Any] = await cursor.fetchall()
            return rows

    async def get_leads(self, ids: Sequence[int]) -> Sequence[Any]:
        async with self.pool.connection() as connection:
            cursors = [connection.cursor(binary=True, row_factory=args_row(Lead)) for _ in ids]
            async with connection.pipeline():
                for cursor, id in zip(cursors, ids, strict=True):
                    await cursor.execute(GET_LEAD, (id,))
            return [await cursor.fetchone() for cursor in cursors]

    async def get_note(self, tenant: UUID, id: int) -> Any:
        async with self.pool.connection() as connection, connection.transaction():
            await connection.execute(SET_TENANT, (str(tenant),))
            cursor = connection.cursor(binary=True, row_factory=args_row(Note))
            await cursor.execute(GET_NOTE, (id,))
            return await cursor.fetchone()

    async def search(self, embedding: list[float], below: int, limit: int) -> Sequence[Any]:
        async with self.pool.connection() as connection:
            cursor = connection.cursor(binary=True, row_factory=args_row(Passage))
            await cursor.execute(SEARCH, (vector_text(embedding), below, limit))
            rows: list[Any] = await cursor.fetchall()
            return rows

    async def get_contact(self, id: int) -> Any:
        async with self.pool.connection() as connection:
            cursor = connection.cursor(binary=True, row_factory=args_row(Contact))
            await cursor.execute(GET_CONTACT, (id,))
            return await cursor.fetchone()

    async def get_score(self, id: int) -> int:
        return await self._value(GET_SCORE, id)

    async def has_lead(self, id: int) -> bool:
        return bool(await self._value(HAS_LEAD, id))

    async def count_leads(self, low: int, high: int) -> int:
        return await self._value(COUNT_LEADS, low, high)

    async def add_visit(self, id: int) -> int:
        return await self._value(ADD_VISIT, id)

    async def list_columns(self, after: int, limit: int) -> Any:
        async with self.pool.connection() as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute(LIST_LEADS, (after, limit))
            return to_table(await cursor.fetchall())

    async def read_matrix(self, count: int) -> Any:
        async with self.pool.connection() as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute(LIST_VECTORS, (count,))
            # It has no type for vectors, and returns their bytes.
            return to_matrix([(id, decode_vector(data)) for id, data in await cursor.fetchall()])

    async def insert(self, name: str, email: str, score: int, created_at: datetime) -> int:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(INSERT_ARRIVAL, (name, email, score, created_at))
            row: Any = await cursor.fetchone()
            id: int = row[0]
            return id

    async def insert_many(self, batch: Sequence[Arrival]) -> None:
        copy_in = f"copy bench.arrivals ({', '.join(COLUMNS)}) from stdin (format binary)"
        async with self.pool.connection() as connection, connection.cursor().copy(copy_in) as copy:
            copy.set_types(["int8", "text", "text", "int4", "timestamptz"])
            for row in batch:
                await copy.write_row(row)

    async def stream(self) -> AsyncIterator[Any]:
        async with (
            self.pool.connection() as connection,
            connection.transaction(),
            connection.cursor("export", row_factory=args_row(Lead)) as cursor,
        ):
            cursor.itersize = PREFETCH
            await cursor.execute(EXPORT, binary=True)
            async for row in cursor:
                yield row

    async def _value(self, statement: str, *arguments: object) -> int:
        async with self.pool.connection() as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute(statement, arguments)
            row: Any = await cursor.fetchone()
            value: int = row[0]
            return value
