"""The generated modules of this repository are what its SQL makes."""

from __future__ import annotations

from pathlib import Path

from plainsql import codegen
from plainsql.check.project_check import check_project
from plainsql.settings import Project

ROOT = Path(__file__).parents[2]


def test_the_generated_layers_are_up_to_date(database_url: str) -> None:
    project = Project.load(ROOT)
    found = check_project(project, database_url)
    assert [str(error) for error in found.errors] == []
    changes = codegen.compare(found.files, project.output_folder)
    assert not changes, (
        f"run `make generate`: missing {changes.missing}, outdated {changes.outdated}, stale {changes.stale}"
    )
