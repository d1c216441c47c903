"""A use of a replica, from its selection to its end, and what of it counts for the scope of its caller."""

from __future__ import annotations

from time import perf_counter
from types import TracebackType
from typing import Final, Self

from asyncpg import exceptions

from plainsql.database.pool.call import Call
from plainsql.database.pool.commit_outcome import add_note
from plainsql.database.pool.lost_connection import is_lost
from plainsql.database.pool.tenant_pool import TenantPool
from plainsql.database.replicas.replica import Replica, ReplicaServer
from plainsql.database.replicas.replica_set import ReplicaSet
from plainsql.database.replicas.scoped_pool import ScopedPool
from plainsql.errors import ConnectError, ContractError, PlainsqlError, PoolTimeoutError
from plainsql.outcome_notes import ON_REPLICA
from plainsql.replication.demand import Demand

__all__ = ["ReplicaUse", "add_replica_note", "find_replica", "is_of_server", "may_run_elsewhere"]

_CONFLICTS: Final = frozenset({"40001", "40P01"})
"""A replica cancels what conflicts with the changes that it applies."""

_OF_THE_SERVER = ConnectError | ContractError | PoolTimeoutError
"""plainsql's own errors that another server may not have: a replica may lag behind a migration."""


class ReplicaUse:
    """A use of a replica: ``with`` it while the replica works."""

    __slots__ = ("_at_home", "_began", "_epoch", "_generation", "_pool", "replica", "server")

    def __init__(self, replica: Replica, server: ReplicaServer, pool: ScopedPool) -> None:
        self.replica = replica
        self.server = server
        self._pool = pool
        self._epoch, self._generation = replica.epoch, replica.generation
        scope = pool.scope
        # Selected because the scope's last reads were there alone; if not, it is proved by its position.
        self._at_home = replica.generation if scope.is_monotonic and not scope.is_resolved else None
        self._began = perf_counter()

    @property
    def pool(self) -> TenantPool:
        """The replica's pool for the tenant of the caller."""
        return self._pool.on(self.server.pool)

    @property
    def is_kept(self) -> bool:
        """True if what was known of the replica at the beginning holds for what it has answered now."""
        return self.replica.has_kept(self._epoch, self._at_home)

    def saw(self, call: Call | None = None) -> None:
        """Record in the scope what was read."""
        if call is not None:
            call.server = self.replica.name
        if self._pool.scope.is_monotonic:
            self._pool.scope.saw_replica(self.replica, self._generation)

    def answered(self) -> None:
        """Record a read that was answered whole, with its duration."""
        self.replica.answered(perf_counter() - self._began)

    def failed(self, error: Exception | None = None) -> None:
        """Record that it runs elsewhere, after an error or because nothing is proved any more."""
        was_lost = error is not None and (is_lost(error) or isinstance(error, ConnectError))
        self.replica.read_failed(error, was_lost=was_lost)

    def __enter__(self) -> Self:
        self.replica.in_flight += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.replica.in_flight -= 1


async def find_replica(replicas: ReplicaSet | None, pool: TenantPool, demand: Demand) -> ReplicaUse | None:
    """Return a use of the replica for a read, and wait for one if need be; None for the primary."""
    if replicas is None or not isinstance(pool, ScopedPool):
        return None
    scope = pool.scope
    replica = replicas.select(scope, demand)
    if replica is None:
        if scope.is_in_block:
            return None  # it may see more before any replica is proved to have it
        pool.check_loop()
        # What others write through the same database while this read waits is none of its matter.
        replica = await replicas.wait(scope if scope.is_monotonic else scope.copy(), demand)
    if replica is None or replica.server is None:
        return None
    return ReplicaUse(replica, replica.server, pool)


def may_run_elsewhere(error: Exception) -> bool:
    """Return whether a read that failed on a replica runs on the primary: unless the caller's time is up, or
    its call or its data are wrong.
    """
    return is_of_server(error) or not isinstance(error, PlainsqlError | TimeoutError)


def is_of_server(error: Exception) -> bool:
    """Return whether an error is the server's or its connection's, and not the program's."""
    return isinstance(error, exceptions.PostgresError | _OF_THE_SERVER) or is_lost(error)


def add_replica_note(error: BaseException, name: str) -> None:
    """Add to an error that a replica is the reason for that another attempt may succeed; to any other of the
    server, the replica's name.
    """
    if is_lost(error) or getattr(error, "sqlstate", None) in _CONFLICTS:
        add_note(error, ON_REPLICA)
    elif isinstance(error, exceptions.PostgresError):
        add_note(error, f"on the replica {name}")
