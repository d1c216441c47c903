"""The detection of poolers such as PgBouncer between a connection and the server, and their refusal.

A pooler in transaction mode lends a session for one transaction: a moment later the session's locks and
settings are another client's. A pooler cannot be queried for its mode, so an unknown one is treated as the
stricter.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import pq

from plainsql.errors import ConnectError
from plainsql.pooler import Pooler

__all__ = ["is_behind_pooler", "refuse_pooler"]


def is_behind_pooler(connection: psycopg.Connection[Any]) -> bool:
    """Return True if the process id of the backend is not the one from the start of the connection.

    A pooler reports an invented process id to its clients.
    """
    return _backend(connection) != connection.info.backend_pid


_HINT = "connect to PostgreSQL itself; if the pooler is in session mode, pass --pooler session"


def refuse_pooler(
    connection: psycopg.Connection[Any], what: str, pooler: Pooler | None = None, *, hint: str = _HINT
) -> None:
    """Raise ``ConnectError`` if a pooler is in between that may lend the session to other clients.

    Args:
        connection: a connection in autocommit mode, in no transaction.
        what: the command that needs a session, for the message.
        pooler: the mode that the caller names: ``session`` is believed unless a test contradicts it.
        hint: the hint of the error.
    """
    if pooler == "session":
        if not _changes_backends(connection):
            return
        detail = "it is not in session mode, which was given as its mode"
    elif pooler != "transaction" and not is_behind_pooler(connection):
        return
    else:
        detail = "in transaction mode its locks and settings would be those of other clients"
    raise ConnectError(
        f"{what} needs a session of its own, and a pooler such as PgBouncer is in front of the server; "
        "nothing was done",
        detail=detail,
        hint=hint,
    )


def _changes_backends(connection: psycopg.Connection[Any]) -> bool:
    """Return True if a second client gets our backend, or if we get another one meanwhile."""
    ours = _backend(connection)
    with psycopg.connect(
        connection.info.dsn, password=connection.info.password, autocommit=True, prepare_threshold=None
    ) as other:
        other.execute("begin")
        theirs = _backend(other)
        return theirs == ours or _backend(connection) != ours


def _backend(connection: psycopg.Connection[Any]) -> int:
    # In the simple protocol, which prepares no statement that would stay in the pooler's session.
    with connection.lock:
        result = connection.pgconn.exec_(b"select pg_backend_pid()")
    if result.status != pq.ExecStatus.TUPLES_OK:
        raise psycopg.errors.error_from_result(result, "utf-8")
    return int(result.get_value(0, 0) or 0)
