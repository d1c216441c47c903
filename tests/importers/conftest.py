"""A project whose query files are imported, and the schema that they are checked on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from plainsql.check.project_check import ProjectCheck, check_project
from plainsql.importers import Import, import_files
from plainsql.settings import Project

SCHEMA = """
create table authors (
  id bigint generated always as identity primary key,
  name text not null,
  bio text,
  kind text not null default 'plain',
  born date
);
create table books (
  id bigint generated always as identity primary key,
  author_id bigint not null references authors (id),
  title text not null unique,
  rank integer not null default 0,
  tags text[] not null default '{}'
);
create index on books (author_id);
"""


@dataclass(frozen=True)
class Importer:
    """Imports texts of one tool into a project."""

    root: Path
    database_url: str

    def run(
        self, tool: str, files: Mapping[str, str], *, force: bool = False, dry_run: bool = False
    ) -> Import:
        """Write files below ``theirs``, and import that folder into ``sql``."""
        for name, text in files.items():
            path = self.root / "theirs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return import_files(tool, Path("theirs"), Path("sql"), force=force, dry_run=dry_run)

    def texts(self) -> dict[str, str]:
        """Return the texts below ``sql`` by name."""
        folder = self.root / "sql"
        files = sorted(folder.rglob("*.sql"))
        return {str(file.relative_to(folder)): file.read_text(encoding="utf-8") for file in files}

    def check(self) -> ProjectCheck:
        """Check the imported files on the schema."""
        (self.root / "migrations").mkdir(exist_ok=True)
        (self.root / "migrations" / "0001_all.sql").write_text(SCHEMA)
        return check_project(Project(root=self.root), self.database_url)


@pytest.fixture
def importer(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Importer:
    monkeypatch.chdir(tmp_path)
    return Importer(tmp_path, database_url)


Refusals = Callable[[str, str], list[str]]


@pytest.fixture
def refusals(importer: Importer) -> Refusals:
    """Return the messages of the queries of one file that are left out, each with a place and a hint."""

    def run(tool: str, text: str) -> list[str]:
        found = importer.run(tool, {"a.sql": text}, dry_run=True)
        for error in found.left_out:
            assert error.hint
            assert error.place
            assert error.place.line
            assert error.place.column
        return [
            f"{error.place.line}:{error.place.column}: {error.message}"
            for error in found.left_out
            if error.place
        ]

    return run
