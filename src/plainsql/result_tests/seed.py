"""The seed: the SQL that writes the rows on which the cases run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import psycopg

from plainsql.errors import SettingsError, SqlFileError
from plainsql.migrate.discovery import display_path
from plainsql.migrate.script import place_at
from plainsql.schema.psql_script import Piece, split
from plainsql.schema.schema_files import SchemaFile, read_schema_files
from plainsql.settings import Project

__all__ = ["SESSION", "apply_seed", "seed_files"]

SESSION: Final = {
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
}
"""The settings with which values are read and written: results are the same on each machine."""


def seed_files(project: Project) -> Sequence[SchemaFile]:
    """Return the files of a project's seed in their order; none without a seed.

    Raises ``SettingsError`` if there is no such file or no SQL in the folder, and ``SqlFileError`` if a file
    cannot be read.
    """
    if not project.seed:
        return ()
    path = project.root / project.seed
    if not path.is_file() and not (path.is_dir() and any(path.rglob("*.sql"))):
        found = "there is no file or folder" if not path.is_dir() else "there are no SQL files in"
        raise SettingsError(
            f"seed in [tool.plainsql]: {found} {display_path(path)}",
            hint="name the file or the folder that writes the rows of tests, relative to pyproject.toml",
        )
    return read_schema_files(path).files


def apply_seed(
    connection: psycopg.Connection[Any], files: Sequence[SchemaFile], search_path: str = ""
) -> None:
    """Execute the files of a seed on a connection in autocommit mode.

    ``random()`` has the same values in each run. The rows of ``COPY … FROM stdin`` are read from the file, as
    ``pg_dump`` writes them.

    Raises ``SqlFileError`` with the place of the statement that the server refuses.
    """
    for file in files:
        settings = {**SESSION, "synchronous_commit": "off", "client_min_messages": "warning"}
        for name, value in {**settings, **({"search_path": search_path} if search_path else {})}.items():
            connection.execute("select pg_catalog.set_config(%s, %s, false)", [name, value])
        connection.execute("select pg_catalog.setseed(0)")
        pieces = [*split(file.text, file.path)]
        for at, piece in enumerate(pieces):
            follower = pieces[at + 1] if at + 1 < len(pieces) else None
            _run(connection, file, piece, follower if follower and follower.kind == "rows" else None)
        connection.execute("reset all")


def _run(connection: psycopg.Connection[Any], file: SchemaFile, piece: Piece, rows: Piece | None) -> None:
    text = file.text[piece.start : piece.end]
    if piece.kind == "command":
        raise SqlFileError(
            f"psql's {text.split()[0]} is not understood",
            place=place_at(file.path, file.text, piece.start),
            hint="write the statements, or COPY … FROM stdin with its rows",
        )
    if piece.kind == "rows":
        return
    try:
        if rows is None:
            connection.execute(text.encode())
        else:
            with connection.cursor().copy(text.encode()) as copy:
                copy.write(file.text[rows.start : rows.end])
    except psycopg.Error as error:
        said = error.diag
        if said.message_primary is None:
            raise
        raise SqlFileError(
            f"{said.message_primary} (SQLSTATE {error.sqlstate})",
            place=place_at(file.path, file.text, piece.start + int(said.statement_position or 1) - 1),
            detail=said.message_detail,
            hint=said.message_hint or "mend the seed: it runs after all migrations",
        ) from None
