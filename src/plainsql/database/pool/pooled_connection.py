"""A connection of the pool, with what the pool keeps of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from plainsql.tenancy import Tenant

if TYPE_CHECKING:
    from plainsql.database.pool.following_statement import FollowingStatement

__all__ = ["NEVER", "PooledConnection"]

NEVER: Final = float("-inf")
"""The birth of connections that must not be used again: they are older than any."""


class PooledConnection:
    """A connection of the pool, idle or in use."""

    __slots__ = ("born", "connection", "following", "has_pipelines", "idle_since", "is_lent", "tenant")

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        """The driver's connection."""
        self.born: float = connection.born
        """The time at which it began to open, by `time.monotonic`. ``NEVER``: close it when it is
        released."""
        self.idle_since = self.born
        self.tenant: Tenant | None = None
        """The tenant that its session carries."""
        self.is_lent = False
        """True in a block, which need not wait for the server while it holds the connection."""
        self.following: FollowingStatement | None = None
        """The statement to send in the round trip of the next commit, while a block has the connection."""
        self.has_pipelines = False
        """True if pipelines of reads prefer it: it has prepared their statements."""
