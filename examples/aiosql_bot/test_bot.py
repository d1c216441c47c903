"""The bot on a database with its migrations, and the import of its queries."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bot import answer, remind
from queries import reminders

import plainsql
import plainsql.testing

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def plainsql_migrate() -> Callable[[str], None]:
    return plainsql.testing.create_schema


@pytest.fixture
async def db(plainsql_fresh_database_url: str) -> AsyncIterator[plainsql.Database]:
    async with plainsql.connect(plainsql_fresh_database_url) as db:
        yield db


async def test_a_reminder_is_listed_and_forgotten_in_its_chat(db: plainsql.Database) -> None:
    assert await answer(db, 1, "/in 5 drink tea", NOW) == "1: drink tea"
    assert await answer(db, 1, "/list", NOW) == "1: drink tea at 12:05"
    assert await answer(db, 2, "/list", NOW) == "nothing"
    assert await answer(db, 2, "/forget 1", NOW) == "there is none"
    assert await answer(db, 1, "/forget 1", NOW) == "forgotten"
    assert await reminders.count_open(db) == 0


async def test_what_is_due_is_sent_once(db: plainsql.Database) -> None:
    sent: list[tuple[int, str]] = []

    async def send(chat_id: int, text: str) -> None:
        sent.append((chat_id, text))

    await answer(db, 1, "/in 5 tea", NOW)
    await answer(db, 2, "/in 60 lunch", NOW)
    later = NOW + timedelta(minutes=10)
    assert await remind(db, send, later) == 1
    assert await remind(db, send, later) == 0
    assert sent == [(1, "tea")]


async def test_what_cannot_be_sent_stays(db: plainsql.Database) -> None:
    async def fail(chat_id: int, text: str) -> None:
        raise ConnectionError

    await answer(db, 1, "/in 5 tea", NOW)
    with pytest.raises(ConnectionError):
        await remind(db, fail, NOW + timedelta(minutes=10))
    assert await reminders.count_open(db) == 1


def test_the_query_files_are_those_that_the_import_writes(tmp_path: Path) -> None:
    here = Path(__file__).parent
    shutil.copytree(here / "aiosql", tmp_path / "aiosql")
    command = [sys.executable, "-m", "plainsql", "import", "aiosql", "aiosql", "--into", "sql"]
    subprocess.run(command, cwd=tmp_path, check=True)
    written = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.glob("sql/**/*.sql")}
    assert written == {path.relative_to(here): path.read_text() for path in here.glob("sql/**/*.sql")}
