"""PostgreSQL as the judge of what a text means: its parser through Parse, its lexer through syntax errors."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import pq


class Oracle:
    """A connection that is asked about texts and never runs one."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.pgconn = connection.pgconn

    def describe(self, sql: str) -> tuple[int, list[str]]:
        """How many parameters the server finds in the text, and the names of the result's columns."""
        self._ok(self.pgconn.prepare(b"", sql.encode()), sql)
        result = self._ok(self.pgconn.describe_prepared(b""), sql)
        return result.nparams, [(result.fname(i) or b"").decode() for i in range(result.nfields)]

    def refusal(self, sql: str) -> str:
        """What the server has against the text; empty where it accepts it."""
        result = self.pgconn.prepare(b"", sql.encode())
        return (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode()

    def position(self, sql: str) -> int:
        """Where the server's error about the text is: 1-based, in characters."""
        result = self.pgconn.prepare(b"", sql.encode())
        position = result.error_field(pq.DiagnosticField.STATEMENT_POSITION)
        assert position is not None
        return int(position)

    def first_token(self, text: str) -> str | None:
        """The token that the server's lexer finds first in the text; ``None`` if it finds none.

        Nothing but a semicolon can follow ``close all``, so the parser names whatever it meets there.
        """
        _, near, token = self.refusal("close all " + text).partition(' at or near "')
        return token[:-1] if near else None

    @staticmethod
    def _ok(result: pq.abc.PGresult, sql: str) -> pq.abc.PGresult:
        if result.status != pq.ExecStatus.COMMAND_OK:
            message = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode()
            raise AssertionError(f"PostgreSQL refuses: {message}\n{sql}")
        return result
