"""In the style of what sqlc's Python generator writes: dataclasses over SQLAlchemy's asynchronous connection.

Written by hand after its published examples: ``sqlalchemy.text`` at every call, parameters p1, p2, …, the row
built column by column; several rows through ``connection.stream``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncConnection

from benchmarks.contenders.base import Contender, NotOfferedError
from benchmarks.contenders.sqlalchemy_engine import make_engines
from benchmarks.database import Place

__all__ = ["SqlcStyle"]

_GET_LEAD = """-- name: get_lead \\:one
select l.id, l.name, l.email, l.score, l.created_at from bench.leads as l where l.id = :p1
"""
_LIST_LEADS = """-- name: list_leads \\:many
select l.id, l.name, l.email, l.score, l.created_at from bench.leads as l
where l.id > :p1 order by l.id limit :p2
"""
_EXPORT = """-- name: export \\:many
select l.id, l.name, l.email, l.score, l.created_at from bench.leads as l order by l.id
"""
_SET_TENANT = """-- name: set_tenant \\:exec
select set_config('app.jwt_tenant', :p1, true)
"""
_GET_NOTE = """-- name: get_note \\:one
select n.id, n.title, n.body, n.created_at from bench.notes as n where n.id = :p1
"""
_INSERT = """-- name: insert_arrival \\:one
insert into bench.arrivals (name, email, score, created_at) values (:p1, :p2, :p3, :p4) returning id
"""


@dataclasses.dataclass()
class SqlcLead:
    id: int
    name: str
    email: str
    score: int
    created_at: datetime


@dataclasses.dataclass()
class SqlcNote:
    id: int
    title: str
    body: str
    created_at: datetime


class Querier:
    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def get_lead(self, *, id: int) -> SqlcLead | None:
        row = (await self.connection.execute(sqlalchemy.text(_GET_LEAD), {"p1": id})).first()
        if row is None:
            return None
        return SqlcLead(id=row[0], name=row[1], email=row[2], score=row[3], created_at=row[4])

    async def list_leads(self, *, after: int, limit: int) -> AsyncIterator[SqlcLead]:
        result = await self.connection.stream(sqlalchemy.text(_LIST_LEADS), {"p1": after, "p2": limit})
        async for row in result:
            yield SqlcLead(id=row[0], name=row[1], email=row[2], score=row[3], created_at=row[4])

    async def export(self) -> AsyncIterator[SqlcLead]:
        result = await self.connection.stream(sqlalchemy.text(_EXPORT))
        async for row in result:
            yield SqlcLead(id=row[0], name=row[1], email=row[2], score=row[3], created_at=row[4])

    async def set_tenant(self, *, tenant: str) -> None:
        await self.connection.execute(sqlalchemy.text(_SET_TENANT), {"p1": tenant})

    async def get_note(self, *, id: int) -> SqlcNote | None:
        row = (await self.connection.execute(sqlalchemy.text(_GET_NOTE), {"p1": id})).first()
        if row is None:
            return None
        return SqlcNote(id=row[0], title=row[1], body=row[2], created_at=row[3])

    async def insert_arrival(self, *, name: str, email: str, score: int, created_at: datetime) -> int | None:
        parameters = {"p1": name, "p2": email, "p3": score, "p4": created_at}
        row = (await self.connection.execute(sqlalchemy.text(_INSERT), parameters)).first()
        return None if row is None else row[0]


class SqlcStyle(Contender):
    name = "sqlc's style"
    distributions = ("sqlalchemy", "asyncpg")

    async def open(self, place: Place) -> None:
        self.engine, self.transactional = make_engines(place)

    async def close(self) -> None:
        await self.transactional.dispose()

    async def get_lead(self, id: int) -> Any:
        async with self.engine.connect() as connection:
            return await Querier(connection).get_lead(id=id)

    async def list_leads(self, after: int, limit: int) -> Sequence[Any]:
        # Its :many goes through a cursor of the server, which needs a transaction.
        async with self.transactional.connect() as connection:
            return [lead async for lead in Querier(connection).list_leads(after=after, limit=limit)]

    async def get_note(self, tenant: UUID, id: int) -> Any:
        async with self.transactional.begin() as connection:
            querier = Querier(connection)
            await querier.set_tenant(tenant=str(tenant))
            return await querier.get_note(id=id)

    async def insert(self, name: str, email: str, score: int, created_at: datetime) -> int:
        async with self.engine.connect() as connection:
            id = await Querier(connection).insert_arrival(
                name=name, email=email, score=score, created_at=created_at
            )
            assert id is not None
            return id

    async def insert_many(self, batch: Any) -> None:
        raise NotOfferedError("sqlc's Python generator has neither :copyfrom nor :batch")

    async def stream(self) -> AsyncIterator[Any]:
        async with self.transactional.connect() as connection:
            async for lead in Querier(connection).export():
                yield lead
