"""A file that is copied to is there when it is whole, and is never another's."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import stat
from pathlib import Path
from typing import Any

import pytest

import plainsql
from plainsql.errors import DecodeError
from plainsql.query import Args, many
from tests.database.stepping import at_every_wait, settled

ROWS = 20_000


@many[int](
    "n.series",
    "n.sql",
    1,
    "select n, 'x' from generate_series(1, :to) as n",
    read_only=True,
    session_clean=True,
)
def series(*, to: int = ROWS) -> Args:
    return (to,)


def names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


def whole(rows: int = ROWS) -> str:
    return "".join(f"{n},x\n" for n in range(1, rows + 1))


async def test_a_link_in_its_place_is_replaced_and_what_it_leads_to_is_left(
    db: plainsql.Database, tmp_path: Path
) -> None:
    victim, path, part = tmp_path / "victim", tmp_path / "out.csv", tmp_path / "out.csv.part"
    victim.write_text("mine")
    path.symlink_to(victim)
    part.symlink_to(victim)
    assert await db.copy_out(series, path, header=False) == ROWS
    assert (victim.read_text(), part.is_symlink()) == ("mine", True)
    assert not path.is_symlink()
    assert path.read_text() == whole()
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    assert await db.copy_out(series, path, header=False) == ROWS
    assert not (tmp_path / "nowhere").exists()


async def test_copies_to_one_path_at_once_do_not_mix(db: plainsql.Database, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    sizes = [5_000, 10_000, 20_000, 40_000]
    await asyncio.gather(*(db.copy_out(series, path, {"to": size}, header=False) for size in sizes))
    assert path.read_text() in [whole(size) for size in sizes]
    assert names(tmp_path) == ["out.csv"]


async def test_its_mode_is_that_of_a_new_file_or_of_the_one_it_replaces(
    db: plainsql.Database, tmp_path: Path
) -> None:
    path = tmp_path / "out.csv"
    umask = os.umask(0o027)
    try:
        await db.copy_out(series, path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o600)
        await db.copy_out(series, path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(umask)


async def test_a_copy_cancelled_anywhere_leaves_the_file_as_it_was_or_whole(
    db: plainsql.Database, tmp_path: Path
) -> None:
    path = tmp_path / "out.csv"
    path.write_text("as it was")

    async def check() -> None:
        await settled(lambda: db.stats().in_use == 0)
        assert path.read_text() in ("as it was", whole())
        assert names(tmp_path) == ["out.csv"]

    assert await at_every_wait(lambda: db.copy_out(series, path, header=False), check) > 5


class Failing(io.RawIOBase):
    """A file on a disk that is full, or takes what it likes at a time."""

    def __init__(self, full_at: int | None = None) -> None:
        self.taken = b""
        self._full_at = full_at

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self._full_at is not None and len(self.taken) >= self._full_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = bytes(data[: max(1, len(data) // 2)])
        self.taken += part
        return len(part)


async def test_a_full_disk_is_one_error_with_the_path(db: plainsql.Database, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left on device"):
        await db.copy_out(series, Failing(10_000))
    await settled(lambda: db.stats().in_use == 0)
    with pytest.raises(FileNotFoundError) as missing:
        await db.copy_out(series, tmp_path / "no" / "out.csv")
    assert missing.value.filename == str(tmp_path / "no" / "out.csv")
    with pytest.raises(IsADirectoryError):
        await db.copy_out(series, tmp_path)
    assert names(tmp_path) == []
    await settled(lambda: db.stats().in_use == 0)


async def test_what_is_no_file_is_not_replaced(db: plainsql.Database, tmp_path: Path) -> None:
    import os
    import stat

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(plainsql.FileError, match="pipe is not a regular file"):
        await db.copy_out(series, pipe)
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert names(tmp_path) == ["pipe"]
    await settled(lambda: db.stats().in_use == 0)


async def test_a_file_that_grows_too_large_is_one_error_with_the_path(
    db: plainsql.Database, tmp_path: Path
) -> None:
    import resource
    import signal

    path = tmp_path / "out.csv"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(OSError) as raised:  # noqa: PT011 (its number is looked at)
            await db.copy_out(series, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert raised.value.errno == errno.EFBIG
    assert raised.value.filename == str(path)
    assert names(tmp_path) == []
    await settled(lambda: db.stats().in_use == 0)
    assert await db.copy_out(series, path, header=False) == ROWS
    assert path.read_text() == whole()


async def test_a_file_without_a_buffer_gets_all_of_it(db: plainsql.Database) -> None:
    file = Failing()
    assert await db.copy_out(series, file, header=False) == ROWS
    assert file.taken.decode() == whole()


async def test_what_the_query_raises_leaves_no_file(db: plainsql.Database, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="expected int4, got str"):
        await db.copy_out(series, tmp_path / "out.csv", {"to": "x"})
    with pytest.raises(Exception, match="no more"):
        await db.copy_out(series, tmp_path / "out.csv", progress=_raise)
    assert names(tmp_path) == []
    await settled(lambda: db.stats().in_use == 0)


def _raise(_: int) -> None:
    raise DecodeError("no more")
