"""Several statements inside a transaction that are done as a whole, or undone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from asyncpg import exceptions

from plainsql.database.pool.contexts import asynccontextmanager
from plainsql.database.pool.lost_connection import is_lost

__all__ = ["aborting", "atomic"]


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
        if not _has_ended(connection, error):
            await _undo(connection)
        raise
    await connection.execute("release savepoint plainsql_batch")


@asynccontextmanager
async def aborting(connection: Any, was_sent: Callable[[BaseException], bool]) -> AsyncIterator[None]:
    """Abort the transaction if a block fails or is cancelled after something was sent, as an error of the
    server does. It costs nothing if the block succeeds. ``was_sent`` gets the error.
    """
    try:
        yield
    except BaseException as error:
        if was_sent(error) and not _has_ended(connection, error):
            # There is no savepoint of this name, and the server's error for that aborts the transaction.
            await _run(connection, "rollback to savepoint plainsql_undone", expects_error=True)
        raise


def _has_ended(connection: Any, error: BaseException) -> bool:
    """Return whether an error has ended the transaction, or the connection."""
    is_servers = isinstance(error, exceptions.PostgresError) and getattr(error, "severity", None)
    return bool(is_servers) or is_lost(error) or connection.is_closed()


async def _undo(connection: Any) -> None:
    await _run(connection, "rollback to savepoint plainsql_batch; release savepoint plainsql_batch")


async def _run(connection: Any, sql: str, *, expects_error: bool = False) -> None:
    try:
        await connection.execute(sql, timeout=connection.control_timeout_s)
    except Exception as error:  # noqa: BLE001 (the error of the block is raised)
        if not (expects_error and isinstance(error, exceptions.PostgresError)):
            connection.terminate()  # what is left of the block must not be committed
    except BaseException:
        connection.terminate()
        raise
