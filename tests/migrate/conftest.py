"""Fixtures of the tests of migrations: a folder that is written in one line, and queries on the database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

Write = Callable[[Mapping[str, str | bytes]], Path]
Query = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write files below ``migrations`` and return that folder, relative to the working folder."""
    monkeypatch.chdir(tmp_path)

    def write_files(files: Mapping[str, str | bytes]) -> Path:
        folder = Path("migrations")
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return folder

    return write_files


@pytest.fixture
def query(fresh_database_url: str) -> Query:
    """Run one query in the fresh database, on a connection of its own, and return its rows."""

    def run(sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(fresh_database_url, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    return run
