"""A sandbox for schemas: made in an empty database, for statements to be analysed against, and undone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from plainsql.analysis.analyser import Analyser
from plainsql.analysis.describer import RefusedError

__all__ = ["Sandbox"]

# `end` also ends a function's body: one new database too many costs a tenth of a second.
_MAY_COMMIT = re.compile(r"\b(?:commit|rollback|abort|end|prepare|call|do)\b", re.IGNORECASE)


class Sandbox:
    """An empty database, the schema that was made in it, and the analyser of statements there."""

    def __init__(self, new_database: Callable[[], Any]) -> None:
        self._new_database = new_database
        self._connection: Any = None
        self._analyser: Analyser | None = None
        self._schema = ""
        self._committed = False

    def create_schema(self, schema: str) -> Analyser:
        """Make a schema, unless it is the current one.

        Raises ``RefusedError`` if the server refuses it.
        """
        if self._analyser is not None and schema == self._schema:
            return self._analyser
        self.drop_schema()
        if self._connection is None:
            self._connection = self._new_database()
            self._connection.autocommit = False
        try:
            self._analyser = self._make(self._connection, schema)
        except BaseException:
            self.drop_schema()
            raise
        self._schema = schema
        return self._analyser

    def drop_schema(self) -> None:
        """Undo the schema. If it cannot be rolled back, the database is dropped with it."""
        connection, analyser = self._connection, self._analyser
        self._analyser = None
        if connection is None:
            return
        in_transaction = connection.info.transaction_status in (
            TransactionStatus.INTRANS,
            TransactionStatus.INERROR,
        )
        if in_transaction and not self._committed:
            # The rollback undoes the settings as well: they are transactional.
            connection.rollback()
            if analyser is not None:
                analyser.close()
        else:  # it has committed, is in the middle of a COPY, or is lost
            self.close()
            self._committed = False

    def close(self) -> None:
        """Close the connection to the database."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _make(self, connection: Any, schema: str) -> Analyser:
        began = connection.execute("select pg_catalog.now()").fetchone()
        # Set in case the schema fails: the time of a failed transaction cannot be queried.
        self._committed = _MAY_COMMIT.search(schema) is not None
        try:
            connection.execute(schema.encode() or b"select")
            same = connection.execute("select pg_catalog.now()").fetchone() == began
        except psycopg.Error as error:
            raise RefusedError(
                f"the schema is refused: {error.diag.message_primary or error}",
                sqlstate=error.sqlstate,
                detail=error.diag.message_detail,
                hint=error.diag.message_hint,
            ) from None
        self._committed = not same  # for example a dump, between begin and commit
        return Analyser(connection)
