"""Start-up and shutdown of a server, each under ``registry.lifecycle_lock``: by one process at a time."""

from __future__ import annotations

import logging
import shutil
from contextlib import suppress
from pathlib import Path

import msgspec

from plainsql.embedded import postmaster
from plainsql.embedded.binaries import Binaries
from plainsql.embedded.cluster import create_cluster, require_same_major, server_version
from plainsql.embedded.privileges import Identity, choose_identity
from plainsql.embedded.registry import is_held, live_users, try_lifecycle_lock
from plainsql.embedded.server_folder import ServerFolder, scratch_root
from plainsql.embedded.standby import (
    Primary,
    copy_primary,
    drop_slot,
    follow,
    is_standby,
    prepare_standby,
    wait_until_streaming,
)
from plainsql.embedded.state import State, read_state, write_state
from plainsql.errors import EmbeddedServerError
from plainsql.files import create_file

__all__ = [
    "remove_orphaned_scratch_servers",
    "restart_server",
    "running_state",
    "shut_down",
    "start_server",
]

logger = logging.getLogger("plainsql.embedded")

_PORT = 5432
"""Part of the socket's name; in a private folder it cannot clash with another server."""
_PORT_ATTEMPTS = 5
"""Another process may take the free TCP port before the server does."""


def running_state(place: ServerFolder, timeout: float) -> State | None:
    """Return the state of a server that is ready; None if none runs, or if one was just stopping."""
    state = read_state(place)
    if state is None or postmaster.pid_of(place) is None:
        return None
    # A process that started or stopped the server may have been killed meanwhile: wait for the outcome.
    return state if postmaster.wait_until_ready(place, timeout=timeout) else None


def start_server(
    place: ServerFolder, wanted: State, binaries: Binaries, timeout: float, primary: Primary | None = None
) -> State:
    """Start the server, and return its state; create its data directory if it is missing.

    A server with a ``primary`` is its replica, and streams from it.
    """
    postmaster.remove_stale_pid_file(place)
    earlier = read_state(place)
    if earlier is not None:
        place.remove_socket_folder(Path(earlier.socket_folder))
    marker = place.path / "scratch"
    if place.data.exists() and marker.exists() != wanted.scratch:
        kind = "a scratch server's, which may be damaged" if marker.exists() else "not a scratch server's"
        raise EmbeddedServerError(
            f"the data in {place.path} is {kind}",
            hint="give another folder" + (", or remove this one" if marker.exists() else ""),
        )
    if wanted.scratch:
        # The data of a killed scratch server cannot be trusted: it did not wait for the disk.
        shutil.rmtree(place.data, ignore_errors=True)
        with suppress(FileExistsError):
            create_file(marker).close()
    identity = choose_identity(place.path, place.data, binaries.path("postgres"), scratch=wanted.scratch)
    version = server_version(identity, binaries)
    wanted = msgspec.structs.replace(wanted, version=version)
    if place.data.exists():
        require_same_major(place, version)
        for path in (place.data, place.password):
            if identity.uid is not None and path.lstat().st_uid != identity.uid:
                identity.give(path)
    if primary is not None:
        return _start_replica(place, wanted, identity, binaries, timeout, primary)
    if not place.data.exists():
        create_cluster(place, identity, binaries, scratch=wanted.scratch)
    elif is_standby(place):
        raise EmbeddedServerError(
            f"the data in {place.path} are a replica's, and no primary is given",
            hint="start it with replica_of=, or give another folder",
        )
    state = _launch(place, wanted, identity, binaries, timeout, earlier)
    assert state is not None
    return state


def restart_server(place: ServerFolder, state: State, binaries: Binaries, timeout: float) -> None:
    """Stop a server in order, unless it was killed, and start it at its address with its options."""
    postmaster.stop_postmaster(place, immediate=False)
    postmaster.remove_stale_pid_file(place)
    place.remove_socket_folder(Path(state.socket_folder))
    identity = choose_identity(place.path, place.data, binaries.path("postgres"), scratch=state.scratch)
    if _launch(place, state, identity, binaries, timeout, state) is None:
        raise EmbeddedServerError(
            f"the replica in {place.path} cannot go on: its primary has not kept what it needs",
            hint="start it again with replica_of=, which copies the primary again",
        )


def _start_replica(
    place: ServerFolder,
    wanted: State,
    identity: Identity,
    binaries: Binaries,
    timeout: float,
    primary: Primary,
) -> State:
    earlier = read_state(place)
    replication = prepare_standby(place, primary, identity, binaries, wanted.version)
    wanted = msgspec.structs.replace(wanted, replication=replication, superuser=replication.user)
    if place.data.exists():
        follow(replication, binaries)
        if state := _launch(place, wanted, identity, binaries, timeout, earlier):
            return state
        logger.info("the replica in %s is copied again from %s", place.path, replication.primary)
    copy_primary(place, replication, identity, binaries, scratch=wanted.scratch)
    if state := _launch(place, wanted, identity, binaries, timeout, earlier):
        return state
    raise postmaster.startup_error(place)


def _launch(
    place: ServerFolder,
    wanted: State,
    identity: Identity,
    binaries: Binaries,
    timeout: float,
    earlier: State | None,
) -> State | None:
    """Launch the server on its data; return None if it is a replica that must be copied again."""
    for attempt in range(1, _PORT_ATTEMPTS + 1):
        port = _PORT
        if wanted.tcp:
            # The port of a server that was killed, so that its users find the new one.
            before = attempt == 1 and earlier is not None and earlier.tcp
            port = earlier.port if earlier and before else postmaster.free_port()
        socket_folder = place.make_socket_folder(port)
        identity.give(socket_folder)
        state = msgspec.structs.replace(
            wanted, socket_folder=str(socket_folder), port=port, runs_as=identity.description
        )
        write_state(place, state)
        try:
            postmaster.launch(place, state, identity, binaries)
            if state.replication is None:
                outcome = "ready" if postmaster.wait_until_ready(place, timeout=timeout) else "ended"
            else:
                outcome = wait_until_streaming(place, state, binaries, timeout)
            if outcome == "ready":
                return state
            if outcome == "gone":
                postmaster.stop_postmaster(place, immediate=True)
                return None
            if attempt == _PORT_ATTEMPTS or "Address already in use" not in postmaster.log_tail(place, 15):
                raise postmaster.startup_error(place)
        except BaseException:
            # Also after Ctrl-C, or a start that takes too long, nothing is left running.
            shut_down(place)
            raise
    raise AssertionError("unreachable")


def shut_down(place: ServerFolder) -> None:
    """Stop the server if it runs, and remove its socket, its state and its scratch data.

    Call it under ``lifecycle_lock``.
    """
    state = read_state(place)
    if is_held(place.alive):
        postmaster.stop_postmaster(place, immediate=bool(state and state.scratch))
    if state is not None:
        if state.replication is not None:
            drop_slot(state.replication)
        place.remove_socket_folder(Path(state.socket_folder))
        place.state.unlink(missing_ok=True)
    if (place.path / "scratch").exists():
        shutil.rmtree(place.path, ignore_errors=True)


def remove_orphaned_scratch_servers() -> None:
    """Stop and remove the scratch servers whose users were all killed."""
    for path in scratch_root().iterdir():
        place = ServerFolder(path)
        with try_lifecycle_lock(place) as ours:
            if ours and not live_users(place):
                shut_down(place)
                shutil.rmtree(path, ignore_errors=True)
