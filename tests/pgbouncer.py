"""A PgBouncer of a test's own in front of the embedded server: as many deployments have it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

import pytest

from plainsql.embedded import EmbeddedServer

__all__ = ["PORT", "PoolMode", "keeps_statements", "pgbouncer", "url_through"]

PoolMode = Literal["transaction", "session"]

PORT = 6432
"""A part of the socket's name: nothing listens on a network."""


@contextmanager
def pgbouncer(
    server: EmbeddedServer,
    mode: PoolMode,
    *,
    users: Sequence[str] = (),
    size: int = 3,
    ignores: str = "extra_float_digits",
    address: Path | None = None,
) -> Generator[Path]:
    """Start PgBouncer with ``size`` connections to the server, and yield the folder of its socket.

    ``address``: the folder of the server's socket, if it is another one than the server's own.

    Skips the test where PgBouncer is not installed or cannot be run by this user.
    """
    program = _program()
    if program is None:
        pytest.skip("pgbouncer is not installed (Debian: apt-get install pgbouncer)")
    host = address or server.socket.parent
    with tempfile.TemporaryDirectory(prefix="plainsql-pgbouncer-") as name:
        folder = Path(name)
        config = folder / "pgbouncer.ini"
        config.write_text(
            f"""[databases]
* = host={host} port={unquote(server.url()).rpartition("port=")[2]}
[pgbouncer]
listen_addr =
unix_socket_dir = {folder}
listen_port = {PORT}
auth_type = trust
auth_file = {folder / "users"}
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 200
logfile = {folder / "log"}
ignore_startup_parameters = {ignores}
{"max_prepared_statements = 200" if keeps_statements() else ""}
""",
            encoding="utf-8",
        )
        (folder / "users").write_text("".join(f'"{user}" ""\n' for user in ("postgres", *users)))
        # It refuses to be root: in a user namespace of its own it has another user id, which owns root's
        # files.
        root = os.geteuid() == 0
        nobody = ["unshare", "--user", "--map-user=65534", "--map-group=65534"] if root else []
        process = subprocess.Popen(
            [*nobody, program, str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _wait(folder, process)
            yield folder
        finally:
            process.kill()  # from 1.23 on a request to end waits for its clients
            process.wait(10)


def keeps_statements() -> bool:
    """Return whether the PgBouncer that is installed keeps prepared statements in transaction mode."""
    program = _program()
    if program is None:
        return False
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, said.split()[1].split(".")[:2])) >= (1, 21)


def _program() -> str | None:
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


def url_through(folder: Path, database: str) -> str:
    """The URL of a database behind the PgBouncer whose socket is in ``folder``."""
    return f"postgresql://postgres@/{database}?host={quote(str(folder), safe='')}&port={PORT}"


def _wait(folder: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 15
    while True:
        with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
            client.connect(str(folder / f".s.PGSQL.{PORT}"))
            return
        if process.poll() is not None or time.monotonic() > deadline:
            log = folder / "log"
            said = log.read_text() if log.exists() else "nothing"
            pytest.skip(f"pgbouncer does not run here; it said {said.strip()[-300:]}")
        time.sleep(0.01)
