"""Opens the connections to the replicas of a synchronous database."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Final, NamedTuple

import psycopg

from plainsql.connect_errors import cannot_connect
from plainsql.errors import ConnectError, OptionError, PoolTimeoutError
from plainsql.replica_sources import Urls, configured_source, of_primary, read_source
from plainsql.settings import replica_variable
from plainsql.sync.connection import SharedConnection
from plainsql.sync.libpq_connector import Connector
from plainsql.sync.pooled_connections import PoolOptions
from plainsql.sync.replicas.log_questions import identify
from plainsql.sync.replicas.primary_log import LendPrimary, PrimaryLog
from plainsql.sync.replicas.replica_choice import Replicas
from plainsql.sync.replicas.replica_connections import ReplicaConnections
from plainsql.sync.wire import has_ended
from plainsql.urls import hide_password

__all__ = ["LEND_S", "NamedConnectors", "lend_idle", "open_replicas", "replica_connectors"]

_log = logging.getLogger("plainsql")

LEND_S: Final = 0.25
"""Seconds that a read waits for a connection to the primary, to read its position."""
_FIRST_ANSWER_S: Final = 1.0
"""Seconds to wait for the first connections to the replicas."""
_IDENTITY_S: Final = 10.0


class NamedConnectors(NamedTuple):
    """The connectors of replicas by their URLs."""

    of_urls: Mapping[str, Connector]
    are_hosts: bool = False
    """True if they are the hosts of the primary's URL: one of them is the primary."""


def replica_connectors(
    function: str,
    url: str | None,
    primary: str,
    given: Sequence[str] | str | None,
    connector_of: Callable[[str, float | None], Connector],
) -> NamedConnectors:
    """Return the connectors of the replicas that are given, else of those in the environment, if ``url`` is
    not given either.

    Raises ``OptionError``, and ``ConnectError`` for a URL that cannot be read.
    """
    if given is None:
        source = configured_source() if url is None else Urls(())
    else:
        source = read_source(given, f"{function}(): replicas")
    found = of_primary(source, primary)
    if isinstance(found, Urls):
        return NamedConnectors({each: connector_of(each, None) for each in found.urls}, found.are_hosts)
    if given is not None:
        raise OptionError(
            f"{function}(): replicas: expected URLs or 'hosts', got a source that is polled",
            hint="plainsql.connect has those; name the replicas by their URLs here",
        )
    _log.warning(
        "all reads of %s run on the primary: it finds no replicas by %s, which holds no URLs",
        function,
        replica_variable(),
    )
    return NamedConnectors({})


def open_replicas(
    named: NamedConnectors,
    options: PoolOptions,
    limit_s: float | None,
    lend_primary: LendPrimary,
) -> Replicas | None:
    """Open the connections to replicas; None without any.

    Raises ``ConnectError`` if the primary does not say which cluster it belongs to.
    """
    if not named.of_urls:
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
        ReplicaConnections(
            hide_password(url), connector, options, limit_s, log.history, system, is_named=not named.are_hosts
        )
        for url, connector in named.of_urls.items()
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
