"""asyncpg connections that are never given back: the limit of what any pool on asyncpg can reach.

No acquire, no reset query, no release. More tasks than connections wait for a free one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from itertools import starmap
from typing import Any
from uuid import UUID

import asyncpg

from benchmarks.contenders.base import POOL_SIZE, PREFETCH, Arrival, Contender
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
    SEARCH,
    SET_TENANT,
    Contact,
    Lead,
    Note,
    Passage,
    vector_text,
)
from benchmarks.database import Place

__all__ = ["HeldConnections"]


class HeldConnections(Contender):
    name = "asyncpg held, structs"
    distributions = ("asyncpg",)

    async def open(self, place: Place) -> None:
        settings = {"hnsw.iterative_scan": "strict_order"}
        self.connections: list[Any] = [
            await asyncpg.connect(place.url, server_settings=settings) for _ in range(POOL_SIZE)
        ]
        self.free = deque(self.connections)
        self.waiting: deque[asyncio.Future[Any]] = deque()

    async def close(self) -> None:
        for connection in self.connections:
            await connection.close()

    async def get_lead(self, id: int) -> Any:
        connection = self.free.pop() if self.free else await self._wait()
        try:
            record = await connection.fetchrow(GET_LEAD, id)
        finally:
            self._hand_on(connection)
        return None if record is None else Lead(*record)

    async def list_leads(self, after: int, limit: int) -> Sequence[Any]:
        connection = self.free.pop() if self.free else await self._wait()
        try:
            records = await connection.fetch(LIST_LEADS, after, limit)
        finally:
            self._hand_on(connection)
        return list(starmap(Lead, records))

    async def get_leads(self, ids: Sequence[int]) -> Sequence[Any]:
        connection = self.free.pop() if self.free else await self._wait()
        try:
            records = await connection.fetchmany(GET_LEAD, [(id,) for id in ids])
        finally:
            self._hand_on(connection)
        return list(starmap(Lead, records))

    async def search(self, embedding: list[float], below: int, limit: int) -> Sequence[Any]:
        connection = self.free.pop() if self.free else await self._wait()
        try:
            records = await connection.fetch(SEARCH, vector_text(embedding), below, limit)
        finally:
            self._hand_on(connection)
        return list(starmap(Passage, records))

    async def get_note(self, tenant: UUID, id: int) -> Any:
        connection = self.free.pop() if self.free else await self._wait()
        try:
            async with connection.transaction():
                await connection.execute(SET_TENANT, str(tenant))
                record = await connection.fetchrow(GET_NOTE, id)
        finally:
            self._hand_on(connection)
        return None if record is None else Note(*record)

    async def get_contact(self, id: int) -> Any:
        connection = self.free.pop() if self.free else await self._wait()
        try:
            record = await connection.fetchrow(GET_CONTACT, id)
        finally:
            self._hand_on(connection)
        return None if record is None else Contact(*record)

    async def get_score(self, id: int) -> int:
        return await self._value(GET_SCORE, id)

    async def has_lead(self, id: int) -> bool:
        return bool(await self._value(HAS_LEAD, id))

    async def count_leads(self, low: int, high: int) -> int:
        return await self._value(COUNT_LEADS, low, high)

    async def add_visit(self, id: int) -> int:
        return await self._value(ADD_VISIT, id)

    async def insert(self, name: str, email: str, score: int, created_at: datetime) -> int:
        return await self._value(INSERT_ARRIVAL, name, email, score, created_at)

    async def insert_many(self, batch: Sequence[Arrival]) -> None:
        await self.connections[0].copy_records_to_table(
            "arrivals", schema_name="bench", columns=COLUMNS, records=batch
        )

    async def stream(self) -> AsyncIterator[Any]:
        connection = self.connections[0]
        async with connection.transaction():
            cursor = await connection.cursor(EXPORT)
            while records := await cursor.fetch(PREFETCH):
                for record in records:
                    yield Lead(*record)

    async def _value(self, statement: str, *arguments: object) -> int:
        connection = self.free.pop() if self.free else await self._wait()
        try:
            value: int = await connection.fetchval(statement, *arguments)
        finally:
            self._hand_on(connection)
        return value

    def _wait(self) -> asyncio.Future[Any]:
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        return future

    def _hand_on(self, connection: Any) -> None:
        if self.waiting:
            self.waiting.popleft().set_result(connection)
        else:
            self.free.append(connection)
