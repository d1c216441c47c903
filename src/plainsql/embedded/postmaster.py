"""The server's process: launched apart from the terminal, watched until it is ready, and stopped.

``pg_ctl`` gives it a session of its own, so that Ctrl-C reaches the Python process and not the server. It is
no child of that process either: it outlives it as long as other processes use the server.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from plainsql.embedded.binaries import Binaries, program_environment
from plainsql.embedded.configuration import server_settings, write_access_rules
from plainsql.embedded.privileges import Identity
from plainsql.embedded.registry import hold, is_held
from plainsql.embedded.server_folder import ServerFolder, is_disk_full
from plainsql.embedded.state import State
from plainsql.errors import EmbeddedServerError
from plainsql.files import open_file, read_file

__all__ = [
    "free_port",
    "is_ready",
    "kill_postmaster",
    "launch",
    "log_tail",
    "pid_of",
    "remove_stale_pid_file",
    "startup_error",
    "stop_postmaster",
    "wait_until_ready",
]

_POLL_INTERVAL_S = 0.005
"""The server reports its state in a file; there is no event to wait for."""
_ORPHANS_WAIT_S = 15.0
"""Backends notice a killed postmaster immediately, unless they are busy."""
_NO_LIBRARY = re.compile(r'FATAL:  could not access file "([^"\n]*)": No such file')
_STOP_WAIT_S = 30.0
"""The limit of an orderly stop with its checkpoint. After it the server is stopped immediately, and recovers
at its next start."""


def launch(folder: ServerFolder, state: State, identity: Identity, binaries: Binaries) -> None:
    """Launch the server, without waiting until it is ready.

    Raises ``EmbeddedServerError`` if processes of an earlier server still run, or if ``pg_ctl`` fails.
    """
    held = hold(folder.alive, timeout=_ORPHANS_WAIT_S)
    if held is None:
        raise _orphans(folder)
    try:
        write_access_rules(folder, state, identity)
        options = [f"-c{name}={value}" for name, value in server_settings(folder, state).items()]
        with suppress(FileNotFoundError):
            folder.log.replace(folder.log.with_suffix(".log.1"))
        log = open_file(folder.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            done = identity.run(
                [
                    *("/bin/sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", folder.path),
                    # The path is relative, because pg_ctl would expand a dollar sign in it.
                    *(binaries.path("pg_ctl"), "start", "-W", "-s", "-D", "data", "-o", shlex.join(options)),
                ],
                stdout=log,
                keep_open=(held,),
            )
        finally:
            os.close(log)
    finally:
        # From here on only the server's own processes can hold the lock.
        os.close(held)
    if done.returncode != 0:
        raise _failed(folder, "PostgreSQL cannot be started")


def wait_until_ready(folder: ServerFolder, *, timeout: float) -> bool:
    """Return True when the server accepts connections, False if it ends before.

    Raises ``EmbeddedServerError`` if neither happens within ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        if not is_held(folder.alive):
            return False
        try:
            if is_ready(folder):
                return True
        except ConnectionRefusedError:
            # The postmaster was killed, and its backends have not noticed yet.
            return False
        if time.monotonic() > deadline:
            raise _failed(folder, f"PostgreSQL is not ready after {timeout:g} s")
        time.sleep(_POLL_INTERVAL_S)


def is_ready(folder: ServerFolder) -> bool:
    """Return whether the server accepts connections.

    Raises ``ConnectionRefusedError`` if its postmaster was killed.
    """
    lines = _pid_file(folder)
    if lines[7:8] != ["ready"]:
        return False
    try:
        _probe(Path(lines[4]) / f".s.PGSQL.{lines[3]}")
    except FileNotFoundError:
        return False  # it has just been stopped
    return True


def _probe(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(path))


