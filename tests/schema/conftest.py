"""Folders of SQL, and the objects of a database that they made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

Write = Callable[[Mapping[str, str | bytes]], Path]
Names = Callable[[], list[str]]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write files below a new folder, which becomes the working folder; return it."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def write_files(files: Mapping[str, str | bytes]) -> Path:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return folder

    return write_files


@pytest.fixture
def names(fresh_database_url: str) -> Names:
    """Return the tables, views and functions of the test's database, by schema and name."""

    def read() -> list[str]:
        return [name for (name,) in rows(fresh_database_url, _NAMES)]

    return read


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query, in a session of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


_NAMES = """
select n.nspname || '.' || c.relname as name
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'v', 'm', 'p', 'f') and n.nspname !~ '^pg_|^information_schema$'
union all
select n.nspname || '.' || p.proname || '()'
from pg_catalog.pg_proc as p
inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
where n.nspname !~ '^pg_|^information_schema$'
order by name
"""
