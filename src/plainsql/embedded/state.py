"""The state of a started server: its address and options, which joining processes read and must match."""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote

import msgspec

from plainsql.embedded.server_folder import ServerFolder
from plainsql.errors import EmbeddedServerError
from plainsql.files import read_file, replace_file

__all__ = [
    "Auth",
    "Replication",
    "State",
    "connection_url",
    "read_state",
    "require_compatible",
    "write_state",
]

Auth = Literal["trust", "scram"]


class Replication(msgspec.Struct, frozen=True, kw_only=True):
    """The replication of a replica."""

    primary: str
    """The primary's URL, without a password."""
    conninfo: str
    """The primary's address for libpq; it names the file with the password."""
    user: str
    """The primary's superuser, who is the replica's."""
    slot: str
    minimums: dict[str, str]
    """Settings in which a replica must not be below its primary."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``state.json``, written before each start and removed after each stop. No secrets."""

    version: str
    """The server's version, such as ``18.6``."""
    socket_folder: str
    port: int
    """The number in the socket's name, and the port on 127.0.0.1 if ``tcp`` is true."""
    tcp: bool
    auth: Auth
    scratch: bool
    keep: bool
    runs_as: str
    preload: tuple[str, ...]
    settings: dict[str, str]
    replication: Replication | None = None
    """None for a primary, and after a promotion."""
    superuser: str = "postgres"


def read_state(folder: ServerFolder) -> State | None:
    """Return the state, None if there is none or if it cannot be decoded."""
    try:
        return msgspec.json.decode(read_file(folder.state), type=State)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def write_state(folder: ServerFolder, state: State) -> None:
    """Write the state, completely or not at all."""
    with replace_file(folder.state, mode=0o600) as file:
        file.write(msgspec.json.format(msgspec.json.encode(state)))


def connection_url(
    state: State, database: str, user: str, password: str | None = None, *, tcp: bool = False
) -> str:
    """Return a URL that means the same to asyncpg, psycopg and libpq."""
    login = quote(user, safe="") + ("" if password is None else f":{quote(password, safe='')}")
    path = quote(database, safe="")
    if tcp:
        # The server has no TLS; without this, drivers spend a round trip to find out.
        return f"postgresql://{login}@127.0.0.1:{state.port}/{path}?sslmode=disable"
    return f"postgresql://{login}@/{path}?host={quote(state.socket_folder, safe='')}&port={state.port}"


def require_compatible(
    running: State, wanted: State, folder: ServerFolder, primary: str | None = None
) -> None:
    """Refuse to join a server that was started with other options.

    ``keep`` may be added to a running server. Options that the caller leaves out may have any value.

    Raises ``EmbeddedServerError`` that names every difference.
    """
    differences: list[str] = []
    if wanted.scratch != running.scratch:
        differences.append(f"scratch={wanted.scratch} (it runs with scratch={running.scratch})")
    if wanted.auth != running.auth:
        differences.append(f"auth={wanted.auth!r} (it runs with auth={running.auth!r})")
    if wanted.tcp and not running.tcp:
        differences.append("tcp=True (it listens on its Unix socket only)")
    if missing := [name for name in wanted.preload if name not in running.preload]:
        differences.append(f"preload={missing!r} (it has not loaded them)")
    for name, value in wanted.settings.items():
        if running.settings.get(name) != value:
            differences.append(f"the setting {name}={value} (it was started without it)")
    its_primary = running.replication.primary if running.replication else None
    if primary not in (None, its_primary):
        is_of = f"it is a replica of {its_primary}" if its_primary else "it is no replica"
        differences.append(f"replica_of={primary} ({is_of})")
    if differences:
        raise EmbeddedServerError(
            f"the server in {folder.path} runs already, with other options: {'; '.join(differences)}",
            hint="start it with the same options, or stop it first (plainsql.embedded.stop)",
        )
