"""The opener of replicas: a pool with a chain for each, which have the options of the primary's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from plainsql.database.caching.server_identity import ServerIdentity
from plainsql.database.pool.failover_wait import FailoverWait
from plainsql.database.pool.open_pool import Identify, OpenedPool
from plainsql.database.pool.tenant_pool import DatabasePool
from plainsql.database.replicas.discovery import Discovery
from plainsql.database.replicas.primary_watch import PrimaryWatch
from plainsql.database.replicas.replica import Replica, ReplicaServer
from plainsql.database.replicas.replica_set import ReplicaSet
from plainsql.database.state import DatabaseState
from plainsql.errors import ConnectError
from plainsql.patroni import PatroniClient
from plainsql.replica_sources import Member, Patroni, Primary, Urls, member_url
from plainsql.urls import hide_password

__all__ = ["ReplicaOpener"]

_REPLICA_WAIT_S: Final = 1.0
"""Seconds that a read waits at most for a connection of a replica, before it runs on the primary."""


class ServerAddress(Protocol):
    """The server of a URL, with the options of its connections."""

    @property
    def url(self) -> str: ...

    async def open(
        self, pool_options: Mapping[str, Any], identify: Identify | None
    ) -> tuple[DatabasePool, OpenedPool]:
        """Open the first connections. Raises ``ConnectError``."""
        ...


class ReplicaOpener:
    """Opens the replicas that a source names, or finds."""

    def __init__(
        self,
        source: Urls | Primary | Patroni,
        url: str,
        address_of: Callable[[str], ServerAddress],
        *,
        pool_options: Mapping[str, Any],
        prefetch: int,
        autobatch: bool,
    ) -> None:
        """Read what is known before a server is reached. ``url`` is that of the primary.

        Raises ``ConnectError`` and ``OptionError``.
        """
        self._source = source
        self._url = url
        self._address_of = address_of
        # A read waits for a connection of a replica no longer than the primary would take to serve it.
        wait = pool_options["wait_timeout"]
        self._pool_options = {**pool_options, "wait_timeout": min(wait or _REPLICA_WAIT_S, _REPLICA_WAIT_S)}
        self._prefetch = prefetch
        self._autobatch = autobatch
        self._named = [address_of(each) for each in source.urls] if isinstance(source, Urls) else []
        self._patroni = PatroniClient(source) if isinstance(source, Patroni) else None

    @property
    def has_replicas(self) -> bool:
        """True if there are replicas, or may be some later."""
        return bool(self._named) or not isinstance(self._source, Urls)

    def make(self, pool: DatabasePool, servers: ServerIdentity) -> ReplicaSet:
        """Return the replicas of a primary, none of which is reached yet.

        ``pool`` has the connections to the primary, and ``servers`` what is known of their server.
        """
        primary = PrimaryWatch(
            pool.connections.open_aside,
            servers,
            by_transaction=pool.by_transaction,
            discard=pool.connections.discard_before,
        )
        replicas = ReplicaSet(primary, [self._replica(address, primary) for address in self._named])

        def take(found: Sequence[Member]) -> None:
            replicas.take(found, found_replica)

        def found_replica(member: Member) -> Replica:
            return self._replica(self._address_of(member_url(self._url, member)), primary)

        if isinstance(self._source, Primary):
            connect = pool.connections.open_aside
            replicas.discovery = Discovery.of_primary(self._source, connect, take, pool.name)
        elif self._patroni is not None:
            replicas.discovery = Discovery.of_patroni(self._patroni, take, pool.name)
        return replicas

    def _replica(self, address: ServerAddress, primary: PrimaryWatch) -> Replica:
        async def open_replica(replica: Replica) -> ReplicaServer:
            # Without a second attempt: a read that fails runs on the primary.
            pool, opened = await address.open(self._pool_options, replica.identify)
            pool.is_replica, pool.failover = True, FailoverWait(None)
            if pool.by_transaction:
                pool.connections.terminate()
                raise ConnectError(
                    "a replica behind a pooler in transaction mode cannot be read from: each of its "
                    "transactions may be on another server",
                    hint="name the server itself, or a pooler in session mode with pooler='session'",
                )
            state = DatabaseState.build(
                pool,
                prefetch=self._prefetch,
                autobatch=self._autobatch,
                cached_queries=None,
                on_call=None,
                round_trip=opened.round_trip,
            )
            return ReplicaServer(pool, state.chain)

        is_named = isinstance(self._source, Urls) and not self._source.are_hosts
        return Replica(hide_password(address.url), open_replica, primary, may_be_primary=not is_named)
