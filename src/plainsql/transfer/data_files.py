"""Data files, written completely or not at all, gzipped if their names end in ``.gz``."""

from __future__ import annotations

import gzip
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

from plainsql.files import replace_file
from plainsql.transfer.errors import TransferError

__all__ = ["create_file", "open_file"]


@contextmanager
def create_file(path: Path, *, overwrite: bool = False) -> Generator[BinaryIO]:
    """Write a file under a temporary name in its folder, and rename it when the block ends without an error.

    Any error removes it. The renamed file is on the disk. A ``.gz`` file holds no name and no time, so that
    the same content is the same file.

    Raises ``TransferError`` if there is a file of that name and ``overwrite`` is false. Raises ``OSError``
    if it cannot be written.
    """
    _check_suffix(path)
    if path.is_dir() or (path.exists() and not (overwrite and path.is_file())):
        raise _exists(path)
    try:
        with replace_file(path, overwrite=overwrite, durable=True) as file:
            if path.suffix == ".gz":
                with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
                    yield cast(BinaryIO, packed)
            else:
                yield file
    except FileExistsError as error:
        if error.filename2 is None and error.filename != str(path):
            raise
        raise _exists(path) from None


@contextmanager
def open_file(path: Path) -> Generator[BinaryIO]:
    """Open a file for reading, unpacked.

    Raises ``OSError`` if it cannot be opened.
    """
    _check_suffix(path)
    with path.open("rb") as file:
        if path.suffix == ".gz":
            with gzip.GzipFile(fileobj=cast(IO[bytes], file)) as packed:
                yield cast(BinaryIO, packed)
        else:
            yield file


def _check_suffix(path: Path) -> None:
    if path.suffix in (".zst", ".xz", ".bz2", ".zip"):
        raise TransferError(
            f"{path}: {path.suffix} is not written or read here",
            hint="name it .jsonl, or .jsonl.gz; or pipe it: plainsql db export -o - | zstd",
        )


def _exists(path: Path) -> TransferError:
    if path.is_file():
        return TransferError(f"{path}: the file exists", hint="choose another name, or add --force")
    return TransferError(f"{path}: exists, and is no file", hint="choose another name")
