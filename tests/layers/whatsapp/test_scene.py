"""The demonstration of whatsapp, which leaves no key behind."""

from __future__ import annotations

import io
import os

import pytest
from rich.console import Console

from plainsql.cli.demos import whatsapp
from plainsql.crypto import KEYS_VARIABLE


async def test_the_scene_is_played_to_its_end(
    plainsql_fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (KEYS_VARIABLE, "REDIS_URL", "REDIS_HOST"):
        monkeypatch.delenv(name, raising=False)
    console = Console(file=io.StringIO(), width=100, highlight=False)
    queries = await whatsapp.play(plainsql_fresh_database_url, console)
    assert queries == 50
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "sql/whatsapp/webhook_events/log.sql, 5 times" in shown
    assert "plainsql.layers.whatsapp.sending.send_message, 10 times" in shown
    assert "ForeignKeyViolation" in shown
    assert "TenantError: whatsapp.messages.list: no tenant is set" in " ".join(shown.split())
    assert "EAAJB" not in shown
    assert KEYS_VARIABLE not in os.environ


async def test_the_scene_counts_rates_in_redis_if_one_is_configured(
    plainsql_fresh_database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    console = Console(file=io.StringIO(), width=100, highlight=False)
    assert await whatsapp.play(plainsql_fresh_database_url, console) == 50
