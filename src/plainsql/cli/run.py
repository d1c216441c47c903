"""``plainsql run``: one query of the SQL folder, run from the prompt."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import psycopg
from cyclopts import Parameter
from psycopg import pq

from plainsql.application import project_search_path
from plainsql.cli.assignments import Given, read_assignments
from plainsql.cli.encryption import encrypt_arguments, hide
from plainsql.cli.exit_codes import COULD_NOT_RUN, FINDINGS, FINE
from plainsql.cli.literals import Type, json_column, read_types, to_text
from plainsql.cli.project import has_sql, no_project, packaged_layer, values_of_tenant
from plainsql.cli.tables import Column, print_rows
from plainsql.connect_errors import cannot_connect
from plainsql.errors import (
    ContractError,
    NoRowError,
    Place,
    PlainsqlError,
    SqlFolderError,
    TooManyRowsError,
)
from plainsql.migrate.pooler_check import is_behind_pooler
from plainsql.query import Args, Query, QueryText
from plainsql.query.child_lists import grouped_builder
from plainsql.query.dynamic_rows import dynamic_row
from plainsql.query_folder import make_query
from plainsql.settings import Project, resolve_database
from plainsql.statements import Statement, parse
from plainsql.statements.column_paths import has_lists, level_of
from plainsql.statements.discovery import find_files, read_text
from plainsql.statements.header import close_match
from plainsql.statements.server_errors import REFUSED_WHEN_READ, refusal
from plainsql.types import UNSET

__all__ = ["find_statement", "run"]

_FLAG = Parameter(negative=(), show_default=False)
_NO_TRANSACTION = ("25001", "2D000")
"""SQLSTATEs of statements that do not run in a transaction, or would end it."""


def run(
    query: str,
    /,
    *parameters: Annotated[str, Parameter(allow_leading_hyphen=True)],
    tenant: Annotated[str | None, Parameter(show_default=False)] = None,
    user: Annotated[str | None, Parameter(show_default=False)] = None,
    database: str | None = None,
    json: Annotated[bool, _FLAG] = False,
    rollback: Annotated[bool, _FLAG] = False,
) -> int:
    """Run one query of the SQL folder, and print its result.

    Exits with 0 if it succeeds, 1 if the server refuses it or if the number of rows is not the one that its
    header promises (it is then undone), 2 if it could not run: usage, files, connection.

    Parameters
    ----------
    query
        The query's name, ``realty.leads.get_by_id``, or its file.
    parameters
        ``name=text``, read by the server as the parameter's type, or ``name:=json``: ``limit=5``,
        ``notes:=null``, ``embedding:=@vector.json``. A flag of the query is an option: ``--only-open``.
    tenant
        Run it as this tenant: set the project's tenant_setting, ``app.jwt_tenant`` by default, which
        policies of row-level security compare.
    user
        The user acting for the tenant: the project's user_setting, ``app.jwt_user`` by default.
    database
        URL of the database; by default the configured one, else the embedded server.
    json
        Print JSON and nothing else: an array, an object or a value.
    rollback
        Undo the changes of the query.
    """
    project = Project.load()
    if user is not None and tenant is None:
        raise PlainsqlError("--user needs --tenant", hint="name the tenant as well: --tenant ID --user ID")
    statement = find_statement(project, query)
    given = read_assignments(statement, parameters)
    call = make_query(statement)
    # Before connecting, this refuses optional lines with two parameters of which only one is given.
    call.compiled.text(_bind(statement, call, given))
    with resolve_database(database) as url, _connected(url) as connection:
        try:
            # As on all connections of plainsql: a filtered HNSW scan must go on until it has enough rows.
            settings = {"hnsw.iterative_scan": "strict_order"}
            if path := project_search_path(project):
                settings["search_path"] = path
            if tenant is not None:
                settings |= values_of_tenant(tenant, user or "")
            found = _run(
                connection, statement, call, given, settings=settings, rollback=rollback, as_json=json
            )
        except ContractError as error:
            print(error, file=sys.stderr)
            return FINDINGS
        except (NoRowError, TooManyRowsError) as error:
            error.detail = "its changes are undone"
            print(error, file=sys.stderr)
            return FINDINGS
        except psycopg.OperationalError as error:
            # The server went away, or ended the session.
            print(f"{statement.path}: {_first_line(error)}", file=sys.stderr)
            return COULD_NOT_RUN
    if json:
        _print_json(found.as_json)
    else:
        _print(statement, found, undone=rollback)
    return FINE


@dataclass(frozen=True, slots=True)
class _Found:
    columns: list[Column]
    rows: list[list[str | None]]
    affected: int
    seconds: float
    as_json: object


def find_statement(project: Project, name: str) -> Statement:
    """Parse one file of the SQL folder only, so that an error in another file does not matter."""
    packaged = packaged_layer(name)
    if not has_sql(project) and packaged is None:
        raise no_project(project)
    folder = Path(os.path.relpath(project.sql_folder))
    files, errors = find_files(folder) if has_sql(project) else ([], [])
    for file in files:
        if name == file.name or (name.endswith(".sql") and Path(name).resolve() == file.path.resolve()):
            return parse(read_text(file.path), name=file.name, path=str(file.path))
    if packaged is not None and packaged.sql_folder.resolve() != project.sql_folder.resolve():
        # A layer that comes with plainsql has its tables in the database and its SQL in the package.
        return find_statement(packaged, name)
    if errors:
        raise errors[0] if len(errors) == 1 else SqlFolderError(errors)
    names = [file.name for file in files]
    inside = [known.removeprefix(f"{name}.") for known in names if known.startswith(f"{name}.")]
    shorter = [known for known in names if known.endswith(f".{name}")]
    if inside:
        raise PlainsqlError(f"{name} is a folder of queries", hint=f"name one of {', '.join(inside)}")
    meant = shorter[0] if shorter else close_match(name, names, 0.6)
    raise PlainsqlError(
        f"there is no query {name!r} in {folder}",
        hint=f"did you mean {meant}?" if meant else f"its {len(names)} queries are the files below {folder}",
    )


def _bind(statement: Statement, call: Query[..., Any, Any], given: dict[str, Given]) -> Args:
    # The text depends only on the names of the given parameters; their values follow when the types are
    # known. The bounds have been checked, and a null passes through them.
    choices = {choice.name for choice in statement.choices}
    return call.compiled.bind(
        (), {name: item.value if name in choices else None for name, item in given.items()}
    )


def _connected(url: str) -> psycopg.Connection[Any]:
    try:
        return psycopg.connect(
            url,
            autocommit=True,
            prepare_threshold=None,
            client_encoding="utf8",
            connect_timeout=10,
            application_name="plainsql run",
        )
    except psycopg.Error as error:
        raise cannot_connect(url, error, error.sqlstate) from None


def _run(
    connection: psycopg.Connection[Any],
    statement: Statement,
    call: Query[..., Any, Any],
    given: dict[str, Given],
    *,
    settings: Mapping[str, str],
    rollback: bool,
    as_json: bool,
) -> _Found:
    """Run the query with settings of the session; behind a pooler, with settings of its transaction."""

    def execute(local: Mapping[str, str]) -> _Found:
        return _execute(connection, statement, call, given, local=local, rollback=rollback, as_json=as_json)

    if not is_behind_pooler(connection):
        for name, value in settings.items():
            connection.execute("select set_config(%s, %s, false)", [name, value])
        return execute({})
    try:
        return execute(settings)
    except ContractError as error:
        # A statement that runs only outside a transaction has changed nothing in it. As a tenant it stays
        # refused: outside a transaction the tenant's setting would be the next client's.
        if error.sqlstate not in _NO_TRANSACTION or len(settings) > 1:
            raise
        return execute({})


def _execute(
    connection: psycopg.Connection[Any],
    statement: Statement,
    call: Query[..., Any, Any],
    given: dict[str, Given],
    *,
    local: Mapping[str, str],
    rollback: bool,
    as_json: bool,
) -> _Found:
    text, values = call.compiled.text(_bind(statement, call, given))
    cursor = psycopg.RawCursor(connection)
    # A result that breaks the header's promise is undone. A statement without such a promise may be one that
    # runs only outside a transaction.
    promises = statement.returns.kind in ("one", "optional")
    own = rollback or promises or bool(local)
    block = connection.transaction(force_rollback=rollback) if own else nullcontext()
    with block:
        for name, value in local.items():
            connection.execute("select set_config(%s, %s, true)", [name, value])
        try:
            arguments = _arguments(connection, statement, text, values, given)
            began = time.perf_counter()
            cursor.execute(text.sql.encode(), arguments)
            seconds = time.perf_counter() - began
        except psycopg.Error as error:
            if error.diag.message_primary is None:
                raise
            raise _refused(error, statement, text) from error
        count = cursor.rowcount
        if promises and cursor.pgresult is not None:
            count = _number_of_parents(cursor.pgresult, count)
        if (statement.returns.kind == "one" and count != 1) or (promises and count > 1):
            call.compiled.result([()] * count)  # raises before it builds a row
        result = cursor.pgresult
        if result is None or statement.returns.kind == "count":
            return _Found([], [], max(count, 0), seconds, max(count, 0))
        types = read_types(connection, [result.ftype(i) for i in range(result.nfields)])
        unknown = Type(0, "unknown", "", False)
        kinds = [types.get(result.ftype(i), unknown) for i in range(result.nfields)]
        rows = [[_text(result.get_value(r, c)) for c in range(result.nfields)] for r in range(result.ntuples)]
        names = [(result.fname(i) or b"").decode() for i in range(result.nfields)]
        _check_overrides(statement, names, rows)
        hide(statement, names, rows)
        columns = [
            Column(name, kind.is_number, kind.is_vector) for name, kind in zip(names, kinds, strict=True)
        ]
        encoded = _as_json(connection, statement, names, kinds, rows) if as_json else None
        if not as_json:
            rows = [
                [
                    {"t": "true", "f": "false"}[cell] if cell and kind.name == "bool" else cell
                    for cell, kind in zip(row, kinds, strict=True)
                ]
                for row in rows
            ]
        return _Found(columns, rows, count, seconds, encoded)


def _number_of_parents(result: pq.abc.PGresult, rows: int) -> int:
    """Return the number of parents of joined rows; that of the rows if there are no lists of child rows."""
    names = [(result.fname(i) or b"").decode() for i in range(result.nfields)]
    if not has_lists(names):
        return rows
    values = [[result.get_value(r, c) for c in range(result.nfields)] for r in range(result.ntuples)]
    return len(_with_lists(names, values))


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
    given: dict[str, Given],
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


def _as_json(
    connection: psycopg.Connection[Any],
    statement: Statement,
    names: list[str],
    types: list[Type],
    rows: list[list[str | None]],
) -> object:
    columns = [
        json_column(connection, type, [row[index] for row in rows]) for index, type in enumerate(types)
    ]
    values = list(zip(*columns, strict=True))
    items: list[Any]
    if statement.returns.value:
        items = [row[0] for row in values]
    elif has_lists(names):
        cells = [[*map(_cell, row, texts)] for row, texts in zip(values, rows, strict=True)]
        items = [
            msgspec.Raw(msgspec.json.encode(parent, enc_hook=lambda cell: cell.value))
            for parent in _with_lists(names, cells)
        ]
    else:
        items = [_nested(names, row) for row in values]
    if statement.returns.kind == "many":
        return items
    return items[0] if items else None


class _Cell:
    """A value for msgspec to encode, compared by its text: raw JSON equals itself alone."""

    __slots__ = ("_text", "value")

    def __init__(self, text: str, value: object) -> None:
        self._text, self.value = text, value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Cell) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


def _cell(value: object, text: str | None) -> _Cell | None:
    return None if text is None else _Cell(text, value)


def _with_lists(names: list[str], rows: Sequence[Sequence[object]]) -> list[Any]:
    """Return parents with their lists of child rows, grouped by all of their own columns."""
    return grouped_builder(dynamic_row("Parent", names), {})(rows)


def _nested(names: list[str], values: tuple[object, ...]) -> dict[str, object]:
    """Return a row as an object. Columns ``"lead.id"``, ``"lead.name"`` are one object in it, or null if all
    of them are null.
    """
    row: dict[str, Any] = {}
    for name, value in zip(names, values, strict=True):
        outer, dot, inner = name.partition(".")
        if dot:
            row.setdefault(outer, {})[inner] = value
        else:
            row[name] = value
    for outer in {name.partition(".")[0] for name in names if "." in name}:
        if all(value is None for value in row[outer].values()):
            row[outer] = None
    return row


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")


def _print_json(value: object) -> None:
    text = msgspec.json.encode(value)
    print((msgspec.json.format(text) if sys.stdout.isatty() else text).decode())


def _print(statement: Statement, found: _Found, *, undone: bool) -> None:
    print_rows(found.columns, found.rows, upright=statement.returns.kind in ("one", "optional"))
    rows = f"{found.affected} row{'' if found.affected == 1 else 's'}"
    affected = " affected" if statement.returns.kind == "count" else ""
    print(f"{rows}{affected}, {found.seconds * 1000:.1f} ms" + (", undone" if undone else ""))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
