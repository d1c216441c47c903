"""Queries over SQLAlchemy's asynchronous connections and sessions: in its transaction, with its rollback."""

# ruff: noqa: PT012 (it is the block of a transaction that raises)

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import NullPool

import plainsql
from plainsql.errors import BindError, TransactionError
from plainsql.urls import read_url
from tests import shop
from tests.shop import Lead, Payload


class Base(DeclarativeBase):
    pass


class LeadModel(Base):
    __tablename__ = "leads"
    __table_args__ = {"schema": "shop"}  # noqa: RUF012 (SQLAlchemy's own form)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str | None]
    score: Mapped[int] = mapped_column(default=0)


class MessageModel(Base):
    __tablename__ = "messages"
    __table_args__ = {"schema": "shop"}  # noqa: RUF012 (SQLAlchemy's own form)

    id: Mapped[int] = mapped_column(primary_key=True)
    lead_id: Mapped[int | None]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)


def _engine_url(database_url: str, driver: str) -> sa.URL:
    """The module's database as SQLAlchemy names it: by a driver and the server's socket."""
    given = read_url(database_url)
    return sa.URL.create(
        f"postgresql+{driver}",
        username=given["user"],
        database=given["dbname"],
        query={"host": given["host"], "port": given["port"]} if "port" in given else {"host": given["host"]},
    )


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine of the program on asyncpg; the shop is empty."""
    engine = create_async_engine(_engine_url(database_url, "asyncpg"), pool_size=2, max_overflow=0)
    async with engine.begin() as connection:
        await connection.execute(sa.text("truncate shop.leads, shop.messages restart identity"))
    yield engine
    await engine.dispose()


@pytest.fixture
async def session(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session:
        yield session


async def _committed(outside: Any) -> int:
    found: int = await outside.fetchval("select count(*) from shop.leads")
    return found


async def test_every_form_runs_in_the_transaction_of_a_connection(engine: AsyncEngine, outside: Any) -> None:
    async with engine.connect() as connection:
        db = plainsql.over(connection)
        assert await shop.add(db, name="first") == Lead(1, "first", None)
        await connection.execute(sa.text("insert into shop.leads (name) values ('second')"))
        assert len(await shop.add.batch(db, [{"name": "b1"}, {"name": "b2"}])) == 2
        await shop.add.execute_many(db, [{"name": "m"}])
        assert await db.copy_in("shop.leads", [("c",)], columns=["name"]) == 1
        assert [name async for name in shop.names.stream(db)] == ["first", "second", "b1", "b2", "m", "c"]
        assert await shop.raise_scores(db, by=1, below=5) == 6
        async with db.transaction() as tx:
            await shop.add(tx, name="nested")
        assert await shop.find(db, name="x") is None
        assert await _committed(outside) == 0
        await connection.rollback()
        assert await _committed(outside) == 0
        await shop.add(db, name="kept")
        await connection.commit()
        assert await _committed(outside) == 1


async def test_a_session_and_plainsql_share_one_transaction(session: AsyncSession, outside: Any) -> None:
    db = plainsql.over(session)
    session.add(LeadModel(name="orm"))
    # Its pending object is flushed first, as before a statement of the session's own.
    assert await shop.names(db) == ["orm"]
    await shop.add(db, name="sql")
    assert list(await session.scalars(sa.select(LeadModel.name).order_by(LeadModel.id))) == ["orm", "sql"]
    await session.rollback()
    assert await _committed(outside) == 0
    await shop.add(db, name="again")
    await session.commit()
    assert await _committed(outside) == 1


async def test_without_autoflush_pending_objects_stay_pending(engine: AsyncEngine) -> None:
    async with AsyncSession(engine, autoflush=False) as session:
        session.add(LeadModel(name="pending"))
        assert await shop.names(plainsql.over(session)) == []
    async with AsyncSession(engine) as session:
        session.add(LeadModel(name="pending"))
        with session.no_autoflush:
            assert await shop.names(plainsql.over(session)) == []


async def test_a_nested_transaction_of_either_side_is_a_savepoint(session: AsyncSession) -> None:
    db = plainsql.over(session)
    async with session.begin():
        await shop.add(db, name="a")
        with pytest.raises(asyncpg.UniqueViolationError):
            async with session.begin_nested():
                await shop.add(db, name="undone")
                await shop.add(db, name="a")
        with pytest.raises(asyncpg.UniqueViolationError):
            async with db.transaction() as tx:
                await shop.add(tx, name="undone too")
                await shop.add(tx, name="a")
        async with db.transaction() as tx:
            await shop.add(tx, name="b")
    assert await shop.names(db) == ["a", "b"]


async def test_json_of_sqlalchemy_and_of_plainsql_do_not_mix(session: AsyncSession) -> None:
    db = plainsql.over(session)
    for round in range(2):
        session.add(MessageModel(lead_id=None, payload={"text": "orm", "stars": round}))
        await session.flush()
        await shop.add_message(db, lead_id=None, payload=Payload("sql", round))
        payloads = list(await session.scalars(sa.select(MessageModel.payload).order_by(MessageModel.id)))
        assert payloads[-2:] == [{"text": "orm", "stars": round}, {"text": "sql", "stars": round}]
        found = [message.payload for message in await shop.list_messages(db)]
        assert found[-2:] == [Payload("orm", round), Payload("sql", round)]


async def test_autocommit_of_an_engine_is_kept(engine: AsyncEngine, outside: Any) -> None:
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        db = plainsql.over(connection)
        await shop.add(db, name="Ana")
        assert await _committed(outside) == 1
        with pytest.raises(TransactionError, match="no transaction is open"):
            async for _ in shop.names.stream(db):
                pass


async def test_an_isolation_level_of_an_engine_is_kept(engine: AsyncEngine) -> None:
    async with engine.execution_options(isolation_level="SERIALIZABLE").connect() as connection:
        assert await shop.setting(plainsql.over(connection), name="transaction_isolation") == "serializable"


async def test_a_scoped_session_and_the_sessions_connection_are_taken(engine: AsyncEngine) -> None:
    scoped = async_scoped_session(async_sessionmaker(engine), scopefunc=lambda: 1)
    assert await shop.names(plainsql.over(scoped)) == []
    assert await shop.names(plainsql.over(await scoped.connection())) == []
    await scoped.remove()


async def test_a_failed_statement_leaves_the_rollback_to_sqlalchemy(session: AsyncSession) -> None:
    db = plainsql.over(session)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await shop.divide(db, a=1, b=0)
    with pytest.raises(asyncpg.InFailedSQLTransactionError):
        await shop.names(db)
    await session.rollback()
    assert await shop.names(db) == []


async def test_an_engine_on_another_driver_is_refused(database_url: str) -> None:
    engine = create_async_engine(_engine_url(database_url, "psycopg"), poolclass=NullPool)
    async with engine.connect() as connection:
        with pytest.raises(BindError, match="on asyncpg, got one on psycopg"):
            await shop.names(plainsql.over(connection))
    await engine.dispose()


async def test_synchronous_connections_are_sent_to_the_other_function(
    engine: AsyncEngine, database_url: str
) -> None:
    with (
        psycopg.connect(database_url) as synchronous,
        pytest.raises(BindError, match=r"got Connection\nHINT: use 'plainsql\.sync\.over'"),
    ):
        plainsql.over(synchronous)
    with pytest.raises(BindError, match=r"got Connection\nHINT: use 'plainsql\.sync\.over'"):
        plainsql.over(sa.Connection.__new__(sa.Connection))
    with pytest.raises(BindError, match=r"got AsyncEngine\nHINT: open a connection of the engine"):
        plainsql.over(engine)
    asynchronous = await psycopg.AsyncConnection.connect(database_url)
    with pytest.raises(BindError, match=r"got AsyncConnection\nHINT: connect with asyncpg"):
        plainsql.over(asynchronous)
    await asynchronous.close()


async def test_a_query_that_gets_a_session_names_plainsql_over(session: AsyncSession) -> None:
    for call in (shop.names, shop.names.stream, shop.names.fresh):
        with pytest.raises(BindError, match=r"make an executor of it: 'plainsql\.over\(…\)'"):
            await call(session)  # type: ignore[call-overload]
