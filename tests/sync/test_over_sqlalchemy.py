"""``plainsql.sync.over`` on SQLAlchemy's connections and sessions: its commit and rollback govern."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, cast

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, event, select, text
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

from plainsql.errors import BindError, TransactionError
from plainsql.sync import over
from tests.database.ask import SELECT_1, count, many

ADD = count("insert into shop.leads (name) values (:name)", "name")
NAMES = many("select name from shop.leads order by name")
SERIES = many("select n from generate_series(1, 25) as n")


class Base(DeclarativeBase):
    pass


class Lead(Base):
    __tablename__ = "leads"
    __table_args__ = {"schema": "shop"}  # noqa: RUF012 (SQLAlchemy's way)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


@pytest.fixture
def engine(shop_url: str, connection: psycopg.Connection[Any]) -> Generator[Engine]:
    """An engine of the program on the shop, whose leads go at the end of the test."""
    engine = create_engine(shop_url.replace("postgresql://", "postgresql+psycopg://", 1))
    yield engine
    engine.dispose()
    connection.execute("delete from shop.leads")


def names(connection: psycopg.Connection[Any]) -> list[str]:
    """The names that another connection sees."""
    return [name for (name,) in connection.execute("select name from shop.leads order by name")]


def test_a_connections_commit_and_rollback_govern(
    engine: Engine, connection: psycopg.Connection[Any]
) -> None:
    with engine.connect() as foreign:
        db = over(foreign)
        ADD(db, name="ana")
        assert foreign.in_transaction()
        assert foreign.scalars(text("select name from shop.leads")).all() == ["ana"]
        assert names(connection) == []
        foreign.rollback()
        assert NAMES(db) == []
        ADD(db, name="bob")
        foreign.commit()
        assert names(connection) == ["bob"]
    with engine.begin() as foreign:
        ADD(over(foreign), name="cid")
        assert names(connection) == ["bob"]
    assert names(connection) == ["bob", "cid"]
    with engine.connect() as foreign:
        ADD(over(foreign), name="dan")
    assert names(connection) == ["bob", "cid"]


def test_a_sessions_commit_and_rollback_govern(engine: Engine, connection: psycopg.Connection[Any]) -> None:
    with Session(engine) as session:
        db = over(session)
        ADD(db, name="ana")
        assert session.scalars(select(Lead.name)).all() == ["ana"]
        session.rollback()
        assert NAMES(db) == []
        ADD(db, name="bob")
        session.commit()
        assert names(connection) == ["bob"]
        ADD(db, name="cid")  # another transaction, perhaps on another connection
        assert names(connection) == ["bob"]
    assert names(connection) == ["bob"]


def test_pending_objects_are_flushed_first_as_the_session_does_it(engine: Engine) -> None:
    with Session(engine) as session:
        session.add(Lead(name="ana"))
        assert NAMES(over(session)) == ["ana"]
        session.add(Lead(name="bob"))
        with session.no_autoflush:
            assert NAMES(over(session)) == ["ana"]
        assert NAMES.batch(over(session), [{}]) == [["ana", "bob"]]
        session.add(Lead(name="cid"))
        assert list(NAMES.stream(over(session))) == ["ana", "bob", "cid"]
    with Session(engine, autoflush=False) as session:
        session.add(Lead(name="dan"))
        assert NAMES(over(session)) == []


def test_an_event_inside_of_a_flush_may_call_a_query(engine: Engine) -> None:
    seen: list[int] = []
    with Session(engine) as session:
        event.listen(session, "after_flush", lambda *_: seen.append(SELECT_1(over(session))))
        session.add(Lead(name="ana"))
        session.flush()
    assert seen == [1]


def test_a_transaction_is_a_savepoint_of_the_session(
    engine: Engine, connection: psycopg.Connection[Any]
) -> None:
    with Session(engine) as session:
        db = over(session)
        with db.transaction() as tx:  # nothing has begun yet: it commits nothing all the same
            ADD(tx, name="ana")
        assert names(connection) == []
        with pytest.raises(psycopg.errors.UniqueViolation), db.transaction() as tx:
            ADD(tx, name="ana")
        with session.begin_nested():
            ADD(db, name="bob")
        with pytest.raises(psycopg.errors.UniqueViolation), session.begin_nested():
            ADD.execute_many(db, [{"name": "cid"}, {"name": "bob"}])
        assert NAMES(db) == ["ana", "bob"]
        with pytest.raises(TransactionError, match="isolation, read_only and deferrable"):
            db.transaction(isolation="serializable").__enter__()
        session.commit()
    assert names(connection) == ["ana", "bob"]


def test_a_connection_in_autocommit_mode_commits_each_call(
    engine: Engine, connection: psycopg.Connection[Any]
) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as foreign:
        ADD(over(foreign), name="ana")
        assert names(connection) == ["ana"]


def test_a_session_that_must_roll_back_refuses_first(engine: Engine) -> None:
    with Session(engine) as session:
        session.add_all([Lead(id=1, name="ana"), Lead(id=1, name="bob")])
        with pytest.raises(DBAPIError):
            NAMES(over(session))
        with pytest.raises(PendingRollbackError):
            NAMES(over(session))
        session.rollback()
        assert NAMES(over(session)) == []


def test_a_scoped_session_is_the_one_of_the_thread(engine: Engine) -> None:
    sessions = scoped_session(sessionmaker(engine))
    db = over(sessions)
    sessions.add(Lead(name="ana"))
    assert NAMES(db) == ["ana"]
    sessions.remove()
    assert NAMES(db) == []
    sessions.remove()


def test_sets_and_streams_run_in_the_sessions_transaction(
    engine: Engine, connection: psycopg.Connection[Any]
) -> None:
    with Session(engine) as session:
        db = over(session, prefetch=10)
        assert ADD.batch(db, [{"name": "ana"}, {"name": "bob"}]) == [1, 1]
        assert list(SERIES.stream(db)) == [*range(1, 26)]
        assert names(connection) == []
        session.commit()
    assert names(connection) == ["ana", "bob"]


def test_nothing_stays_on_the_pools_connections(engine: Engine) -> None:
    with engine.connect() as foreign:
        driver: Any = foreign.connection.driver_connection
        before = (driver.autocommit, driver.prepare_threshold, driver.row_factory)
        SELECT_1(over(foreign))
        assert (driver.autocommit, driver.prepare_threshold, driver.row_factory) == before
    with engine.connect() as foreign:
        assert foreign.scalar(text("select count(*) from pg_prepared_statements")) == 0


def test_what_cannot_work_is_refused_with_the_way_out(engine: Engine) -> None:
    with pytest.raises(BindError, match=r"got Engine\nHINT: open a connection of the engine"):
        over(cast("Any", engine))
    with pytest.raises(BindError, match=r"got AsyncSession\nHINT: use 'plainsql.over'"):
        over(cast("Any", AsyncSession.__new__(AsyncSession)))
    sqlite = create_engine("sqlite://")
    with sqlite.connect() as other, pytest.raises(BindError, match=r"got one on pysqlite\nHINT: create the"):
        over(other)
    with Session(sqlite) as session, pytest.raises(BindError, match="got one on pysqlite"):
        SELECT_1(over(session))
    sqlite.dispose()
