"""The parts of plainsql that the benchmarks use beyond a plain call, in one place.

A version without one of these runs all the same: the missing part is skipped by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import plainsql
from benchmarks.contenders.base import POOL_SIZE, PREFETCH, NotOfferedError

__all__ = ["batch", "columns", "compiled", "connect", "copy", "is_compiled", "matrix", "tenant"]


def is_compiled() -> bool:
    """Report whether the compiled part runs."""
    try:
        from plainsql import speed
    except ImportError:
        return False
    return speed.status().running


def compiled() -> str:
    """Return whether the compiled part runs, and if it does not, why: in words."""
    try:
        from plainsql import speed
    except ImportError:
        return "this version has no compiled part"
    return str(speed.status())


def connect(url: str, *, joining: bool = True) -> Any:
    """Open a database; without joining, concurrent calls of one query are never run as one statement."""
    options: dict[str, Any] = {"min_size": POOL_SIZE, "max_size": POOL_SIZE, "prefetch": PREFETCH}
    if not joining:
        known = inspect.signature(plainsql.connect).parameters
        option = next((name for name in ("autobatch", "join") if name in known), None)
        if option is None:
            raise NotOfferedError("this version of plainsql has no joining to turn off")
        options[option] = False
    return plainsql.connect(url, **options)


def tenant(db: Any, tenant: UUID) -> Any:
    """Return the executor of one tenant."""
    if not hasattr(db, "tenant"):
        raise NotOfferedError("this version of plainsql has no db.tenant")
    return db.tenant(tenant)


async def batch(query: Any, db: Any, parameters: Sequence[dict[str, object]]) -> Sequence[Any]:
    """Run a query once for each set of parameters."""
    if not hasattr(query, "batch"):
        raise NotOfferedError("this version of plainsql has no .batch")
    rows: Sequence[Any] = await query.batch(db, parameters)
    return rows


async def copy(db: Any, table: str, rows: Sequence[Any]) -> None:
    """Insert structs through COPY."""
    if not hasattr(db, "copy_in"):
        raise NotOfferedError("this version of plainsql has no db.copy_in")
    await db.copy_in(table, rows)


async def columns(query: Any, db: Any, **parameters: object) -> Any:
    """Run a query and return its result as columns."""
    if not hasattr(query, "columns"):
        raise NotOfferedError("this version of plainsql has no .columns")
    return await query.columns(db, **parameters)


def matrix(found: Any, column: str) -> Any:
    """Return a column of vectors as one NumPy array."""
    return found.matrix(column)
