"""The server that the connections of a pool are on: what was read on another is not stored as its results.

After a failover two servers answer for one database: the old primary to those who kept their connections,
the new one to the others. They have the same name and the same system identifier, and stored results of
one must not be served as the other's. The moment at which each was started tells them apart: a running
server is a primary on one timeline, from its start or its promotion until it stops, and never becomes a
standby again. (`pg_control_checkpoint()` shows the old timeline for a while after a promotion, and not every
role may call it.) So a connection that has once found its server to be a primary is on that primary for as
long as it is open, and is asked once. Standbys, and servers that do not say, store nothing.
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

_STARTED = "(extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint"
_ASK = f"select {_STARTED}, pg_is_in_recovery()"


class _Server(NamedTuple):
    """What one connection knows of its server."""

    started: int | None
    """Microseconds since 1970; None if it does not say."""
    standby: bool

    def name(self, connection: Any) -> str | None:
        """Return the name of the primary that the connection is on, or None."""
        if self.started is None or (self.standby and not _is_promoted(connection)):
            return None
        return f"primary since {self.started}"


class ServerIdentity:
    """The servers of one pool's connections: one as a rule, two while a failover is under way.

    ``current`` is the primary that every open connection is on, or None if there is another among them. It
    changes before a connection to another server serves anybody.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self.current: str | None = None
        self._on_change = on_change
        self._known: WeakKeyDictionary[Any, _Server] = WeakKeyDictionary()
        self._warned = False

    async def identify(self, connection: Any) -> None:
        """Ask a connection that has just been opened for its server, in one round trip."""
        self._known[connection] = await self._ask(connection)
        self.review()

    def knows(self, connection: Any) -> bool:
        """Whether a connection was asked."""
        return connection in self._known

    def review(self) -> None:
        """Look again at the connections that are open; if none is, the last server counts."""
        names: set[str | None] = set()
        for connection, server in list(self._known.items()):
            if connection.is_closed():
                del self._known[connection]
            else:
                names.add(server.name(connection))
        if names:
            self._change(names.pop() if len(names) == 1 else None)

    async def claim(self, connection: Any) -> None:
        """Take the server that answers now for the current one: behind a pooler in transaction mode, where
        the next statement may meet another, so that `proof` has to go with each.
        """
        self._change((await self._ask(connection)).name(connection))

    def doubt(self) -> None:
        """Forget the current server, after a `proof` has failed."""
        self._change(None)

    def proof(self) -> str:
        """Return a statement that finds a row if, and only if, it runs on the current server."""
        started = int((self.current or "0").rpartition(" ")[2])
        return f"select where {_STARTED} = {started:d} and not pg_is_in_recovery()"

    async def _ask(self, connection: Any) -> _Server:
        try:
            started, standby = await connection.fetchrow(_ASK)
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
    """Whether a server that was a standby when it was asked has said since that it is none any more.

    PostgreSQL tells each session so with the first answer after its promotion.
    """
    return getattr(connection.get_settings(), "in_hot_standby", "on") == "off"
