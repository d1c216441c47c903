"""Several statements inside a transaction that are done as a whole, or undone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from asyncpg import exceptions

from plainsql.database.pool.contexts import asynccontextmanager
from plainsql.database.pool.lost_connection import is_lost

__all__ = ["atomic"]


@asynccontextmanager
async def atomic(connection: Any) -> AsyncIterator[None]:
    """Undo a block if it fails or is cancelled. The connection is in a transaction.

    Unlike a savepoint of `block`, it does not survive an error of the server, which aborts the transaction as
    that of any statement does.
    """
    await connection.execute("savepoint plainsql_batch")
    try:
        yield
    except BaseException as error:
        is_servers = isinstance(error, exceptions.PostgresError) and getattr(error, "severity", None)
        if not (is_servers or is_lost(error) or connection.is_closed()):
            await _undo(connection)
        raise
    await connection.execute("release savepoint plainsql_batch")


async def _undo(connection: Any) -> None:
    try:
        await connection.execute(
            "rollback to savepoint plainsql_batch; release savepoint plainsql_batch",
            timeout=connection.control_timeout_s,
        )
    except Exception:  # noqa: BLE001 (the error of the block is raised)
        connection.terminate()  # what is left of the block must not be committed
    except BaseException:
        connection.terminate()
        raise
