"""Opens the connections to the replicas of a synchronous database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Final

import psycopg

from plainsql.connect_errors import cannot_connect
from plainsql.errors import ConnectError, PoolTimeoutError
from plainsql.sync.connection import SharedConnection
from plainsql.sync.libpq_connector import Connector
from plainsql.sync.pooled_connections import PoolOptions
from plainsql.sync.replicas.log_questions import identify
from plainsql.sync.replicas.primary_log import LendPrimary, PrimaryLog
from plainsql.sync.replicas.replica_choice import Replicas
from plainsql.sync.replicas.replica_connections import ReplicaConnections
from plainsql.sync.wire import has_ended
from plainsql.urls import hide_password

__all__ = ["LEND_S", "lend_idle", "open_replicas"]

LEND_S: Final = 0.25
"""Seconds that a read waits for a connection to the primary, to read its position."""
_FIRST_ANSWER_S: Final = 1.0
"""Seconds to wait for the first connections to the replicas."""
_IDENTITY_S: Final = 10.0


def open_replicas(
    connectors: Mapping[str, Connector],
    options: PoolOptions,
    limit_s: float | None,
    lend_primary: LendPrimary,
) -> Replicas | None:
    """Open the connections to replicas, by their URLs; None without any.

    Raises ``ConnectError`` if the primary does not say which cluster it belongs to.
    """
    if not connectors:
        return None
    log = PrimaryLog(lend_primary)
    failed: ConnectError | None = None
    system = 0
    with lend_primary() as shared:
        try:
            system = identify(shared, _IDENTITY_S)
        except (psycopg.Error, OSError) as error:
            failed = _not_identified(error)
    if failed is not None:
        raise failed
    log.ask()
    replicas = [
        ReplicaConnections(hide_password(url), connector, options, limit_s, log.history, system)
        for url, connector in connectors.items()
    ]
    ends = monotonic() + _FIRST_ANSWER_S
    for replica in replicas:
        replica.open()
    for replica in replicas:
        replica.wait(max(ends - monotonic(), 0.0))
    return Replicas(log, replicas)


@contextmanager
def lend_idle(shared: SharedConnection) -> Iterator[SharedConnection]:
    """Lend the one connection of a database if no call has it, and it is open.

    Raises ``PoolTimeoutError`` and ``ConnectError``.
    """
    if not shared.lock.acquire(timeout=LEND_S):
        raise PoolTimeoutError("another thread has the database's one connection")
    try:
        shared.check_usable()
        shared.check_free()
        if has_ended(shared.psycopg):
            raise ConnectError("the connection to the primary is lost")
        yield shared
    finally:
        shared.lock.release()


def _not_identified(error: BaseException) -> ConnectError:
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return ConnectError(
            "replicas: the role may not execute pg_control_system() on the primary",
            hint="grant execute on function pg_control_system() to the role",
        )
    return cannot_connect("", error)
