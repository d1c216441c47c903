"""What the server is told at each start: its settings and its access rules.

Nothing is written into the data directory: ``postgresql.conf`` and ``alter system`` stay the user's, for all
that is not fixed here. A server that keeps data has PostgreSQL's own durability (``fsync`` on, checksums
on). A scratch server trades it for speed: after a crash of the machine its data may be gone, and it is
removed with its last user anyway.
"""

from __future__ import annotations

from plainsql.embedded.privileges import Identity
from plainsql.embedded.server_folder import ServerFolder
from plainsql.embedded.state import State
from plainsql.files import create_file

__all__ = ["server_settings", "write_access_rules"]

_SCRATCH = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}


def server_settings(folder: ServerFolder, state: State) -> dict[str, str]:
    """Return the settings that are given on the server's command line, above all configuration files."""
    socket_folder = state.socket_folder.replace('"', '""')
    settings = {
        **(_SCRATCH if state.scratch else {}),
        **state.settings,
        # Last: these are not for the caller to change, nor for ALTER SYSTEM.
        "listen_addresses": "127.0.0.1" if state.tcp else "",
        "port": str(state.port),
        "unix_socket_directories": f'"{socket_folder}"',
        "unix_socket_permissions": "0700",
        "hba_file": str(folder.access),
        "logging_collector": "off",
    }
    if state.preload:
        settings["shared_preload_libraries"] = ",".join(state.preload)
    return settings


def write_access_rules(folder: ServerFolder, state: State, identity: Identity) -> None:
    """Write ``pg_hba.conf``: who may connect from where, and what is asked of them."""
    # Only its owner can enter the socket's folder; a TCP port is open to every user of the machine.
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
