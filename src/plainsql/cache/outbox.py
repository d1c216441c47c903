"""Writes that plainsql does not make: triggers note them in a table, in their own transaction.

What stands in the table is committed, and it stands there until the cache has heard of it: a crash in between
loses nothing. Between such a write's commit and the moment the table is read, the cache serves what was.
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

__all__ = ["OUTBOX", "Begin", "Fetch", "Migration", "drain", "keep_draining", "migration"]

Fetch: TypeAlias = Callable[[str, int], Awaitable[Sequence[Mapping[str, Any]]]]
"""Runs a statement with one parameter and returns its rows, by the names of their columns."""

Begin: TypeAlias = Callable[[], AbstractAsyncContextManager[Fetch]]
"""Opens a transaction, which an error rolls back."""


async def drain(cache: Cache, begin: Begin, *, outbox: str = OUTBOX, limit: int = 1000) -> int:
    """Tell the cache what stands in the outbox, and take it out; return how many notes it was.

    Any number of processes may do so at once. Raises ``CacheError`` where the store does not answer: the
    notes then stay.
    """
    statement = (
        f"delete from {qualified(outbox)} where id in "
        f"(select id from {qualified(outbox)} order by id limit $1 for update skip locked) "
        "returning table_name, known::text as known"
    )
    async with begin() as fetch:
        rows = await fetch(statement, limit)
        if rows:
            # Before the commit that takes them out: told twice is no harm, not told would be.
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
    """Drain until cancelled: again at once while there is much, else after ``every`` seconds.

    Where the store does not answer, or the database raises one of ``errors``, it tries again, after up to
    5 s.
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
