"""A database's schema as stable text, read from the catalogues: no binary is needed, and no two runs differ.

It is made to be compared, so as to hold that up, down and up again leaves the same schema. It cannot be run.
"""

from __future__ import annotations

from importlib.resources import files

from plainsql.migrate.connection import connected

__all__ = ["dump"]

_OURS = (
    "_yoyo_log",
    "_yoyo_version",
    "yoyo_lock",
    "plainsql_migration",
)


def dump(url: str) -> str:
    """Describe every object of a database, one block for each, ordered by kind and name.

    Left out are PostgreSQL's own objects, those that extensions brought, the tables in which migrations are
    recorded, data, and where sequences stand. Column order counts; dropped columns do not.

    Args:
        url: a libpq URL or connection string. Owners and grants are part of the text, so compare as one role.

    Raises ``ConnectError`` if no connection.
    """
    blocks: list[str] = []
    with connected(url) as connection, connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        # Nothing but pg_catalog in the path: every other name comes out qualified.
        connection.execute("set local search_path = pg_catalog")
        connection.execute("set local datestyle = 'ISO, YMD'")
        folder = files("plainsql.migrate") / "catalogue"
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
