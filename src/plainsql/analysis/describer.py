"""The server's own description of a statement, before any proof: types, columns, the text of the tree."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, pq
from psycopg.errors import Diagnostic

from plainsql.errors import ContractError

__all__ = ["DescribedColumn", "Describer", "Description", "RefusedError", "require_version"]

MIN_SERVER_VERSION = 160000

_SETTINGS = {
    "debug_print_parse": "on",
    "debug_pretty_print": "off",
    "debug_print_rewritten": "off",
    "debug_print_plan": "off",
    "check_function_bodies": "on",
    "client_encoding": "UTF8",
    "client_min_messages": "log",
}


class RefusedError(ContractError):
    """A statement that the server or the analysis refuses, with the ``position`` in its text."""

    def __init__(
        self,
        message: str,
        *,
        position: int | None = None,
        sqlstate: str | None = None,
        detail: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, sqlstate=sqlstate, detail=detail, hint=hint)
        self.position = position
        """1-based, in characters of the text that was sent; ``None`` if the error is about the whole
        statement.
        """


@dataclass(frozen=True, slots=True)
class DescribedColumn:
    """A result column as the protocol describes it."""

    name: str
    type: int
    modifier: int
    table: int
    """The oid of the table that it comes from unchanged, or 0."""
    number: int
    """The column's number in that table, or 0."""


@dataclass(frozen=True, slots=True)
class Description:
    """The server's description of one statement."""

    parameters: tuple[int, ...]
    """The type oids of the parameters, in the order of ``$n``."""
    columns: tuple[DescribedColumn, ...]
    trees: tuple[str, ...]
    """The text of the analysed trees: one for a plain statement, none for an empty one."""


def require_version(connection: Connection[Any]) -> None:
    """Raise ``ContractError`` if the server is too old for the analysis."""
    version = connection.info.server_version
    if version < MIN_SERVER_VERSION:
        raise ContractError(
            f"queries cannot be analysed on PostgreSQL {version // 10000}",
            detail="it can run them, but its trees do not show which outer joins make a column null",
            hint="use PostgreSQL 16 or newer for the analysis, or the embedded server",
        )


class Describer:
    """A connection that receives the analysed tree of every statement it prepares. It executes none of
    them.
    """

    def __init__(self, connection: Connection[Any]) -> None:
        """Take over a connection: its settings change until ``close``.

        Raises:
            ContractError: the server is older than PostgreSQL 16.
        """
        require_version(connection)
        self._connection = connection
        self._trees: list[str] = []
        self._armed = False
        connection.add_notice_handler(self._on_notice)
        settings = dict(_SETTINGS)
        if connection.execute("select current_setting('is_superuser')").fetchone() == ("on",):
            # The trees need not fill the server's own log.
            settings["log_min_messages"] = "fatal"
        for name, value in settings.items():
            self._set(name, value)
        self._settings = tuple(settings)

    def close(self) -> None:
        """Reset the connection's settings if it still works."""
        self._connection.remove_notice_handler(self._on_notice)
        if self._connection.info.transaction_status in (
            pq.TransactionStatus.IDLE,
            pq.TransactionStatus.INTRANS,
        ):
            for name in self._settings:
                self._connection.execute(f"reset {name}".encode())

    def describe(self, sql: str) -> Description:
        """Prepare a statement with ``$n`` parameters and describe it.

        Raises:
            RefusedError: the server refuses the statement; with its SQLSTATE and position.
        """
        guarded = self._connection.info.transaction_status == pq.TransactionStatus.INTRANS
        if guarded:
            self._connection.execute("savepoint plainsql_analysis")
        try:
            return self._describe(sql)
        except RefusedError:
            if guarded:
                self._connection.execute("rollback to savepoint plainsql_analysis")
            raise
        finally:
            if guarded:
                self._connection.execute("release savepoint plainsql_analysis")

    def _describe(self, sql: str) -> Description:
        server = self._connection.pgconn
        text = sql.encode()
        if b"\0" in text:
            raise RefusedError("the statement holds a zero character", position=sql.index("\0") + 1)
        self._trees.clear()
        self._armed = True
        try:
            self._check(server.prepare(b"", text), pq.ExecStatus.COMMAND_OK)
        finally:
            self._armed = False
        trees = tuple(self._trees)
        result = self._check(server.describe_prepared(b""), pq.ExecStatus.COMMAND_OK)
        return Description(
            tuple(result.param_type(i) for i in range(result.nparams)),
            tuple(
                DescribedColumn(
                    (result.fname(i) or b"").decode(),
                    result.ftype(i),
                    result.fmod(i),
                    result.ftable(i),
                    result.ftablecol(i),
                )
                for i in range(result.nfields)
            ),
            trees,
        )

    def trees_of_function(self, oid: int, search_path: str | None) -> tuple[str, ...]:
        """Have the server parse and analyse the body of an SQL function, and return the text of the trees.

        ``search_path`` is the function's own setting, if it has one. Raises ``psycopg.Error`` if the server
        refuses the body.
        """
        guarded = self._connection.info.transaction_status == pq.TransactionStatus.INTRANS
        with self._connection.transaction() if guarded else nullcontext():
            before = self._connection.execute("select current_setting('search_path')").fetchone()
            if search_path is not None:
                self._set("search_path", search_path)
            self._trees.clear()
            self._armed = True
            try:
                self._connection.execute("select pg_catalog.fmgr_sql_validator(%s)", (oid,), prepare=False)
            finally:
                self._armed = False
                if search_path is not None and before is not None:
                    self._set("search_path", before[0])
            # The first tree is that of this very query.
            return tuple(self._trees[1:])

    def _set(self, name: str, value: str) -> None:
        self._connection.execute("select pg_catalog.set_config(%s, %s, false)", (name, value))

    def _on_notice(self, notice: Diagnostic) -> None:
        # The server does not translate this message: `errmsg_internal`.
        if self._armed and notice.message_primary == "parse tree:":
            self._trees.append(notice.message_detail or "")

    def _check(self, result: pq.abc.PGresult, expected: pq.ExecStatus) -> pq.abc.PGresult:
        if result.status == expected:
            return result

        def field(code: pq.DiagnosticField) -> str | None:
            value = result.error_field(code)
            return value.decode(errors="replace") if value else None

        position = field(pq.DiagnosticField.STATEMENT_POSITION)
        raise RefusedError(
            field(pq.DiagnosticField.MESSAGE_PRIMARY) or "the server refuses the statement without a reason",
            position=int(position) if position else None,
            sqlstate=field(pq.DiagnosticField.SQLSTATE),
            detail=field(pq.DiagnosticField.MESSAGE_DETAIL),
            hint=field(pq.DiagnosticField.MESSAGE_HINT),
        )
