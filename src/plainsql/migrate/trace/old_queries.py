"""The queries of the code in production, prepared before and after each migration.

A query that could be prepared before and is refused afterwards, or returns other columns, is broken by the
migration.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from psycopg import pq

from plainsql.migrate.connection import Connection

__all__ = ["BrokenQuery", "OldQueries", "OldQuery"]


class OldQuery(NamedTuple):
    """One variant of a query, as it is sent to the server."""

    name: str
    """The name of the query: ``orders.get_by_id``."""
    sql: str
    """The text with ``$1``, ``$2``."""

    def mentions(self, name: str) -> bool:
        """Return True if the text has a name, in any letter case."""
        return re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", self.sql, re.IGNORECASE) is not None


class BrokenQuery(NamedTuple):
    """A query that fails after a migration."""

    query: OldQuery
    message: str
    """The server's message, or the difference of its columns."""


class OldQueries:
    """The queries of the code in production that run on the current state of the database."""

    def __init__(self, queries: Iterable[OldQuery]) -> None:
        self._queries: Final = tuple(queries)
        self._columns: dict[OldQuery, tuple[tuple[bytes, int], ...]] = {}

    def mention(self, name: str) -> bool:
        """Return True if one of the queries has a name in its text."""
        return any(query.mentions(name) for query in self._queries)

    def prepare(self, connection: Connection) -> None:
        """Prepare all queries; those that are refused are not looked at afterwards."""
        for query in self._queries:
            columns, refusal = _described(connection, query.sql)
            if refusal is None:
                self._columns[query] = columns

    def broken(self, connection: Connection) -> Sequence[BrokenQuery]:
        """Prepare the queries again, and return those that a migration has broken since the last call."""
        found = []
        for query, columns in list(self._columns.items()):
            now, refusal = _described(connection, query.sql)
            if refusal is None and now == columns:
                continue
            del self._columns[query]
            found.append(BrokenQuery(query, refusal or _difference(columns, now)))
        return found


_CONFLICT: Final = "conflict"
_GENERIC_PLANS: Final = 160_000
"""The first version of PostgreSQL that explains a query with parameters."""
# Types that are one type in Python: integers, and texts.
_ALIKE: Final = {oid: group[0] for group in ((20, 21, 23), (25, 18, 19, 1042, 1043)) for oid in group}


def _difference(before: tuple[tuple[bytes, int], ...], now: tuple[tuple[bytes, int], ...]) -> str:
    names = [name for name, _ in now]
    if names != [name for name, _ in before]:
        return f"it returns other columns: {', '.join(name.decode('utf-8', 'replace') for name in names)}"
    changed = [
        name.decode("utf-8", "replace")
        for (name, old), (_, new) in zip(before, now, strict=True)
        if old != new
    ]
    return f"it returns another type for {', '.join(changed)}"


def _described(connection: Connection, sql: str) -> tuple[tuple[tuple[bytes, int], ...], str | None]:
    """Return the names and types of a query's columns, and the server's message if it is refused."""
    server = connection.pgconn
    prepared = server.prepare(b"", sql.encode())
    if prepared.status != pq.ExecStatus.COMMAND_OK:
        return (), _message(prepared)
    described = server.describe_prepared(b"")
    if _CONFLICT in sql.lower() and connection.info.server_version >= _GENERIC_PLANS:
        # The unique index of a conflict is looked up when the query is planned.
        planned = server.exec_(f"explain (generic_plan) {sql}".encode())
        if planned.status != pq.ExecStatus.TUPLES_OK:
            return (), _message(planned)
    return tuple(
        (described.fname(number) or b"", _ALIKE.get(described.ftype(number), described.ftype(number)))
        for number in range(described.nfields)
    ), None


def _message(result: pq.abc.PGresult) -> str:
    text = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"refused"
    return text.decode("utf-8", "replace")
