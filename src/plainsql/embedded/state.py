"""How a server was started: what joining processes must know and may not contradict."""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote

import msgspec

from plainsql.embedded.server_folder import ServerFolder
from plainsql.errors import EmbeddedServerError
from plainsql.files import read_file, replace_file

__all__ = ["Auth", "State", "connection_url", "read_state", "require_compatible", "write_state"]

Auth = Literal["trust", "scram"]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Written before each start, removed after each stop. Holds no secret."""

    version: str
    """Of the server, as in ``18.6``."""
    socket_folder: str
    port: int
    """Of the socket's name, and of 127.0.0.1 where ``tcp`` is true."""
    tcp: bool
    auth: Auth
    scratch: bool
    keep: bool
    runs_as: str
    preload: tuple[str, ...]
    settings: dict[str, str]


def read_state(folder: ServerFolder) -> State | None:
    """Return the state, or None where there is none that can be read."""
    try:
        return msgspec.json.decode(read_file(folder.state), type=State)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def write_state(folder: ServerFolder, state: State) -> None:
    """Write the state, whole or not at all."""
    with replace_file(folder.state, mode=0o600) as file:
        file.write(msgspec.json.format(msgspec.json.encode(state)))


def connection_url(
    state: State, database: str, user: str, password: str | None = None, *, tcp: bool = False
) -> str:
    """Return a URL that asyncpg, psycopg and libpq read alike."""
    login = quote(user, safe="") + ("" if password is None else f":{quote(password, safe='')}")
    path = quote(database, safe="")
    if tcp:
        # The server has no TLS; without this, drivers spend a round trip to learn so.
        return f"postgresql://{login}@127.0.0.1:{state.port}/{path}?sslmode=disable"
    return f"postgresql://{login}@/{path}?host={quote(state.socket_folder, safe='')}&port={state.port}"


def require_compatible(running: State, asked: State, folder: ServerFolder) -> None:
    """Refuse to join a server that was started in another way than asked.

    ``keep`` may be added to a running server, and what was not asked for is accepted.

    Raises:
        EmbeddedServerError: names every difference.
    """
    differences: list[str] = []
    if asked.scratch != running.scratch:
        differences.append(f"scratch={asked.scratch} (it runs with scratch={running.scratch})")
    if asked.auth != running.auth:
        differences.append(f"auth={asked.auth!r} (it runs with auth={running.auth!r})")
    if asked.tcp and not running.tcp:
        differences.append("tcp=True (it listens on its Unix socket only)")
    if missing := [name for name in asked.preload if name not in running.preload]:
        differences.append(f"preload={missing!r} (it has not loaded them)")
    for name, value in asked.settings.items():
        if running.settings.get(name) != value:
            differences.append(f"the setting {name}={value} (it was started without it)")
    if differences:
        raise EmbeddedServerError(
            f"the server in {folder.path} runs already, and not as asked: {'; '.join(differences)}",
            hint="ask for the same, or stop it first (plainsql.embedded.stop)",
        )
