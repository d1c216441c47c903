"""The structure of a database, as its server's own pg_dump writes it, in a form that stays the same.

Two reads of the same structure have the same text: it has no versions, no random tokens, no owners and no
privileges.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import psycopg

from plainsql.connect_errors import cannot_connect
from plainsql.conninfo import Conninfo
from plainsql.embedded.binaries import find_binaries
from plainsql.errors import PlainsqlError, SettingsError
from plainsql.urls import HIDDEN, plain_url

__all__ = ["read_structure"]

_HEADER: Final = "-- Written by 'plainsql schema pull'. Do not edit.\n"
_OPTIONS: Final = (
    *("--schema-only", "--no-owner", "--no-privileges", "--no-publications", "--no-subscriptions"),
    *("--no-security-labels", "--no-tablespaces", "--encoding=UTF8"),
)
_FOLDERS: Final = (
    *("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/libpq/bin"),
    *("/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin", "/usr/local/pgsql/bin"),
)
_VERSION: Final = re.compile(r"\(PostgreSQL\) (?P<major>\d+)")
_NOTES: Final = re.compile(
    r"^(?:--\ Dumped\ (?:from|by)\ .*|\\(?:un)?restrict\ \w+)\r?\n", re.MULTILINE | re.VERBOSE
)
_BLANK_LINES: Final = re.compile(r"\n{3,}")
# A setting that pg_dump writes from version 17 on.
_NEW_SETTINGS: Final = re.compile(r"^SET transaction_timeout = \w+;\n", re.MULTILINE)
_HEAD_CHARS: Final = 2000


def read_structure(url: str) -> str:
    """Return the structure of a database as SQL; pg_dump reads it in a read-only transaction.

    Raises ``ConnectError`` if the database cannot be reached, ``SettingsError`` if no pg_dump is as new as
    the server, and ``PlainsqlError`` if it fails.
    """
    url = plain_url(url)
    major = _server_major(url)
    program = _pg_dump(major)
    info = Conninfo(url)
    given = info.values()
    shown = " ".join(
        f"{name}={_quoted(str(value))}"
        for name, value in given.items()
        if name not in HIDDEN and name != "client_encoding"
    )
    # The password is not on the command line, which every user of the machine can read.
    secrets = {"PGPASSWORD": info["password"]} if info["password"] else {}
    if info["options"]:
        secrets["PGOPTIONS"] = info["options"]
    done = subprocess.run(
        [program, *_OPTIONS, f"--dbname={shown}"],
        env=os.environ | secrets | {"LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise PlainsqlError(
            f"pg_dump ended with exit code {done.returncode}",
            detail=done.stderr.decode("utf-8", "replace").strip() or None,
            hint="name a role that may read every table of the database",
        )
    return _HEADER + _stable(done.stdout.decode("utf-8"))


def _stable(text: str) -> str:
    """Return what pg_dump wrote without what differs between two runs or two versions of it."""
    head, rest = text[:_HEAD_CHARS], text[_HEAD_CHARS:]
    cut = head.rfind("\n") + 1
    head, rest = head[:cut], head[cut:] + rest
    head = _NEW_SETTINGS.sub("", _NOTES.sub("", head))
    # The end of the file has the token again.
    last = rest.rstrip().rfind("\n") + 1
    rest = rest[:last] + _NOTES.sub("", rest[last:])
    return _BLANK_LINES.sub("\n\n", f"{head}{rest}").strip() + "\n"


def _server_major(url: str) -> int:
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            return connection.info.server_version // 10000
    except psycopg.Error as error:
        raise cannot_connect(url, error, error.sqlstate) from None


def _pg_dump(major: int) -> str:
    """Return the pg_dump of the server's major version, else the oldest of those that are newer.

    Raises ``SettingsError`` if there is none.
    """
    found: dict[int, str] = {}
    for program in _programs():
        with suppress(OSError, subprocess.SubprocessError):
            said = subprocess.run(
                [program, "--version"], capture_output=True, text=True, timeout=20, check=True
            )
            if version := _VERSION.search(said.stdout):
                found.setdefault(int(version["major"]), program)
    able = [version for version in sorted(found) if version >= major]
    if able:
        return found[able[0]]
    others = ", ".join(map(str, sorted(found))) or "none"
    raise SettingsError(
        f"there is no pg_dump of PostgreSQL {major} or newer: expected one for the server, got {others}",
        hint=f"install the client programs of PostgreSQL {major}, and have pg_dump in PATH",
    )


def _programs() -> Iterator[str]:
    """Yield every pg_dump of this machine: in PATH, in the usual folders, and the embedded one."""
    name = "pg_dump.exe" if sys.platform == "win32" else "pg_dump"
    if program := shutil.which(name):
        yield program
    for pattern in _FOLDERS:
        yield from sorted(map(str, Path("/").glob(f"{pattern[1:]}/{name}")))
    with suppress(PlainsqlError):
        yield str(find_binaries().path(name))


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
