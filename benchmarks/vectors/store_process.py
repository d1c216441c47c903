"""The handle of a store's process, which makes the calls and times them; this one waits."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["StoreError", "StoreProcess"]

_ROOT = Path(__file__).parents[2]
_LAST_WAIT_S = 10


class StoreError(Exception):
    """An error that a store raised in its process."""


class StoreProcess:
    """The process of one store."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @classmethod
    @contextmanager
    def start(cls, name: str, python: str, folder: Path) -> Iterator[StoreProcess]:
        """Start the process of a store with the Python that has its packages."""
        process = subprocess.Popen(
            [python, "-m", "benchmarks.vectors.store_worker", name, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sys.stderr,
            cwd=_ROOT,
        )
        try:
            yield cls(process)
        finally:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            try:
                process.wait(_LAST_WAIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, do: str, **arguments: Any) -> Any:
        """Have the process do something, and return its answer. Raises ``StoreError``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # its last line says why
        line = self._process.stdout.readline()
        if not line:
            raise StoreError("its process has ended")
        reply = json.loads(line)
        if "error" in reply:
            raise StoreError(reply["error"])
        return reply
