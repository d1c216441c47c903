"""The examples run as their first lines say, and a second time as well."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT, text_of

EXPECTED = {
    "assistant.py": r"Departamento con vista al parque, Miraflores: 240,000\. Visita reservada: True\n",
    "import_and_export.py": r"human message 0 10000\n",
    "report.py": r"leads +0\nprojects +0\nmessages +0\n",
}


def run(name: str, url: str) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name)],
        env={**os.environ, "DATABASE_URL": url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_tested_and_listed() -> None:
    names = {path.name for path in (ROOT / "examples").glob("*.py")}
    assert names == EXPECTED.keys()
    assert [name for name in names if f"examples/{name}" not in text_of("docs/index.md")] == []


@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_prints_what_it_promises(name: str, fresh_database_url: str) -> None:
    for _ in range(2):
        assert re.fullmatch(EXPECTED[name], run(name, fresh_database_url))


def test_the_report_counts_the_rows_of_the_assistant(fresh_database_url: str) -> None:
    run("assistant.py", fresh_database_url)
    assert run("report.py", fresh_database_url).split() == ["leads", "1", "projects", "1", "messages", "2"]


def test_examples_say_how_they_are_run() -> None:
    for path in sorted(Path(ROOT / "examples").glob("*.py")):
        assert f"python examples/{path.name}" in path.read_text("utf-8"), path.name


PROJECTS = sorted(path.parent.name for path in (ROOT / "examples").glob("*/pyproject.toml"))
_OWN = shutil.ignore_patterns(".plainsql", "__pycache__", ".pytest_cache")


def run_in(folder: Path, *command: str) -> None:
    scripts = sysconfig.get_path("scripts")
    dropped = ("PYTEST_", "DATABASE_URL", "DB_", "REDIS_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    done = subprocess.run(
        [str(Path(scripts) / command[0]), *command[1:]],
        cwd=folder,
        env=environment | {"PATH": scripts + os.pathsep + environment["PATH"]},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", PROJECTS)
def test_the_tests_and_the_check_of_an_example_project_pass(name: str, tmp_path: Path) -> None:
    folder = shutil.copytree(ROOT / "examples" / name, tmp_path / name, ignore=_OWN)
    run_in(folder, "plainsql", "check")
    run_in(folder, "plainsql", "generate", "--check")
    run_in(folder, "python", "-m", "pytest", "-q")


def test_every_example_project_has_tests_and_is_listed() -> None:
    for name in PROJECTS:
        assert [*(ROOT / "examples" / name).glob("test_*.py")], name
        assert f"examples/{name}" in text_of("docs/index.md")
