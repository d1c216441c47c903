"""A schema that a program makes, such as ``alembic upgrade head``: it runs on the scratch database."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from configparser import ConfigParser
from configparser import Error as ConfigError
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psycopg

from plainsql.conninfo import Conninfo
from plainsql.errors import PlainsqlError, SettingsError

__all__ = ["CommandSchema", "watched_by_default"]

_URL: Final = re.compile(r"\s*(?P<scheme>postgres(?:ql)?(?:\+[a-z0-9_]+)?|postgis|pgsql)://")
_VARIABLE: Final = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:=(?P<scheme>[a-z][a-z0-9+_]*))?")
_LAST_LINES: Final = 30
_GRACE_S: Final = 5.0
"""The time that the command gets between the first signal and the last."""
_DJANGO: Final = "migrations/__init__.py"
_NOT_WATCHED: Final = frozenset(
    {"__pycache__", "node_modules", "site-packages", ".git", ".venv", "venv", ".plainsql"}
)


@dataclass(frozen=True, slots=True)
class CommandSchema:
    """A command that makes the schema in the database whose URL is in its environment."""

    root: Path
    command: str
    watch: tuple[str, ...] = ()
    """Folders and files; a change in them runs the command again."""
    variables: tuple[str, ...] = ()
    """Further variables that get the URL: ``NAME``, or ``NAME=scheme``."""
    time_limit: int = 300
    """Seconds."""

    @property
    def identity(self) -> bytes:
        return os.fsencode(self.root.resolve()) + b"\0" + self.command.encode()

    def digest(self) -> str:
        """Return the digest of the command and the watched files.

        Raises ``SettingsError`` if there is nothing to watch, or if a watched folder does not exist.
        """
        digest = hashlib.sha256("\0".join([self.command, *self.variables]).encode() + b"\0")
        for file in self._watched():
            digest.update(os.fsencode(file.relative_to(self.root)) + b"\0" + file.read_bytes() + b"\0")
        return digest.hexdigest()

    def apply(self, url: str) -> None:
        """Run the command, and check that it made something.

        Raises ``SettingsError`` if there is no such program, and ``PlainsqlError`` with the end of its output
        if it fails or takes longer than its time.
        """
        words = self._words()
        with tempfile.TemporaryFile() as output:
            try:
                process = subprocess.Popen(
                    words,
                    cwd=self.root,
                    env=_environment(url, self._variables(), os.environ),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except (FileNotFoundError, PermissionError) as error:
                raise SettingsError(
                    f"schema_command in [tool.plainsql]: {words[0]!r} cannot be started: "
                    f"{(error.strerror or str(error)).lower()}",
                    hint="install it, activate its environment, or write its whole path",
                ) from None
            try:
                code = process.wait(self.time_limit)
            except subprocess.TimeoutExpired:
                _end(process)
                raise self._failed(
                    f"took longer than {self.time_limit} s, and was ended",
                    output,
                    hint="set schema_timeout in [tool.plainsql] to more seconds",
                ) from None
            except BaseException:
                _end(process)
                raise
            if code:
                how = f"ended with exit code {code}" if code > 0 else f"was ended by signal {-code}"
                raise self._failed(how, output, hint="run it by hand on an empty database to see more")
            if _is_empty(url):
                raise self._failed(
                    "ran, and the scratch database is still empty",
                    output,
                    hint="have it read DATABASE_URL; or name the variable that it reads: "
                    'schema_variables = ["NAME"]',
                )

    def _words(self) -> list[str]:
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise SettingsError(
                f"schema_command in [tool.plainsql] cannot be read: {str(error).lower()}",
                hint='write it as in a shell: schema_command = "alembic upgrade head"',
            ) from None
        if not words:
            raise SettingsError(
                "schema_command in [tool.plainsql]: expected a command, got an empty text",
                hint='for example: schema_command = "alembic upgrade head"',
            )
        # The program of the environment that plainsql runs in, also if that is not activated.
        installed = Path(sys.executable).parent / words[0]
        if os.sep not in words[0] and installed.is_file() and os.access(installed, os.X_OK):
            words[0] = str(installed)
        return words

    def _variables(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for each in self.variables:
            match = _VARIABLE.fullmatch(each)
            if match is None:
                raise SettingsError(
                    f"schema_variables in [tool.plainsql]: expected a variable's name, got {each!r}",
                    hint='for example "SHOP_DATABASE_URL", or "SHOP_DATABASE_URL=postgresql+asyncpg"',
                )
            found[match["name"]] = match["scheme"] or ""
        return found

    def _watched(self) -> Iterator[Path]:
        names: Sequence[str] = self.watch or watched_by_default(self.root, self.command)
        if not names:
            raise SettingsError(
                "schema_command in [tool.plainsql]: expected the folders that it depends on, got none",
                hint='name them: schema_watch = ["migrations"]',
            )
        for name in names:
            path = self.root / name
            if not path.exists():
                raise SettingsError(
                    f"schema_watch in [tool.plainsql]: there is no file or folder {name}",
                    hint="name what the result of schema_command depends on",
                )
            if path.is_file():
                yield path
                continue
            for file in sorted(path.rglob("*")):
                parts = file.relative_to(self.root).parts
                if file.is_file() and not _NOT_WATCHED & set(parts) and file.suffix != ".pyc":
                    yield file

    def _failed(self, how: str, output: Any, *, hint: str) -> PlainsqlError:
        output.seek(0)
        lines = output.read().decode("utf-8", "replace").rstrip().splitlines()
        shown = lines[-_LAST_LINES:]
        if len(lines) > len(shown):
            shown.insert(0, f"… {len(lines) - len(shown)} lines before these")
        return PlainsqlError(
            f"schema_command {how}: {self.command}",
            detail="\n        ".join(["its output:", *shown]) if shown else "it printed nothing",
            hint=hint,
        )


def watched_by_default(root: Path, command: str) -> tuple[str, ...]:
    """Return the folders that Alembic's or Django's command depends on, relative to the root."""
    if "alembic" in command or re.search(r"\bflask\s+db\b", command):
        folder = _alembic_folder(root) or ("migrations" if (root / "migrations" / "env.py").is_file() else "")
        return (folder,) if folder and (root / folder).is_dir() else ()
    if "migrate" in command and (
        manage := next((word for word in command.split() if word.endswith("manage.py")), "")
    ):
        packages = [file.parent.relative_to(root) for file in (root / manage).parent.rglob(_DJANGO)]
        return tuple(
            sorted(path.as_posix() for path in packages if not _NOT_WATCHED.intersection(path.parts))
        )
    return ()


def _alembic_folder(root: Path) -> str:
    """Return the folder of Alembic's migrations, as its settings name it."""
    location = ""
    with suppress(OSError, UnicodeDecodeError, ConfigError):
        parser = ConfigParser(interpolation=None)
        parser.read_string((root / "alembic.ini").read_text(encoding="utf-8"))
        location = parser.get("alembic", "script_location", fallback="")
    if not location:
        with suppress(OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError):
            document = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
            location = str(document.get("tool", {}).get("alembic", {}).get("script_location", ""))
    location = location.replace("%%", "%").replace("%(here)s", ".")
    if ":" in location:  # package:folder
        package, _, rest = location.partition(":")
        location = "/".join([*package.split("."), rest])
    return os.path.normpath(location) if location else ""


