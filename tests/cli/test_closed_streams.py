"""Commands that are started with a standard stream closed: one line and an exit code, no traceback."""

from __future__ import annotations

import subprocess
import sys

import pytest

from plainsql import migrate
from tests.cli.conftest import NOTES, Write

LIST = {"sql/notes/some.sql": "-- returns: many value\nselect i from generate_series(1, 5) as i\n"}
REFUSED = "the standard output: it is closed\n"


def run(arguments: str, closed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f'exec "$0" -m plainsql {arguments} {closed}', sys.executable],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        "--version",
        "--help",
        "run notes.some",
        "run notes.some --json",
        "run notes.add text=x",
        "migrate status",
        "migrate status --json",
        "check",
        "generate",
        "describe notes.some",
        "describe notes.some --json",
        "db stats",
        "db stats --json",
        "db doctor",
    ],
)
def test_closed_output_is_one_line(write: Write, configured: str, arguments: str) -> None:
    write(NOTES | LIST)
    migrate.apply(configured, "migrations")
    done = run(arguments, ">&-")
    assert (done.returncode, done.stderr) == (2, REFUSED)


def test_migrations_do_not_begin_if_the_output_cannot_be_written(write: Write, configured: str) -> None:
    write(NOTES)
    done = run("migrate", ">&-")
    assert (done.returncode, done.stderr) == (2, REFUSED)
    assert len(migrate.status(configured, "migrations").pending) == 1


def test_an_export_to_closed_output_is_one_line(write: Write, configured: str) -> None:
    write(NOTES)
    assert run("migrate --layer realty", "").returncode == 0
    done = run("db export realty -o -", ">&-")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert done.stderr.splitlines()[-1] + "\n" == REFUSED
    # A file is no output.
    done = run("db export realty -o kept.jsonl", ">&-")
    assert (done.returncode, done.stderr) == (2, REFUSED)


def test_an_error_of_the_command_is_reported_first(write: Write, configured: str) -> None:
    write(NOTES)
    done = run("run notes.nope", ">&-")
    assert done.returncode == 2
    assert "notes.nope" in done.stderr
    assert "closed" not in done.stderr


def test_closed_standard_error_does_not_change_the_output(write: Write, configured: str) -> None:
    write(NOTES)
    done = run("run notes.nope", "2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")
    done = run("run notes.nope", ">&- 2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


def test_closed_input_is_no_terminal(write: Write, configured: str) -> None:
    write(NOTES)
    migrate.apply(configured, "migrations")
    done = run("migrate mark --not-applied 0001", "<&-")
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "there is no terminal for the prompt")
    done = run("describe --jsonl", "<&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = run("migrate rollback", "<&-")
    assert (done.returncode, done.stderr) == (0, "")
