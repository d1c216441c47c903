"""The structure of a database, as its server's own pg_dump writes it, in a form that stays the same.

Two reads of the same structure have the same text: it has no versions, no random tokens, no owners and no
privileges.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from typing import Final

import psycopg

from plainsql.connect_errors import cannot_connect
from plainsql.conninfo import Conninfo
from plainsql.errors import PlainsqlError
from plainsql.server_programs import client_environment, connection_string, find_program
from plainsql.urls import plain_url

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
    program = find_program("pg_dump", major, embedded_first=embedded_first)
    info = Conninfo(url)
    done = subprocess.run(
        [program.path, *_OPTIONS, *more, f"--dbname={connection_string(info)}"],
        env=client_environment(info),
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
