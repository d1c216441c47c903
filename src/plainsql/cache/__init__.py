"""Read-through caching of queries, ended by the writes that change what they read.

In the order in which a read goes through it: `reading` (a cached query and its keys), `keys` (tags and what
touches them), `local` (in the process), `flights` (one read at a time), `store` (the protocol), `memory` and
`redis_store` (where it is kept), `breaker`. `writes` is the writers' side; `cache` holds them together;
`audit` watches, `audits` for all processes together; `outbox` hears of writes that plainsql has not made.
"""

from plainsql.cache.cache import MISS, Cache, Miss
from plainsql.cache.cached_query import CachedCall, CachedQuery, Codec
from plainsql.cache.invalidation import OnFailure, PendingInvalidation
from plainsql.cache.keys import Tag, Touched, merge, resolve_change, touched_rows
from plainsql.cache.memory import MemoryStore
from plainsql.cache.stats import Stats, Violation
from plainsql.cache.store import Lookup, Store

__all__ = [
    "MISS",
    "Cache",
    "CachedCall",
    "CachedQuery",
    "Codec",
    "Lookup",
    "MemoryStore",
    "Miss",
    "OnFailure",
    "PendingInvalidation",
    "Stats",
    "Store",
    "Tag",
    "Touched",
    "Violation",
    "merge",
    "resolve_change",
    "touched_rows",
]
