"""The identity of a checkout: two of them never share a scratch database, not even with the same path."""

from __future__ import annotations

import platform
import re
import secrets
from contextlib import suppress
from pathlib import Path

from plainsql.errors import FileError
from plainsql.files import make_ignored_folder, read_file, replace_file

__all__ = ["checkout_identity"]

_ID = re.compile(rb"[0-9a-f]{32}", re.ASCII)


def checkout_identity(root: Path) -> bytes | None:
    """Return the identity of a project's folder, a random one with the machine's name.

    It is made at the first call, in ``.plainsql``. Two containers have two of them, whatever their paths.
    None if the folder is read-only, and so cannot keep one.
    """
    file = root / ".plainsql" / "checkout"
    found = _read(file)
    if found is None:
        with suppress(OSError, FileError):
            make_ignored_folder(file.parent)
            with suppress(FileExistsError), replace_file(file, overwrite=file.exists()) as new:
                new.write(secrets.token_hex(16).encode())
        found = _read(file)  # of the process that was first
    return None if found is None else found + b"\0" + platform.node().encode()


def _read(file: Path) -> bytes | None:
    with suppress(OSError, FileError):
        content = read_file(file)
        if _ID.fullmatch(content):
            return content
    return None
