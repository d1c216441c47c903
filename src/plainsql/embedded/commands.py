"""Start, join and stop: the life of a server that several processes share.

The first `start` makes the data directory and launches the server, later ones join it. Nobody owns it: it
runs until its last user leaves, unless it was asked to stay (``keep=True``). A user that is killed leaves
nothing but a lock file that nobody holds. The next process that starts, joins, leaves or stops notices;
until then the server goes on running. A scratch server whose users were all killed is stopped and removed by
the next start of any scratch server.
"""

from __future__ import annotations

import errno
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from plainsql.embedded import postmaster
from plainsql.embedded.binaries import find_binaries
from plainsql.embedded.cluster import SUPERUSER
from plainsql.embedded.lifecycle import (
    remove_orphaned_scratch_servers,
    running_state,
    shut_down,
    start_server,
)
from plainsql.embedded.registry import User, forget_dead_users, is_held, lifecycle_lock, live_users
from plainsql.embedded.server import EmbeddedServer
from plainsql.embedded.server_folder import ServerFolder, project_folder, scratch_folder
from plainsql.embedded.state import (
    Auth,
    State,
    connection_url,
    read_state,
    require_compatible,
    write_state,
)
from plainsql.errors import EmbeddedServerError, OptionError
from plainsql.options import check

__all__ = ["Status", "start", "start_or_scratch", "status", "stop"]

_READ_ONLY = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a server from outside."""

    folder: Path
    running: bool
    pid: int | None = None
    version: str | None = None
    url: str | None = None
    """Of the database ``postgres``, without a password."""
    users: tuple[int, ...] = ()
    """Process ids, ascending; one that uses the server twice stands there twice."""
    keep: bool = False
    scratch: bool = False
    tcp_port: int | None = None
    runs_as: str | None = None


def start(
    folder: Path | str | None = None,
    *,
    keep: bool = False,
    scratch: bool = False,
    auth: Auth = "trust",
    tcp: bool = False,
    preload: Sequence[str] = (),
    settings: Mapping[str, str] | None = None,
    timeout: float = 60.0,
) -> EmbeddedServer:
    """Start the server of a folder, or join it where it runs. Blocks: half a second the first time.

    Args:
        folder: made where it is missing. Default: the project's (`project_folder`), or for a scratch server a
            new one that no other process shares.
        keep: the server stays when its last user leaves, until `plainsql.embedded.stop` or the machine stops.
        scratch: a server for tests: without durability (``fsync`` off), removed with its folder when the last
            user leaves.
        auth: what the Unix socket asks for: nothing (its folder is private), or the password (``"scram"``).
        tcp: listen on a free port of 127.0.0.1 as well, where the password is always asked for.
        preload: libraries for ``shared_preload_libraries``, such as ``pg_stat_statements``.
        settings: more of PostgreSQL's settings, by name.
        timeout: seconds for the server to become ready, recovery after a crash included.

    Raises:
        EmbeddedServerError: the server cannot be started, or runs already in another way than asked.
        OptionError: an option is not what it may be; a scratch server cannot be kept.
    """
    check(
        "embedded.start",
        folder=folder,
        keep=keep,
        scratch=scratch,
        auth=auth,
        tcp=tcp,
        preload=preload,
        settings=settings,
        timeout=timeout,
    )
    if keep and scratch:
        raise OptionError(
            "embedded.start(): keep: a scratch server cannot be kept",
            hint="leave out scratch=True or keep=True",
        )
    binaries = find_binaries()
    if scratch:
        remove_orphaned_scratch_servers()
    if folder is None:
        folder = scratch_folder(secrets.token_hex(8)) if scratch else project_folder()
    place = ServerFolder(Path(folder).absolute())
    asked = State(
        version="",
        socket_folder="",
        port=0,
        tcp=tcp,
        auth=auth,
        scratch=scratch,
        keep=keep,
        runs_as="",
        preload=tuple(preload),
        settings=dict(settings or {}),
    )
    with lifecycle_lock(place), place.usable():
        forget_dead_users(place)
        state = running_state(place, timeout)
        if state is None:
            state = start_server(place, asked, binaries, timeout)
        else:
            require_compatible(state, asked, place)
            if keep and not state.keep:
                state = msgspec.structs.replace(state, keep=True)
                write_state(place, state)
        return EmbeddedServer(place, state, User(place), binaries)


def start_or_scratch() -> EmbeddedServer:
    """Start or join the project's server; if its folder may not be written to, start a scratch server.

    For work that leaves nothing on the server, in a checkout that is read-only or another user's.

    Raises:
        EmbeddedServerError: as `start` does for any other reason.
    """
    try:
        return start()
    except EmbeddedServerError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in _READ_ONLY:
            raise
    return start(scratch=True)


def stop(folder: Path | str | None = None, *, force: bool = False) -> bool:
    """Stop the server of a folder, kept or not; return whether one was running.

    Args:
        folder: default: the project's.
        force: stop it under its users' feet.

    Raises:
        EmbeddedServerError: it is in use and not forced, or does not stop.
    """
    check("embedded.stop", folder=folder, force=force)
    place = ServerFolder(Path(folder or project_folder()).absolute())
    if not place.lock.exists():
        return False
    with lifecycle_lock(place), place.usable():
        forget_dead_users(place)
        was_running = is_held(place.alive)
        if was_running and (users := live_users(place)) and not force:
            raise EmbeddedServerError(
                f"the server in {place.path} is in use by {_processes(users)}",
                hint="end them first, or stop it with force",
            )
        shut_down(place)
        return was_running


def status(folder: Path | str | None = None) -> Status:
    """Return what is known of a folder's server (default: the project's). Changes nothing, does not wait."""
    check("embedded.status", folder=folder)
    place = ServerFolder(Path(folder or project_folder()).absolute())
    state = read_state(place)
    if state is None or not is_held(place.alive):
        return Status(folder=place.path, running=False)
    return Status(
        folder=place.path,
        running=True,
        pid=postmaster.pid_of(place),
        version=state.version,
        url=connection_url(state, "postgres", SUPERUSER),
        users=tuple(live_users(place)),
        keep=state.keep,
        scratch=state.scratch,
        tcp_port=state.port if state.tcp else None,
        runs_as=state.runs_as,
    )


def _processes(pids: Sequence[int]) -> str:
    unique = sorted(set(pids))
    return ("process " if len(unique) == 1 else "processes ") + ", ".join(map(str, unique))
