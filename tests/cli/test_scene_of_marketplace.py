"""The marketplace's scene: every step holds, with Redis and without."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from plainsql import migrate
from plainsql.cli.demos.marketplace import play

MIGRATIONS = Path(__file__).parents[2] / "migrations"


async def played(url: str) -> tuple[int, str]:
    migrate.apply(url, MIGRATIONS, layers=["marketplace"])
    out = io.StringIO()
    queries = await play(url, Console(file=out, width=80, highlight=False))
    return queries, out.getvalue()


async def test_it_ends_well_without_redis(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("REDIS_URL", "REDIS_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    queries, out = await played(fresh_database_url)
    assert queries == 25
    assert "counted in this process: 2 refused" in " ".join(out.split())
    assert max(len(line) for line in out.splitlines()) <= 80
    shown = re.findall(r"sql/marketplace/(\w+/\w+)\.sql", out)
    assert len(shown) == 17
    assert {"products/reserve", "products/standing", "conversations/complete"} <= set(shown)
    assert out.count("no rows") == 2
    assert re.search(r"\nall +1 +100 % of 1 +2 +135 € ", out)


async def test_it_ends_well_with_redis(
    fresh_database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    queries, out = await played(fresh_database_url)
    assert queries == 26
    assert "counted in Redis: 2 refused" in " ".join(out.split())
    assert "stage='haggling'" in out
