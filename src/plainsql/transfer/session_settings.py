"""The session's settings while all rows are read or written: the text form of values, and no time limits."""

from __future__ import annotations

from plainsql.transfer.catalog import Connection
from plainsql.transfer.errors import TransferError
from plainsql.transfer.file_format import SETTINGS

__all__ = ["fix_settings", "prepare_session"]

_LIMITS = {
    # An error, if a policy would silently leave out rows.
    "row_security": "off",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "transaction_timeout": "0",
    "lock_timeout": "10s",
    # Rows in their physical order, always from the first one on.
    "synchronize_seqscans": "off",
    "max_parallel_workers_per_gather": "0",
}


def prepare_session(connection: Connection) -> None:
    """Set the session's settings for a transfer, until the transaction ends.

    Raises ``TransferError`` if the database has the encoding SQL_ASCII, which is none.
    """
    fix_settings(connection)
    if connection.execute("show server_encoding").fetchall()[0][0] == "SQL_ASCII":
        raise TransferError(
            "the database has the encoding SQL_ASCII: the meaning of its text is not known",
            hint="move it to a database in UTF8 with pg_dump",
        )


def fix_settings(connection: Connection) -> None:
    """Fix what the text of a value depends on, and take away time limits, until the transaction ends."""
    connection.execute("set local client_encoding to 'utf8'")
    connection.execute(
        # Not every server has every setting: transaction_timeout is new in PostgreSQL 17.
        "select set_config(s.name, w.value, true)"
        " from unnest(%s::text[], %s::text[]) as w (name, value)"
        " inner join pg_settings as s on lower(s.name) = lower(w.name)",
        [[*SETTINGS, *_LIMITS], [*SETTINGS.values(), *_LIMITS.values()]],
    ).fetchall()
