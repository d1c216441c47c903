"""Values for threads: the asynchronous ones, with functions that run in the caller's thread."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from plainsql.errors import BindError, RedisUnavailableError, SettingsError
from plainsql.redis_connection import RedisConnection
from plainsql.sync_redis_connection import SyncRedisConnection
from plainsql.values import SyncValues, Values
from tests.values.conftest import Rate


@pytest.fixture
def sync_values(redis_url: str, prefix: str) -> Iterator[SyncValues[Rate]]:
    with SyncValues(redis_url, Rate, prefix=prefix, deadline=30) as values:
        yield values


def test_what_was_set_is_read_by_both(
    sync_values: SyncValues[Rate], values: Values[Rate], redis_url: str, prefix: str
) -> None:
    sync_values.set("USD", Rate("USD"), ttl=60)
    assert sync_values.get("USD") == Rate("USD")
    assert sync_values.get("EUR", "none") == "none"
    with redis.Redis.from_url(redis_url) as client:
        assert 30_000 < client.pttl(f"{prefix}:{{USD}}") <= 60_000
    assert sync_values.delete("USD")
    assert sync_values.get("USD") is None
    assert sync_values.get_or_load("USD", lambda: Rate("loaded")) == Rate("loaded")
    assert sync_values.get("USD") == Rate("loaded")
    assert repr(sync_values) == repr(values).replace("Values", "SyncValues")


def test_one_thread_loads_in_itself_for_all(sync_values: SyncValues[Rate]) -> None:
    loaders: list[threading.Thread] = []
    all_here = threading.Barrier(8, timeout=30)

    def load() -> Rate:
        loaders.append(threading.current_thread())
        return Rate("USD", len(loaders))

    def ask(_: int) -> tuple[Rate, threading.Thread]:
        all_here.wait()
        return sync_values.get_or_load("USD", load), threading.current_thread()

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, range(8)))
    assert [rate for rate, _ in answers] == [Rate("USD", 1)] * 8
    assert len(loaders) == 1
    assert loaders[0] in [thread for _, thread in answers]


def test_a_failure_is_raised_and_the_next_call_loads(sync_values: SyncValues[Rate]) -> None:
    with pytest.raises(ZeroDivisionError):
        sync_values.get_or_load("USD", lambda: Rate("USD", 1 / 0))
    with pytest.raises(KeyboardInterrupt):
        sync_values.get_or_load("USD", _interrupt)

    async def load() -> Rate:
        raise AssertionError("it is not awaited")

    with pytest.raises(BindError, match="load: expected a function that is not async"):
        sync_values.get_or_load("USD", load)  # type: ignore[arg-type]
    assert sync_values.get_or_load("USD", lambda: Rate("USD")) == Rate("USD")


def _interrupt() -> Rate:
    raise KeyboardInterrupt


def test_a_wait_that_is_interrupted_blocks_no_other(sync_values: SyncValues[Rate]) -> None:
    """Ctrl-C ends the wait for another thread's load; that thread goes on."""
    began, go_on = threading.Event(), threading.Event()

    def load() -> Rate:
        began.set()
        assert go_on.wait(30)
        return Rate("USD")

    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(sync_values.get_or_load, "USD", load)
        assert began.wait(30)
        timer = threading.Timer(0.05, signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT])
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 (the signal comes once the timer runs)
            timer.start()
            sync_values.get_or_load("USD", load)
        go_on.set()
        assert first.result(30) == Rate("USD")
    assert sync_values.get("USD") == Rate("USD")


def test_one_connection_serves_several_and_is_closed_by_its_owner(redis_url: str, prefix: str) -> None:
    before = {*threading.enumerate()}
    with SyncRedisConnection(redis_url) as connection:
        numbers = SyncValues(connection, int, prefix=f"{prefix}:numbers", deadline=30)
        texts = SyncValues(connection, str, prefix=f"{prefix}:texts", deadline=30)
        numbers.set("a", 1)
        numbers.close()
        texts.set("a", "one")
        assert (numbers.get("a"), texts.get("a")) == (1, "one")
        assert len({*threading.enumerate()} - before) == 1
    assert {*threading.enumerate()} <= before


@pytest.mark.parametrize("given", [redis.Redis(), RedisConnection("redis://"), 5, b"redis://"])
def test_what_is_no_redis_is_refused(given: Any) -> None:
    with pytest.raises(SettingsError, match=r"^redis: expected a URL, a SyncRedisConnection or a client of "):
        SyncValues(given, int, prefix="p")


def test_an_outage_is_an_error() -> None:
    with SyncValues("redis://127.0.0.1:1", int, prefix="p") as values:
        with pytest.raises(RedisUnavailableError):
            values.get("a")
        with pytest.raises(RedisUnavailableError):
            values.get_or_load("a", lambda: 1)
