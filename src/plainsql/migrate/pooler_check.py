"""Poolers such as PgBouncer between a connection and the server: found out, and refused.

A pooler in transaction mode lends a session for one transaction: a lock or a setting of the session is then
another client's a moment later. Which mode it is in cannot be asked; what cannot be told apart is taken for
the stricter case.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import pq

from plainsql.errors import ConnectError
from plainsql.pooler import Pooler

__all__ = ["is_behind_pooler", "refuse_pooler"]


def is_behind_pooler(connection: psycopg.Connection[Any]) -> bool:
    """Return whether the process that answers is another than the one that greeted us.

    A pooler makes up the process id that it tells its clients.
    """
    return _backend(connection) != connection.info.backend_pid


_HINT = "connect to PostgreSQL itself; if the pooler is in session mode, say so: --pooler session"


def refuse_pooler(
    connection: psycopg.Connection[Any], what: str, pooler: Pooler | None = None, *, hint: str = _HINT
) -> None:
    """Raise if a pooler is in the way that does not keep the session ours.

    Args:
        connection: in autocommit mode, and in no transaction.
        what: what needs a session, for the message.
        pooler: what the caller knows of it: ``session`` is believed unless it is found to be wrong.
        hint: what to do.

    Raises ``ConnectError`` if nothing was done.
    """
    if pooler == "session":
        if not _changes_backends(connection):
            return
        detail = "it was said to be in session mode, and it is not"
    elif pooler != "transaction" and not is_behind_pooler(connection):
        return
    else:
        detail = "in transaction mode its locks and settings would be those of other clients"
    raise ConnectError(
        f"{what} needs a session of its own, and a pooler such as PgBouncer stands before the server; "
        "nothing was done",
        detail=detail,
        hint=hint,
    )


def _changes_backends(connection: psycopg.Connection[Any]) -> bool:
    """Return True if a second client is given our backend, or drives us to another."""
    ours = _backend(connection)
    with psycopg.connect(
        connection.info.dsn, password=connection.info.password, autocommit=True, prepare_threshold=None
    ) as other:
        other.execute("begin")
        theirs = _backend(other)
        return theirs == ours or _backend(connection) != ours


def _backend(connection: psycopg.Connection[Any]) -> int:
    # In the simple protocol: it prepares nothing that would stay behind in the pooler's session.
    with connection.lock:
        result = connection.pgconn.exec_(b"select pg_backend_pid()")
    if result.status != pq.ExecStatus.TUPLES_OK:
        raise psycopg.errors.error_from_result(result, "utf-8")
    return int(result.get_value(0, 0) or 0)
