"""The kitchen, a project with a query for everything that can be generated; and projects made by a test."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import pytest

from plainsql import codegen
from plainsql.review.project import Review, review
from plainsql.settings import Project

KITCHEN = Path(__file__).parent / "kitchen"
PACKAGE = "tests.codegen.kitchen.queries"

Generate = Callable[[Path], Review]


def project(root: Path) -> Project:
    return Project(root=root, package=PACKAGE)


@pytest.fixture
def generate(database_url: str) -> Generate:
    """Review the project in a folder."""

    def run(root: Path) -> Review:
        found = review(project(root), database_url)
        assert [str(error) for error in found.errors] == []
        return found

    return run


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the kitchen, without what is generated."""
    root = tmp_path / "kitchen"
    for folder in ("sql", "migrations"):
        shutil.copytree(KITCHEN / folder, root / folder)
    return root


SCHEMA = """
create type mood as enum ('a"b', E'tab\\there', E'cr\\rlf\\n', E'\\x0b\\u2028', '{x}', 'back\\', '');
create type nothing as enum ();
create table cooks (id bigint primary key, name text not null, mail text);
create table dishes (
  id bigint primary key,
  cook_id bigint references cooks (id),
  mood mood,
  nothing nothing,
  payload jsonb,
  documents jsonb[],
  stars integer not null
);
"""

Made = Callable[[Mapping[str, str]], Review]


@pytest.fixture
def folder(tmp_path: Path) -> Project:
    return Project(root=tmp_path, output=f"package_of_{tmp_path.name}")


@pytest.fixture
def make(folder: Project, database_url: str) -> Made:
    """Write files below the project, and review it."""

    def run(files: Mapping[str, str]) -> Review:
        for name, text in {"migrations/0001_all.sql": SCHEMA, **files}.items():
            (folder.root / name).parent.mkdir(parents=True, exist_ok=True)
            (folder.root / name).write_text(text)
        return review(folder, database_url)

    return run


@pytest.fixture
def load(folder: Project, make: Made, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """Generate from files, and import one of the modules."""

    def run(module: str, files: Mapping[str, str]) -> ModuleType:
        found = make(files)
        assert [str(error) for error in found.errors] == []
        codegen.write(found.files, folder.output_folder)
        monkeypatch.syspath_prepend(folder.root)
        return importlib.import_module(f"{folder.import_name}.{module}")

    return run


def query(columns: str, returns: str = "many Dish", header: str = "", tail: str = "") -> str:
    return f"-- It.\n-- returns: {returns}\n{header}select {columns}\n{tail}"
