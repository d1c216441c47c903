"""The settings and access rules that each start of the server gives it.

Nothing is written into the data directory: ``postgresql.conf`` and ``alter system`` are the user's, for all
settings that are not fixed here. A server that keeps data has PostgreSQL's own durability (``fsync`` on,
checksums on). A scratch server trades it for speed: after a crash of the machine its data may be lost. It is
removed with its last user anyway.
"""

from __future__ import annotations

from plainsql.embedded.privileges import Identity
from plainsql.embedded.server_folder import ServerFolder
from plainsql.embedded.state import State
from plainsql.files import create_file

__all__ = ["server_settings", "write_access_rules"]

_SCRATCH = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    # A commit is not waited for, and reaches a replica when the log is written: by default after up to 0.6 s.
    "wal_writer_delay": "10ms",
}


def server_settings(folder: ServerFolder, state: State) -> dict[str, str]:
    """Return the settings for the server's command line, which override all configuration files."""
    socket_folder = state.socket_folder.replace('"', '""')
    settings = {
        **(_SCRATCH if state.scratch else {}),
        **(_replica_settings(state) if state.replication else {}),
        **state.settings,
        # Last: neither the caller nor ALTER SYSTEM may change these.
        "listen_addresses": "127.0.0.1" if state.tcp else "",
        "port": str(state.port),
        "unix_socket_directories": f'"{socket_folder}"',
        "unix_socket_permissions": "0700",
        "hba_file": str(folder.access),
        "logging_collector": "off",
    }
    if state.replication is not None:
        settings["primary_conninfo"] = state.replication.conninfo
        settings["primary_slot_name"] = state.replication.slot
    if state.preload:
        settings["shared_preload_libraries"] = ",".join(state.preload)
    return settings


def _replica_settings(state: State) -> dict[str, str]:
    """Return what a replica has unless its caller says otherwise."""
    settings = {"wal_retrieve_retry_interval": "100ms"}
    for name, value in (state.replication.minimums if state.replication else {}).items():
        own = _SCRATCH.get(name, value) if state.scratch else value
        settings[name] = str(max(int(own), int(value)))
    return settings


def write_access_rules(folder: ServerFolder, state: State, identity: Identity) -> None:
    """Write ``pg_hba.conf``: the authentication on the socket and on TCP."""
    # Only its owner can enter the socket's folder; every user of the machine can connect to a TCP port.
    on_socket = "trust" if state.auth == "trust" else "scram-sha-256"
    rules = [
        f"local all all {on_socket}",
        f"local replication all {on_socket}",
        "host all all 127.0.0.1/32 scram-sha-256",
        "host replication all 127.0.0.1/32 scram-sha-256",
    ]
    folder.access.unlink(missing_ok=True)
    with create_file(folder.access, 0o600) as file:
        file.write("\n".join([*rules, ""]).encode())
    identity.give(folder.access)
