"""The source distribution holds what its tests need, and the wheel what its commands print."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The files of a source distribution of this checkout, relative to its root."""
    folder = tmp_path_factory.mktemp("sdist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    [archive] = folder.iterdir()
    with tarfile.open(archive) as tar:
        return {str(PurePosixPath(*PurePosixPath(name).parts[1:])) for name in tar.getnames()}


def _imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def test_every_module_that_a_test_imports_is_in_it(members: set[str]) -> None:
    here = {folder.name for folder in ROOT.iterdir() if folder.is_dir()}
    wanted = set()
    for test in sorted((ROOT / "tests").rglob("*.py")):
        for name in _imports(test):
            base = name.replace(".", "/")
            if name.partition(".")[0] in here:
                wanted |= {file for file in (f"{base}.py", f"{base}/__init__.py") if (ROOT / file).is_file()}
    assert {name.partition("/")[0] for name in wanted} >= {"benchmarks", "tests"}
    assert wanted - members == set()


def test_every_script_and_setting_that_a_make_target_uses_is_in_it(members: set[str]) -> None:
    tracked = [path.name for path in ROOT.glob(".sqlfluff")]
    scripts = [f"scripts/{path.name}" for path in (ROOT / "scripts").iterdir() if path.is_file()]
    wanted = {"Makefile", "pyproject.toml", "docker-compose.yml", *tracked, *scripts}
    assert wanted - members == set()


def test_the_sources_of_the_compiled_part_are_in_it_and_nothing_built(members: set[str]) -> None:
    folder = ROOT / "src" / "plainsql" / "speed"
    sources = {path for pattern in ("*.pyx", "*.pxd", "include/*.h") for path in folder.glob(pattern)}
    assert {path.suffix for path in sources} == {".pyx", ".pxd", ".h"}
    wanted = {"hatch_build.py", *(path.relative_to(ROOT).as_posix() for path in sources)}
    assert wanted - members == set()
    assert [name for name in members if name.endswith((".so", ".c", ".json")) and "/speed/" in name] == []


def test_the_compiled_part_is_built_with_the_asyncpg_of_its_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = set(
        project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]["speed-dependencies"]
    )
    assert set(project["project"]["optional-dependencies"]["speed"]) == {"asyncpg==0.32.0"} < wanted
    # The editable install has the same tools, pinned.
    tools = {
        item for item in project["dependency-groups"]["build"] if item.startswith(("cython", "setuptools"))
    }
    assert len(tools) == 2
    assert tools < wanted


def test_nothing_of_a_developers_machine_is_in_it(members: set[str]) -> None:
    assert [name for name in members if "__pycache__" in name or ".venv" in name] == []


def test_an_installed_wheel_prints_the_page_of_a_finding(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    # tests/speed/test_build.py builds wheels with the compiled part.
    plain = {**os.environ, "PLAINSQL_SPEED_BUILD": "no"}
    subprocess.run(build, cwd=ROOT, env=plain, check=True, capture_output=True)
    [archive] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(archive) as wheel:
        wheel.extractall(tmp_path / "site")
    command = [sys.executable, "-m", "plainsql", "check", "--explain"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    for name, line in (
        ("star", "# star\n\n*`select *` or `returning *`: the columns of the result"),
        ("drop-column", "# drop-column\n\n"),
        ("refused", "# refused\n\nPostgreSQL refuses the query.\n"),
    ):
        done = subprocess.run(
            [*command, name], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        )
        assert done.stdout.startswith(line)
