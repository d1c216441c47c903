"""The rows that tests need, and other things that tests read."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import plainsql
from plainsql.layers.marketplace import buyers, conversations, products


@dataclass(frozen=True)
class Stall:
    """One row of everything, and functions that create more."""

    db: plainsql.Database
    product: products.Product
    buyer: buyers.Buyer
    talk: conversations.Conversation

    async def product_with(self, **values: Any) -> products.Product:
        """Enter another product."""
        return await new_product(self.db, **values)

    async def buyer_with(self, **values: Any) -> buyers.Buyer:
        """Enter another buyer."""
        return await new_buyer(self.db, **values)

    async def talk_with(self, **values: Any) -> conversations.Conversation:
        """Start another conversation, by default about this product with this buyer."""
        given = {"product_id": self.product.id, "buyer_id": self.buyer.id, **values}
        talk = await conversations.start(self.db, wallapop_chat_id=uuid.uuid4().hex, **given)
        assert talk is not None
        return talk

    async def now(self) -> tuple[products.Product, conversations.Conversation, buyers.Buyer]:
        """Return the current rows of all three."""
        product = await products.get_by_id(self.db, id=self.product.id)
        talk = await conversations.get_by_id(self.db, id=self.talk.id)
        buyer = await buyers.get_by_id(self.db, id=self.buyer.id)
        assert product is not None
        assert talk is not None
        assert buyer is not None
        return product, talk, buyer


async def new_product(db: plainsql.Database, **values: Any) -> products.Product:
    given = {"wallapop_id": uuid.uuid4().hex, "title": "Bicicleta", "price": Decimal(100), **values}
    return await products.create(db, **given)


async def new_buyer(db: plainsql.Database, **values: Any) -> buyers.Buyer:
    return await buyers.create(db, **{"wallapop_user_id": uuid.uuid4().hex, "username": "ana", **values})


async def open_stall(db: plainsql.Database) -> Stall:
    product, buyer = await new_product(db), await new_buyer(db)
    talk = await conversations.start(
        db, wallapop_chat_id=uuid.uuid4().hex, product_id=product.id, buyer_id=buyer.id
    )
    assert talk is not None
    known = await buyers.get_by_id(db, id=buyer.id)
    assert known is not None
    return Stall(db, product, known, talk)


async def pages(query: Any, db: Any, *cursor: str, **given: Any) -> AsyncIterator[Any]:
    """Every row of a list that is paged by ``cursor``, read three at a time."""
    after: dict[str, Any] = {}
    while page := await query(db, limit=3, **given, **after):
        for row in page:
            yield row
        after = {f"after_{name}": getattr(page[-1], name) for name in cursor}


async def execute(db: plainsql.Database, sql: str, *args: Any) -> None:
    """Run SQL as the owner of the tables."""
    async with db.acquire() as connection, connection.transaction():
        await connection.execute("set local role none")
        await connection.execute(sql, *args)


async def blocked(db: plainsql.Database, sessions: int = 1) -> None:
    """Wait until so many sessions of this database wait for another session."""
    async with db.acquire() as connection:
        while (
            await connection.fetchval(
                """select count(*) from pg_stat_activity
                   where datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0"""
            )
            < sessions
        ):
            pass
