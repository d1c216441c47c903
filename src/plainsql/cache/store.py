"""What the cache asks of the place where entries and versions lie.

A tag has a version: a random word, made by the reader that finds none. An entry holds the versions that were
read before its database read, and is valid as long as its tags have them. A writer destroys versions twice:
when it marks, before its commit, and when it settles, after it. In between, its marker stands, and no reader
makes a version of what the marker covers. So versions are never compared by age, nothing that is missing is
ever valid, and whatever is lost is a miss.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol, TypeAlias

from plainsql.cache.cached_query import CachedCall
from plainsql.cache.keys import Touched

__all__ = ["Lookup", "State", "Store"]

State: TypeAlias = Literal["hit", "refresh", "fill", "busy", "pending"]
"""``hit``: valid. ``refresh``: valid, and due; the caller has the lease. ``fill``: nothing valid; the caller
has the lease and stores under ``versions``. ``busy``: nothing valid, and another has the lease. ``pending``:
a writer is under way, nothing may be stored.
"""


class Lookup(NamedTuple):
    """What there is of a call, in one atomic step."""

    state: State
    data: bytes = b""
    """The value, of ``hit`` and ``refresh``."""
    versions: bytes = b""
    """Of the call's tags; of ``hit`` only where it was asked for."""


class Store(Protocol):
    """Where entries and versions lie. All times in seconds. All methods but ``close`` may raise
    ``RedisUnavailableError``; what they were to do is then done or not.
    """

    async def lookup(
        self,
        call: CachedCall,
        token: str,
        *,
        keep: float,
        lease: float,
        refresh_below: float = 0.0,
        versions: bool = False,
    ) -> Lookup:
        """Read the tags' versions and the entry, and take the lease under ``token`` where there is work.

        A token is for one call: versions are made of it. (Should it come twice, they differ all the same.)

        ``keep`` is how long versions of partitions are to live at least; ``refresh_below`` the rest of an
        entry's life from which on it is due; ``versions`` asks for the versions of a hit.
        """
        ...

    async def fill(
        self, call: CachedCall, token: str, versions: bytes, data: bytes | None, ttl: float
    ) -> bool:
        """Give the lease back, store where it still was ours, and say whether the versions are current.

        Nothing is stored under versions that are not. Without ``data``, nothing is stored at all.
        """
        ...

    async def release(self, call: CachedCall, token: str) -> None:
        """Give the lease back, where it is ours."""
        ...

    async def begin(self, token: str, touched: Touched, ttl: float) -> None:
        """Destroy the versions and set a marker for ``ttl`` seconds; once more: renew it."""
        ...

    async def publish(self, token: str, touched: Touched) -> None:
        """Destroy the versions and remove the marker, if there is one."""
        ...

    async def forget(self, call: CachedCall) -> None:
        """Drop one entry."""
        ...

    async def clear(self, prefix: str, token: str) -> None:
        """Make the entries of all queries under a prefix invalid."""
        ...

    async def aclose(self) -> None:
        """Give back what the store holds."""
        ...
