"""Poolers such as PgBouncer in front of the server; the same for both drivers."""

from __future__ import annotations

from typing import Literal

__all__ = ["Pooler", "is_backend_sql"]

Pooler = Literal["transaction", "session"]
"""The mode of a pooler: how long it lends a connection."""


def is_backend_sql(pid: int) -> str:
    """Return the query that finds a row if the process that answers has this id.

    A pooler makes up the process id that its clients get: it is none of the server's. Send the query in the
    simple
    protocol: a prepared statement would stay behind in a pooler's connection.
    """
    return f"select where pg_backend_pid() = {pid:d}"
