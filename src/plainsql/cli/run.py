"""``plainsql run``: one query of the SQL folder, run from the prompt."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import psycopg
from cyclopts import Parameter

from plainsql.application import project_search_path
from plainsql.cli.assignments import Given, read_assignments
from plainsql.cli.executed_query import bind, execute_query
from plainsql.cli.exit_codes import COULD_NOT_RUN, FINDINGS, FINE
from plainsql.cli.json_rows import json_items
from plainsql.cli.project import has_sql, no_project, packaged_layer, values_of_tenant
from plainsql.cli.tables import Column, print_rows
from plainsql.connect_errors import cannot_connect
from plainsql.errors import (
    ContractError,
    NoRowError,
    PlainsqlError,
    SqlFolderError,
    TooManyRowsError,
)
from plainsql.migrate.pooler_check import is_behind_pooler
from plainsql.query import Query
from plainsql.query_folder import make_query
from plainsql.settings import Project, resolve_database
from plainsql.statements import Statement, parse
from plainsql.statements.discovery import find_files, read_text
from plainsql.statements.header import close_match

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
    call.compiled.text(bind(statement, call, given))
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
    # A result that breaks the header's promise is undone. A statement without such a promise may be one that
    # runs only outside a transaction.
    own = rollback or statement.returns.kind in ("one", "optional") or bool(local or statement.settings)
    block = connection.transaction(force_rollback=rollback) if own else nullcontext()
    with block:
        for name, value in local.items():
            connection.execute("select set_config(%s, %s, true)", [name, value])
        found = execute_query(connection, statement, call, given)
        if statement.returns.kind == "count":
            return _Found([], [], found.count, found.seconds, found.count)
        kinds, rows = found.types, found.rows
        columns = [
            Column(name, kind.is_number, kind.is_vector)
            for name, kind in zip(found.names, kinds, strict=True)
        ]
        encoded: object = None
        if as_json:
            items = json_items(connection, statement, found.names, kinds, rows)
            encoded = items if statement.returns.kind == "many" else next(iter(items), None)
        else:
            rows = [
                [
                    {"t": "true", "f": "false"}[cell] if cell and kind.name == "bool" else cell
                    for cell, kind in zip(row, kinds, strict=True)
                ]
                for row in rows
            ]
        return _Found(columns, rows, found.count, found.seconds, encoded)


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
