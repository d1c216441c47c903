"""The data folder of a connection's server: the copy's files are written, so it must be an embedded one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

from plainsql.embedded.server_folder import ServerFolder
from plainsql.embedded.state import read_state
from plainsql.errors import ConnectError
from plainsql.settings import Project, scratch_source

__all__ = ["data_folder"]


def data_folder(connection: psycopg.Connection[Any], project: Project) -> Path:
    """Return the data folder of an embedded server of this machine.

    Raises ``ConnectError`` if the connection's server is another one.
    """
    found = connection.execute(
        "select s.setting from pg_catalog.pg_settings as s where s.name = 'data_directory'"
    ).fetchone()
    folder = Path(found[0]) if found else None
    if folder is not None and _is_of(folder, connection.info):
        return folder
    source = scratch_source(None, project)
    raise ConnectError(
        "the copy for plans needs the embedded server: its files are written",
        detail=f"{source} names another server" if source else None,
        hint=f"leave out {source}" if source else "pip install 'plainsql[embedded]'",
    )


def _is_of(folder: Path, info: psycopg.ConnectionInfo) -> bool:
    """Return True if the data folder is that of the embedded server to which the connection goes."""
    try:
        state = read_state(ServerFolder(folder.parent))
        if state is None or not (folder / "PG_VERSION").is_file() or info.port != state.port:
            return False
        if info.host.startswith("/"):
            return Path(info.host).samefile(state.socket_folder)
    except OSError:
        return False
    return state.tcp and info.host in ("127.0.0.1", "localhost")
