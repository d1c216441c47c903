"""A schema that SQL files make: a dump, a script, or the migrations of another tool."""

from __future__ import annotations

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import psycopg

from plainsql.connect_errors import cannot_connect
from plainsql.conninfo import libpq_options
from plainsql.errors import PlainsqlError, SqlFileError
from plainsql.migrate.connection import Connection, ServerRefusal, clean, send
from plainsql.migrate.discovery import display_path
from plainsql.migrate.script import place_at
from plainsql.schema.omissions import NAMES, Server, Verdict, judge, judge_refusal
from plainsql.schema.psql_script import Piece, split
from plainsql.schema.schema_files import SchemaFile, read_schema_files

__all__ = ["SqlSchema"]

_log = logging.getLogger("plainsql")

_FORM: Final = b"1"
"""Part of the digest: a change of what is left out builds the database again."""
_DUMP: Final = ("-- PostgreSQL database dump", "-- PostgreSQL database cluster dump")
_HEAD_CHARS: Final = 2000
_SESSION: Final = "set synchronous_commit = off; set client_min_messages = warning"
_SUPABASE_PATH: Final = 'set search_path = "$user", public, extensions'
# Commands of psql that change what the rest of a script does, and cannot be left out.
_PROGRAM_COMMANDS: Final = frozenset(
    ["bind", "crosstabview", "elif", "else", "endif", "g", "gdesc", "gexec", "gset", "gx", "if", "parse"]
)


@dataclass(frozen=True, slots=True)
class SqlSchema:
    """A file or a folder of SQL that is only ever loaded into the scratch database."""

    path: Path

    @property
    def identity(self) -> bytes:
        return os.fsencode(self.path.resolve())

    def digest(self) -> str:
        """Return the digest of the files; of a folder, of the parts that run."""
        found = read_schema_files(self.path)
        digest = hashlib.sha256(_FORM + found.tool.encode() + b"\0")
        for file in found.files:
            digest.update(file.path.encode() + b"\0" + file.text.encode() + b"\0")
        return digest.hexdigest()

    def apply(self, url: str) -> None:
        """Load the schema into an empty database; log once what was left out.

        Raises ``SqlFileError`` with the place of the statement that the server refuses.
        """
        found = read_schema_files(self.path)
        left_out = Counter(found.left_out)
        with _connected(url) as connection:
            server, session = _server(connection), _SESSION
            if found.tool == "Supabase":
                send(connection, _platform(server))
                session = f"{session}; {_SUPABASE_PATH}"
            for file in found.files:
                send(connection, session)
                _Load(connection, file, server, left_out).run()
                clean(connection)
        if left_out:
            said = ", ".join(f"{n} {NAMES[key][n > 1]}" for key, n in sorted(left_out.items()))
            _log.warning("%s: skipped: %s", display_path(self.path), said)


