"""Telemetry: spans and metrics by the conventions, and no value of a parameter in either."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import asyncpg
import psycopg
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import plainsql
from plainsql.embedded import EmbeddedServer
from plainsql.otel import Telemetry
from plainsql.query import Args, many, one
from tests.proxy import Proxy


@many[int](
    "t.series",
    "sql/t/series.sql",
    1,
    "select generate_series(1, :last::int)",
    read_only=True,
    session_clean=True,
)
def series(*, last: int) -> Args:
    return (last,)


@one[str](
    "t.secret", "sql/t/secret.sql", 1, "select :text::text || (1 / 0)", read_only=True, session_clean=True
)
def broken(*, text: str) -> Args:
    return (text,)


class Collected:
    """A telemetry whose spans and metrics stay in memory."""

    def __init__(self) -> None:
        self.spans = InMemorySpanExporter()
        tracers = TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        self._reader = InMemoryMetricReader()
        meters = MeterProvider([self._reader])
        self.telemetry = Telemetry(tracers.get_tracer("test"), meters.get_meter("test"))

    def metrics(self) -> dict[str, Any]:
        data: Any = self._reader.get_metrics_data()
        found = data.resource_metrics[0].scope_metrics[0].metrics
        return {metric.name: [*metric.data.data_points] for metric in found}


@pytest.fixture
def collected() -> Collected:
    return Collected()


async def test_a_call_is_a_span_with_its_name_statement_and_rows(
    database_url: str, collected: Collected
) -> None:
    async with plainsql.connect(database_url, on_call=collected.telemetry) as db:
        await series(db, last=3)
    [span] = collected.spans.get_finished_spans()
    attributes = dict(span.attributes or {})
    assert span.name == "t.series"
    assert attributes["db.system.name"] == "postgresql"
    assert attributes["db.query.text"] == "select generate_series(1, :last::int)"
    assert attributes["db.response.returned_rows"] == 3
    assert attributes["db.namespace"] == database_url.partition("?")[0].rpartition("/")[2]
    assert span.end_time is not None
    assert span.start_time is not None
    assert span.end_time > span.start_time


async def test_a_failure_is_told_by_its_state_and_without_the_value(
    database_url: str, collected: Collected
) -> None:
    async with plainsql.connect(database_url, on_call=collected.telemetry) as db:
        with pytest.raises(asyncpg.DivisionByZeroError):
            await broken(db, text="hunter2")
    [span] = collected.spans.get_finished_spans()
    assert not span.status.is_ok
    assert (span.attributes or {})["db.response.status_code"] == "22012"
    assert "hunter2" not in span.to_json()


@pytest.mark.parametrize("form", ["pipelined"], indirect=True)
async def test_calls_that_are_joined_have_a_span_each(
    database_url: str, collected: Collected, form: str
) -> None:
    async with plainsql.connect(database_url, on_call=collected.telemetry) as db:
        await asyncio.gather(*(series(db, last=n) for n in range(1, 41)))
    spans = collected.spans.get_finished_spans()
    assert len(spans) == 40
    joined = [(span.attributes or {})["plainsql.joined"] for span in spans]
    assert max(int(str(n)) for n in joined) > 1
    rows = [int(str((span.attributes or {})["db.response.returned_rows"])) for span in spans]
    assert sorted(rows) == [*range(1, 41)]


async def test_the_pool_and_the_calls_are_measured(database_url: str, collected: Collected) -> None:
    async with plainsql.connect(database_url, max_size=3, on_call=collected.telemetry) as db:
        await series(db, last=5)
        async with db.transaction() as tx:
            await series(tx, last=1)
            metrics = collected.metrics()
    by_state = {
        dict(point.attributes)["db.client.connection.state"]: point.value
        for point in metrics["db.client.connection.count"]
    }
    assert by_state == {"used": 1, "idle": 0}
    assert metrics["db.client.connection.max"][0].value == 3
    assert metrics["db.client.operation.duration"][0].count == 2
    assert metrics["db.client.response.returned_rows"][0].sum == 6
    assert metrics["db.client.connection.wait_time"][0].count == 1


@pytest.mark.parametrize(
    ("given", "address", "port"),
    [
        ("127.0.0.1:{0},127.0.0.1:{0}/postgres?sslmode=disable", "127.0.0.1,127.0.0.1", True),
        ("/postgres?host=127.0.0.1,127.0.0.1&port=1,{0}&sslmode=disable", "127.0.0.1,127.0.0.1", False),
        ("127.0.0.1/postgres?port={0}&sslmode=disable&password=a%40b", "127.0.0.1", True),
    ],
)
async def test_several_servers_have_a_place_too(
    proxy: Proxy, collected: Collected, given: str, address: str, port: bool
) -> None:
    url = f"postgresql://postgres@{given.format(proxy.port)}"
    async with plainsql.connect(url, on_call=collected.telemetry) as db:
        await series(db, last=1)
    [span] = collected.spans.get_finished_spans()
    attributes = dict(span.attributes or {})
    assert attributes["server.address"] == address
    assert attributes["db.namespace"] == "postgres"
    assert attributes.get("server.port") == (proxy.port if port else None)
    assert "a%40b" not in span.to_json()
    assert "a@b" not in span.to_json()


class Broken:
    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __call__(self, call: plainsql.Call) -> None:
        raise self._error

    def watch(self, db: plainsql.Database) -> None:
        raise self._error


async def test_a_hook_that_fails_prevents_no_database_from_opening(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "plainsql"):
        async with plainsql.connect(database_url, on_call=Broken(ValueError("wrong"))) as db:
            assert await series(db, last=2) == [1, 2]
    assert "the hook cannot watch" in caplog.text
    assert "the hook of t.series failed" in caplog.text


async def test_what_ends_opening_leaves_no_session_behind(
    fresh_database_url: str, server: EmbeddedServer
) -> None:
    with pytest.raises(KeyboardInterrupt):
        await plainsql.connect(fresh_database_url, min_size=3, on_call=Broken(KeyboardInterrupt()))
    name = fresh_database_url.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(server.url()) as connection:
        sessions = connection.execute("select from pg_stat_activity where datname = %s", [name])
        # A backend takes a moment to go after its client has.
        for _ in range(1000):
            if sessions.rowcount == 0:
                break
            sessions = connection.execute("select from pg_stat_activity where datname = %s", [name])
            connection.rollback()
        assert sessions.rowcount == 0


@pytest.mark.parametrize(("option", "value"), [("tracer", "t"), ("meter", 5), ("tracer", object())])
def test_an_option_that_is_no_tracer_is_refused(option: str, value: object) -> None:
    given: Any = {option: value}
    with pytest.raises(plainsql.OptionError, match=rf"^Telemetry\(\): {option}: expected a "):
        Telemetry(**given)