def stop_postmaster(folder: ServerFolder, *, immediate: bool) -> None:
    """Stop the server and wait until all its processes are gone.

    Args:
        folder: the server's.
        immediate: stop without a checkpoint; the next start would recover from the write-ahead log.

    Raises ``EmbeddedServerError`` if it does not stop.
    """
    for kind in (signal.SIGQUIT,) if immediate else (signal.SIGINT, signal.SIGQUIT):
        deadline = time.monotonic() + _STOP_WAIT_S
        pid = pid_of(folder)
        if pid is not None and is_held(folder.alive):
            with suppress(ProcessLookupError):
                os.kill(pid, kind)
        while time.monotonic() < deadline:
            if not is_held(folder.alive):
                return
            time.sleep(_POLL_INTERVAL_S)
    raise _failed(folder, f"PostgreSQL does not stop (process {pid_of(folder)})")


def kill_postmaster(folder: ServerFolder) -> None:
    """Kill the server, and wait until its other processes have noticed that.

    Raises ``EmbeddedServerError`` if one of them does not end.
    """
    pid = pid_of(folder)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    held = hold(folder.alive, timeout=_ORPHANS_WAIT_S)
    if held is None:
        raise _orphans(folder)
    os.close(held)


def pid_of(folder: ServerFolder) -> int | None:
    """Return the postmaster's process id from its pid file, None if there is none."""
    lines = _pid_file(folder)
    return int(lines[0]) if lines and lines[0].isdecimal() else None


def log_tail(folder: ServerFolder, lines: int) -> str:
    """Return the last lines of the log of the server's last start, an empty text if there is none."""
    try:
        with os.fdopen(open_file(folder.log, os.O_RDONLY), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 256 * lines))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free now; another process may still take it first."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def startup_error(folder: ServerFolder) -> EmbeddedServerError:
    """Return the error of a server that ended before it was ready."""
    missing = _NO_LIBRARY.search(log_tail(folder, 15))
    if missing is not None:
        return EmbeddedServerError(
            f"{folder.path}: the server has no library {missing[1]!r} to load at its start",
            hint="pass preload= a library of PostgreSQL's own, such as pg_stat_statements or auto_explain",
        )
    return _failed(folder, "PostgreSQL ended while starting")


def _failed(folder: ServerFolder, what: str) -> EmbeddedServerError:
    tail = log_tail(folder, 15)
    full = is_disk_full(tail)
    return EmbeddedServerError(
        f"{what} in {folder.path}" + (": the disk is full" if full else ""),
        detail=f"the end of {folder.log}:\n{tail}" if tail else f"{folder.log} is empty",
        hint="make room on the disk" if full else "read the last FATAL or PANIC line of the log",
    )


def _orphans(folder: ServerFolder) -> EmbeddedServerError:
    return EmbeddedServerError(
        f"processes of a killed server still run in {folder.path}",
        hint=f"end them: fuser -k {shlex.quote(str(folder.alive))}",
    )


def remove_stale_pid_file(folder: ServerFolder) -> None:
    """Remove the pid file of a server that was killed, if PostgreSQL would not do so itself.

    PostgreSQL takes any living process of the same user with that id for the server: after a reboot for
    example. A server that was started by other means is left alone.

    Raises ``EmbeddedServerError`` if such a server runs on the data directory.
    """
    pid = pid_of(folder)
    if pid is None:
        return
    if _runs_in(pid, folder.data):
        raise EmbeddedServerError(
            f"a PostgreSQL that was not started by plainsql runs on {folder.data}: process {pid}",
            hint=f"stop it first: kill -INT {pid}",
        )
    (folder.data / "postmaster.pid").unlink(missing_ok=True)


def _runs_in(pid: int, data: Path) -> bool:
    """Return True if the process is a postmaster of this data directory, its working folder."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cwd").samefile(data)
        except OSError:
            return False  # no such process, or another user's, who has no access to our data directory
    listed = subprocess.run(
        ["ps", "-o", "comm=", "-p", str(pid)],
        capture_output=True,
        text=True,
        env=program_environment(),
        check=False,
    )
    return Path(listed.stdout.strip()).name == "postgres"


def _pid_file(folder: ServerFolder) -> list[str]:
    try:
        text = read_file(folder.data / "postmaster.pid").decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    return [line.strip() for line in text.splitlines()]
