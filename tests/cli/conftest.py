"""Projects in temporary folders, and the command on them: in this process, or as users start it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from plainsql.cli.app import main

NOTES = {
    "pyproject.toml": "[tool.plainsql]\n",
    "migrations/0001_notes.sql": (
        "create table notes (\n"
        "  id bigint generated always as identity primary key,\n"
        "  text text not null check (text <> ''),\n"
        "  stars integer\n"
        ");\n"
    ),
    "migrations/0001_notes.rollback.sql": "drop table notes;\n",
    "sql/notes/add.sql": (
        "-- Write a note.\n"
        "-- returns: one Note\n"
        "-- param stars: 1..5 = null\n"
        "insert into notes as n (text, stars)\n"
        "values (:text, :stars)\n"
        "returning n.id, n.text, n.stars\n"
    ),
}
"""A small project in which everything holds."""

GET = (
    "-- One note.\n-- returns: optional Note\n"
    "select n.id, n.text, n.stars\nfrom notes as n\nwhere n.id = :id\n"
)

SETTINGS = (
    *("DATABASE_URL", "DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD"),
    *("PLAINSQL_SCRATCH_URL", "COLUMNS"),
)


@dataclass(frozen=True)
class Done:
    """A command that has ended. Its times are 0.0, so that they can be compared."""

    code: int
    out: str
    err: str


Write = Callable[[Mapping[str, str | bytes]], Path]
Command = Callable[..., Done]


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
def configured(fresh_database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty database of this test, which the command finds in the environment, for checks as well."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABASE_URL", fresh_database_url)
    monkeypatch.setenv("PLAINSQL_SCRATCH_URL", fresh_database_url)
    return fresh_database_url


@pytest.fixture
def command(configured: str, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run ``plainsql …`` in this process."""

    def run(*arguments: str) -> Done:
        capfd.readouterr()
        code = main([*arguments])
        return Done(code, *map(_without_times, capfd.readouterr()))

    return run


@pytest.fixture
def process(configured: str) -> Command:
    """Run ``python -m plainsql …`` as a process of its own, in the working folder."""

    def run(*arguments: str, environment: Mapping[str, str] | None = None) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "plainsql", *arguments],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Done(done.returncode, _without_times(done.stdout), _without_times(done.stderr))

    return run


def _without_times(text: str) -> str:
    return re.sub(r"\d+\.\d+ (m?s)\b", r"0.0 \1", text)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but the embedded server's, with its content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not {".plainsql", "__pycache__"} & set(path.parts)
    }
