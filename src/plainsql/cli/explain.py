"""``plainsql explain``: the plans of one query, at production's size or on a database that is named."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import psycopg
from cyclopts import Parameter

from plainsql.application import project_search_path
from plainsql.cli.assignments import Given, read_assignments
from plainsql.cli.exit_codes import FINDINGS, FINE
from plainsql.cli.literals import read_types, to_text
from plainsql.cli.number_range import NumberRange
from plainsql.cli.plan_trees import print_explained
from plainsql.cli.project import packaged_layer, values_of_tenant
from plainsql.cli.run import find_statement
from plainsql.connect_errors import cannot_connect
from plainsql.errors import ContractError, PlainsqlError, SettingsError
from plainsql.plans.copy.plan_database import PlanDatabase, open_plan_database
from plainsql.plans.explain.explained_query import ExplainedQuery, explain_statement
from plainsql.plans.explain.query_plans import Call, refused
from plainsql.plans.explain.server_plans import PlannedStatement
from plainsql.settings import Project, resolve_database
from plainsql.statements import Statement, Variant

__all__ = ["explain"]

_FLAG = Parameter(negative=(), show_default=False)
_TIMEOUT_S: Final = 30.0
_VARIANTS: Final = 4
_TIMEOUT: Final = NumberRange("seconds", 0, 2**31 // 1000 - 1, "30", above_low=True)
_MOST_VARIANTS: Final = NumberRange("an integer", 1, 1000, "4")
_LOCK_TIMEOUT: Final = "5s"
_ENCRYPTED: Final = "\\x00"
"""The value of an encrypted parameter in a plan: no condition compares what is stored."""
_SEARCHED: Final = '{"\\\\x00"}'
"""The digests of a searched parameter in a plan, which depend on no key."""


def explain(
    query: str,
    /,
    *parameters: Annotated[str, Parameter(allow_leading_hyphen=True)],
    tenant: Annotated[str | None, Parameter(show_default=False)] = None,
    user: Annotated[str | None, Parameter(show_default=False)] = None,
    role: Annotated[str | None, Parameter(show_default=False)] = None,
    database: str | None = None,
    stats: Annotated[Path | None, Parameter(show_default=False)] = None,
    analyze: Annotated[bool, _FLAG] = False,
    write: Annotated[bool, _FLAG] = False,
    timeout: Annotated[float, Parameter(validator=_TIMEOUT)] = _TIMEOUT_S,
    variants: Annotated[int, Parameter(validator=_MOST_VARIANTS)] = _VARIANTS,
    json: Annotated[bool, _FLAG] = False,
) -> int:
    """Show the plans of a query: generic, for typical values, and the one that the plan cache takes.

    By default nothing is executed, and the plans are those of production's size: they are made on the
    embedded server from production's statistics.

    Exits with 0, 1 if the server refuses the query, 2 if it could not run: usage, values, files, connection.

    Parameters
    ----------
    query
        The query's name, ``realty.leads.get_by_id``, or its file.
    parameters
        ``name=text`` or ``name:=json``, as for ``plainsql run``. Without them, the calls are those of the
        header's ``example:`` lines, else values are drawn from the statistics: common, rare and absent ones.
    tenant
        Plan as for this tenant; by default a common one.
    user
        The user acting for the tenant.
    role
        Plan as this role; by default as one that row-level security applies to, if the tables have it.
    database
        URL of the database to plan on, instead of the copy of production.
    stats
        The folder of production's statistics; by default that of the project.
    analyze
        Execute the calls on the database that --database names, in a transaction that is rolled back, and
        show measured rows, times and pages.
    write
        With --analyze, execute a query that writes, too. Its changes are undone, except for sequences.
    timeout
        With --database, the time limit of each statement, in seconds.
    variants
        The number of variants to explain at most.
    json
        Print JSON and nothing else.
    """
    project = Project.load()
    _check_options(tenant, user, database, stats, analyze=analyze, write=write)
    statement = find_statement(project, query)
    packaged = packaged_layer(query)
    if packaged is not None and Path(statement.path).resolve().is_relative_to(packaged.sql_folder.resolve()):
        project = packaged
    given = read_assignments(statement, parameters, "explain") if parameters else {}
    try:
        opened = _copy(project, stats) if database is None else _named(database, timeout, write=write)
        with opened as place:
            chosen = _given_variant(statement, given) if parameters else None
            calls = [] if chosen is None else [_given_call(place.connection, statement, chosen, given)]
            found = explain_statement(
                place.connection,
                statement,
                calls,
                search_path=project_search_path(project),
                settings=place.settings,
                tenant=None if tenant is None else values_of_tenant(tenant, user or ""),
                role=role,
                role_settings=place.role_settings,
                own=place.own,
                variants=None if chosen is None else [chosen],
                max_variants=variants,
                measured=analyze,
            )
            found = _with_notes(found, place)
    except ContractError as error:
        print(error, file=sys.stderr)
        return FINDINGS
    if json:
        text = msgspec.json.encode(found)
        print((msgspec.json.format(text) if sys.stdout.isatty() else text).decode())
    else:
        print_explained(statement, found)
    return FINE


def _check_options(
    tenant: str | None,
    user: str | None,
    database: str | None,
    stats: Path | None,
    *,
    analyze: bool,
    write: bool,
) -> None:
    if user is not None and tenant is None:
        raise PlainsqlError("--user needs --tenant", hint="name the tenant as well: --tenant ID --user ID")
    if analyze and database is None:
        raise SettingsError(
            "--analyze executes the query, and no database is named",
            hint="name the database to execute it on: --database URL",
        )
    if write and not analyze:
        raise SettingsError(
            "--write needs --analyze: nothing is executed without it", hint="pass --analyze as well"
        )
    if stats is not None and database is not None:
        raise SettingsError(
            "--stats is for the copy of production, and --database names another database",
            hint="pass one of them",
        )


@dataclass(frozen=True, slots=True)
class _Target:
    """The database on which the query is planned."""

    connection: psycopg.Connection[Any]
    own: bool
    """True for the copy."""
    copy: PlanDatabase | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    role_settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@contextmanager
def _copy(project: Project, stats: Path | None) -> Iterator[_Target]:
    with open_plan_database(project, stats) as copy, closing(copy.connect()) as connection:
        settings = copy.stats.production.roles if copy.stats is not None else {}
        yield _Target(connection, True, copy, role_settings=settings)


@contextmanager
def _named(database: str, timeout: float, *, write: bool) -> Iterator[_Target]:
    with resolve_database(database) as url:
        try:
            connection = psycopg.connect(
                url,
                autocommit=True,
                prepare_threshold=None,
                client_encoding="utf8",
                connect_timeout=10,
                application_name="plainsql explain",
            )
        except psycopg.Error as error:
            raise cannot_connect(url, error, error.sqlstate) from None
        with connection:
            # Of each transaction: behind a pooler, the session's settings would be the next client's.
            limits = {"statement_timeout": f"{timeout * 1000:.0f}", "lock_timeout": _LOCK_TIMEOUT}
            if not write:
                limits["transaction_read_only"] = "on"
            yield _Target(connection, False, settings=limits)


def _given_variant(statement: Statement, given: Mapping[str, Given]) -> Variant:
    return statement.compiled.variant(
        given.keys() & statement.compiled.optional, _given_choices(statement, given)
    )


def _given_choices(statement: Statement, given: Mapping[str, Given]) -> dict[str, str | bool]:
    choices = {choice.name: choice.default for choice in statement.choices if choice.default is not None}
    return choices | {
        choice.name: given[choice.name].value for choice in statement.choices if choice.name in given
    }


def _given_call(
    connection: psycopg.Connection[Any],
    statement: Statement,
    variant: Variant,
    given: Mapping[str, Given],
) -> Call:
    choices = _given_choices(statement, given)
    hidden = {
        each.name: _SEARCHED if each.encryption.is_search else _ENCRYPTED
        for each in statement.parameters
        if each.encryption is not None
    }
    types = _types(connection, statement, variant) if any(each.is_json for each in given.values()) else {}
    values: dict[str, str | None] = {}
    for name, value in given.items():
        if name not in choices:
            text = to_text(name, value, types.get(name))
            values[name] = hidden.get(name, text) if text is not None else None
    return Call(name="given", values=values, choices=choices, required=True)


def _types(connection: psycopg.Connection[Any], statement: Statement, variant: Variant) -> Mapping[str, Any]:
    with connection.transaction(force_rollback=True):
        try:
            planned = PlannedStatement(connection, variant.sql)
        except psycopg.Error as error:
            raise refused(error, statement, variant) from None
        known = read_types(connection, planned.type_oids)
        planned.close()
        return {
            name: known[oid]
            for name, oid in zip(variant.parameters, planned.type_oids, strict=False)
            if oid in known
        }


def _with_notes(found: ExplainedQuery, place: _Target) -> ExplainedQuery:
    """Return the plans with the notes about the copy that concern their tables and indexes."""
    if place.copy is None:
        return found
    nodes = [
        node
        for variant in found.plans.variants
        for plan in (variant.generic, *(plan for _, plan in variant.running))
        for node in plan.walk()
    ]
    tables = {f"{node.schema}.{node.relation}" for node in nodes if node.relation}
    # A bitmap scan of an index does not name the schema.
    used = {f"{node.schema}.{node.index}" if node.schema else node.index for node in nodes if node.index}
    guessed = [
        f"production does not have the index {name}: its size is guessed"
        for name in sorted(place.copy.guessed_indexes)
        if name in used or name.partition(".")[2] in used
    ]
    notes = (*place.copy.notes_of(tables), *guessed, *found.plans.notes)
    return msgspec.structs.replace(found, plans=msgspec.structs.replace(found.plans, notes=notes))
