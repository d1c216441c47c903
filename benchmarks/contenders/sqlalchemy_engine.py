"""The SQLAlchemy engine of three contenders: asyncpg underneath, tuned as its documentation says.

Single statements run in the driver's autocommit mode, so that there is no ``begin`` and ``rollback`` around
them, and the pool sends nothing when a connection comes back. What needs a transaction has one, on that pool.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks.contenders.base import POOL_SIZE
from benchmarks.database import Place

__all__ = ["make_engines"]


def make_engines(place: Place) -> tuple[AsyncEngine, AsyncEngine]:
    """Return an engine for single statements, and one on the same pool for transactions."""
    url = URL.create(
        "postgresql+asyncpg",
        username=place.user,
        database=place.database,
        query={"host": place.host, "port": str(place.port)},
    )
    options: dict[str, Any] = {"pool_size": POOL_SIZE, "max_overflow": 0, "pool_reset_on_return": None}
    transactional = create_async_engine(url, **options)
    return transactional.execution_options(isolation_level="AUTOCOMMIT"), transactional
