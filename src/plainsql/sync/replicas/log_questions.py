"""The questions about the write-ahead log, on the connection that a read or a write has used.

A session of the server answers for itself: it is on one server, and what that server has replayed never gets
less while the session lasts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from time import monotonic
from typing import Any, Final

import psycopg
from psycopg import pq
from psycopg.postgres import types as builtin_types

from plainsql.replication.positions import (
    PRIMARY_SQL,
    REPLICA_SQL,
    SYSTEM_SQL,
    PrimaryReport,
    ReplicaReport,
)
from plainsql.replication.visibility import RUNNING_SQL
from plainsql.sync.connection import Prepared, SharedConnection
from plainsql.sync.wire import check_result, run_pipeline, run_script

__all__ = [
    "ReadFlight",
    "ask_primary",
    "ask_replica",
    "identify",
    "running_transactions",
    "standby_report",
]

_BOOL: Final = builtin_types["bool"].oid


def ask_primary(shared: SharedConnection, limit_s: float) -> PrimaryReport:
    """Return the end of the log on a connection, which should be to the primary."""
    sent_at = monotonic()
    (result,) = run_script(shared.psycopg, PRIMARY_SQL, limit_s)
    return PrimaryReport.of_row(_row(result), sent_at)


def ask_replica(shared: SharedConnection, limit_s: float) -> ReplicaReport:
    """Return the state of the server of a connection, which should be a replica."""
    (result,) = run_script(shared.psycopg, REPLICA_SQL, limit_s)
    return _answer(result)


def identify(shared: SharedConnection, limit_s: float) -> int:
    """Return the identity of the cluster, which the primary and its replicas share."""
    (result,) = run_script(shared.psycopg, SYSTEM_SQL, limit_s)
    system: int = _row(result)[0]
    return system


def running_transactions(shared: SharedConnection, limit_s: float) -> set[bytes]:
    """Return the transactions that have written and have not ended on the server of a connection."""
    (result,) = run_script(shared.psycopg, RUNNING_SQL, limit_s)
    return {result.get_value(row, 0) or b"" for row in range(result.ntuples)}


def standby_report(shared: SharedConnection) -> str | None:
    """Return what the server has reported last: ``on`` for a standby. None: it has reported nothing."""
    reported = shared.psycopg.pgconn.parameter_status(b"in_hot_standby")
    return None if reported is None else reported.decode()


class ReadFlight:
    """The round trip of a read, with a question before its statement and one after it.

    Each is a transaction of its own, because a transaction may keep the snapshot of its first statement.
    """

    def __init__(
        self, shared: SharedConnection, sql: str = REPLICA_SQL, *, before: bool, after: bool, first_s: float
    ) -> None:
        self._shared = shared
        self._question = shared.prepare(sql)
        self._before = before
        self._after = after
        self._first_s = first_s
        self._results: list[pq.abc.PGresult] = []
        self.sent_at = 0.0
        """The time at which the last statement was sent."""

    def run(self, prepared: Prepared, values: Sequence[bytes | None]) -> pq.abc.PGresult:
        """Run a prepared statement, and return its result."""
        shared = self._shared
        sync = shared.psycopg.pgconn.pipeline_sync
        ask = partial(shared.send, self._question, ())
        sends = [*((ask, sync) if self._before else ()), partial(shared.send, prepared, values)]
        sends += (sync, ask) if self._after else ()
        self._results = []
        self.sent_at = monotonic()
        self._results = run_pipeline(
            shared.psycopg,
            sends,
            shared.limit_s,
            together=True,
            first_s=self._first_s if self._before else None,
        )
        return check_result(self._results[2 if self._before else 0])

    @property
    def before(self) -> ReplicaReport | None:
        """The answer of the replica to the question before the statement; None if there is none."""
        return self._answer_at(0) if self._before else None

    @property
    def after(self) -> ReplicaReport | None:
        """The answer of the replica to the question after the statement; None if there is none."""
        return self._answer_at(-1) if self._after else None

    @property
    def primary(self) -> PrimaryReport | None:
        """The answer of the primary to the question after the statement; None if there is none."""
        if not self._results:
            return None
        try:
            return PrimaryReport.of_row(_row(check_result(self._results[-1])), self.sent_at)
        except psycopg.Error:
            return None

    def _answer_at(self, index: int) -> ReplicaReport | None:
        if not self._results:
            return None
        try:
            return _answer(check_result(self._results[index]))
        except psycopg.Error:
            return None


def _answer(result: pq.abc.PGresult) -> ReplicaReport:
    return ReplicaReport.of_row(_row(result))


def _row(result: pq.abc.PGresult) -> list[Any]:
    """Return the one row of a result that has numbers and booleans."""
    row: list[Any] = []
    for column in range(result.nfields):
        value = result.get_value(0, column)
        is_bool = result.ftype(column) == _BOOL
        row.append(None if value is None else value == b"t" if is_bool else int(value))
    return row
