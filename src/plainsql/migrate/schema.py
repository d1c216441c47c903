"""The schema of a database as stable text, read from the catalogs without any program of PostgreSQL.

It is made for comparisons: up, down and up again must leave the same schema. It cannot be run.
"""

from __future__ import annotations

from importlib.resources import files

from plainsql.migrate.connection import Connection, connected

__all__ = ["dump", "dump_of"]

_OURS = (
    "_yoyo_log",
    "_yoyo_version",
    "yoyo_lock",
    "plainsql_migration",
)


def dump(url: str) -> str:
    """Return the text of every object of a database, one block for each, ordered by kind and name.

    It leaves out PostgreSQL's own objects, those of extensions, the records of migrations, data, and the
    state of sequences. Column order counts; dropped columns do not.

    Args:
        url: a libpq URL or connection string. Owners and grants are part of the text, so compare texts of
            one role.

    Raises ``ConnectError`` without a connection.
    """
    with connected(url) as connection:
        return dump_of(connection)


def dump_of(connection: Connection) -> str:
    """Return the same text of the database of a connection, which is in autocommit mode."""
    blocks: list[str] = []
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        # Only pg_catalog is in the path, so that all other names are qualified.
        connection.execute("set local search_path = pg_catalog")
        connection.execute("set local datestyle = 'ISO, YMD'")
        folder = files("plainsql.migrate") / "catalog"
        for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
            found = connection.execute(file.read_text(encoding="utf-8").encode()).fetchall()
            for name, definition in sorted((str(row[0]), str(row[1] or "")) for row in found):
                if not _is_ours(name):
                    blocks.append(_block(name, definition))
    return "\n".join(blocks)


def _block(name: str, definition: str) -> str:
    lines = [line.rstrip() for line in definition.splitlines()]
    return "".join([f"{name}\n", *(f"  {line}\n" for line in lines if line)])


def _is_ours(name: str) -> bool:
    kind, _, qualified = name.partition(" ")
    table = qualified.rpartition(".")[2].strip('"')
    return kind in ("table", "index") and table.removesuffix("_pkey").startswith(("_yoyo_migration", *_OURS))
