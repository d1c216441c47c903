"""Spans and metrics of OpenTelemetry, by its conventions for databases::

    db = await plainsql.connect(on_call=Telemetry())

Only the API is needed (``pip install 'plainsql[otel]'``); what becomes of spans and metrics is the
application's SDK's to say. Source: OpenTelemetry semantic conventions 1.30 and later, "Database client calls"
and "Database client metrics", which are stable.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from plainsql.conninfo import Conninfo
from plainsql.database import Call, Database, PoolStats, ReplicaStats
from plainsql.errors import ConnectError, SettingsError
from plainsql.options import check

try:
    from opentelemetry import metrics, trace
    from opentelemetry.trace import SpanKind, Status, StatusCode
except ImportError:  # the extra is not installed
    raise SettingsError(
        "plainsql.otel needs the opentelemetry-api package", hint="pip install 'plainsql[otel]'"
    ) from None

__all__ = ["Telemetry"]

# The conventions' own advice for durations of database calls, in seconds.
_BOUNDARIES = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)


class Telemetry:
    """A hook for ``connect(on_call=…)``: a span for each call, and metrics of calls and of the pool.

    A call that is joined with others has a span of its own, with ``plainsql.joined`` in it. Statements are in
    ``db.query.text`` with ``:name`` for parameters; their values are nowhere.

    ``tracer`` and ``meter`` are by default those of the application's global providers.
    """

    def __init__(self, tracer: trace.Tracer | None = None, meter: metrics.Meter | None = None) -> None:
        check("Telemetry", tracer=tracer, meter=meter)
        self._tracer = tracer or trace.get_tracer("plainsql")
        self._meter = meter or metrics.get_meter("plainsql")
        self._place: dict[str, Any] = {"db.system.name": "postgresql"}
        self._pool: dict[str, Any] = {}
        self._servers: dict[str, dict[str, Any]] = {}
        self._duration = self._meter.create_histogram(
            "db.client.operation.duration",
            "s",
            "Duration of database client operations",
            explicit_bucket_boundaries_advisory=_BOUNDARIES,
        )
        self._rows = self._meter.create_histogram(
            "db.client.response.returned_rows", "{row}", "The number of rows a call returned"
        )
        self._wait = self._meter.create_histogram(
            "db.client.connection.wait_time", "s", "The time a call waited for a connection"
        )

    def watch(self, db: Database) -> None:
        """Take the pool's numbers too; ``connect`` calls this with the database that it has made."""
        self._place |= _place_of(db.name)
        self._pool = {"db.client.connection.pool.name": db.name}

        def pools() -> list[tuple[PoolStats | ReplicaStats, str]]:
            stats = db.stats()
            return [(stats, db.name), *((replica, replica.name) for replica in stats.replicas)]

        def connections(_: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
            for stats, name in pools():
                of_pool = {"db.client.connection.pool.name": name}
                yield metrics.Observation(stats.in_use, of_pool | {"db.client.connection.state": "used"})
                yield metrics.Observation(stats.idle, of_pool | {"db.client.connection.state": "idle"})

        def most(_: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
            for stats, name in pools():
                yield metrics.Observation(stats.max_size, {"db.client.connection.pool.name": name})

        def waiting(_: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
            for stats, name in pools():
                yield metrics.Observation(stats.waiting, {"db.client.connection.pool.name": name})

        def lag(_: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
            for replica in db.stats().replicas:
                if replica.lag is not None:
                    yield metrics.Observation(replica.lag, {"db.client.connection.pool.name": replica.name})

        def up(_: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
            for replica in db.stats().replicas:
                of_pool = {"db.client.connection.pool.name": replica.name}
                yield metrics.Observation(int(replica.state == "ok"), of_pool)

        create = self._meter.create_observable_up_down_counter
        create("db.client.connection.count", [connections], "{connection}", "Connections, by their state")
        create("db.client.connection.max", [most], "{connection}", "Connections at the most")
        create("db.client.connection.pending_requests", [waiting], "{request}", "Calls that wait for one")
        # Also without replicas now: they may be found later.
        gauge = self._meter.create_observable_gauge
        gauge("plainsql.replica.lag", [lag], "s", "Seconds that a replica is behind the primary at most")
        gauge("plainsql.replica.up", [up], "1", "1 if reads go to a replica, 0 if none do")

    def _server(self, url: str) -> dict[str, Any]:
        """Return the place of the server that answered, one of several."""
        if (place := self._servers.get(url)) is None:
            place = self._servers[url] = _place_of(url)
        return place

    def __call__(self, call: Call) -> None:
        """Make the span and the metrics of a call that has ended."""
        query = call.query
        place = self._place if not call.server else self._place | self._server(call.server)
        attributes = place | {"db.query.summary": query.name, "db.operation.name": call.operation}
        if call.error is not None:
            attributes["error.type"] = type(call.error).__qualname__
            if state := getattr(call.error, "sqlstate", None):
                attributes["db.response.status_code"] = state
        self._duration.record(call.duration, attributes)
        if call.error is None:
            self._rows.record(call.rows, attributes)
        if not call.in_transaction:
            of_pool = {"db.client.connection.pool.name": call.server} if call.server else self._pool
            self._wait.record(call.lease_wait, of_pool)
        span = self._tracer.start_span(
            query.name,
            kind=SpanKind.CLIENT,
            start_time=call.started_ns,
            attributes=attributes
            | {
                "db.query.text": query.sql,
                "db.response.returned_rows": call.rows,
                "code.file.path": query.file,
                "plainsql.joined": call.joined,
                "plainsql.lease_wait": call.lease_wait,
            }
            | ({"db.operation.batch.size": call.sets} if call.sets > 1 else {}),
        )
        if call.error is not None:
            # Not its text: the server's may hold values.
            span.set_status(Status(StatusCode.ERROR, type(call.error).__qualname__))
        span.end(call.started_ns + int(call.duration * 1e9))


def _place_of(url: str) -> dict[str, Any]:
    """Return what the conventions call the place of a database. Of several servers, all are named: which one
    a pool is connected to may change.
    """
    try:
        conninfo = Conninfo(url)
        place: dict[str, Any] = {"db.namespace": conninfo.database}
        hosts = conninfo["host"] or conninfo["hostaddr"]
        ports = {address.port for address in conninfo.addresses()}
    except ConnectError:
        return {}
    if hosts:
        place["server.address"] = hosts
    if len(ports) == 1:
        place["server.port"] = ports.pop()
    return place
