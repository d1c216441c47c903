"""Poolers such as PgBouncer in front of the server; the same for both drivers."""

from __future__ import annotations

import time
from typing import Final, Literal

__all__ = ["PROBE_NAME", "Pooler", "StatementTexts", "is_backend_sql", "probe_sql"]

Pooler = Literal["transaction", "session"]
"""The mode of a pooler: how long it lends a connection."""


PROBE_NAME: Final = "plainsql_probe"
"""The name of the statement that finds out whether a pooler renames its clients' statements."""


class StatementTexts:
    """The texts that are prepared through a pooler that keeps statements, such as PgBouncer from 1.21 on.

    Such a pooler prepares each text once on a connection to the server. If a table has changed since, the
    server refuses the statement for ever, and no client can drop it. So the text is changed: by a comment at
    its end, which other clients that find out in the same minute share.
    """

    def __init__(self) -> None:
        self.version = 0

    def of(self, sql: str) -> str:
        """Return the text to prepare."""
        return f"{sql}\n-- {self.version}" if self.version else sql

    def renew(self, version: int) -> None:
        """Change the texts from now on, after a statement of this version was refused as outdated."""
        if version == self.version:
            self.version = max(version + 1, int(time.time()) // 60)


def probe_sql() -> str:
    """Return the query that finds the probe's name if the pooler passes names on as they are."""
    return f"select from pg_prepared_statements where name = '{PROBE_NAME}'"


def is_backend_sql(pid: int) -> str:
    """Return the query that finds a row if the process that answers has this id.

    A pooler makes up the process id that its clients get: it is none of the server's. Send the query in the
    simple
    protocol: a prepared statement would stay behind in a pooler's connection.
    """
    return f"select where pg_backend_pid() = {pid:d}"
