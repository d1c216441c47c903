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
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psycopg

from plainsql.connect_errors import cannot_connect
from plainsql.conninfo import Conninfo
from plainsql.embedded.binaries import find_binaries
from plainsql.errors import PlainsqlError, SettingsError
from plainsql.urls import HIDDEN, plain_url

__all__ = ["normalise_dump", "read_migrated_schema", "read_structure"]

_HEADER: Final = "-- Written by 'plainsql schema pull'. Do not edit.\n"
_MIGRATED_HEADER: Final = """\
-- The schema that the migrations make. Written by 'plainsql migrate schema'. Do not edit.

SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET check_function_bodies = false;
SET client_min_messages = warning;
SET row_security = off;
SET xmloption = content;
SELECT pg_catalog.set_config('search_path', '', false);

"""
"""The settings that pg_dump begins with differ between its versions; these load every dump."""
_RECORDS: Final = tuple(
    f"--exclude-table=*.{name}"
    for name in ("_yoyo_migration*", "_yoyo_log", "_yoyo_version", "yoyo_lock", "plainsql_migration")
)
_FIRST_OBJECT: Final = re.compile(r"^--\n-- Name: ", re.MULTILINE)
_LAST_LINES: Final = "\n--\n-- PostgreSQL database dump complete\n--\n"
# The comment of an extension is that of its version.
_EXTENSION_COMMENT: Final = re.compile(
    r"^--\n-- Name: EXTENSION .*; Type: COMMENT; .*\n--\n\n"
    r"COMMENT ON EXTENSION .* IS '(?:[^']|'')*';\n+",
    re.MULTILINE,
)
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
# Not inside the body of a function.
_BETWEEN_OBJECTS: Final = re.compile(r"\n{3,}(?=--\n-- Name: |SET )")
# A setting that pg_dump writes from version 17 on.
_NEW_SETTINGS: Final = re.compile(r"^SET transaction_timeout = \w+;\n", re.MULTILINE)
_HEAD_CHARS: Final = 2000


def read_structure(url: str) -> str:
    """Return the structure of a database as SQL; pg_dump reads it in a read-only transaction.

    Raises ``ConnectError`` if the database cannot be reached, ``SettingsError`` if no pg_dump is as new as
    the server, and ``PlainsqlError`` if it fails.
    """
    return _HEADER + _stable(_dump(url))


def read_migrated_schema(url: str) -> str:
    """Return the schema of a database as SQL that is the same on every machine, without our records.

    The embedded server's pg_dump writes it, if its version can. Its settings, its version and the comments of
    extensions are left out.

    Raises ``ConnectError``, ``SettingsError`` and ``PlainsqlError`` as ``read_structure`` does.
    """
    return normalise_dump(_dump(url, _RECORDS, embedded_first=True))


def normalise_dump(text: str) -> str:
    """Return what pg_dump wrote with a head of ours, and without what differs between its versions."""
    first = _FIRST_OBJECT.search(text)
    # The last lines, and the token after them, are as the head: they differ between versions.
    objects = text[first.start() :].rpartition(_LAST_LINES)[0] if first else ""
    objects = _EXTENSION_COMMENT.sub("", f"{objects.rstrip()}\n\n")
    return (_MIGRATED_HEADER + _BETWEEN_OBJECTS.sub("\n\n", objects)).rstrip() + "\n"


def _dump(url: str, more: Sequence[str] = (), *, embedded_first: bool = False) -> str:
    """Return what pg_dump writes."""
    url = plain_url(url)
    major = _server_major(url)
    program = _pg_dump(major, embedded_first=embedded_first)
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
        [program, *_OPTIONS, *more, f"--dbname={shown}"],
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
    return done.stdout.decode("utf-8")


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


def _pg_dump(major: int, *, embedded_first: bool = False) -> str:
    """Return the pg_dump of the server's major version, else the oldest of those that are newer.

    Raises ``SettingsError`` if there is none.
    """
    found: dict[int, str] = {}
    programs = list(_programs())
    for program in (*programs[-1:], *programs[:-1]) if embedded_first else programs:
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
