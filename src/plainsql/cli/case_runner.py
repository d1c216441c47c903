"""The cases of queries: examples of the header, executed on seeded data and undone."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import psycopg

from plainsql.analysis import Analyser
from plainsql.analysis.scratch_database import connect, copied_database
from plainsql.application import project_search_path
from plainsql.cli.assignments import Given
from plainsql.cli.executed_query import Executed, execute_query
from plainsql.cli.json_rows import json_items
from plainsql.cli.project import values_of_tenant
from plainsql.deprecation import PlainsqlDeprecationWarning
from plainsql.errors import ContractError, Place, PlainsqlError, SettingsError
from plainsql.plans.explain.planning_session import planning_session
from plainsql.query_folder import make_query
from plainsql.result_tests.result_file import CaseResult
from plainsql.result_tests.row_differences import Comparison, sorted_rows
from plainsql.result_tests.seed import SESSION, apply_seed, seed_files
from plainsql.result_tests.sequences import Sequences
from plainsql.schema import SchemaSource, schema_source
from plainsql.settings import Project
from plainsql.statements import Statement

if TYPE_CHECKING:
    from plainsql.statements.model import Constant

__all__ = ["NO_ARGUMENTS", "Case", "CaseRun", "CaseRunner", "cases_of", "needs_no_arguments", "open_runner"]

NO_ARGUMENTS: Final = "no arguments"
"""The name of the case of a query that needs no arguments and has no example."""
_TIMEOUT_MS: Final = 30_000
_FLOATS: Final = frozenset({"float4", "float8", "vector", "halfvec"})
_WRITES: Final = ("INSERT", "UPDATE", "DELETE", "MERGE")


class Case(NamedTuple):
    """A call of a query."""

    name: str
    """The example as the header has it: ``id = 42, state = 'open'``."""
    values: Mapping[str, Constant]
    place: Place


@dataclass(frozen=True, slots=True)
class CaseRun:
    """The result of a case, and the way in which it is compared."""

    result: CaseResult
    comparison: Comparison


def cases_of(statement: Statement, *, without_example: bool = False) -> list[Case]:
    """Return the cases of a query: its examples, else one without arguments if it is wanted and possible."""
    if statement.examples or not (without_example and needs_no_arguments(statement)):
        return [Case(each.text, dict(each.values), each.place) for each in statement.examples]
    return [Case(NO_ARGUMENTS, {}, Place(statement.path, statement.body_line))]


def needs_no_arguments(statement: Statement) -> bool:
    """Return True if a query can be called without arguments."""
    has_defaults = all(
        each.optional or (each.bounds is not None and each.bounds.has_default)
        for each in statement.parameters
    )
    return has_defaults and all(each.default is not None for each in statement.choices)


@contextmanager
def open_runner(
    project: Project, schema: SchemaSource | None = None, seed: Project | None = None
) -> Iterator[CaseRunner]:
    """Yield a runner on a database of its own with the schema and the seed, which is dropped at the end.

    ``seed`` is the project whose seed is applied, by default the same.

    Raises the errors of ``copied_database``, ``seed_files`` and ``apply_seed``.
    """
    files = seed_files(seed or project)
    with (
        copied_database(schema or schema_source(project), project=project) as url,
        closing(connect(url)) as connection,
    ):
        # Otherwise psycopg deallocates all prepared statements when a savepoint is rolled back.
        connection.prepare_threshold = None
        path = project_search_path(project) or ""
        apply_seed(connection, files, path)
        yield CaseRunner(project, url, connection, path)


class CaseRunner:
    """Executes the cases of a project on one database, each in a transaction that is rolled back."""

    def __init__(
        self, project: Project, url: str, connection: psycopg.Connection[Any], search_path: str
    ) -> None:
        self.url = url
        self._project = project
        self._connection = connection
        self._search_path = search_path
        self._sequences = Sequences(connection)
        self._orders: dict[str, bool] = {}

    def run(self, statement: Statement, case: Case) -> CaseRun:
        """Execute a case and undo it.

        Raises ``PlainsqlError`` if the query or a value is refused, with the place in its file.
        """
        if statement.returns.copied:
            raise ContractError(
                "a copy has no cases: its rows come from the caller",
                place=case.place,
                hint="remove the example",
            )
        ordered = self._is_ordered(statement, case)
        given = {name: _given(statement, name, value) for name, value in case.values.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PlainsqlDeprecationWarning)
            executed, items = self._execute(statement, given)
        single = statement.returns.value
        comparison = Comparison(
            ordered=ordered,
            floats=frozenset(
                name
                for name, type in zip(executed.names, executed.types, strict=True)
                if type.name in _FLOATS or type.element in _FLOATS
            ),
            lists=frozenset(_lists(executed.names)),
            root=executed.names[0] if single and executed.names else "",
        )
        rows = json.loads(msgspec.json.encode(items), parse_float=Decimal)
        counted = statement.returns.kind == "count" or executed.tag.partition(" ")[0] in _WRITES
        result = CaseResult(tuple(rows), executed.count if counted else None)
        return CaseRun(result if ordered else sorted_rows(result), comparison)

    def restore_sequences(self) -> None:
        """Set the sequences to the numbers that the seed left."""
        self._sequences.restore()

    def _execute(self, statement: Statement, given: Mapping[str, Given]) -> tuple[Executed, list[Any]]:
        connection, tenant = self._connection, self._project.test_tenant
        self._sequences.restore()
        try:
            with planning_session(
                connection,
                statement,
                search_path=self._search_path,
                settings={**SESSION, "statement_timeout": str(_TIMEOUT_MS)},
                tenant=values_of_tenant(tenant, self._project.test_user) if tenant else {},
                own=True,
            ):
                connection.execute("select pg_catalog.setseed(0)")
                executed = execute_query(connection, statement, make_query(statement), given)
                items = (
                    json_items(connection, statement, executed.names, executed.types, executed.rows)
                    if executed.names
                    else []
                )
                try:  # a deferred constraint would be checked at the end, which a rollback does not reach
                    connection.execute("set constraints all immediate")
                except psycopg.IntegrityError as error:
                    raise ContractError(
                        f"{error.diag.message_primary} (SQLSTATE {error.sqlstate})",
                        sqlstate=error.sqlstate,
                        place=Place(statement.path, statement.body_line),
                        detail=error.diag.message_detail,
                    ) from None
                return executed, items
        except SettingsError as error:
            if not error.message.startswith("--tenant"):
                raise
            setting = f"test_tenant in [tool.plainsql]: {error.message.removeprefix('--tenant: ')}"
            hint = error.hint if tenant else 'name the tenant of the cases: test_tenant = "…"'
            raise SettingsError(setting, place=Place(statement.path), hint=hint) from None

    def _is_ordered(self, statement: Statement, case: Case) -> bool:
        """Return True if the order of the rows is proved to be total."""
        choices = {each.name: each.default for each in statement.choices if each.default is not None}
        choices |= {
            name: value
            for name, value in case.values.items()
            if name in {each.name for each in statement.choices} and isinstance(value, str | bool)
        }
        variant = statement.compiled.variant(case.values.keys() & statement.compiled.optional, choices)
        if variant.sql not in self._orders:
            try:
                with Analyser(self._connection) as analyser:
                    analysis = analyser.analyse(variant.sql, variant.parameters)
                self._orders[variant.sql] = analysis.in_order
            except PlainsqlError:  # the execution reports it
                self._orders[variant.sql] = False
        return self._orders[variant.sql]


def _given(statement: Statement, name: str, value: Constant) -> Given:
    if any(choice.name == name for choice in statement.choices):
        return Given(str(value), isinstance(value, bool), value)
    if value is None:
        return Given("null", True, None)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return Given(text, False, text)


def _lists(names: Sequence[str]) -> Iterator[str]:
    for name in names:
        parts = name.split("[]")
        yield from ("[]".join(parts[:at]) + "[]" for at in range(1, len(parts)))
