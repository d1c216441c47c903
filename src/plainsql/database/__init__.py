"""Executors on asyncpg. No other part imports this driver.

A call passes a chain of links (`execution.link`), which `factory.connect` builds. The folders are layers:
`pool` has connections, `execution` statements, `caching` the cache; the modules here have the objects that
users hold.
"""

from plainsql.database.database import Database, PoolStats, TenantDatabase
from plainsql.database.factory import Connecting, connect
from plainsql.database.guest_executor import GuestExecutor, over
from plainsql.database.listen import Notification
from plainsql.database.pool.call import Call, OnCall
from plainsql.database.pool.lost_connection import ConnectionLostError
from plainsql.database.reading_executor import CausalSession, ReplicaView
from plainsql.database.transaction import Isolation, Transaction
from plainsql.replication.replica_stats import ReplicaStats

__all__ = [
    "Call",
    "CausalSession",
    "Connecting",
    "ConnectionLostError",
    "Database",
    "GuestExecutor",
    "Isolation",
    "Notification",
    "OnCall",
    "PoolStats",
    "ReplicaStats",
    "ReplicaView",
    "TenantDatabase",
    "Transaction",
    "connect",
    "over",
]