def _environment(url: str, variables: Mapping[str, str], before: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the command: every database in it is the scratch database.

    A variable that holds a URL of PostgreSQL gets the scratch database's, with the scheme that it had. So a
    program that reads its own variable does not reach the real database.
    """
    info = Conninfo(url)
    address = _plain(info)
    found = {}
    for name, value in before.items():
        scheme = _URL.match(value)
        if scheme is None:
            found[name] = value
        elif name != "DATABASE_URL":
            found[name] = f"{scheme['scheme']}://{address}"
    for name in ("PGSERVICE", "PGSERVICEFILE", "PGHOSTADDR"):
        found.pop(name, None)
    parts = {"HOST": info["host"], "PORT": info["port"], "USER": info.user, "PASSWORD": info["password"]}
    for name, value in parts.items():
        for variable in (f"PG{name}", f"DB_{name}"):
            if value:
                found[variable] = value
            else:
                found.pop(variable, None)
    found["PGDATABASE"] = found["DB_NAME"] = info["dbname"]
    found["DATABASE_URL"] = found["PLAINSQL_SCHEMA_URL"] = f"postgresql://{address}"
    for name, scheme_name in variables.items():
        scheme = _URL.match(before.get(name, ""))
        found[name] = f"{scheme_name or (scheme['scheme'] if scheme else 'postgresql')}://{address}"
    return found


def _plain(info: Conninfo) -> str:
    """Return the part of a URL after its scheme, in the form that most drivers read."""
    user = quote(info.user, safe="")
    if info["password"]:
        user += ":" + quote(info["password"], safe="")
    name = quote(info["dbname"], safe="")
    host, port = info["host"], info["port"]
    # Host and port of a Unix socket are in the query: an address has no place for a path.
    query = {"host": host} if host.startswith("/") else {}
    if host.startswith("/") and port:
        query["port"] = port
    query |= {key: info[key] for key in ("sslmode", "sslrootcert", "sslcert", "sslkey") if info[key]}
    place = (
        "" if host.startswith("/") else (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    )
    end = "&".join(f"{key}={quote(value, safe='/')}" for key, value in query.items())
    return f"{user}@{place}/{name}{'?' if end else ''}{end}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the command with all that it started."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):  # the last also ends what is left of it
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)


def _is_empty(url: str) -> bool:
    query = """
    select not exists (
      select from pg_catalog.pg_class as c
      inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
      where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    )
    """
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        row = connection.execute(query).fetchone()
    return row is not None and bool(row[0])
