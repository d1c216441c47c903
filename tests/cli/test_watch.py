"""``plainsql watch`` as a process of its own, while files are saved, moved and removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.cli.conftest import GET, NOTES, Write

WRONG = GET.replace("n.stars", "n.star")


class Watching:
    """The command in a folder, and what it prints."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "plainsql", "watch", *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until(self, text: str) -> str:
        """Return what it prints, up to the line that begins with a text."""
        assert self.process.stdout is not None
        printed = ""
        for line in self.process.stdout:
            printed += line
            if line.startswith(text):
                return printed
        raise AssertionError(f"it ended, and printed:\n{printed}")

    def save(self, path: str, text: str) -> None:
        """Save a file as editors do: under another name, which is then its own."""
        file = self.folder / path
        file.parent.mkdir(exist_ok=True)
        unfinished = file.with_name(f".{file.name}.tmp")
        unfinished.write_text(text)
        unfinished.replace(file)


@pytest.fixture
def watching(configured: str, write: Write) -> Generator[Watching]:
    """The command on the notes, after its first check."""
    running = Watching(write({**NOTES, "sql/notes/get.sql": GET}))
    try:
        printed = running.until("watching ")
        assert "wrote queries/notes.py\n" in printed
        assert "clean: 2 queries" in printed
        yield running
    finally:
        running.process.kill()
        running.process.communicate()


def test_a_saved_file_is_checked_and_its_module_written(watching: Watching) -> None:
    module = watching.folder / "queries" / "notes.py"
    before = module.read_text()
    watching.save("sql/notes/get.sql", WRONG)
    printed = watching.until("1 problem: 2 queries")
    assert 'HINT: Perhaps you meant to reference the column "n.stars".' in printed
    assert module.read_text() == before  # a module of a refused query is kept
    watching.save("sql/notes/get.sql", "-- No kind.\n-- returns:\nselect 1\n")
    assert "[sql-file]" in watching.until("1 problem, 1 fixed")

    watching.save("sql/notes/get.sql", GET.replace("optional Note", "optional Twice"))
    assert "wrote queries/notes.py\n" in watching.until("clean, 1 fixed")
    assert "class Twice" in module.read_text()

    watching.save("sql/more/find.sql", GET)
    assert "wrote queries/more.py\n" in watching.until("clean: 3 queries")
    (watching.folder / "sql" / "more" / "find.sql").rename(watching.folder / "sql" / "notes" / "find.sql")
    watching.until("removed queries/more.py")
    (watching.folder / "sql" / "notes" / "find.sql").unlink()
    watching.until("clean: 2 queries")
    assert "def find(" not in module.read_text()
    module.unlink()
    watching.until("wrote queries/notes.py")


def test_changed_migrations_and_settings_are_read_again(watching: Watching) -> None:
    watching.save("migrations/0002_gone.sql", "alter table notes drop column stars;\n")
    assert "get.sql:3:22: column n.stars does not exist" in watching.until("2 problems")
    watching.save("migrations/0002_gone.sql", "alter table nots drop column stars;\n")
    assert 'migrations/0002_gone.sql:1:1: relation "nots" does not exist' in watching.until("1 problem")
    (watching.folder / "migrations" / "0002_gone.sql").unlink()
    watching.until("clean")

    watching.save("pyproject.toml", "[tool.plainsql]\noutpu = 'app'\n")
    assert "unknown key 'outpu'" in watching.until("watching ")
    watching.save("pyproject.toml", "[tool.plainsql]\noutput = 'app'\n")
    assert "wrote app/notes.py" in watching.until("watching ")

    watching.process.send_signal(signal.SIGINT)
    printed = watching.until("stopped")
    assert "Traceback" not in printed
    assert watching.process.wait() == 0


def test_each_database_of_a_project_is_watched(configured: str, write: Write) -> None:
    databases = "[tool.plainsql.databases.one]\n[tool.plainsql.databases.two]\n"
    files = {"pyproject.toml": databases}
    for name in ("one", "two"):
        files |= {f"migrations/{name}/0001_notes.sql": NOTES["migrations/0001_notes.sql"]}
        files |= {f"migrations/{name}/0001_notes.rollback.sql": "drop table notes;\n"}
        files |= {f"sql/{name}/notes/get.sql": GET}
    running = Watching(write(files))
    try:
        printed = running.until("watching ")
        assert "[one] clean: 1 query" in printed
        assert "[two] clean: 1 query" in printed
        running.save("sql/two/notes/get.sql", WRONG)
        assert "sql/two/notes/get.sql:3:22" in running.until("[two] 1 problem")
        os.kill(running.process.pid, signal.SIGTERM)
        running.until("stopped")
    finally:
        running.process.kill()
        running.process.communicate()
