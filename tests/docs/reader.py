"""A reader that follows the instructions of a page, block by block, in a folder of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.docs.markdown import Block

# Commands that the environment of the tests has run already.
_DONE_ALREADY = re.compile(r"^(python3? -m venv\b|pip install\b).*\n?", re.MULTILINE)
_SETTINGS = (
    "DATABASE_URL",
    "DB_HOST",
    "DB_PORT",
    "DB_NAME",
    "DB_USER",
    "DB_PASSWORD",
    "PLAINSQL_SCRATCH_URL",
    "REDIS_URL",
    "REDIS_HOST",
)
_CHANGES = (
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?:\+00(?::00)?| UTC|Z)?"), "<time>"),
    (re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"\b\d+\.\d+ ?(ms|s)\b"), r"<n> \1"),
    (re.compile(r" +$", re.MULTILINE), ""),
)


class Reader:
    """Writes the files, runs the commands and types the Python of a page.

    Args:
        folder: the working folder.
        database_url: the value of ``DATABASE_URL`` and ``PLAINSQL_SCRATCH_URL``; None for the embedded
            server of the folder.
    """

    def __init__(self, folder: Path, database_url: str | None) -> None:
        self.folder = folder
        self._home = folder
        environment = {key: value for key, value in os.environ.items() if key not in _SETTINGS}
        environment["PATH"] = sysconfig.get_path("scripts") + os.pathsep + environment["PATH"]
        environment |= {"COLUMNS": "100", "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}
        environment = {key: value for key, value in environment.items() if not key.startswith("PYTEST_")}
        if database_url is not None:
            environment["DATABASE_URL"] = environment["PLAINSQL_SCRATCH_URL"] = database_url
        self._environment = environment
        self._python: subprocess.Popen[str] | None = None
        self._printed = ""

    def follow(self, block: Block) -> None:
        """Follow one block; a failure is an ``AssertionError`` that names its place."""
        if block.not_run or block.origin:
            return
        if block.is_output:
            expected, printed = same(block.code), same(self._printed)
            assert expected == printed, (
                f"{block.place}: the page shows\n{expected}\nbut the block printed\n{printed}"
            )
        elif block.file:
            path = self.folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code, "utf-8")
        elif block.language == "sh":
            self._shell(block)
        elif block.language == "python":
            self._type(block)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._python is not None:
            self._python.communicate(timeout=30)

    def _shell(self, block: Block) -> None:
        commands = _DONE_ALREADY.sub("", block.code)
        # The next command starts in the folder in which this one ends.
        ended_in = self._home / ".reader-folder"
        done = subprocess.run(
            ["bash", "-e", "-c", f"trap 'pwd > \"$READER_FOLDER\"' exit\n{commands}"],
            cwd=self.folder,
            env={**self._environment, "READER_FOLDER": str(ended_in)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == block.exits, f"{block.place}: exit {done.returncode}\n{done.stdout}"
        self._printed = done.stdout
        self.folder = Path(ended_in.read_text().strip())

    def _type(self, block: Block) -> None:
        if self._python is None:
            self._python = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("python_session.py"))],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._python.stdin is not None
        assert self._python.stdout is not None
        request = {"code": block.code, "page": block.page, "line": block.line}
        self._python.stdin.write(json.dumps(request) + "\n")
        self._python.stdin.flush()
        answer = self._python.stdout.readline()
        assert answer, f"{block.place}: Python has ended"
        reply = json.loads(answer)
        assert not reply["error"], f"{block.place}:\n{reply['error']}"
        self._printed = reply["printed"]


def same(text: str) -> str:
    """Return the text without the parts that differ between runs: times, durations, random identifiers."""
    for pattern, replacement in _CHANGES:
        text = pattern.sub(replacement, text)
    return text.strip()
