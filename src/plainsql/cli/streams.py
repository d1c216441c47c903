"""The standard streams of a command that was started without some of them (``>&-``)."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["standard_streams"]


@contextmanager
def standard_streams() -> Iterator[None]:
    """Open the standard streams that are None because they were closed before the start.

    Closed input is empty, and output to closed standard error is lost. Closed standard output refuses every
    write, as a full disk does. Each takes its file descriptor: otherwise a connection could get the number of
    a stream, and a program that we start might write to it.
    """
    was = sys.stdin, sys.stdout, sys.stderr
    refusing: _ClosedOutput | None = None
    # In the order of their numbers: each opens as the lowest that is free.
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - closed below
    if sys.stdout is None:
        refusing = _ClosedOutput(os.devnull, "w")
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(refusing), encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    ours = [
        stream
        for stream, before in zip((sys.stdin, sys.stdout, sys.stderr), was, strict=True)
        if before is None
    ]
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = was
        if refusing is not None:
            refusing.refuses = False  # the error of the rest of the buffer was reported
        for stream in ours:
            stream.close()


class _ClosedOutput(io.FileIO):
    """A file that refuses what is written to it."""

    refuses = True

    def write(self, data: object, /) -> int:
        if self.refuses:
            raise OSError(errno.EBADF, "it is closed", "the standard output")
        return memoryview(data).nbytes  # type: ignore[arg-type]
