"""``plainsql db cleanup`` as a user runs it, in a folder that has no project."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from plainsql.cli.app import main

__all__ = ["Cleanup", "cleanup_of"]


@dataclass(frozen=True)
class Cleanup:
    """The cleanup command on one layer of one database."""

    layer: str
    url: str
    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str, url: str = "") -> dict[str, int]:
        """Run it and return the number of rows that each step cleaned up."""
        code, out, err = self.ended(*arguments, url=url)
        assert code == 0, err
        told = json.loads(out)
        assert told["dry_run"] == ("--dry-run" in arguments)
        return {step["step"]: step["rows"] for step in told["steps"]}

    def ended(self, *arguments: str, url: str = "") -> tuple[int, str, str]:
        """Run it and return its exit code, its output and its errors."""
        self.capture.readouterr()
        code = main(["db", "cleanup", self.layer, "--database", url or self.url, "--json", *arguments])
        captured = self.capture.readouterr()
        return code, captured.out, captured.err

    def run(self, statement: str) -> None:
        """Run SQL as the superuser, without triggers."""
        with psycopg.connect(self.url) as connection:
            connection.execute("set session_replication_role = replica")
            connection.execute(statement.encode())

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Return what a query returns to the superuser."""
        with psycopg.connect(self.url) as connection:
            return connection.execute(statement.encode()).fetchall()


def cleanup_of(
    layer: str, url: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]
) -> Cleanup:
    """The command on a layer that comes with plainsql."""
    monkeypatch.chdir(folder)
    return Cleanup(layer, url, capture)