class _Load:
    """The load of one file."""

    def __init__(
        self, connection: Connection, file: SchemaFile, server: Server, left_out: Counter[str]
    ) -> None:
        self._connection = connection
        self._file = file
        self._server = server
        self._left_out = left_out
        self._is_dump = any(mark in file.text[:_HEAD_CHARS] for mark in _DUMP)

    def run(self) -> None:
        text = self._file.text
        for piece in split(text, self._file.path):
            if piece.kind == "rows":
                self._left_out["rows"] += 1
            elif piece.kind == "command":
                self._skip_command(piece)
            else:
                verdict = judge(text[piece.start : piece.end], self._server, is_dump=self._is_dump)
                self._left_out.update([verdict.reason] if verdict.reason else [])
                self._run(piece, verdict)

    def _skip_command(self, piece: Piece) -> None:
        words = self._file.text[piece.start + 1 : piece.end].split()
        if words and words[0] in _PROGRAM_COMMANDS:
            raise self._error(
                piece.start,
                f"psql's \\{words[0]} is not understood",
                hint="write the statements that it makes, or use a pg_dump --schema-only of the database",
            )
        if words[:1] != ["copy"] or "from" not in [word.lower() for word in words]:
            self._left_out["command"] += 1
        else:
            self._left_out["rows"] += 1

    def _run(self, piece: Piece, verdict: Verdict) -> None:
        if verdict.missing_extension:
            raise self._error(
                piece.start,
                f"the server does not have the extension {verdict.missing_extension}",
                hint="set scratch in [tool.plainsql] to a server that has it, or remove the statement",
            )
        if verdict.text is None:
            return
        try:
            send(self._connection, verdict.text)
        except ServerRefusal as refusal:
            statement, sqlstate = verdict.text, refusal.cause.sqlstate
            if reason := judge_refusal(statement, sqlstate, is_dump=self._is_dump):
                self._left_out[reason] += 1
                return
            said = refusal.cause.diag
            original = self._file.text[piece.start : piece.end]
            offset = int(said.statement_position or 1) - 1 if statement == original else 0
            details = [said.message_detail, said.context.splitlines()[0] if said.context else None]
            details.append("on the scratch database, which is dropped: no other database was changed")
            raise self._error(
                piece.start + offset,
                f"{said.message_primary or refusal.cause} (SQLSTATE {sqlstate})",
                detail="\n        ".join(filter(None, details)),
                hint=said.message_hint or _hint(sqlstate, said.message_primary or "", statement),
            ) from refusal.cause

    def _error(
        self, offset: int, message: str, *, detail: str | None = None, hint: str | None = None
    ) -> SqlFileError:
        place = place_at(self._file.path, self._file.text, offset)
        return SqlFileError(message, place=place, detail=detail, hint=hint)


def _hint(sqlstate: str | None, message: str, statement: str) -> str | None:
    if sqlstate == "0A000" and ("not supported in this build" in message or "without" in message):
        return "set scratch in [tool.plainsql] to a server that can do it"
    if sqlstate == "0A000" and "unsupported XML feature" in message:
        return "set scratch in [tool.plainsql] to a server that is built with XML"
    if sqlstate == "58P01" or (sqlstate == "42704" and "language" in message):
        return "set scratch in [tool.plainsql] to a server that has it"
    if sqlstate == "42601" and 'at or near ":"' in message:
        return "write the value: variables of psql are not replaced"
    if sqlstate == "42501":
        return "name a scratch server whose role is a superuser, such as the embedded one"
    if sqlstate in ("42P01", "42704", "42883", "3F000") and "create" in statement[:6].lower():
        return "make it in an earlier file or statement: an empty database has nothing of the real one"
    return None


def _platform(server: Server) -> str:
    """Return the statements that make what Supabase has before a project's first migration."""
    source = (files("plainsql.schema") / "supabase.sql").read_text(encoding="utf-8")
    return source.replace("current_database_name", server.database)


def _server(connection: Connection) -> Server:
    roles = connection.execute("select rolname from pg_catalog.pg_roles").fetchall()
    extensions = connection.execute("select name from pg_catalog.pg_available_extensions").fetchall()
    row = connection.execute("select quote_ident(current_database())").fetchone()
    return Server(
        frozenset(str(name) for (name,) in roles),
        frozenset(str(name) for (name,) in extensions),
        str(row[0]) if row else "",
    )


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    options: dict[str, Any] = {**libpq_options(url, fallback_name="plainsql schema")}
    options["client_encoding"] = "utf8"
    try:
        connection: Connection = psycopg.connect("", autocommit=True, prepare_threshold=None, **options)
    except psycopg.OperationalError as error:
        raise cannot_connect(url, error, error.sqlstate) from error
    with connection:
        try:
            yield connection
        except ServerRefusal as refusal:
            raise PlainsqlError(
                f"the schema cannot be loaded: {refusal.cause.diag.message_primary or refusal.cause}",
                hint="read the server's log",
            ) from refusal.cause
