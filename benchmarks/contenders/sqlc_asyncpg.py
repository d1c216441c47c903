"""In the style of what sqlc's better Python plugin writes for asyncpg and msgspec.

Written by hand after its documentation: a class of queries around a connection, a constant for each
statement, a struct whose fields are given by keyword from ``row[0]``, ``row[1]``, …; several rows through an
object that can be awaited for a list, or iterated over by a cursor; ``:copyfrom`` through
``copy_records_to_table``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Sequence
from datetime import datetime
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import asyncpg
import msgspec

from benchmarks.contenders.base import POOL_SIZE, PREFETCH, Arrival, Contender
from benchmarks.database import Place

__all__ = ["SqlcAsyncpg"]

T = TypeVar("T")

_GET_LEAD: Final = """-- name: GetLead :one
select l.id, l.name, l.email, l.score, l.created_at from bench.leads as l where l.id = $1
"""
_LIST_LEADS: Final = """-- name: ListLeads :many
select l.id, l.name, l.email, l.score, l.created_at from bench.leads as l
where l.id > $1 order by l.id limit $2
"""
_EXPORT: Final = """-- name: Export :many
select l.id, l.name, l.email, l.score, l.created_at from bench.leads as l order by l.id
"""
_GET_CONTACT: Final = """-- name: GetContact :one
select l.name, l.email from bench.leads as l where l.id = $1
"""
_GET_SCORE: Final = """-- name: GetScore :one
select l.score from bench.leads as l where l.id = $1
"""
_HAS_LEAD: Final = """-- name: HasLead :one
select exists (select from bench.leads as l where l.id = $1)
"""
_COUNT_LEADS: Final = """-- name: CountLeads :one
select count(*) from bench.leads as l where l.id between $1 and $2
"""
_ADD_VISIT: Final = """-- name: AddVisit :one
update bench.visits as v set visits = v.visits + 1 where v.id = $1 returning v.visits
"""
_SET_TENANT: Final = """-- name: SetTenant :exec
select set_config('app.jwt_tenant', $1, true)
"""
_GET_NOTE: Final = """-- name: GetNote :one
select n.id, n.title, n.body, n.created_at from bench.notes as n where n.id = $1
"""
_INSERT: Final = """-- name: InsertArrival :one
insert into bench.arrivals (name, email, score, created_at) values ($1, $2, $3, $4) returning id
"""


class LeadModel(msgspec.Struct):
    id: int
    name: str
    email: str
    score: int
    created_at: datetime


class ContactModel(msgspec.Struct):
    name: str
    email: str


class NoteModel(msgspec.Struct):
    id: int
    title: str
    body: str
    created_at: datetime


def _lead(row: Any) -> LeadModel:
    return LeadModel(id=row[0], name=row[1], email=row[2], score=row[3], created_at=row[4])


class Rows(Generic[T]):
    """The rows of a ``:many``: awaited, a list; iterated over, a cursor in a transaction."""

    __slots__ = ("arguments", "build", "connection", "statement")

    def __init__(
        self, connection: Any, statement: str, build: Callable[[Any], T], *arguments: object
    ) -> None:
        self.connection, self.statement, self.build, self.arguments = connection, statement, build, arguments

    def __await__(self) -> Generator[Any, None, Sequence[T]]:
        return self._fetch().__await__()

    async def __aiter__(self) -> AsyncIterator[T]:
        async for row in self.connection.cursor(self.statement, *self.arguments, prefetch=PREFETCH):
            yield self.build(row)

    async def _fetch(self) -> Sequence[T]:
        return [self.build(row) for row in await self.connection.fetch(self.statement, *self.arguments)]


class Queries:
    __slots__ = ("connection",)

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def get_lead(self, *, id: int) -> LeadModel | None:
        row = await self.connection.fetchrow(_GET_LEAD, id)
        return None if row is None else _lead(row)

    def list_leads(self, *, after: int, limit: int) -> Rows[LeadModel]:
        return Rows(self.connection, _LIST_LEADS, _lead, after, limit)

    def export(self) -> Rows[LeadModel]:
        return Rows(self.connection, _EXPORT, _lead)

    async def get_contact(self, *, id: int) -> ContactModel | None:
        row = await self.connection.fetchrow(_GET_CONTACT, id)
        return None if row is None else ContactModel(name=row[0], email=row[1])

    async def value(self, statement: str, *arguments: object) -> Any:
        row = await self.connection.fetchrow(statement, *arguments)
        return None if row is None else row[0]

    async def set_tenant(self, *, tenant: str) -> None:
        await self.connection.execute(_SET_TENANT, tenant)

    async def get_note(self, *, id: int) -> NoteModel | None:
        row = await self.connection.fetchrow(_GET_NOTE, id)
        return None if row is None else NoteModel(id=row[0], title=row[1], body=row[2], created_at=row[3])

    async def create_arrivals(self, *, rows: Sequence[Arrival]) -> None:
        await self.connection.copy_records_to_table(
            "arrivals",
            schema_name="bench",
            columns=["id", "name", "email", "score", "created_at"],
            records=rows,
        )


class SqlcAsyncpg(Contender):
    name = "sqlc's style, asyncpg"
    distributions = ("asyncpg", "msgspec")

    async def open(self, place: Place) -> None:
        self.pool: Any = await asyncpg.create_pool(place.url, min_size=POOL_SIZE, max_size=POOL_SIZE)

    async def close(self) -> None:
        await self.pool.close()

    async def get_lead(self, id: int) -> Any:
        async with self.pool.acquire() as connection:
            return await Queries(connection).get_lead(id=id)

    async def list_leads(self, after: int, limit: int) -> Sequence[Any]:
        async with self.pool.acquire() as connection:
            return await Queries(connection).list_leads(after=after, limit=limit)

    async def get_contact(self, id: int) -> Any:
        async with self.pool.acquire() as connection:
            return await Queries(connection).get_contact(id=id)

    async def get_score(self, id: int) -> int:
        return await self._value(_GET_SCORE, id)

    async def has_lead(self, id: int) -> bool:
        return bool(await self._value(_HAS_LEAD, id))

    async def count_leads(self, low: int, high: int) -> int:
        return await self._value(_COUNT_LEADS, low, high)

    async def add_visit(self, id: int) -> int:
        return await self._value(_ADD_VISIT, id)

    async def get_note(self, tenant: UUID, id: int) -> Any:
        async with self.pool.acquire() as connection, connection.transaction():
            queries = Queries(connection)
            await queries.set_tenant(tenant=str(tenant))
            return await queries.get_note(id=id)

    async def insert(self, name: str, email: str, score: int, created_at: datetime) -> int:
        return await self._value(_INSERT, name, email, score, created_at)

    async def insert_many(self, batch: Sequence[Arrival]) -> None:
        async with self.pool.acquire() as connection:
            await Queries(connection).create_arrivals(rows=batch)

    async def stream(self) -> AsyncIterator[Any]:
        async with self.pool.acquire() as connection, connection.transaction():
            async for lead in Queries(connection).export():
                yield lead

    async def _value(self, statement: str, *arguments: object) -> int:
        async with self.pool.acquire() as connection:
            value: int = await Queries(connection).value(statement, *arguments)
            return value
