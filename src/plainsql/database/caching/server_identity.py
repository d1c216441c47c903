"""The identity of the server that a pool is connected to: results of another server are not stored as its
own.

After a failover two servers answer for one database: the old primary on the connections that were kept, the
new one on the others. They have the same name and the same system identifier, and stored results of one must
not be served as the other's. The times of their start distinguish them: a running server is a primary on one
timeline, from its start or its promotion until it stops, and never becomes a standby again.
(`pg_control_checkpoint()` shows the old timeline for a while after a promotion, and not every role may call
it.) So a connection that has once found its server to be a primary is on that primary while it is open, and
is identified once. Results from standbys, and from servers that do not report their start, are not stored.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from asyncpg import exceptions

from plainsql.database.pool.lost_connection import is_lost

__all__ = ["ServerIdentity"]

_log = logging.getLogger("plainsql.cache")

_STARTED_SQL = "(extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint"
_IDENTITY_SQL = f"select {_STARTED_SQL}, pg_is_in_recovery()"


class _Server(NamedTuple):
    """The server of one connection, as far as it is known."""

    started: int | None
    """Microseconds since 1970; None if the server does not report it."""
    standby: bool

    def name(self, connection: Any) -> str | None:
        """Return the name of the primary that the connection is on, or None."""
        if self.started is None or (self.standby and not _is_promoted(connection)):
            return None
        return f"primary since {self.started}"


class ServerIdentity:
    """The identity of the server of one pool's connections: one as a rule, two during a failover.

    ``current`` is the primary that every open connection is on, or None if one of them is on another server.
    It changes before a connection to another server serves a call.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self.current: str | None = None
        self._on_change = on_change
        self._known: WeakKeyDictionary[Any, _Server] = WeakKeyDictionary()
        self._warned = False

    async def identify(self, connection: Any) -> None:
        """Find out, in one round trip, the server of a connection that was just opened."""
        self._known[connection] = await self._read_identity(connection)
        self.review()

    def knows(self, connection: Any) -> bool:
        """Return whether a connection was identified."""
        return connection in self._known

    def review(self) -> None:
        """Check the open connections again. If none is open, the last server counts."""
        names: set[str | None] = set()
        for connection, server in list(self._known.items()):
            if connection.is_closed():
                del self._known[connection]
            else:
                names.add(server.name(connection))
        if names:
            self._change(names.pop() if len(names) == 1 else None)

    async def claim(self, connection: Any) -> None:
        """Make the server that answers now the current one. This is for a pooler in transaction mode: the
        next statement may run on another server, so each needs a `proof`.
        """
        self._change((await self._read_identity(connection)).name(connection))

    def doubt(self) -> None:
        """Forget the current server, after a `proof` has failed."""
        self._change(None)

    def proof(self) -> str:
        """Return a statement that finds a row if, and only if, it runs on the current server."""
        started = int((self.current or "0").rpartition(" ")[2])
        return f"select where {_STARTED_SQL} = {started:d} and not pg_is_in_recovery()"

    async def _read_identity(self, connection: Any) -> _Server:
        try:
            started, standby = await connection.fetchrow(_IDENTITY_SQL)
        except exceptions.PostgresError as error:
            if is_lost(error):
                raise
            if not self._warned:
                self._warned = True
                _log.warning(
                    "nothing is cached: PostgreSQL does not say which server it is (SQLSTATE %s); "
                    "let this role execute pg_postmaster_start_time() and pg_is_in_recovery()",
                    getattr(error, "sqlstate", None),
                )
            return _Server(None, standby=True)
        return _Server(started, standby)

    def _change(self, current: str | None) -> None:
        if current != self.current:
            self.current = current
            self._on_change()


def _is_promoted(connection: Any) -> bool:
    """Return whether a server that was a standby has reported since that it is not one any more.

    PostgreSQL reports that to each session with the first answer after its promotion.
    """
    return getattr(connection.get_settings(), "in_hot_standby", "on") == "off"
