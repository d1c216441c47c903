"""``plainsql demo``: from nothing to an appointment, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from plainsql.layers.files import migrations_folder, sql_folder

QUERIES = [
    "leads/get_or_create_from_telegram",
    "leads/get_by_telegram_chat_id",
    "conversations/create",
    "messages/append",
    "messages/recent",
    "messages/recent",
    "messages/append",
    "messages/recent",
    "properties/search",
    "properties/search_hybrid",
    "conversations/touch",
    "appointments/book",
    "appointments/book",
    "appointments/upcoming_for_lead",
    "appointments/agenda_of_day",
]


def _start(folder: Path, *layer: str) -> subprocess.Popen[str]:
    # A configured database that cannot be reached: the demo must not use it.
    environment = os.environ | {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "COLUMNS": "80",
        "TMPDIR": str(folder / "tmp"),
    }
    (folder / "tmp").mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "plainsql", "demo", *layer],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
    )


def _left(folder: Path) -> list[str]:
    """Return the names that are left in the folder for temporary files."""
    return [path.name for path in folder.glob("tmp/*/*")]


@pytest.mark.timeout(120)
def test_the_demo_of_realty_ends_well(tmp_path: Path) -> None:
    with _start(tmp_path) as running:
        out, _ = running.communicate(timeout=100)
    assert running.returncode == 0, out
    assert re.search(r"\ndemo: ok, 17 queries in \d+\.\d s\n\Z", out)
    shown = re.findall(r"sql/realty/(\w+/\w+)\.sql(?:, \d times)?  \d+\.\d ms", out)
    assert shown == QUERIES
    assert "UniqueViolation: duplicate key value violates" in out
    assert max(len(line) for line in out.splitlines()) <= 80
    assert [path.name for path in tmp_path.iterdir()] == ["tmp"]
    assert _left(tmp_path) == []


@pytest.mark.timeout(120)
@pytest.mark.parametrize("layer", ["whatsapp", "marketplace", "assistant"])
def test_the_other_layers_have_a_demo_too(tmp_path: Path, layer: str) -> None:
    with _start(tmp_path, layer) as running:
        out, _ = running.communicate(timeout=100)
    assert running.returncode == 0, out
    assert re.search(r"\ndemo: ok, \d\d queries in \d+\.\d s\n\Z", out)
    assert f"migrations of {layer}" in out
    assert max(len(line) for line in out.splitlines()) <= 80
    assert _left(tmp_path) == []


@pytest.mark.timeout(120)
def test_ctrl_c_stops_the_demo_and_its_server(tmp_path: Path) -> None:
    with _start(tmp_path) as running:
        assert running.stdout is not None
        while "ms" not in running.stdout.readline():  # the first query is shown
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        rest = running.stdout.read()
    assert (running.returncode, rest.splitlines()[-1]) == (130, "interrupted")
    assert _left(tmp_path) == []


def test_the_files_of_a_layer_are_found() -> None:
    assert (migrations_folder("realty") / "0001_extensions.sql").is_file()
    assert (sql_folder("realty") / "leads" / "get_by_id.sql").is_file()
