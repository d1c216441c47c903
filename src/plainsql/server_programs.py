"""PostgreSQL's client programs on this machine, by their versions, and their connections.

A program works with servers of its own major version and of older ones, never with newer ones.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from plainsql.conninfo import Conninfo
from plainsql.embedded.binaries import find_binaries
from plainsql.errors import PlainsqlError, SettingsError
from plainsql.urls import HIDDEN

__all__ = ["Program", "client_environment", "connection_string", "find_program"]

_FOLDERS: Final = (
    *("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/libpq/bin"),
    *("/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin", "/usr/local/pgsql/bin"),
)
_VERSION: Final = re.compile(r"\(PostgreSQL\) (?P<version>(?P<major>\d+)\S*)")


@dataclass(frozen=True, slots=True)
class Program:
    """A program of PostgreSQL."""

    path: str
    major: int
    version: str
    """The whole version, such as ``18.6``."""


def find_program(name: str, major: int, *, below: int | None = None, embedded_first: bool = False) -> Program:
    """Return the program of a major version, else the oldest of those that are newer.

    It is searched in PATH, in the folders that packages of PostgreSQL use, and in the embedded server.

    Args:
        name: ``pg_dump``, for example.
        major: the oldest major version that will do.
        below: a major version that is too new.
        embedded_first: prefer the embedded server's if several have the same version.

    Raises ``SettingsError`` if there is none.
    """
    found: dict[int, Program] = {}
    programs = list(_programs(name))
    for path in (*programs[-1:], *programs[:-1]) if embedded_first else programs:
        with suppress(OSError, subprocess.SubprocessError):
            said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=True)
            if version := _VERSION.search(said.stdout):
                program = Program(path, int(version["major"]), version["version"])
                found.setdefault(program.major, program)
    able = [each for each in sorted(found) if each >= major and (below is None or each < below)]
    if able:
        return found[able[0]]
    others = ", ".join(map(str, sorted(found))) or "none"
    wanted = f"PostgreSQL {major}"
    if below is None:
        wanted += " or newer"
    elif below > major + 1:
        wanted += f" to {below - 1}"
    raise SettingsError(
        f"there is no {name} of {wanted}: expected one for the server, got {others}",
        hint=f"install the client programs of PostgreSQL {major}, and have {name} in PATH; on Debian and "
        f"Ubuntu: apt install postgresql-client-{major}",
    )


def _programs(name: str) -> Iterator[str]:
    """Yield every program of a name: in PATH, in the usual folders, and the embedded one as the last."""
    if sys.platform == "win32":
        name += ".exe"
    if program := shutil.which(name):
        yield program
    for pattern in _FOLDERS:
        yield from sorted(map(str, Path("/").glob(f"{pattern[1:]}/{name}")))
    with suppress(PlainsqlError):
        yield str(find_binaries().path(name))


def connection_string(info: Conninfo, replaced: Mapping[str, str] | None = None) -> str:
    """Return libpq's text of a connection for a command line, without what is secret.

    ``replaced``: parameters that win over those of the connection; an empty one is left out.
    """
    given = {**info.values(), **(replaced or {})}
    return " ".join(
        f"{name}={_quoted(str(value))}"
        for name, value in given.items()
        if name not in HIDDEN and name != "client_encoding" and value != ""
    )


def client_environment(info: Conninfo) -> dict[str, str]:
    """Return the environment of a program that connects: the caller's, with the secrets of the connection.

    A command line can be read by every user of the machine, an environment by the same user alone. The
    program gets none of plainsql's own variables: keys may be among them.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PLAINSQL_")}
    kept.pop("DATABASE_URL", None)
    if info["password"]:
        kept["PGPASSWORD"] = info["password"]
    if info["options"]:
        kept["PGOPTIONS"] = info["options"]
    return kept | {"LC_ALL": "C"}


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
