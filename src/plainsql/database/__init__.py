"""Executors on asyncpg: the only place that knows this driver."""

from plainsql.database.database import Database, PoolStats, TenantDatabase
from plainsql.database.factory import Connecting, connect
from plainsql.database.listen import Notification
from plainsql.database.pool.call import Call, OnCall
from plainsql.database.pool.lost_connection import ConnectionLostError
from plainsql.database.transaction import Isolation, Transaction

__all__ = [
    "Call",
    "Connecting",
    "ConnectionLostError",
    "Database",
    "Isolation",
    "Notification",
    "OnCall",
    "PoolStats",
    "TenantDatabase",
    "Transaction",
    "connect",
]
