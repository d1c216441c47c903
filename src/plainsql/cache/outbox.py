"""The outbox of external writes: triggers record them in a table, in the transaction of the write.

A record in the table is committed, and it stays until the cache is invalidated, so that a crash in between
loses nothing. Between the commit of an external write and the next read of the table, the cache is stale.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from typing import Any, TypeAlias

from plainsql.cache.cache import Cache
from plainsql.cache.keys import merge, touched_rows
from plainsql.cache.outbox_triggers import OUTBOX, Migration, migration, qualified
from plainsql.errors import CacheError

__all__ = ["OUTBOX", "Begin", "Fetch", "Migration", "drain", "drain_statement", "keep_draining", "migration"]

Fetch: TypeAlias = Callable[[str, int], Awaitable[Sequence[Mapping[str, Any]]]]
"""Runs a statement with one parameter and returns its rows, by the names of their columns."""

Begin: TypeAlias = Callable[[], AbstractAsyncContextManager[Fetch]]
"""Opens a transaction, which an error rolls back."""


def drain_statement(outbox: str = OUTBOX) -> str:
    """Return the statement that removes records from the outbox; its parameter is their greatest number."""
    return (
        f"delete from {qualified(outbox)} where id in "
        f"(select id from {qualified(outbox)} order by id limit $1 for update skip locked) "
        "returning table_name, known::text as known"
    )


async def drain(cache: Cache, begin: Begin, *, outbox: str = OUTBOX, limit: int = 1000) -> int:
    """Invalidate the cache for the records in the outbox, remove them, and return their number.

    Any number of processes may do so at the same time. Raises ``CacheError`` if the store does not answer;
    then the records stay.
    """
    statement = drain_statement(outbox)
    async with begin() as fetch:
        rows = await fetch(statement, limit)
        if rows:
            # Before the commit that removes them: invalidating twice does no harm.
            changes = (
                touched_rows(row["table_name"], json.loads(row["known"], parse_float=Decimal)) for row in rows
            )
            await cache.invalidate_rows(merge(changes), required=True, notes=len(rows))
    return len(rows)


async def keep_draining(
    cache: Cache,
    begin: Begin,
    *,
    outbox: str = OUTBOX,
    every: float = 0.1,
    errors: tuple[type[Exception], ...] = (OSError,),
) -> None:
    """Drain until cancelled: again immediately while there are many records, else after ``every`` seconds.

    If the store does not answer, or the database raises one of ``errors``, it tries again, after up to 5 s.
    """
    pause = every
    retried: tuple[type[Exception], ...] = (CacheError, *errors)
    while True:
        try:
            found = await drain(cache, begin, outbox=outbox)
            pause = 0.0 if found >= 1000 else every
        except retried:
            pause = min(max(pause, every) * 2, 5.0)
        await asyncio.sleep(pause)
