"""The store of entries and versions, as the cache uses it.

A tag has a version: a random word, made by the first reader that misses it. An entry holds the versions that
were read before its database read, and is valid while its tags have them. A writer destroys versions twice:
when it begins, before its commit, and when it publishes, after it. In between there is its marker, and no
reader makes a version of a tag that the marker covers. So versions are never compared by age, a missing
version is never valid, and a lost one is a miss.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol, TypeAlias

from plainsql.cache.cached_query import CachedCall
from plainsql.cache.keys import Touched

__all__ = ["Lookup", "State", "Store"]

State: TypeAlias = Literal["hit", "refresh", "fill", "busy", "pending"]
"""``hit``: valid. ``refresh``: valid and due; the caller has the lease. ``fill``: not valid; the caller has
the lease and stores under ``versions``. ``busy``: not valid, and another caller has the lease. ``pending``: a
write is in progress, and nothing may be stored.
"""


class Lookup(NamedTuple):
    """The state of a call in the store, read in one atomic step."""

    state: State
    data: bytes = b""
    """The value, for ``hit`` and ``refresh``."""
    versions: bytes = b""
    """The versions of the call's tags; for ``hit`` only on request."""


class Store(Protocol):
    """A store of entries and versions. All times are in seconds.

    All methods but ``aclose`` may raise ``RedisUnavailableError``; then the operation is done or not.
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
        """Read the tags' versions and the entry, and acquire the lease under ``token`` if there is work.

        A token is for one call: versions are made from it. (If it came twice, they would differ all the
        same.)

        ``keep``: the least life of partitions' versions. ``refresh_below``: an entry is due if less than this
        is left of its life. ``versions``: return the versions of a hit.
        """
        ...

    async def fill(
        self, call: CachedCall, token: str, versions: bytes, data: bytes | None, ttl: float
    ) -> bool:
        """Release the lease, store the data if the lease was still the caller's, and return whether the
        versions are current.

        Under versions that are not current nothing is stored; without ``data`` nothing is stored at all.
        """
        ...

    async def release(self, call: CachedCall, token: str) -> None:
        """Release the lease, if it is the caller's."""
        ...

    async def begin(self, token: str, touched: Touched, ttl: float) -> None:
        """Destroy the versions and set a marker for ``ttl`` seconds; a second call renews it."""
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
        """Release the store's resources."""
        ...
