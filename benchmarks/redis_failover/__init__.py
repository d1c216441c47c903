"""The proof that a failover of the cache's Redis is a burst of misses, and never an old result.

``python -m benchmarks.redis_failover --sentinel --seconds 300`` or ``--cluster``. Readers and writers of
`benchmarks.cache_soak` use real servers, whose masters are switched, killed, paused and cut off; every read
is checked. ``--break`` runs a protocol with a hole, which the check must find.
"""
