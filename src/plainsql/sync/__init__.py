"""The synchronous executor, on psycopg: the same query objects in scripts, notebooks and one-off jobs.

::

    with plainsql.sync.connect("postgresql://localhost/shop") as db:
        lead = leads.get_by_id(db, id=lead_id)

A call passes through these modules in this order. ``connect`` and ``libpq_connector`` open the connection.
``database`` and ``transaction`` are the executors, and ``tenant_guard`` refuses queries that see no rows
without a tenant.
``execution`` runs one query, ``connection`` prepares it, and ``wire`` waits for the server. ``type_catalog``
looks its types up, ``adapters`` has the dump function and the loader of each, and ``row_loader`` loads the
rows. ``copy`` sends rows by COPY, ``retry`` repeats transactions, and ``cache_writer`` invalidates the cache.
``loss_note`` adds to an error whether the statement was executed if the connection was lost.
``pool`` and ``pooled_connections`` lend connections to threads, and ``replicas`` sends reads to replicas.
``over`` and ``guest_connection`` run queries on a connection of the program.
"""

try:
    from plainsql.sync.connect import connect
    from plainsql.sync.database import CausalSession, Database, ReplicaView, TenantDatabase
    from plainsql.sync.over import GuestExecutor, GuestPoolExecutor, over
    from plainsql.sync.pool import Pool, PoolCausalSession, PoolReplicaView, PoolStats, TenantPool
    from plainsql.sync.transaction import Isolation, Transaction
except ModuleNotFoundError as error:
    if error.name not in ("psycopg", "psycopg_pool"):
        raise
    raise ModuleNotFoundError(
        f"plainsql.sync needs {error.name}, which is not installed\nHINT: pip install 'plainsql[sync]'",
        name=error.name,
    ) from error

__all__ = [
    "CausalSession",
    "Database",
    "GuestExecutor",
    "GuestPoolExecutor",
    "Isolation",
    "Pool",
    "PoolCausalSession",
    "PoolReplicaView",
    "PoolStats",
    "ReplicaView",
    "TenantDatabase",
    "TenantPool",
    "Transaction",
    "connect",
    "over",
]
