"""Files that are written at a known path: no entry at the path leads the writer elsewhere."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from plainsql.errors import FileError
from plainsql.files import (
    check_folder,
    create_file,
    make_folder,
    open_file,
    read_file,
    remove_leftovers,
    replace_file,
)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make another user's folder")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A file that an attacker wants to have overwritten."""
    target = tmp_path / "target"
    target.write_text("mine")
    return target


@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_in_the_place_of_a_new_file_is_refused(tmp_path: Path, target: Path, dangling: bool) -> None:
    if dangling:
        target.unlink()
    (tmp_path / "new").symlink_to(target)
    with pytest.raises(FileExistsError):
        create_file(tmp_path / "new")
    assert target.exists() != dangling


@pytest.mark.parametrize(
    "flags", [os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_RDWR | os.O_CREAT | os.O_TRUNC]
)
def test_a_link_is_not_opened(tmp_path: Path, target: Path, flags: int) -> None:
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(FileError) as caught:
        open_file(tmp_path / "link", flags)
    assert str(caught.value) == (
        f"{tmp_path}/link is a symbolic link, and is not followed\nHINT: remove it, or give the real path"
    )
    assert target.read_text() == "mine"


def test_a_second_name_of_a_file_is_not_opened(tmp_path: Path, target: Path) -> None:
    (tmp_path / "name").hardlink_to(target)
    with pytest.raises(FileError, match="has a second name"):
        open_file(tmp_path / "name", os.O_WRONLY)


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    os.mkfifo(tmp_path / "x") if kind == "pipe" else (tmp_path / "x").mkdir()
    with pytest.raises(FileError, match="is not a regular file"):
        read_file(tmp_path / "x")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_is_there_when_it_is_whole_and_not_before(tmp_path: Path, overwrite: bool) -> None:
    path = tmp_path / "rows"
    with replace_file(path, overwrite=overwrite) as file:
        file.write(b"a")
        assert not path.exists()
    assert path.read_bytes() == b"a"
    assert [each.name for each in tmp_path.iterdir()] == ["rows"]


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path, target: Path) -> None:
    with pytest.raises(KeyError), replace_file(target) as file:  # noqa: PT012 (the block is what fails)
        file.write(b"theirs")
        raise KeyError
    assert target.read_text() == "mine"
    assert [each.name for each in tmp_path.iterdir()] == ["target"]


def test_a_link_is_replaced_and_what_it_leads_to_is_not(tmp_path: Path, target: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(target)
    with replace_file(link) as file:
        file.write(b"rows")
    assert (target.read_text(), link.read_bytes(), link.is_symlink()) == ("mine", b"rows", False)


@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_without_overwriting_what_came_meanwhile_is_kept(tmp_path: Path, target: Path, kind: str) -> None:
    path = tmp_path / "rows"
    with pytest.raises(FileExistsError), replace_file(path, overwrite=False) as file:  # noqa: PT012
        file.write(b"rows")
        if kind == "file":
            path.write_text("theirs")
        else:
            path.symlink_to(target if kind == "link" else tmp_path / "nowhere")
    assert os.path.lexists(path)
    assert target.read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()
    assert not list(tmp_path.glob(".*"))


def test_two_that_write_the_same_file_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    with replace_file(path) as one:
        one.write(b"one")
        with replace_file(path) as two:
            two.write(b"two")
        assert path.read_bytes() == b"two"
    assert path.read_bytes() == b"one"


def test_a_name_may_be_as_long_as_a_name_may_be(tmp_path: Path) -> None:
    path = tmp_path / ("ü" * 127)
    with replace_file(path) as file:
        file.write(b"rows")
    assert path.read_bytes() == b"rows"


def test_a_full_disk_names_the_file() -> None:
    with pytest.raises(OSError, match="No space left") as caught, replace_file(Path("/dev/shm/x")) as file:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.filename == "/dev/shm/x"
    assert file.closed


def test_what_a_killed_writer_left_is_removed_and_what_is_written_is_not(tmp_path: Path) -> None:
    path = tmp_path / "r[o]ws"
    program = (
        "import sys, os, pathlib; from plainsql.files import replace_file\n"
        "with replace_file(pathlib.Path(sys.argv[1])) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=False, stdin=subprocess.DEVNULL)
    (left,) = tmp_path.iterdir()
    assert left.read_bytes() == b"half"
    with replace_file(path) as file:
        assert remove_leftovers(path) == [left]
        file.write(b"whole")
    assert path.read_bytes() == b"whole"
    assert remove_leftovers(path) == []


def test_leftovers_that_are_links_are_not_touched(tmp_path: Path, target: Path) -> None:
    (tmp_path / ".rows.0.unfinished").symlink_to(target)
    assert remove_leftovers(tmp_path / "rows") == []
    assert target.read_text() == "mine"


def test_a_folder_of_our_own_is_made_and_accepted(tmp_path: Path) -> None:
    make_folder(tmp_path / "x")
    make_folder(tmp_path / "x")
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o700


def test_a_link_to_a_folder_is_no_folder_of_ours(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(0o700)
    (tmp_path / "x").symlink_to(tmp_path / "real")
    with pytest.raises(FileError, match="is a symbolic link"):
        make_folder(tmp_path / "x")


@pytest.mark.parametrize("mode", [0o777, 0o772, 0o1777, 0o702])
def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x").chmod(mode)
    with pytest.raises(FileError) as caught:
        make_folder(tmp_path / "x")
    assert str(caught.value) == (
        f"{tmp_path}/x can be written to by other users (its mode is {mode:04o})\n"
        f"HINT: check its files, then: chmod go-w {tmp_path}/x"
    )


@as_root
def test_a_group_of_several_can_write_to_a_folder_and_ones_own_group_may(tmp_path: Path) -> None:
    import grp

    shared = next(group for group in grp.getgrall() if group.gr_name != "root")
    (tmp_path / "x").mkdir()
    (tmp_path / "x").chmod(0o770)
    os.chown(tmp_path / "x", 0, shared.gr_gid)
    with pytest.raises(FileError, match="can be written to by other users"):
        check_folder(tmp_path / "x")
    os.chown(tmp_path / "x", 0, 0)
    check_folder(tmp_path / "x")


@as_root
def test_another_users_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").mkdir()
    os.chown(tmp_path / "x", 1, 1)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(FileError) as caught:
        check_folder(tmp_path / "x")
    assert str(caught.value).startswith(f"{tmp_path}/x belongs to another user (")


def test_importing_it_needs_nothing_of_unix() -> None:
    program = (
        "import os, sys\n"
        "for name in ('O_NOFOLLOW', 'O_CLOEXEC', 'O_NONBLOCK'): delattr(os, name)\n"
        "del os.geteuid\n"
        "sys.modules.update(fcntl=None, pwd=None, grp=None)\n"
        "from plainsql import files; from pathlib import Path\n"
        "path = Path(sys.argv[1])\n"
        "with files.replace_file(path) as file: file.write(b'x')\n"
        "files.make_folder(path.parent); files.remove_leftovers(path)\n"
        "assert files.read_file(path) == b'x'\n"
        "link = path.with_name('link'); link.symlink_to(path)\n"
        "try: files.read_file(link)\n"
        "except files.FileError: print('refused')\n"
    )
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", program, f"{folder}/rows"], capture_output=True, text=True, check=False
        )
    assert (done.stdout, done.stderr) == ("refused\n", "")
