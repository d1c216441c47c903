"""The sequences of a database: each case begins with the numbers that the seed left."""

from __future__ import annotations

from typing import Any

from psycopg import Connection, sql

__all__ = ["Sequences"]

_NAMES = """
select n.nspname, c.relname
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where c.relkind = 'S' and c.relpersistence <> 't'
order by 1, 2
"""


class Sequences:
    """The state of all sequences, which a rolled back transaction does not restore."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection
        names = connection.execute(_NAMES).fetchall()
        reads = [
            sql.SQL("select {}::text, s.last_value, s.is_called from {} as s").format(
                sql.Identifier(*name).as_string(connection), sql.Identifier(*name)
            )
            for name in names
        ]
        self._states = connection.execute(sql.SQL(" union all ").join(reads)).fetchall() if reads else []

    def restore(self) -> None:
        """Set each sequence to the value that it had at first."""
        if self._states:
            self._connection.execute(
                "select pg_catalog.setval(s.name::regclass, s.value, s.is_called)"
                " from unnest(%s::text[], %s::int8[], %s::bool[]) as s (name, value, is_called)",
                [[*column] for column in zip(*self._states, strict=True)],
            )
