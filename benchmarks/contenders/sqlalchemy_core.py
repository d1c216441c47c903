"""SQLAlchemy Core: statements built once, rows as its own named tuples."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Integer,
    MetaData,
    Table,
    Text,
    bindparam,
    insert,
    select,
    text,
)

from benchmarks.contenders.base import PREFETCH, Arrival, Contender
from benchmarks.contenders.sqlalchemy_engine import make_engines
from benchmarks.data import COLUMNS
from benchmarks.database import Place

__all__ = ["SqlalchemyCore"]

_metadata = MetaData(schema="bench")


def _people(name: str) -> Table:
    return Table(
        name,
        _metadata,
        Column("id", BigInteger, primary_key=True),
        Column("name", Text, nullable=False),
        Column("email", Text, nullable=False),
        Column("score", Integer, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False),
    )


leads = _people("leads")
arrivals = _people("arrivals")
notes = Table(
    "notes",
    _metadata,
    Column("id", BigInteger, primary_key=True),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

_GET_LEAD = select(leads).where(leads.c.id == bindparam("id"))
_LIST_LEADS = (
    select(leads)
    .where(leads.c.id > bindparam("after"))
    .order_by(leads.c.id)
    .limit(bindparam("limit", type_=BigInteger))
)
_EXPORT = select(leads).order_by(leads.c.id)
_GET_NOTE = select(notes).where(notes.c.id == bindparam("id"))
_SET_TENANT = text("select set_config('app.jwt_tenant', :tenant, true)")
_INSERT = insert(arrivals).returning(arrivals.c.id)


class SqlalchemyCore(Contender):
    name = "SQLAlchemy Core"
    distributions = ("sqlalchemy", "asyncpg")

    async def open(self, place: Place) -> None:
        self.engine, self.transactional = make_engines(place)

    async def close(self) -> None:
        await self.transactional.dispose()

    async def get_lead(self, id: int) -> Any:
        async with self.engine.connect() as connection:
            return (await connection.execute(_GET_LEAD, {"id": id})).one_or_none()

    async def list_leads(self, after: int, limit: int) -> Sequence[Any]:
        async with self.engine.connect() as connection:
            return (await connection.execute(_LIST_LEADS, {"after": after, "limit": limit})).all()

    async def get_note(self, tenant: UUID, id: int) -> Any:
        async with self.transactional.begin() as connection:
            await connection.execute(_SET_TENANT, {"tenant": str(tenant)})
            return (await connection.execute(_GET_NOTE, {"id": id})).one_or_none()

    async def insert(self, name: str, email: str, score: int, created_at: datetime) -> int:
        async with self.engine.connect() as connection:
            row = {"name": name, "email": email, "score": score, "created_at": created_at}
            id: int = (await connection.execute(_INSERT, row)).scalar_one()
            return id

    def batch_of(self, arrivals: Sequence[Arrival]) -> Any:
        return [dict(zip(COLUMNS, row, strict=True)) for row in arrivals]

    async def insert_many(self, batch: Any) -> None:
        async with self.transactional.begin() as connection:
            await connection.execute(insert(arrivals), batch)

    async def stream(self) -> AsyncIterator[Any]:
        async with self.transactional.connect() as connection:
            result = await connection.stream(_EXPORT, execution_options={"yield_per": PREFETCH})
            async for row in result:
                yield row
