"""Servers to break: a prepared folder to copy, and processes that use a server until they are stopped."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from plainsql import embedded

PROGRAM = """
import sys
from plainsql import embedded
server = embedded.start(sys.argv[1], scratch=sys.argv[2] == "scratch")
print(server.pid, flush=True)
sys.stdin.read()
server.stop()
"""


class UserProcess:
    """Another Python process that uses the server of a folder."""

    def __init__(self, folder: Path, kind: str, prefix: tuple[str, ...] = ()) -> None:
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-c", PROGRAM, str(folder), kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            # Another user cannot write to the folder of this run's coverage.
            env={name: value for name, value in os.environ.items() if not (prefix and "COVERAGE" in name)},
            start_new_session=True,
        )
        self.pid = self._process.pid

    def joined(self) -> int:
        """Wait until it uses the server; return the server's process id."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, self._process.communicate()[1]
        return int(line)

    def leave(self) -> str:
        """Let it end in order; return what it wrote to stderr."""
        return self._process.communicate()[1]

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Kill it with its whole process group, as a terminal does."""
        os.killpg(self.pid, how)
        self._process.communicate()


@pytest.fixture
def use() -> Generator[Callable[..., UserProcess]]:
    """Start another process that uses the server of a folder."""
    started: list[UserProcess] = []

    def use(folder: Path, kind: str = "", prefix: tuple[str, ...] = ()) -> UserProcess:
        started.append(UserProcess(folder, kind, prefix))
        return started[-1]

    yield use
    for process in started:
        if process._process.poll() is None:
            process.leave()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a server that has run; not to be changed."""
    folder = tmp_path_factory.mktemp("prepared") / "server"
    embedded.start(folder).stop()
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Generator[Path]:
    """A server's folder with data that starts in no time, of this test alone."""
    folder = tmp_path / "s"
    shutil.copytree(prepared, folder)
    yield folder
    embedded.stop(folder, force=True)


@pytest.fixture
def open_folder() -> Generator[Path]:
    """A folder that every user can enter and write to, as tmp_path is not."""
    folder = Path(tempfile.mkdtemp(prefix="plainsql-test-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)
