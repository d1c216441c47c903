"""A program of PostgreSQL as a child process: its messages, and its end with ours."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import BinaryIO, Final

from plainsql.backup.errors import BackupError

__all__ = ["Child", "OnProgress", "ignore_progress", "running"]

OnProgress = Callable[[str, int, int], None]
"""Called with a step, what is done of it, and its total."""

_END_S: Final = 10.0
"""The seconds that a program has to end by itself: pg_dump cancels its statement on the server."""
_LINES: Final = 200
_MESSAGE: Final = re.compile(r"(?:pg_\w+|psql): (?P<level>error|fatal|detail|hint): (?P<text>.*)")
# After these the server's messages may quote values of rows, or a whole statement.
_HINTS: Final = (
    (re.compile(r"No space left|File too large|[Qq]uota"), "make room, or name a folder on another disk"),
    (
        re.compile(r"obtain lock|statement timeout|lock timeout|cache lookup failed|could not open relation"),
        "a migration changes the tables: try again",
    ),
    (
        re.compile(r"replication|WAL sender"),
        "the role needs REPLICATION, and pg_hba.conf a line for replication",
    ),
    (
        re.compile(r"SET ROLE"),
        "restore as a member of that role or as a superuser, or leave out owners and privileges: --no-owner",
    ),
    (
        re.compile(r"permission denied|row-level security|must be owner|must have"),
        "connect as the owner of the tables, or as a superuser",
    ),
)
_QUOTING: Final = re.compile(r"invalid|out of range|malformed|too long|does not exist in|date/time field")
"""The errors about a value, which quote it."""
_QUOTED: Final = re.compile(r'"[^"]*"')
_VALUES: Final = re.compile(r"(?:DETAIL|CONTEXT|STATEMENT|QUERY):")


class Child:
    """A running program."""

    def __init__(self, process: subprocess.Popen[bytes], on_line: Callable[[str], None]) -> None:
        self._process = process
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._on_line = on_line
        self._reader = threading.Thread(target=self._read, name="messages of a program", daemon=True)
        self._reader.start()

    @property
    def stdin(self) -> BinaryIO:
        assert self._process.stdin is not None
        return self._process.stdin  # type: ignore[return-value]

    @property
    def stdout(self) -> BinaryIO:
        assert self._process.stdout is not None
        return self._process.stdout  # type: ignore[return-value]

    def wait(self) -> int:
        """Wait for the end of the program and of its messages; return its exit code."""
        if self._process.returncode is None:
            self._wait_for_end()
            self._end_group(forced=False)
            self._reader.join(_END_S)
            if self._reader.is_alive():
                self._end_group(forced=True)
        code = self._process.wait()
        self._reader.join()
        return code

    def failure(self, name: str) -> BackupError:
        """Return the error of a program that has failed, with what it said, but no value of a row."""
        code = self.wait()
        if code < 0:
            return BackupError(f"{name} was ended by signal {-code}")
        said = [found for line in self._lines if (found := _MESSAGE.match(line))]
        texts = [_text(found["text"]) for found in said if found["level"] in ("error", "fatal", "detail")]
        hints = [text for pattern, text in _HINTS if any(pattern.search(each) for each in texts)]
        hints += [found["text"].strip() for found in said if found["level"] == "hint"]
        hints += [line[5:].strip() for line in self._lines if line.startswith("HINT:")]
        if not texts:
            texts = [line for line in self._lines if line and not _VALUES.match(line)][-3:]
        return BackupError(
            f"{name} ended with exit code {code}",
            detail="\n".join(texts[:5]) or None,
            hint=hints[0] if hints else None,
        )

    def end(self) -> None:
        """End the program if it runs."""
        if self._process.returncode is None:
            self._end_group(forced=False)
            self._reader.join(_END_S)  # its end is that of all that write to it
            if self._reader.is_alive():
                self._end_group(forced=True)
        self.wait()
        # After the end: what is left in a buffer would wait for a program that does not read.
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    if sys.platform == "win32":

        def _wait_for_end(self) -> None:
            self._process.wait()

        def _end_group(self, *, forced: bool) -> None:
            self._process.kill()

    else:

        def _wait_for_end(self) -> None:
            # It is not reaped yet: until then no other group can have its number.
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)

        def _end_group(self, *, forced: bool) -> None:
            # With its own processes: pg_basebackup leaves the one that receives the WAL, which
            # would hold our pipe, and the WAL on the server.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL if forced else signal.SIGTERM)

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            # pg_basebackup overwrites the line of its progress.
            rest = b""
            while data := stream.read1(1 << 16):  # type: ignore[attr-defined]
                *lines, rest = re.split(rb"[\r\n]", rest + data)
                for line in lines:
                    self._take(line)
            self._take(rest)

    def _take(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        if text.strip():
            self._lines.append(text)
            self._on_line(text)


def _text(line: str) -> str:
    """Return a message without the value that it may quote."""
    before, error, after = line.strip().partition("ERROR:")
    if _QUOTING.search(after):
        after = _QUOTED.sub("…", after)
    return before + error + after


@contextmanager
def running(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
    on_line: Callable[[str], None] = lambda line: None,
) -> Generator[Child]:
    """Run a program that ends with the block at the latest."""
    process = subprocess.Popen(
        list(command),
        env=dict(environment),
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        # Ctrl-C is ours: we end the program when its files are closed.
        process_group=None if sys.platform == "win32" else 0,
    )
    child = Child(process, on_line)
    try:
        yield child
    finally:
        child.end()


def ignore_progress(step: str, done: int, total: int) -> None:
    """Ignore the progress: the default ``OnProgress``."""
