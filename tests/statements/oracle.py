"""PostgreSQL as the judge of a text's meaning: its parser through Parse, its lexer through syntax errors."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import pq


class Oracle:
    """A connection that prepares texts and never runs one."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.pgconn = connection.pgconn

    def describe(self, sql: str) -> tuple[int, list[str]]:
        """Return the number of parameters that the server finds, and the names of the result's columns."""
        self._ok(self.pgconn.prepare(b"", sql.encode()), sql)
        result = self._ok(self.pgconn.describe_prepared(b""), sql)
        return result.nparams, [(result.fname(i) or b"").decode() for i in range(result.nfields)]

    def refusal(self, sql: str) -> str:
        """Return the server's error about the text; empty if it accepts it."""
        result = self.pgconn.prepare(b"", sql.encode())
        return (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode()

    def position(self, sql: str) -> int:
        """Return the position of the server's error about the text: 1-based, in characters."""
        result = self.pgconn.prepare(b"", sql.encode())
        position = result.error_field(pq.DiagnosticField.STATEMENT_POSITION)
        assert position is not None
        return int(position)

    def first_token(self, text: str) -> str | None:
        """Return the token that the server's lexer finds first in the text; ``None`` if it finds none.

        Only a semicolon can follow ``close all``, so the parser names any other token that comes there.
        """
        _, near, token = self.refusal("close all " + text).partition(' at or near "')
        return token[:-1] if near else None

    @staticmethod
    def _ok(result: pq.abc.PGresult, sql: str) -> pq.abc.PGresult:
        if result.status != pq.ExecStatus.COMMAND_OK:
            message = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode()
            raise AssertionError(f"PostgreSQL refuses: {message}\n{sql}")
        return result
