"""The way of an executor's reads to replicas, and the scope of its reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, TypeVar

from plainsql.query import CompiledQuery
from plainsql.replication.demand import Demand
from plainsql.replication.read_scope import ReadScope
from plainsql.sync.connection import SharedConnection
from plainsql.sync.pooled_connections import PooledConnection
from plainsql.sync.replicas.replica_choice import Replicas
from plainsql.sync.replicas.tracked_scope import TrackedScope
from plainsql.tenancy import Tenant

__all__ = ["Route"]

R = TypeVar("R")
T = TypeVar("T")


class Route(NamedTuple):
    """The replicas for an executor's reads, and what they must have."""

    replicas: Replicas | None
    scope: TrackedScope
    wanted: Demand | None = None
    """The demands on replicas; None if only the header of a query can send it to a replica."""

    @classmethod
    def of_database(cls, replicas: Replicas) -> Route:
        """Return the way of a database's own calls."""
        return cls(replicas, TrackedScope(ReadScope(), replicas.log))

    @classmethod
    def of_view(cls, route: Route | None, wanted: Demand, *, own_writes: bool) -> Route | None:
        """Return the way of a view's calls; None without replicas."""
        if route is None:
            return None
        if own_writes:
            return route._replace(wanted=wanted)
        return cls(route.replicas, TrackedScope(ReadScope(), route.scope.log), wanted)

    @classmethod
    def of_session(cls, route: Route | None, token: bytes | None, wanted: Demand) -> Route:
        """Return the way of a session's calls."""
        replicas = None if route is None else route.replicas
        log = None if replicas is None else replicas.log
        return cls(replicas, TrackedScope(ReadScope.of_token(token), log), wanted)

    @classmethod
    def of_tenant(cls, route: Route | None) -> Route | None:
        """Return the way of a tenant's calls, which begins with what the database has seen."""
        return None if route is None else route._replace(scope=route.scope.copy())

    def to_primary(self) -> Route:
        """Return the way of calls on a connection to the primary."""
        return self._replace(replicas=None)

    def demand(self, query: CompiledQuery[Any, Any]) -> Demand | None:
        """Return the demands of a query on replicas; None if it runs on the primary.

        Reads with ``cache:`` may run there: no result is stored on this side.
        """
        if not query.read_only or self.replicas is None:
            return None
        if self.wanted is not None:
            return self.wanted
        return None if query.replica is None else Demand(query.replica)

    def read(
        self,
        demand: Demand,
        query: CompiledQuery[Any, Any],
        work: Callable[[PooledConnection], R],
        *,
        tenant: Tenant | None = None,
        is_batch: bool = False,
    ) -> tuple[R] | None:
        """Run a read on a replica, and return its result; None if it has to run on the primary."""
        if self.replicas is None or (scope := self._scope_of(self.replicas)) is None:
            return None
        in_flight = tenant is None and not is_batch and not query.has_settings
        return self.replicas.read(scope, demand, work, in_flight=in_flight)

    def stream(
        self, demand: Demand, rows_on: Callable[[PooledConnection], Iterator[T]]
    ) -> Iterator[T] | None:
        """Return the rows of a read on a replica; None if it has to run on the primary."""
        if self.replicas is None or (scope := self._scope_of(self.replicas)) is None:
            return None
        return self.replicas.stream(scope, demand, rows_on)

    @contextmanager
    def recorded_transaction(
        self, shared: SharedConnection, transaction: AbstractContextManager[T], *, read_only: bool
    ) -> Iterator[T]:
        """Open a transaction on the primary, and record what it may have written or seen."""
        with self.scope.recorded(shared, read_only=read_only), transaction as opened:
            yield opened

    def _scope_of(self, replicas: Replicas) -> TrackedScope | None:
        """Return the scope of a read; None if it is not known what a replica must have."""
        if not replicas.resolve(self.scope):
            return None
        # What others write through the same database while this read waits is none of its matter.
        return self.scope if self.scope.is_monotonic else self.scope.copy()
