"""The connection of a ``db`` command, the options of all of them, and the form of the server's errors."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
import psycopg
from cyclopts import Parameter
from psycopg.conninfo import conninfo_to_dict

import plainsql.sync
from plainsql.errors import PlainsqlError
from plainsql.settings import hide_password, resolve_database

__all__ = ["COMMON", "FLAG", "Common", "Session", "connected", "print_json"]

FLAG = Parameter(negative=(), show_default=False)


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """The options of all ``db`` commands."""

    database: str | None = None
    "URL of the database; by default the configured one, else the embedded server."
    json: Annotated[bool, Parameter(name="--json", negative=(), show_default=False)] = False
    "Print JSON and nothing else."


COMMON: Final = Common()


@dataclass(frozen=True, slots=True)
class Session:
    """A database that a command is connected to."""

    db: plainsql.sync.Database
    url: str

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """Its connection, in autocommit mode."""
        return self.db.connection

    @property
    def address(self) -> str:
        """The URL without its password."""
        return hide_password(self.url)


@contextmanager
def connected(database: str | None, *, search_path: str | None = "") -> Generator[Session]:
    """Connect to the configured database.

    ``search_path``: by default the server's own, in which the records of migrations are found; None is the
    project's, which its queries need.

    Raises ``PlainsqlError`` if the server refuses a statement, and psycopg's error if the connection is lost.
    """
    with (
        resolve_database(database) as url,
        plainsql.sync.connect(
            url,
            application_name="plainsql db",
            connect_timeout=_connect_timeout(url),
            search_path=search_path,
        ) as db,
    ):
        try:
            yield Session(db, url)
        except psycopg.Error as error:
            if error.sqlstate is None or error.sqlstate[:2] in ("08", "57"):
                raise
            said = error.diag
            raise PlainsqlError(
                f"{said.message_primary} (SQLSTATE {error.sqlstate})", hint=said.message_hint
            ) from None


def _connect_timeout(url: str) -> float:
    """Return the URL's connect_timeout in seconds, else 10."""
    try:
        return float(str(conninfo_to_dict(url).get("connect_timeout") or 10))
    except (psycopg.Error, ValueError):  # the connection attempt reports it
        return 10.0


def print_json(value: object) -> None:
    """Print one JSON value: indented at a terminal, else on one line."""
    text = msgspec.json.encode(value)
    print((msgspec.json.format(text) if sys.stdout.isatty() else text).decode())
