"""The user that the server runs as. Only root has a choice, so most of these tests need root."""

from __future__ import annotations

import logging
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from plainsql import embedded
from plainsql.errors import EmbeddedServerError

from .conftest import UserProcess

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
needs_namespaces = pytest.mark.skipif(
    os.system("unshare --user true 2>/dev/null") != 0, reason="user namespaces are forbidden here"
)
NOBODY = pwd.getpwnam("nobody")
AS_NOBODY = ("setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups")


@pytest.fixture
def as_nobody() -> tuple[str, ...]:
    """The start of a command line that runs as ``nobody``."""
    done = subprocess.run([*AS_NOBODY, sys.executable, "-c", "import msgspec"], cwd="/", check=False)
    if done.returncode != 0:
        pytest.skip("this Python is in a folder that the user nobody cannot enter")
    return AS_NOBODY


def forbid_namespaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = tmp_path / "bin" / "unshare"
    refusing.parent.mkdir()
    refusing.write_text("#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2; exit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{refusing.parent}:{os.environ['PATH']}")


def owners(folder: Path) -> set[int]:
    return {path.stat().st_uid for path in (folder, *folder.rglob("*"))}


def modes_above(folder: Path) -> dict[Path, tuple[int, int, int]]:
    found = {path: path.stat() for path in (*folder.parents, *Path(sys.prefix).parents, Path(sys.prefix))}
    return {path: (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid) for path, info in found.items()}


@as_root
@needs_namespaces
def test_root_starts_it_in_a_user_namespace_and_no_file_changes_owner(folder: Path) -> None:
    users, before = Path("/etc/passwd").read_text(), modes_above(folder)
    with embedded.start(folder) as server:
        assert embedded.status(folder).runs_as == "a user namespace (unshare)"
        assert server.execute("select 1") == "1"
        assert owners(folder) == {0}
    assert (Path("/etc/passwd").read_text(), modes_above(folder)) == (users, before)


@as_root
def test_without_namespaces_root_drops_to_an_existing_user_and_says_so(
    open_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    forbid_namespaces(tmp_path, monkeypatch)
    monkeypatch.setenv("SUDO_UID", str(NOBODY.pw_uid))
    monkeypatch.setenv("SUDO_GID", str(NOBODY.pw_gid))
    folder = open_folder / "new" / "server"
    folder.parent.mkdir()
    folder.parent.chmod(0o751)  # as good as any, and to be left as it is
    users, before = Path("/etc/passwd").read_text(), modes_above(folder)
    with caplog.at_level(logging.WARNING), embedded.start(folder, tcp=True) as server:
        assert server.execute("select 1") == "1"
        assert server.pid
        assert Path(f"/proc/{server.pid}").stat().st_uid == NOBODY.pw_uid
        assert owners(folder / "data") == owners(server.socket.parent) == {NOBODY.pw_uid}
        assert stat.S_IMODE((folder / "data").stat().st_mode) == 0o700
        assert folder.stat().st_uid == 0
        assert stat.S_IMODE(folder.stat().st_mode) == 0o711
    assert caplog.messages == [
        (
            "PostgreSQL refuses to run as root and user namespaces are not available or not wanted here: "
            f"the server in {folder} runs as user nobody"
        )
    ]
    assert (Path("/etc/passwd").read_text(), modes_above(folder)) == (users, before)
    with caplog.at_level(logging.WARNING), embedded.start(folder) as server:
        assert server.execute("select 1") == "1"
    assert len(caplog.messages) == 1, "it is said once, and not by every command"


@as_root
def test_a_scratch_server_needs_no_namespaces_either(
    open_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    forbid_namespaces(tmp_path, monkeypatch)
    (open_folder / "tmp").mkdir()
    (open_folder / "tmp").chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(open_folder / "tmp"))
    with caplog.at_level(logging.WARNING), embedded.start(scratch=True) as server:
        assert server.execute("select 1") == "1"
    assert not server.folder.exists()
    assert caplog.messages == []


@as_root
def test_root_can_go_on_without_namespaces_with_data_made_in_one(
    open_folder: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = open_folder / "server"
    shutil.copytree(prepared, folder)
    forbid_namespaces(tmp_path, monkeypatch)
    with embedded.start(folder, tcp=True) as server:
        assert server.execute("select 1") == "1"
        assert owners(folder / "data") != {0}


@as_root
def test_if_no_user_can_enter_each_attempt_is_reported(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_namespaces(tmp_path, monkeypatch)
    folder.parent.chmod(0o700)
    with pytest.raises(EmbeddedServerError) as caught:
        embedded.start(folder)
    assert str(caught.value).startswith(
        f"PostgreSQL cannot run in {folder} as any user at hand\n"
        "DETAIL: a user namespace (unshare): unshare: unshare failed: Operation not permitted; "
    )
    assert "user nobody: sh: 1: cd: can't cd to" in str(caught.value)
    assert str(caught.value).endswith(
        "HINT: give a folder that an unprivileged user can enter, or run as that user"
    )


@as_root
def test_a_plain_user_runs_it_directly(
    open_folder: Path, use: Callable[..., UserProcess], as_nobody: tuple[str, ...]
) -> None:
    user = use(open_folder / "server", prefix=as_nobody)
    server = user.joined()
    assert Path(f"/proc/{server}").stat().st_uid == NOBODY.pw_uid
    assert embedded.status(open_folder / "server").runs_as == "user nobody"
    assert owners(open_folder / "server") == {NOBODY.pw_uid}
    assert user.leave() == ""


@as_root
def test_root_serves_a_users_data_as_that_user(
    open_folder: Path, use: Callable[..., UserProcess], as_nobody: tuple[str, ...]
) -> None:
    folder = open_folder / "server"
    folder.mkdir(mode=0o755)  # so that root in a namespace could enter it, too
    os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)
    user = use(folder, prefix=as_nobody)
    user.joined()
    user.leave()
    with embedded.start(folder) as server:
        assert server.pid
        assert Path(f"/proc/{server.pid}").stat().st_uid == NOBODY.pw_uid
    assert owners(folder / "data") == {NOBODY.pw_uid}
    again = use(folder, prefix=as_nobody)
    assert again.joined(), "the user is not locked out by what root did"
    assert again.leave() == ""


@as_root
def test_a_plain_user_gets_the_name_of_the_datas_owner(
    open_folder: Path, use: Callable[..., UserProcess], as_nobody: tuple[str, ...]
) -> None:
    folder = open_folder / "server"
    embedded.start(folder).stop()
    assert (
        f"EmbeddedServerError: {folder} cannot be used for a server: Permission denied"
        in use(folder, prefix=as_nobody).leave()
    )
