"""Read-only servers: after a failover connections may still lead to the former primary.

The former primary lives on as a standby or is made read-only, and nothing ends the connections to it. The
first sign is a write that such a server refuses. Then all connections that were opened before are discarded,
so that the next ones find the current primary.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from asyncpg import exceptions

from plainsql.database.pool.commit_outcome import add_note
from plainsql.database.pool.connection_pool import ConnectionPool
from plainsql.database.pool.pooled_connection import PooledConnection

__all__ = ["ReadOnlyServers", "explain_refusal", "is_refusal", "is_refused_by_server"]

_DISCARD_PAUSE_S = 0.5
"""Seconds between two discards of connections: a server that stays read-only is not reconnected to all the
time, and one that is promoted is found within a second."""

_REFUSED = (
    "the server is read-only: it is a standby, or default_transaction_read_only is on; "
    "name all hosts in the URL with target_session_attrs=read-write to find the primary"
)
_REPLACED = "the connections to it are replaced: run the transaction again, as 'db.retry' does"


# A hot standby refuses serializable transactions, explicit ones and by default.
_NOT_SERIALIZABLE = frozenset({"call_enum_check_hook", "GetSerializableTransactionSnapshot"})


def is_refusal(error: BaseException) -> bool:
    """Return whether this error may mean that the server is a standby or read-only. The statement was not
    executed.
    """
    if isinstance(error, exceptions.FeatureNotSupportedError):
        return getattr(error, "server_source_function", None) in _NOT_SERIALIZABLE
    return isinstance(error, exceptions.ReadOnlySQLTransactionError)


def is_refused_by_server(error: BaseException, connection: Any) -> bool:
    """Return whether the server itself refused a statement, and not the read-only mode of its transaction."""
    if not is_refusal(error):
        return False
    if connection.is_closed():
        return True
    # The server reports both settings. A pooler may not pass them on.
    settings = connection.get_settings()
    standby: str | None = getattr(settings, "in_hot_standby", None)
    if isinstance(error, exceptions.FeatureNotSupportedError):
        return standby != "off"
    default: str | None = getattr(settings, "default_transaction_read_only", None)
    return "on" in (standby, default) or None in (standby, default)


class ReadOnlyServers:
    """Discards connections to servers that turn out to be read-only."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._retired_at = float("-inf")

    def refused(self, error: BaseException, pooled: PooledConnection) -> bool:
        """Discard the connections to a server that refused a write as read-only. Return whether this
        connection is among them, so that a new one may lead to another server.
        """
        if not is_refused_by_server(error, pooled.connection):
            return False
        now = monotonic()
        if now - self._retired_at >= _DISCARD_PAUSE_S:
            self._retired_at = now
            self._pool.discard_before(now)
        return pooled.born < self._retired_at


def explain_refusal(error: BaseException, connection: Any, *, replaced: bool) -> None:
    """Add to the error of a refused write what to do, if the server itself refused it."""
    if is_refused_by_server(error, connection):
        add_note(error, _REFUSED)
        if replaced:
            add_note(error, _REPLACED)
