"""Every error that plainsql raises, divided by who must act on it.

The text of an error is always laid out the same way::

    sql/realty/leads/get_by_id.sql:7:15: what happened, expected X, got Y
        where l.id = :id
                     ^
    DETAIL: more of what is known
    HINT: the one thing to do

Errors of the PostgreSQL server are not wrapped: they stay what the driver raised (people catch
``asyncpg.UniqueViolationError``). They gain a note that names the query and its file, and a second class
(`sqlstate_errors`).
No error text of plainsql holds the value of a parameter, a password or a key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "BindError",
    "CacheError",
    "ConnectError",
    "ContractError",
    "DecodeError",
    "EmbeddedServerError",
    "EncryptionError",
    "FileError",
    "MigrationError",
    "NoRowError",
    "OptionError",
    "PageTokenError",
    "Place",
    "PlainsqlError",
    "PoolTimeoutError",
    "RedisUnavailableError",
    "SettingsError",
    "SqlFileError",
    "SqlFolderError",
    "TenantError",
    "TooManyRowsError",
    "TransactionError",
    "printable",
]


def printable(text: str) -> str:
    """Return a text without the characters that a terminal acts on: control characters, changes of direction.

    They come from files, names and servers, and are shown by their numbers.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\t\n" else _escaped(ord(c)) for c in text)


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


@dataclass(frozen=True, slots=True)
class Place:
    """The place of an error in a text file."""

    path: str
    """The file as the user knows it: relative to the working folder if that is shorter."""
    line: int = 0
    """1-based; 0 means the file as a whole."""
    column: int = 0
    """1-based, in characters; 0 means the line as a whole."""
    excerpt: str = ""
    """The line of source itself, without its line end."""

    def __str__(self) -> str:
        numbers = [str(number) for number in (self.line, self.column) if number]
        return ":".join([self.path, *numbers])

    def caret(self) -> str:
        """Return the excerpt with a caret under the column, or nothing if either is unknown."""
        if not (self.column and self.excerpt.strip()):
            return ""
        # Tabs are kept in the caret's line, so that the caret is right for any tab width.
        lead = "".join("\t" if c == "\t" else " " for c in printable(self.excerpt[: self.column - 1]))
        return f"    {printable(self.excerpt)}\n    {lead}^"


class PlainsqlError(Exception):
    """The root of all errors of plainsql."""

    def __init__(
        self,
        message: str,
        *,
        place: Place | None = None,
        detail: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        lines = [printable(f"{self.place}: {self.message}" if self.place else self.message)]
        if self.place and (caret := self.place.caret()):
            lines.append(caret)
        if self.detail:
            lines.append(f"DETAIL: {printable(self.detail)}")
        if self.hint:
            lines.append(f"HINT: {printable(self.hint)}")
        return "\n".join(lines)


class SqlFileError(PlainsqlError):
    """A SQL file cannot be loaded: its author must change it."""


class SqlFolderError(SqlFileError):
    """Several SQL files cannot be loaded: all errors of a folder together."""

    def __init__(self, errors: Iterable[SqlFileError]) -> None:
        self.errors = tuple(errors)
        """At least two, in the order of path, line and column."""
        super().__init__(f"{len(self.errors)} errors in SQL files")

    def __str__(self) -> str:
        return "\n\n".join([*map(str, self.errors), self.message])


class ContractError(PlainsqlError):
    """PostgreSQL refuses a query, or does not return what its header says."""

    def __init__(
        self,
        message: str,
        *,
        sqlstate: str | None = None,
        place: Place | None = None,
        detail: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, place=place, detail=detail, hint=hint)
        self.sqlstate = sqlstate


class BindError(PlainsqlError, TypeError):
    """The caller gave a query the wrong parameters: names, types or bounds. Nothing of the call was done."""


class NoRowError(PlainsqlError, LookupError):
    """A query that returns exactly one row found none."""


class TooManyRowsError(PlainsqlError, LookupError):
    """A query that returns at most one row found more."""


class DecodeError(PlainsqlError, ValueError):
    """A value that came from the database does not fit its declared type."""


class EncryptionError(PlainsqlError):
    """An encrypted value cannot be opened: its key is not here, or it was changed or moved."""


class SettingsError(PlainsqlError):
    """A setting is missing or cannot be read: environment, ``pyproject.toml`` or an option."""


class FileError(PlainsqlError, OSError):
    """A file or a folder is not safe to use: a link is in its place, or other users can change it."""


class OptionError(SettingsError, ValueError):
    """An option of a function is not of its kind: ``connect(): max_size: expected …, got …``."""


class PageTokenError(PlainsqlError, ValueError):
    """The token of a page is not one of these pages: another query, another order, or changed."""


class ConnectError(PlainsqlError, ConnectionError):
    """The database cannot be reached or refuses the login: its operator must act."""


class PoolTimeoutError(PlainsqlError, TimeoutError):
    """No connection of the pool became free in time. Nothing was sent."""


class TenantError(PlainsqlError):
    """A query of tables with row-level security is called without a tenant: the caller must name one."""


class TransactionError(PlainsqlError):
    """A transaction is used in a way that it cannot be: after its end, or by two tasks at the same time."""


class EmbeddedServerError(PlainsqlError):
    """The embedded PostgreSQL server does not start, or its folder cannot be used."""


class MigrationError(PlainsqlError):
    """A migration cannot be read, applied or rolled back."""


class CacheError(PlainsqlError):
    """The cache cannot do what a call needs: a write, or a command. Cache *reads* never raise."""


class RedisUnavailableError(PlainsqlError, ConnectionError):
    """Redis cannot be reached, refuses, or did not answer in time: whether it acted is not known."""
