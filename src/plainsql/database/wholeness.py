"""Work of several statements inside a transaction that is done as a whole, or leaves nothing and goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asyncpg import exceptions

from plainsql.database.failure import is_lost

__all__ = ["whole"]

_ANSWER_S = 2.0
"""Seconds in which a server must answer after a failure; else its connection is cut, and with it the
transaction."""

_UNDO = "rollback to savepoint plainsql_batch; release savepoint plainsql_batch"


@asynccontextmanager
async def whole(connection: Any, *, savepoint: bool) -> AsyncIterator[None]:
    """Undo what a block has done if it fails, cancelled or not; the connection is in a transaction.

    Without ``savepoint`` the transaction's own end undoes it, and only the connection is looked at: a
    rollback on one that fell silent would wait for ever. An error of the server ends the transaction, as that
    of any statement does.
    """
    if savepoint:
        await connection.execute("savepoint plainsql_batch")
    try:
        yield
    except BaseException as error:
        is_servers = isinstance(error, exceptions.PostgresError) and getattr(error, "severity", None)
        if not (is_servers or is_lost(error) or connection.is_closed()):
            await _undo(connection, _UNDO if savepoint else "select")
        raise
    if savepoint:
        await connection.execute("release savepoint plainsql_batch")


async def _undo(connection: Any, sql: str) -> None:
    try:
        await connection.execute(sql, timeout=_ANSWER_S)
    except exceptions.InFailedSQLTransactionError:
        pass  # it answers
    except Exception:  # noqa: BLE001 (the error of the block is raised)
        connection.terminate()
    except BaseException:
        connection.terminate()
        raise
