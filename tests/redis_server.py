"""A Redis of a test's own, to be killed, frozen and started again empty."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.tls import Authority


class RedisServer:
    """Made by `redis_server`; listens on a Unix socket, or on a port of 127.0.0.1 where one is given."""

    def __init__(self, folder: Path, port: int, options: tuple[str, ...], config: Path | None) -> None:
        self._folder = folder
        self.socket = folder / "redis.sock"
        self.port = port
        self.url = f"redis://127.0.0.1:{port}" if port else f"unix://{quote(str(self.socket))}"
        self._options = options
        self._config = [str(config)] if config else []
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        program = shutil.which("redis-server")
        if program is None:
            pytest.fail("redis-server is not on the PATH", pytrace=False)
        keeping = () if "--sentinel" in self._options else ("--save", "", "--appendonly", "no")
        place = ["--port", str(self.port), "--unixsocket", str(self.socket), "--dir", str(self._folder)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, *self._config, *place, *keeping, *self._options],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 15
        while not self._answers():
            assert time.monotonic() < deadline, (self._folder / "log").read_text()
            time.sleep(0.005)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
            client.connect(str(self.socket))
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        return False

    @property
    def is_running(self) -> bool:
        """True from `start` to `kill`."""
        return self._process is not None

    def kill(self) -> None:
        """End it as a power failure would: what it held is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self.socket.unlink(missing_ok=True)

    def freeze(self) -> None:
        """Stop it from answering; connections stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it answer again; nothing where it does not run."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)


def tls_options(authority: Authority, name: str) -> tuple[str, ...]:
    """Return the options for a server with a certificate for a host; clients need none."""
    certificate, key = authority.issue(name)
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key))
    return (*files, "--tls-ca-cert-file", str(authority.file), "--tls-auth-clients", "no")


def free_port() -> int:
    """A port without a listener, with room for a cluster's bus 10,000 above."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < 50_000:
            return port


@contextmanager
def redis_server(*options: str, port: int = 0, config: Path | None = None) -> Generator[RedisServer]:
    """Make a server, not started yet, and end it afterwards. ``config``: a file of its own."""
    folder = Path(tempfile.mkdtemp(prefix="plainsql-redis-"))
    server = RedisServer(folder, port, options, config)
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder)
