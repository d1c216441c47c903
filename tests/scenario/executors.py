"""Both executors with one interface, so that one scenario serves both."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from plainsql.query import Query


@dataclass
class Side:
    """An executor of either kind. Calls of the synchronous one are done when they return."""

    name: str
    """``asyncpg`` or ``psycopg``."""
    db: Any
    """A ``Database`` or ``Transaction``."""

    async def call(self, query: Query[..., Any, Any], /, **parameters: object) -> Any:
        result = query(self.db, **parameters)
        return await result if inspect.isawaitable(result) else result

    async def stream(self, query: Query[..., Any, Any], /, **parameters: object) -> AsyncIterator[Any]:
        rows = query.stream(self.db, **parameters)
        if isinstance(rows, AsyncIterator):
            async for row in rows:
                yield row
        else:
            for row in rows:
                yield row

    @asynccontextmanager
    async def transaction(self, **options: Any) -> AsyncIterator[Side]:
        block = self.db.transaction(**options)
        if hasattr(block, "__aenter__"):
            async with block as tx:
                yield Side(self.name, tx)
        else:
            with block as tx:
                yield Side(self.name, tx)
