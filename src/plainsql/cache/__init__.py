"""A read-through cache of queries, which writes invalidate.

A read passes these modules in order: `cached_query` (a cached query and its keys), `keys` (tags of rows),
`process_tier` (in the process), `single_flight` (one read at a time), `store` (the protocol), `memory` and
`redis_store` (its implementations), `breaker`. `read_through` has that order. `invalidation` is the side of
the writers, `outbox` that of external writes. `auditor` checks hits, `shared_audit` in all processes. `cache`
is the whole.
"""

from plainsql.cache.cache import Cache
from plainsql.cache.cached_query import CachedCall, CachedQuery, Codec
from plainsql.cache.invalidation import OnFailure, PendingInvalidation
from plainsql.cache.keys import Tag, Touched, merge, resolve_change, touched_rows
from plainsql.cache.memory import MemoryStore
from plainsql.cache.read_through import MISS, Miss
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
