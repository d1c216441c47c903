"""A text that a command writes into a committed file, and compares with it later."""

from __future__ import annotations

import os
from pathlib import Path

from plainsql.cli.exit_codes import FINE
from plainsql.files import replace_file

__all__ = ["read_text", "write_text"]


def read_text(file: Path) -> str | None:
    """Return the text of a file with the line ends of Unix; None if there is no file."""
    return file.read_text(encoding="utf-8").replace("\r\n", "\n") if file.is_file() else None


def write_text(file: Path, text: str) -> int:
    """Write a text into a file as a whole unless the file has it, and print which; return the exit code."""
    shown = os.path.relpath(file)
    if read_text(file) == text:
        print(f"{shown} is up to date")
        return FINE
    file.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(file) as output:
        output.write(text.encode())
    print(f"wrote {shown}")
    return FINE
