"""PostgreSQL without an ORM: hand-written SQL files as typed, fast Python.

::

    async with plainsql.connect("postgresql://localhost/shop") as db:
        lead = await leads.get_by_telegram_chat_id(db, telegram_chat_id="42")

See the README for the whole of it; ``plainsql.sync`` runs the same queries in scripts.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from plainsql.errors import (
    BindError,
    CacheError,
    ConnectError,
    ContractError,
    DecodeError,
    EmbeddedServerError,
    EncryptionError,
    FileError,
    MigrationError,
    NoRowError,
    OptionError,
    PageTokenError,
    PlainsqlError,
    PoolTimeoutError,
    RedisUnavailableError,
    SettingsError,
    SqlFileError,
    SqlFolderError,
    TenantError,
    TooManyRowsError,
    TransactionError,
)

if TYPE_CHECKING:
    from plainsql import sync as sync
    from plainsql.codec import Codec
    from plainsql.database import (
        Call,
        CausalSession,
        ConnectionLostError,
        Database,
        ReplicaView,
        TenantDatabase,
        Transaction,
        connect,
        over,
    )
    from plainsql.executors import AsyncExecutor, AsyncTransactional, SyncExecutor, SyncTransactional
    from plainsql.health.results import Check, Health
    from plainsql.query.pages import Page, PageRequest
    from plainsql.query_folder import load
    from plainsql.rows import Composite, Row
    from plainsql.serialization import json_default, to_json
    from plainsql.sqlstate_errors import (
        CheckViolation,
        ConstraintViolation,
        DeadlockDetected,
        ExclusionViolation,
        ForeignKeyViolation,
        InsufficientPrivilege,
        LockNotAvailable,
        NotNullViolation,
        QueryCanceled,
        ReadOnlySqlTransaction,
        RestrictViolation,
        SerializationFailure,
        ServerError,
        UniqueViolation,
    )
    from plainsql.types import UNSET, Json, UnsetType

__version__ = "0.1.0"

__all__ = [
    "UNSET",
    "AsyncExecutor",
    "AsyncTransactional",
    "BindError",
    "CacheError",
    "Call",
    "CausalSession",
    "Check",
    "CheckViolation",
    "Codec",
    "Composite",
    "ConnectError",
    "ConnectionLostError",
    "ConstraintViolation",
    "ContractError",
    "Database",
    "DeadlockDetected",
    "DecodeError",
    "EmbeddedServerError",
    "EncryptionError",
    "ExclusionViolation",
    "FileError",
    "ForeignKeyViolation",
    "Health",
    "InsufficientPrivilege",
    "Json",
    "LockNotAvailable",
    "MigrationError",
    "NoRowError",
    "NotNullViolation",
    "OptionError",
    "Page",
    "PageRequest",
    "PageTokenError",
    "PlainsqlError",
    "PoolTimeoutError",
    "QueryCanceled",
    "ReadOnlySqlTransaction",
    "RedisUnavailableError",
    "ReplicaView",
    "RestrictViolation",
    "Row",
    "SerializationFailure",
    "ServerError",
    "SettingsError",
    "SqlFileError",
    "SqlFolderError",
    "SyncExecutor",
    "SyncTransactional",
    "TenantDatabase",
    "TenantError",
    "TooManyRowsError",
    "Transaction",
    "TransactionError",
    "UniqueViolation",
    "UnsetType",
    "connect",
    "json_default",
    "load",
    "over",
    "sync",
    "to_json",
]

_HOMES = {
    "CheckViolation": "plainsql.sqlstate_errors",
    "ConstraintViolation": "plainsql.sqlstate_errors",
    "DeadlockDetected": "plainsql.sqlstate_errors",
    "ExclusionViolation": "plainsql.sqlstate_errors",
    "ForeignKeyViolation": "plainsql.sqlstate_errors",
    "InsufficientPrivilege": "plainsql.sqlstate_errors",
    "LockNotAvailable": "plainsql.sqlstate_errors",
    "NotNullViolation": "plainsql.sqlstate_errors",
    "QueryCanceled": "plainsql.sqlstate_errors",
    "ReadOnlySqlTransaction": "plainsql.sqlstate_errors",
    "RestrictViolation": "plainsql.sqlstate_errors",
    "SerializationFailure": "plainsql.sqlstate_errors",
    "ServerError": "plainsql.sqlstate_errors",
    "UniqueViolation": "plainsql.sqlstate_errors",
    "AsyncExecutor": "plainsql.executors",
    "AsyncTransactional": "plainsql.executors",
    "Call": "plainsql.database",
    "CausalSession": "plainsql.database",
    "Check": "plainsql.health.results",
    "Codec": "plainsql.codec",
    "Composite": "plainsql.rows",
    "ConnectionLostError": "plainsql.database",
    "Database": "plainsql.database",
    "Health": "plainsql.health.results",
    "Json": "plainsql.types",
    "Page": "plainsql.query.pages",
    "PageRequest": "plainsql.query.pages",
    "ReplicaView": "plainsql.database",
    "Row": "plainsql.rows",
    "SyncExecutor": "plainsql.executors",
    "SyncTransactional": "plainsql.executors",
    "TenantDatabase": "plainsql.database",
    "Transaction": "plainsql.database",
    "UNSET": "plainsql.types",
    "UnsetType": "plainsql.types",
    "connect": "plainsql.database",
    "json_default": "plainsql.serialization",
    "load": "plainsql.query_folder",
    "over": "plainsql.database",
    "to_json": "plainsql.serialization",
}


def __getattr__(name: str) -> object:
    # Drivers are imported when they are used: a script on psycopg does not wait for asyncpg.
    if name in _HOMES:
        value: object = getattr(import_module(_HOMES[name]), name)
    elif name == "sync":
        value = import_module("plainsql.sync")
    else:
        raise AttributeError(f"module 'plainsql' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__})
