"""The discovery of replicas: a task requests their addresses at intervals, and has them added and removed.

An answer decides only which servers are polled. The polls of a server find out whether reads may go to it,
as for a replica that was named. Without an answer all stays: the known replicas go on serving reads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from plainsql.connect_errors import cannot_connect
from plainsql.database.replicas.poller import Pace, Poller
from plainsql.errors import ConnectError, PlainsqlError
from plainsql.patroni import PatroniClient
from plainsql.replica_sources import STANDBYS_SQL, Member, Primary, standbys

__all__ = ["Discovery"]

_log = logging.getLogger("plainsql")

EVERY_S: Final = 5.0
"""Seconds between two questions while reads use replicas: a new replica gets none before."""
_PACE: Final = Pace(poll=EVERY_S, idle=30.0, retry=2.0, answer=1.0, hurry=0.05)


class Discovery:
    """Requests the replicas from a source, and reports each answer."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Any]],
        ask: Callable[[Any], Awaitable[Sequence[Member]]],
        found: Callable[[Sequence[Member]], object],
        *,
        name: str,
        answer_s: float = _PACE.answer,
    ) -> None:
        """``connect`` opens a connection for ``ask``, and ``found`` is called with each answer. ``name``: the
        URL of the primary without its password.
        """
        self._ask = ask
        self._found = found
        self._name = name
        self.fault: PlainsqlError | None = None
        """The reason why the last question has no answer."""
        self._asked_at = float("-inf")
        self.poller = Poller(connect, self._poll, self._failed, _PACE._replace(answer=answer_s))

    @classmethod
    def of_primary(
        cls,
        source: Primary,
        connect: Callable[[], Awaitable[Any]],
        found: Callable[[Sequence[Member]], object],
        name: str,
    ) -> Discovery:
        """Return the discovery of the standbys that the primary names, on a connection to it."""

        async def ask(connection: Any) -> Sequence[Member]:
            return standbys(source, await connection.fetch(STANDBYS_SQL))

        return cls(connect, ask, found, name=name)

    @classmethod
    def of_patroni(
        cls, client: PatroniClient, found: Callable[[Sequence[Member]], object], name: str
    ) -> Discovery:
        """Return the discovery of the members that Patroni names."""

        async def ask(_: object) -> Sequence[Member]:
            try:
                return await asyncio.to_thread(client.ask)
            except asyncio.CancelledError:
                client.abort()
                raise

        return cls(_no_connection, ask, found, name=name, answer_s=client.timeout)

    def used(self, now: float) -> None:
        """Record that a read uses replicas: poll now if no read did for a while."""
        self.poller.used()
        if now - self._asked_at > 2 * EVERY_S:
            self._asked_at = now
            self.poller.news()

    async def _poll(self, connection: Any, sent_at: float) -> None:
        self._asked_at = sent_at
        self._found(await self._ask(connection))
        if self.fault is not None:
            self.fault = None
            _log.info("the replicas of %s are found again", self._name)

    def _failed(self, error: Exception) -> None:
        """Keep the replicas that are known, and log the reason once for each outage."""
        fault = self._explained(error)
        if self.fault is None:
            hint = f" (HINT: {fault.hint})" if fault.hint else ""
            _log.warning("the replicas of %s cannot be found: %s%s", self._name, fault.message, hint)
        self.fault = fault

    def _explained(self, error: Exception) -> PlainsqlError:
        if isinstance(error, PlainsqlError):
            return error
        state: str | None = getattr(error, "sqlstate", None)
        if state == "42501":
            return ConnectError(
                "the role may not read pg_stat_replication",
                hint="grant pg_read_all_stats to the role, or name the replicas by their URLs",
            )
        return cannot_connect(self._name, error, state)


class _NoConnection:
    """The connection of a source that opens one for each question."""

    def is_closed(self) -> bool:
        return False

    def terminate(self) -> None:
        pass


async def _no_connection() -> _NoConnection:
    return _NoConnection()
