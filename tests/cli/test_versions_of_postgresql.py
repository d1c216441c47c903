"""``plainsql db doctor`` on the PostgreSQL versions that queries run on: a warning, not a failure."""

from __future__ import annotations

import json

import pytest

from plainsql.health import server_checks
from tests.cli.conftest import NOTES, Command, Write

CURRENT = 10**7
"""Above the version of the tests' server."""


@pytest.mark.parametrize(
    ("oldest", "state", "hint"),
    [
        (0, "warning", "queries run here; 'check' and 'generate' need PostgreSQL 16 or newer"),
        (CURRENT, "failed", "upgrade the server to PostgreSQL 14 or newer"),
    ],
)
def test_an_old_server(
    write: Write,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    oldest: int,
    state: str,
    hint: str,
) -> None:
    monkeypatch.setattr(server_checks, "_MIN_SERVER_TO_ANALYSE", CURRENT)
    monkeypatch.setattr(server_checks, "_MIN_SERVER", oldest)
    write(NOTES)
    command("migrate")
    done = command("db", "doctor", "--json")
    first = json.loads(done.out)["checks"][0]
    assert (first["name"], first["state"], first["hint"].startswith(hint)) == ("postgresql", state, True)
    assert done.code == (state == "failed")
