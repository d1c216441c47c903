"""Start, join and stop: the life of a server that several processes share.

The first ``start`` creates the data directory and launches the server; later ones join it. No process owns
the server: it runs until its last user leaves, or on, with ``keep=True``. A user that is killed leaves only a
lock file that no process holds. The next process that starts, joins, leaves or stops the server notices it;
until then the server runs. A scratch server whose users were all killed is stopped and removed by the next
start of any scratch server.
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
from plainsql.embedded.standby import Primary
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
    """The state of a server, as a process sees it that does not use it."""

    folder: Path
    running: bool
    pid: int | None = None
    version: str | None = None
    url: str | None = None
    """The URL of the database ``postgres``, without a password."""
    users: tuple[int, ...] = ()
    """Process ids, ascending; a process that uses the server twice is there twice."""
    keep: bool = False
    scratch: bool = False
    tcp_port: int | None = None
    runs_as: str | None = None
    replica_of: str | None = None
    """The URL of the primary that it is a replica of, without a password."""


def start(
    folder: Path | str | None = None,
    *,
    keep: bool = False,
    scratch: bool = False,
    auth: Auth = "trust",
    tcp: bool = False,
    preload: Sequence[str] = (),
    settings: Mapping[str, str] | None = None,
    replica_of: EmbeddedServer | str | None = None,
    timeout: float = 60.0,
) -> EmbeddedServer:
    """Start the server of a folder, or join it if it runs. Blocks: half a second the first time.

    Args:
        folder: the server's folder, created if it is missing. By default the project's
            (``project_folder``), or for a scratch server a new one that no other process shares.
        keep: the server stays when its last user leaves, until ``plainsql.embedded.stop`` or until the
            machine stops.
        scratch: a server for tests: without durability (``fsync`` off), removed with its folder when the last
            user leaves.
        auth: the authentication on the Unix socket: none (its folder is private), or the password
            (``"scram"``).
        tcp: also listen on a free port of 127.0.0.1, which always requires the password.
        preload: libraries for ``shared_preload_libraries``, such as ``pg_stat_statements``.
        settings: further settings of PostgreSQL, by name.
        replica_of: a running server, or the URL of one as a superuser. The new server is its hot standby: a
            copy that streams what the primary writes, and takes reads. Without a ``folder`` it is a scratch
            server. A replica that was stopped goes on where it was, or is copied again.
        timeout: seconds for the server to become ready, recovery after a crash included.

    Raises ``EmbeddedServerError`` if the server cannot be started, for example without a library of
    ``preload``, or if it runs with other options, and if a primary does not answer or cannot be replicated.
    Raises ``OptionError`` if an option has a wrong value; a scratch server cannot be kept.
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
        replica_of=replica_of,
        timeout=timeout,
    )
    if replica_of is not None and folder is None:
        scratch = True
    if keep and scratch:
        raise OptionError(
            "embedded.start(): keep: a scratch server cannot be kept",
            hint="leave out scratch=True or keep=True"
            if replica_of is None
            else "give the replica a folder, without scratch=True, or leave out keep=True",
        )
    primary = None
    if isinstance(replica_of, EmbeddedServer):
        primary = Primary.of(replica_of.url(), password=replica_of.password)
    elif replica_of is not None:
        primary = Primary.of(replica_of)
    binaries = find_binaries()
    if scratch:
        remove_orphaned_scratch_servers()
    if folder is None:
        folder = scratch_folder(secrets.token_hex(8)) if scratch else project_folder()
    place = ServerFolder(Path(folder).absolute())
    wanted = State(
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
        superuser=SUPERUSER if primary is None else primary.user,
    )
    with lifecycle_lock(place), place.usable():
        forget_dead_users(place)
        state = running_state(place, timeout)
        if state is None:
            state = start_server(place, wanted, binaries, timeout, primary)
        else:
            require_compatible(state, wanted, place, primary.shown if primary else None)
            if keep and not state.keep:
                state = msgspec.structs.replace(state, keep=True)
                write_state(place, state)
        return EmbeddedServer(place, state, User(place), binaries)


def start_or_scratch() -> EmbeddedServer:
    """Start or join the project's server; if its folder is not writable, start a scratch server.

    This is for work that leaves nothing on the server, in a checkout that is read-only or another user's.

    Raises ``EmbeddedServerError`` if ``start`` does for any other reason.
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
        folder: by default the project's.
        force: stop it while processes use it.

    Raises ``EmbeddedServerError`` if it is in use and ``force`` is false, or if it does not stop.
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
    """Return the state of a folder's server (default: the project's). Changes nothing and does not wait."""
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
        url=connection_url(state, "postgres", state.superuser),
        users=tuple(live_users(place)),
        keep=state.keep,
        scratch=state.scratch,
        tcp_port=state.port if state.tcp else None,
        runs_as=state.runs_as,
        replica_of=state.replication.primary if state.replication else None,
    )


def _processes(pids: Sequence[int]) -> str:
    unique = sorted(set(pids))
    return ("process " if len(unique) == 1 else "processes ") + ", ".join(map(str, unique))
