"""The times to live that a project sets for its cached queries, without a change of their files."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

import plainsql
from plainsql import Call
from plainsql.cache_times import cache_times
from plainsql.dependencies import CachedRead
from plainsql.errors import SettingsError
from plainsql.query import Args, one

_READ = CachedRead(60, (), local=50, stale=7)


@one[str]("shop.items.now", "n.sql", 1, "select now()::text", read_only=True, session_clean=True, cache=_READ)
def now() -> Args:
    return ()


@one[str]("shop.items.day", "d.sql", 1, "select now()::text", read_only=True, session_clean=True, cache=_READ)
def day() -> Args:
    return ()


@one[str]("warm.up", "w.sql", 1, "select now()::text", read_only=True, session_clean=True, cache=_READ)
def warm() -> Args:
    return ()


async def _stored(
    database_url: str, redis_url: str, prefix: str, **options: Any
) -> tuple[list[float], dict[str, list[bool]]]:
    """Run both queries twice. Return the lives in Redis in seconds, and whether each call was cached."""
    calls: dict[str, list[bool]] = {}

    def note(call: Call) -> None:
        calls.setdefault(call.query.name, []).append(call.cached)

    async with (
        Redis.from_url(redis_url) as redis,
        plainsql.connect(database_url, redis=redis_url, cache_prefix=prefix, on_call=note, **options) as db,
    ):
        # Redis stores nothing for a second after it has seen the prefix first.
        while not db.cache.stats().fills:
            await warm(db)
        entries = f"plainsql:{prefix}:*:e:*"
        await redis.delete(*[key async for key in redis.scan_iter(entries)])
        for query in (now, now, day, day):
            await query(db)
        lives = [await redis.pttl(key) / 1000 async for key in redis.scan_iter(entries)]
    return sorted(lives), calls


async def test_a_time_of_the_project_is_that_of_the_entry_in_redis(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    prefix = f"times-{uuid.uuid4().hex[:12]}"
    table = '[tool.plainsql.cache]\n"shop.*" = "off"\n"shop.items.now" = "30m"\n'
    (tmp_path / "pyproject.toml").write_text(table)
    for source in ("project", "environment", "option"):
        options: dict[str, Any] = {}
        if source == "environment":
            monkeypatch.setenv("PLAINSQL_CACHE_TTL", "shop.*=off, shop.items.now = 1h")
        elif source == "option":
            options["cache_ttl"] = {"shop.items.now": "2h", "shop.*": "off"}
        lives, calls = await _stored(database_url, redis_url, prefix, **options)
        expected = {"project": 1800, "environment": 3600, "option": 7200}[source]
        assert [round(life / expected, 1) for life in lives] in ([0.9], [1.0])
        assert calls["shop.items.now"] == [False, True]
        assert calls["shop.items.day"] == [False, False]
    lives, calls = await _stored(database_url, redis_url, prefix, cache_ttl={"other.*": "30m"})
    assert len(lives) == 2
    assert all(40 < life <= 67 for life in lives)
    assert calls["shop.items.day"] == [False, True]


def test_the_name_wins_over_patterns_and_the_first_pattern_over_others() -> None:
    times = cache_times({"shop.*": "10s", "shop.items.*": "20s", "shop.items.now": "1h30m"})
    found = [times.of(name, _READ) for name in ("shop.items.now", "shop.items.day", "shop.x", "other")]
    assert [read and (read.ttl, read.local, read.stale) for read in found] == [
        (5400, 50, 7),
        (10, 10, 7),
        (10, 10, 7),
        (60, 50, 7),
    ]


@pytest.mark.parametrize("value", ["", "5", "5 m", "0s", "OFF", "-1s", "9999999d", 5, True, {"b": "1s"}])
def test_what_is_no_time_is_named_with_its_line(
    value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = '{"b" = "1s"}' if isinstance(value, Mapping) else str(value).lower()
    text = f"'{value}'" if isinstance(value, str) else shown
    (tmp_path / "pyproject.toml").write_text(f'[tool.plainsql.cache]\n"a.b" = {text}\n')
    monkeypatch.chdir(tmp_path)
    place = r"^pyproject.toml:2:1: 'a.b' in \[tool.plainsql.cache\]"
    with pytest.raises(SettingsError, match=place + ": expected a time such as '30m', or 'off', got "):
        plainsql.connect("postgresql://h/d")


@pytest.mark.parametrize("text", ["a.b", "=5m", "a.b=5m,", "a.b=5 m"])
def test_an_environment_without_times_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="PLAINSQL_CACHE_TTL"):
        cache_times(environ={"PLAINSQL_CACHE_TTL": text})
