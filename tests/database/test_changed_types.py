"""Types that change under a prepared statement: what is said names the type, and nothing runs twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import asyncpg
import pytest

import plainsql
from plainsql.errors import BindError, ContractError, DecodeError
from plainsql.query import Args, count, many, one
from plainsql.rows import Composite, Row
from plainsql.types import JSON


class Size(Composite, frozen=True):
    x: int
    unit: str


class Inner(Row, frozen=True):
    size: Size | None


class Item(Row, frozen=True):
    id: int
    size: Size | None
    meta: Annotated[Any, JSON]
    metas: list[Annotated[Any, JSON]]


class Nested(Row, frozen=True):
    id: int
    inner: Inner | None


ITEM = "id, size, meta, metas"


@many[Item]("c.all", "c.sql", 1, f"select {ITEM} from thing order by id", read_only=True, session_clean=True)
def everything() -> Args:
    return ()


@many[Nested](
    "c.nested", "c.sql", 1, 'select id, size as "inner.size" from thing', read_only=True, session_clean=True
)
def nested() -> Args:
    return ()


@one[Size]("c.size", "c.sql", 1, "select size from thing where id = :id", read_only=True, session_clean=True)
def size_of(*, id: int) -> Args:
    return (id,)


@one[Item]("c.add", "c.sql", 1, f"insert into thing values (:id) returning {ITEM}", session_clean=True)
def add(*, id: int) -> Args:
    return (id,)


@one[Item](
    "c.add_sized",
    "c.sql",
    1,
    f"insert into thing select :id, size from thing where id = 1 returning {ITEM}",
    session_clean=True,
)
def add_sized(*, id: int) -> Args:
    return (id,)


async def in_transaction(db: plainsql.Database, call: Any) -> None:
    async with db.transaction() as tx:
        await call(tx)


@pytest.fixture
async def outside(outside: Any) -> Any:
    """The connection outside of the pool, after it has created the table ``thing`` afresh."""
    await outside.execute(
        """
        drop table if exists thing; drop type if exists size;
        create type size as (x int, unit text);
        create table thing (id int, size size, meta jsonb not null default '{}',
          metas jsonb[] not null default '{}');
        insert into thing values (1, (1, 'cm'), '[1]', '{1,2}');
        """
    )
    return outside


@pytest.fixture
async def sized_things_db(database_url: str, outside: Any) -> AsyncIterator[plainsql.Database]:
    async with plainsql.connect(database_url, max_size=1, acquire_timeout=10) as db:
        yield db


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a transaction"])
async def test_a_composite_type_with_another_attribute_is_told_by_its_name(
    sized_things_db: plainsql.Database, outside: Any, inside: bool
) -> None:
    calls: list[tuple[Any, str]] = [
        (everything, "Item.size: Size"),
        (nested, "Inner.size: Size"),
        (lambda on: size_of(on, id=1), "c.size: Size"),
        (lambda on: size_of.batch(on, [{"id": 1}] * 3), "c.size: Size"),
    ]
    for call, _ in calls:
        await call(sized_things_db)
    await outside.execute("alter type size add attribute more int")
    for call, name in calls:
        with pytest.raises(ContractError) as raised:
            await (in_transaction(sized_things_db, call) if inside else call(sized_things_db))
        assert raised.value.message == f"{name} has 2 fields, the database returns 3"


async def test_a_write_whose_result_cannot_be_read_says_that_it_was_executed(
    sized_things_db: plainsql.Database, outside: Any
) -> None:
    assert (await add_sized(sized_things_db, id=2)).size == Size(1, "cm")
    await outside.execute("alter type size add attribute more int")
    with pytest.raises((DecodeError, ContractError)) as raised:
        await add_sized(sized_things_db, id=3)
    assert "lost" not in str(raised.value) + "".join(getattr(raised.value, "__notes__", ()))
    assert await outside.fetchval("select count(*) from thing where id = 3") == 1
    await outside.execute("alter type size drop attribute more")
    assert [item.id for item in await everything(sized_things_db)] == [1, 2, 3]


async def test_a_codec_that_was_replaced_is_not_called_another_number_of_columns(
    database_url: str, outside: Any
) -> None:
    """On a connection of one's own: the pool undoes or closes what is changed so."""
    from plainsql.database.execution.statement import execute
    from plainsql.database.pool.resettable_connection import ResettableConnection

    connection: Any = await asyncpg.connect(database_url, connection_class=ResettableConnection)
    try:
        await connection.set_type_codec(
            "jsonb", schema="pg_catalog", encoder=repr, decoder=lambda text: {"decoded": text}
        )
        plan, values = everything.compiled.text(())
        with pytest.raises(DecodeError) as raised:
            await execute(connection, everything.compiled, plan, values)
        assert raised.value.message.startswith("Item.meta: a value arrived in another form")
        assert raised.value.message.endswith("as dict")
    finally:
        await connection.close()


@count("c.rename", "c.sql", 1, "update labelled set label = :label", session_clean=True)
def label_all(*, label: Any) -> Args:
    return (label,)


@pytest.mark.parametrize("tenant", [None, "one"])
async def test_a_parameter_whose_type_has_changed_is_refused_once(
    sized_things_db: plainsql.Database, outside: Any, tenant: str | None
) -> None:
    await outside.execute("drop table if exists labelled; create table labelled as select 1 as label")
    db = sized_things_db if tenant is None else sized_things_db.tenant(tenant)
    assert await label_all(db, label=2) == 1
    with pytest.raises(BindError) as raised:
        await label_all(db, label="two")
    assert "has changed" not in str(raised.value)
    await outside.execute("alter table labelled alter column label type text")
    with pytest.raises(BindError, match="the type has changed since the statement was prepared"):
        await label_all(db, label="two")
    assert await label_all(db, label="two") == 1
