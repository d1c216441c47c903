"""The kitchen: a project with a query for everything that can be generated."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

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
