"""Projects whose scratch databases are on the embedded server of this run."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping

import pytest

from plainsql.embedded import EmbeddedServer
from plainsql.settings import Project

MakeProject = Callable[[Mapping[str, str]], Project]


@pytest.fixture(scope="module")
def make_project(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Generator[MakeProject]:
    """Write the files of a project into a new folder, and return the project."""

    def make(files: Mapping[str, str]) -> Project:
        folder = tmp_path_factory.mktemp("project")
        for name, text in {"pyproject.toml": "[tool.plainsql]\n", **files}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Project.load(folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAINSQL_SCRATCH_URL", server.url())
        yield make
