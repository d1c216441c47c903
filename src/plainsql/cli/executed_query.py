"""The execution of one query by its texts: parameters as the server reads them, rows as it writes them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import pq

from plainsql.cli.assignments import Given
from plainsql.cli.encryption import encrypt_arguments, hide
from plainsql.cli.json_rows import with_lists
from plainsql.cli.literals import Type, read_types, to_text
from plainsql.errors import ContractError, Place
from plainsql.query import Args, Query, QueryText
from plainsql.statements import Statement
from plainsql.statements.column_paths import has_lists, level_of
from plainsql.statements.server_errors import REFUSED_WHEN_READ, refusal
from plainsql.types import UNSET

__all__ = ["Executed", "bind", "execute_query"]


@dataclass(frozen=True, slots=True)
class Executed:
    """The result of a query."""

    names: list[str]
    """The names of its columns; none for a count."""
    types: list[Type]
    rows: list[list[str | None]]
    """The rows as PostgreSQL writes them, with encrypted values hidden."""
    count: int
    """The number of rows that it returned or changed."""
    tag: str
    """The server's word for the statement: ``SELECT 3``, ``INSERT 0 1``."""
    seconds: float


def execute_query(
    connection: psycopg.Connection[Any],
    statement: Statement,
    call: Query[..., Any, Any],
    given: Mapping[str, Given],
) -> Executed:
    """Execute a query with the arguments of ``given``, in the connection's transaction if it is in one.

    A query with settings of its own needs one.

    Raises ``ContractError`` if the server refuses it or its rows contradict the header, ``NoRowError`` and
    ``TooManyRowsError`` as a call does, and ``BindError`` for an argument that cannot be written as its type.
    """
    text, values = call.compiled.text(bind(statement, call, given))
    cursor = psycopg.RawCursor(connection)
    try:
        for name, value in _settings(statement, text, given):
            connection.execute("select pg_catalog.set_config(%s, %s, true)", [name, value])
        arguments = _arguments(connection, statement, text, values, given)
        began = time.perf_counter()
        cursor.execute(text.sql.encode(), arguments)
        seconds = time.perf_counter() - began
    except psycopg.Error as error:
        if error.diag.message_primary is None:
            raise
        raise _refused(error, statement, text) from error
    count, kind = cursor.rowcount, statement.returns.kind
    promises = kind in ("one", "optional")
    if promises and cursor.pgresult is not None:
        count = _number_of_parents(cursor.pgresult, count)
    if (kind == "one" and count != 1) or (promises and count > 1):
        call.compiled.result([()] * count)  # raises before it builds a row
    result, tag = cursor.pgresult, cursor.statusmessage or ""
    if result is None or kind == "count":
        return Executed([], [], [], max(count, 0), tag, seconds)
    types = read_types(connection, [result.ftype(i) for i in range(result.nfields)])
    unknown = Type(0, "unknown", "", False)
    kinds = [types.get(result.ftype(i), unknown) for i in range(result.nfields)]
    rows = [[_text(result.get_value(r, c)) for c in range(result.nfields)] for r in range(result.ntuples)]
    names = [(result.fname(i) or b"").decode() for i in range(result.nfields)]
    _check_overrides(statement, names, rows)
    hide(statement, names, rows)
    return Executed(names, kinds, rows, count, tag, seconds)


def _settings(statement: Statement, text: QueryText, given: Mapping[str, Given]) -> Iterator[tuple[str, str]]:
    """Yield the settings of a call: those with a value in the header, and those with one that is given."""
    yield from text.settings
    for setting in statement.settings:
        if (item := given.get(setting.parameter or "")) is not None:
            value = to_text(setting.parameter or "", item, None)
            if value is not None:
                yield setting.name, str(value)


