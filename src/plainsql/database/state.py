"""The state that a database and its tenants' views share."""

from __future__ import annotations

from dataclasses import dataclass

from plainsql.database.caching.cached import Cached
from plainsql.database.caching.cached_queries import CachedQueries
from plainsql.database.execution.autobatch import Autobatch
from plainsql.database.execution.forms import FormsByText
from plainsql.database.execution.link import Executes
from plainsql.database.execution.on_connection import OnConnection
from plainsql.database.execution.shared_reads import SharedReads
from plainsql.database.hooks import Observed
from plainsql.database.pool.call import OnCall
from plainsql.database.pool.round_trip import RoundTrip
from plainsql.database.pool.tenant_pool import DatabasePool, TenantPool
from plainsql.database.replicas.replica_set import ReplicaSet
from plainsql.database.replicas.routed import Routed
from plainsql.speed.loaded import STEP

__all__ = ["DatabaseState"]


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """The connections of a database, and the chain that its calls pass through."""

    pool: DatabasePool
    chain: Executes
    forms: FormsByText
    autobatch: Autobatch | None
    """The link of concurrent reads without the compiled part; None if it is turned off."""
    shared: SharedReads | None
    """The link of concurrent reads with the compiled part; None if it is turned off."""
    cached: Cached | None
    """The link of the cache; None without a cache."""
    on_call: OnCall | None
    prefetch: int
    replicas: ReplicaSet | None
    """The replicas; None without any."""

    @property
    def server(self) -> str:
        """The name of the server in the records of calls; empty if there are no replicas."""
        return self.pool.name if self.replicas is not None or self.pool.is_replica else ""

    @classmethod
    def build(
        cls,
        pool: DatabasePool,
        *,
        prefetch: int,
        autobatch: bool,
        cached_queries: CachedQueries | None,
        on_call: OnCall | None,
        round_trip: RoundTrip,
        replicas: ReplicaSet | None = None,
    ) -> DatabaseState:
        """Build the chain of a database. A link that is not configured is left out."""
        forms = FormsByText(round_trip, autobatch=autobatch)
        chain: Executes = OnConnection(forms, prefetch)
        batching = shared = cached = None
        if autobatch:
            if STEP is not None and pool.sends_settings:
                chain = shared = SharedReads(chain, pool, round_trip)
            else:
                chain = batching = Autobatch(chain, pool.connections, forms)
        if cached_queries is not None:
            chain = cached = Cached(chain, cached_queries, TenantPool(pool, None))
        if replicas is not None:
            chain = Routed(chain, replicas, pool.name, caches=cached is not None)
        if on_call is not None:
            chain = Observed(chain, on_call)
        return cls(pool, chain, forms, batching, shared, cached, on_call, prefetch, replicas)
