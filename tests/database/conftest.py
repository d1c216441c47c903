"""A database with one connection, and a session beside it that looks and disturbs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

import plainsql
from plainsql.database.execution import scheduler
from plainsql.database.execution.forms import Forms


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[plainsql.Database]:
    """A database with one connection: whatever is not given back is missed at once."""
    async with plainsql.connect(database_url, max_size=1, acquire_timeout=10) as db:
        yield db


@pytest.fixture
async def outside(database_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture(params=["joined", "pipelined"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have calls that wait run in one form, whatever it costs."""

    def choose(self: Forms, calls: int) -> Any:
        wanted = self.batched if request.param == "joined" else self.pipelined
        return wanted if wanted is not None and calls > 1 and not wanted.refused else None

    def compare(self: Forms) -> None:
        self.prefers_alone = self._refused

    monkeypatch.setattr(scheduler, "_MAX_STATEMENT_S", 60.0)  # the machine may be slow
    monkeypatch.setattr(Forms, "choose", choose)
    monkeypatch.setattr(Forms, "_compare", compare)
    return str(request.param)