def bind(statement: Statement, call: Query[..., Any, Any], given: Mapping[str, Given]) -> Args:
    """Return the arguments by which the text of a call is chosen."""
    # The text depends only on the names of the given parameters; their values follow when the types are
    # known. The bounds have been checked, and a null passes through them.
    choices = {choice.name for choice in statement.choices}
    return call.compiled.bind(
        (), {name: item.value if name in choices else None for name, item in given.items()}
    )


def _number_of_parents(result: pq.abc.PGresult, rows: int) -> int:
    """Return the number of parents of joined rows; that of the rows if there are no lists of child rows."""
    names = [(result.fname(i) or b"").decode() for i in range(result.nfields)]
    if not has_lists(names):
        return rows
    values = [[result.get_value(r, c) for c in range(result.nfields)] for r in range(result.ntuples)]
    return len(with_lists(names, values))


def _check_overrides(statement: Statement, names: list[str], rows: list[list[str | None]]) -> None:
    """Check the rows against the header's overrides of the analysis, which only data can contradict."""
    for hint in statement.columns:
        if hint.nullable is False and hint.name in names:
            at = names.index(hint.name)
            level = level_of(hint.name)
            own = [i for i, name in enumerate(names) if not level or level_of(name) == level]
            nulls = sum(
                row[at] is None and (not level or any(row[i] is not None for i in own)) for row in rows
            )
            if nulls:
                raise ContractError(
                    f"the header says that {hint.name!r} is never null, "
                    f"and it is in {nulls} of {len(rows)} rows",
                    place=hint.place,
                    hint="remove the line, or the nulls",
                )


def _arguments(
    connection: psycopg.Connection[Any],
    statement: Statement,
    text: QueryText,
    values: Args,
    given: Mapping[str, Given],
) -> list[str | None]:
    """Return the values of ``$1``, ``$2``… as text, for the server to read."""
    types: dict[str, Type] = {}
    names = text.variant.parameters
    if statement.encryptions or any(given[name].is_json for name in names if name in given):
        prepared = connection.pgconn.prepare(b"", text.sql.encode())
        if prepared.status == pq.ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(prepared, "utf-8")
        described = connection.pgconn.describe_prepared(b"")
        known = read_types(connection, [described.param_type(i) for i in range(described.nparams)])
        types = {
            name: known[described.param_type(i)]
            for i, name in enumerate(names)
            if i < described.nparams and described.param_type(i) in known
        }
    arguments: list[str | None] = []
    for name, value in zip(names, values, strict=True):
        if name in given:
            arguments.append(to_text(name, given[name], types.get(name)))
        else:  # the header's default
            assert value is not UNSET
            arguments.append(None if value is None else str(value))
    return encrypt_arguments(statement, names, arguments, types) if statement.encryptions else arguments


_PARAMETER = re.compile(r"[^\n\"]*\bportal\b[^\n\"]*\$(\d+)")


def _refused(error: psycopg.Error, statement: Statement, text: QueryText) -> ContractError:
    """Return the server's error with its place in the file."""
    said = error.diag
    found = refusal(
        text.variant,
        said.message_primary or type(error).__name__,
        sqlstate=error.sqlstate,
        position=int(said.statement_position) if said.statement_position else None,
        detail=said.message_detail,
        hint=said.message_hint,
    )
    place = found.place
    if not said.statement_position and error.sqlstate not in REFUSED_WHEN_READ:
        # The error is from the execution: of the whole statement, or of a parameter that cannot be read.
        number = _PARAMETER.match(said.context or "")
        name = text.variant.parameters[int(number[1]) - 1] if number else None
        place = statement.parameter(name).places[0] if name else Place(statement.path)
    hint = found.hint
    if hint is None and error.sqlstate in ("42P01", "3F000"):
        hint = "apply the migrations: plainsql migrate"
    return ContractError(
        f"{found.message} (SQLSTATE {error.sqlstate})",
        sqlstate=error.sqlstate,
        place=place,
        detail=found.detail,
        hint=hint,
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")
