"""Fixtures: a server whose databases a test can count, and a folder of migrations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg
import pytest

from plainsql.analysis.checkout_identity import checkout_identity
from plainsql.analysis.scratch_database import name_prefix
from plainsql.schema.migrations import MigrationsFolder
from plainsql.settings import Project

Write = Callable[[Mapping[str, str]], Path]
Names = Callable[[], set[str]]

NOTES = {"0001_notes.sql": "create table notes (id int);", "0001_notes.rollback.sql": "drop table notes;"}


@pytest.fixture
def migrations(tmp_path: Path) -> Write:
    """Write migrations into the folder of this test, and return the folder."""
    folder = tmp_path / "migrations"

    def write(files: Mapping[str, str]) -> Path:
        for name, text in files.items():
            folder.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        return folder

    return write


@pytest.fixture
def scratch_names(database_url: str, tmp_path: Path) -> Names:
    """Return the scratch databases of this test's folder; other tests have theirs on the same server."""
    identity = checkout_identity(Project.load().root)
    assert identity is not None
    own = name_prefix(MigrationsFolder(tmp_path / "migrations"), identity)

    def names() -> set[str]:
        with psycopg.connect(database_url) as connection:
            found = connection.execute(
                "select datname::text from pg_database where starts_with(datname, %s)", [own]
            )
            return {name for (name,) in found}

    return names
