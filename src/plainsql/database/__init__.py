"""Executors on asyncpg: the only place that knows this driver."""

from plainsql.database.connecting import Connecting, connect
from plainsql.database.database import Database, PoolStats, TenantDatabase
from plainsql.database.listening import Notification
from plainsql.database.observing import Call, OnCall
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
