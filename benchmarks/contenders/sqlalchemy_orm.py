"""SQLAlchemy's ORM: a session for each call, as for each request of an application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, MetaData, bindparam, func, insert, select
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from benchmarks.contenders.base import PREFETCH, Arrival, Contender
from benchmarks.contenders.sqlalchemy_engine import make_engines
from benchmarks.data import COLUMNS
from benchmarks.database import Place

__all__ = ["SqlalchemyOrm"]


class Base(DeclarativeBase):
    metadata = MetaData(schema="bench")
    type_annotation_map = {datetime: DateTime(timezone=True)}  # noqa: RUF012 (SQLAlchemy's way to declare it)


class OrmLead(Base):
    __tablename__ = "leads"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str]
    email: Mapped[str]
    score: Mapped[int]
    created_at: Mapped[datetime]


class OrmArrival(Base):
    __tablename__ = "arrivals"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str]
    email: Mapped[str]
    score: Mapped[int]
    created_at: Mapped[datetime]


class OrmNote(Base):
    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    title: Mapped[str]
    body: Mapped[str]
    created_at: Mapped[datetime]


_LIST_LEADS = (
    select(OrmLead)
    .where(OrmLead.id > bindparam("after"))
    .order_by(OrmLead.id)
    .limit(bindparam("limit", type_=BigInteger))
)
_EXPORT = select(OrmLead).order_by(OrmLead.id)
_SET_TENANT = select(func.set_config("app.jwt_tenant", bindparam("tenant"), True))


class SqlalchemyOrm(Contender):
    name = "SQLAlchemy ORM"
    distributions = ("sqlalchemy", "asyncpg")

    async def open(self, place: Place) -> None:
        engine, self.engine = make_engines(place)
        self.session = async_sessionmaker(engine, expire_on_commit=False)
        self.unit_of_work = async_sessionmaker(self.engine, expire_on_commit=False)

    async def close(self) -> None:
        await self.engine.dispose()

    async def get_lead(self, id: int) -> Any:
        async with self.session() as session:
            return await session.get(OrmLead, id)

    async def list_leads(self, after: int, limit: int) -> Sequence[Any]:
        async with self.session() as session:
            return (await session.scalars(_LIST_LEADS, {"after": after, "limit": limit})).all()

    async def get_note(self, tenant: UUID, id: int) -> Any:
        async with self.unit_of_work.begin() as session:
            await session.execute(_SET_TENANT, {"tenant": str(tenant)})
            return await session.get(OrmNote, id)

    async def insert(self, name: str, email: str, score: int, created_at: datetime) -> int:
        async with self.session() as session:
            arrival = OrmArrival(name=name, email=email, score=score, created_at=created_at)
            session.add(arrival)
            await session.commit()
            return arrival.id

    def batch_of(self, arrivals: Sequence[Arrival]) -> Any:
        return [dict(zip(COLUMNS, row, strict=True)) for row in arrivals]

    async def insert_many(self, batch: Any) -> None:
        # Its documentation's "bulk insert": faster than instances and `add_all`.
        async with self.unit_of_work.begin() as session:
            await session.execute(insert(OrmArrival), batch)

    async def stream(self) -> AsyncIterator[Any]:
        async with self.unit_of_work() as session:
            result = await session.stream_scalars(_EXPORT, execution_options={"yield_per": PREFETCH})
            async for lead in result:
                yield lead
