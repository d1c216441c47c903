"""Start-up and shutdown of a server, each under ``registry.lifecycle_lock``: by one process at a time."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import msgspec

from plainsql.embedded import postmaster
from plainsql.embedded.binaries import Binaries
from plainsql.embedded.cluster import create_cluster, require_same_major, server_version
from plainsql.embedded.privileges import choose_identity
from plainsql.embedded.registry import is_held, live_users, try_lifecycle_lock
from plainsql.embedded.server_folder import ServerFolder, scratch_root
from plainsql.embedded.state import State, read_state, write_state
from plainsql.errors import EmbeddedServerError
from plainsql.files import create_file

__all__ = ["remove_orphaned_scratch_servers", "running_state", "shut_down", "start_server"]

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


def start_server(place: ServerFolder, wanted: State, binaries: Binaries, timeout: float) -> State:
    """Start the server, and return its state; create its data directory if it is missing."""
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
    if place.data.exists():
        require_same_major(place, version)
        for path in (place.data, place.password):
            if identity.uid is not None and path.lstat().st_uid != identity.uid:
                identity.give(path)
    else:
        create_cluster(place, identity, binaries, scratch=wanted.scratch)
    for attempt in range(1, _PORT_ATTEMPTS + 1):
        port = _PORT
        if wanted.tcp:
            # The port of a server that was killed, so that its users find the new one.
            before = attempt == 1 and earlier is not None and earlier.tcp
            port = earlier.port if earlier and before else postmaster.free_port()
        socket_folder = place.make_socket_folder(port)
        identity.give(socket_folder)
        state = msgspec.structs.replace(
            wanted,
            version=version,
            socket_folder=str(socket_folder),
            port=port,
            runs_as=identity.description,
        )
        write_state(place, state)
        try:
            postmaster.launch(place, state, identity, binaries)
            if postmaster.wait_until_ready(place, timeout=timeout):
                return state
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
