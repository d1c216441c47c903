"""The recall of a query's searches: each is compared with the exact answer of the same statement.

All statements run in read-only transactions that are rolled back, on one snapshot for each case.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import psycopg
from psycopg import Connection, IsolationLevel, sql

from plainsql.application import project_search_path, tenant_settings
from plainsql.connect_errors import cannot_connect
from plainsql.errors import BindError, ContractError, Place, PlainsqlError
from plainsql.options import check
from plainsql.plans.explain.compared_columns import compared_parameters, compared_settings
from plainsql.plans.explain.planning_session import apply_settings, first_plans, planning_session
from plainsql.query.query import QueryFile
from plainsql.settings import Project
from plainsql.statements import Statement, parse
from plainsql.vector.prepared_searches import (
    Run,
    Searches,
    binary_vectors,
    matching_rows,
    server_text,
    settings_of,
    vector_indexes,
)
from plainsql.vector.query_vectors import (
    Search,
    find_search,
    raise_unless_vectors,
    sample_vectors,
    vector_texts,
)
from plainsql.vector.recall_report import RecallCase, RecallMeasurement, RecallReport
from plainsql.vector.recall_score import Answer, Comparer
from plainsql.vector.search_cases import SearchCase, filter_cases, tenant_sizes

__all__ = ["Progress", "recall"]

Progress = Callable[[str, int, int], None]
"""Called with the name of the case, the searches that are done and those of the whole case."""

_SELECTIVITIES: Final = (0.001, 0.01, 0.1)
_CANCELLED: Final = "57014"
_NOT_ALLOWED: Final = "42501"
_LOCK_TIMEOUT: Final = "5s"
_EXACT: Final = {"enable_indexscan": "off", "plan_cache_mode": "force_custom_plan"}
"""The settings of an exact search: vector indexes have index scans only, and a filter keeps bitmap scans."""
_Source: TypeAlias = "tuple[QueryFile[..., Any, Any, Any], Statement]"


def recall(
    query: QueryFile[..., Any, Any, Any],
    database: str,
    /,
    *,
    parameters: Mapping[str, Any] | None = None,
    vectors: Iterable[Any] | None = None,
    vector: str | None = None,
    column: str | None = None,
    exact: QueryFile[..., Any, Any, Any] | None = None,
    sample: int = 200,
    settings: Mapping[str, Sequence[object]] | None = None,
    filters: Sequence[Mapping[str, Any]] | None = None,
    selectivities: Sequence[float] = _SELECTIVITIES,
    tenants: Sequence[object] | None = None,
    role: str | None = None,
    at_least: float | None = None,
    timeout: float = 60.0,
    progress: Progress | None = None,
) -> RecallReport:
    """Measure the recall of a query: the share of the exact answer that its searches find.

    The exact answer is that of the same statement without index scans; its plan is checked. Rows as near as
    the last exact one are right. The function blocks: from asynchronous code, call it with
    ``asyncio.to_thread``.

    Args:
        query: a query that orders by the distance to one of its parameters.
        database: the URL of the database.
        parameters: the values of the other parameters; by default those of the header's first example.
        vectors: the vectors to search for, such as an array of shape ``(n, dimensions)``; by default
            ``sample`` vectors of the column that the query searches.
        vector: the name of the parameter, if several have a vector type.
        column: the column that the vectors are taken from, as ``schema.table.column``, if the query does not
            show it.
        exact: the query of the exact answers, with the same vector parameter and the same columns, if the
            query itself is approximate without an index as well: one that quantizes, or uses sub-vectors.
        sample: the number of searches for each case and each setting.
        settings: values to try of settings, such as ``{"hnsw.ef_search": (40, 80, 160)}``. Several settings
            are tried in all combinations.
        filters: parameters of further cases. By default there is a case for each parameter that filters the
            table, and for each of ``selectivities``.
        selectivities: the shares of the table that derived filters select.
        tenants: the tenants to search as; by default the largest, the median and the smallest one if
            policies of the table compare a column with the tenant's setting.
        role: the role to search as; by default one that row-level security applies to, if the table has it.
        at_least: the wanted recall.
        timeout: the time limit of a statement, in seconds.
        progress: called after each search.

    Raises ``ContractError`` if PostgreSQL refuses the query, ``BindError`` for a value that does not fit or a
    query without a vector, ``OptionError`` for an option that cannot be.
    """
    check(
        "recall",
        parameters=parameters,
        vectors=vectors,
        vector=vector,
        column=column,
        exact=exact,
        sample=sample,
        settings=settings,
        filters=filters,
        selectivities=selectivities,
        tenants=tenants,
        role=role,
        at_least=at_least,
        timeout=timeout,
        progress=progress,
    )
    statement = _statement(query)
    reference = None if exact is None else (exact, _statement(exact))
    measurement = _Measurement(
        (query, statement), reference, dict(parameters or {}), sample, timeout, role, progress
    )
    with _connected(database) as connection, _explained_errors(statement):
        return measurement.report(
            connection,
            vectors=vectors,
            vector=vector or "",
            column=column or "",
            settings=_combinations(settings or {}),
            filters=filters,
            selectivities=selectivities,
            tenants=None if tenants is None else [str(each) for each in tenants],
            at_least=at_least,
        )


@contextmanager
def _explained_errors(statement: Statement) -> Iterator[None]:
    """Raise ``ContractError`` for an error of the statements that are not the query itself."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate is None:
            raise  # the connection was lost
        hints = {
            _CANCELLED: "allow more time: --timeout SECONDS",
            _NOT_ALLOWED: "name a role that may read the table, or pass vectors",
        }
        # The message of a data error may hold a value.
        said = None if error.sqlstate.startswith("22") else error.diag.message_primary
        raise ContractError(
            f"recall cannot be measured: {said or type(error).__name__} (SQLSTATE {error.sqlstate})",
            sqlstate=error.sqlstate,
            place=Place(statement.path),
            hint=hints.get(error.sqlstate),
        ) from None


def _statement(query: QueryFile[..., Any, Any, Any]) -> Statement:
    """Return the statement of a query: that of its file if it is there and the same, for its examples."""
    file = Path(query.file)
    if file.is_file():
        read = parse(file.read_text(encoding="utf-8"), name=query.name, path=query.file)
        if read.body == query.sql:
            return read
    if query.kind not in ("one", "optional", "many"):
        raise BindError(
            f"{query.name}: expected a query that returns rows, got one that returns {query.kind}"
        )
    return parse(f"-- returns: {query.kind} Row\n{query.sql}", name=query.name, path=query.file)


def _combinations(settings: Mapping[str, Sequence[object]]) -> list[dict[str, str]]:
    texts = [[(name, str(value)) for value in values] for name, values in settings.items()]
    return [dict(each) for each in itertools.product(*texts)]


@contextmanager
def _connected(url: str) -> Iterator[Connection[Any]]:
    try:
        connection = psycopg.connect(
            url,
            autocommit=True,
            prepare_threshold=None,
            client_encoding="utf8",
            connect_timeout=10,
            application_name="plainsql recall",
        )
    except psycopg.Error as error:
        raise cannot_connect(url, error, error.sqlstate) from None
    # One snapshot for a case: the exact answers and the others are of the same rows.
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    with connection:
        yield connection


class _Measurement:
    def __init__(
        self,
        measured: _Source,
        reference: _Source | None,
        parameters: dict[str, Any],
        sample: int,
        timeout: float,
        role: str | None,
        progress: Progress | None,
    ) -> None:
        self._measured = measured
        self._reference = reference or measured
        self._statement = measured[1]
        self._given = parameters
        self._sample = sample
        self._role = role
        self._progress = progress
        self._limits = {
            "statement_timeout": f"{timeout * 1000:.0f}",
            "lock_timeout": _LOCK_TIMEOUT,
            "transaction_read_only": "on",
        }
        self._search_path = project_search_path(Project.load())
        self._notes: list[str] = []
        self._by_distance = True
        self._search: Search
        self._vectors: list[str] | None = None
        self._table_rows: int | None = None

    def report(
        self,
        connection: Connection[Any],
        *,
        vectors: Iterable[Any] | None,
        vector: str,
        column: str,
        settings: Sequence[dict[str, str]],
        filters: Sequence[Mapping[str, Any]] | None,
        selectivities: Sequence[float],
        tenants: Sequence[str] | None,
        at_least: float | None,
    ) -> RecallReport:
        statement = self._statement
        with connection.transaction(force_rollback=True):
            apply_settings(connection, self._search_path, self._limits)
            first_plans(connection, statement)
            comparisons, types = compared_parameters(connection, statement)
            search = find_search(connection, statement, comparisons, types, parameter=vector, column=column)
            self._search = search
            if search.parameter in self._given:
                raise BindError(
                    f"{statement.name}: {search.parameter}: expected no value, got one: it is the vector that"
                    " is searched for",
                    hint="pass vectors as vectors=…, or --vectors FILE",
                )
            if vectors is not None:
                self._vectors = vector_texts(vectors, search.type)[: self._sample]
            given = frozenset(self._given)
            if statement.examples:
                example = dict(statement.examples[0].values)
                example.pop(search.parameter, None)
                self._given = {**example, **self._given}
            if search.oid:
                count = connection.execute(
                    sql.SQL("select count(*) from {}").format(search.relation)
                ).fetchone()
                self._table_rows = count[0] if count else None
            sizes = [(each, -1) for each in tenants or ()]
            if sizes and search.oid and not compared_settings(connection, [search.oid]):
                self._notes.append(
                    f"no policy of {search.schema}.{search.table} reads a setting: each tenant sees all rows"
                )
            if tenants is None:
                sizes = tenant_sizes(connection, search, tenant_settings()[0], self._notes)
            cases = self._cases(connection, sizes, filters, given, selectivities)
        measured = [case for each in cases if (case := self._case(connection, each, settings)) is not None]
        if not measured:
            raise BindError(
                f"{statement.name}: no search returns rows, so there is nothing to compare",
                place=Place(statement.path),
                hint="give other values of the parameters, or another tenant",
            )
        for case in measured:
            fastest = min(each.median_ms for each in case.measurements)
            if all(each.indexes for each in case.measurements) and case.exact_ms < fastest:
                self._notes.append(
                    f"{case.name}: the exact search is faster, {case.exact_ms:g} ms against {fastest:g} ms"
                )
        if not any(each.indexes for case in measured for each in case.measurements):
            self._notes.append("no search uses a vector index: each answer is exact")
        return RecallReport(
            query=statement.name,
            file=statement.path,
            table=f"{search.schema}.{search.table}" if search.oid else "",
            column=search.column,
            table_rows=self._table_rows,
            compared_by="distance" if self._by_distance else "rows",
            at_least=at_least,
            reached_by=None if at_least is None else _reached(measured, at_least),
            cases=tuple(measured),
            notes=tuple(dict.fromkeys(self._notes)),
        )

    def _cases(
        self,
        connection: Connection[Any],
        sizes: Sequence[tuple[str, int]],
        filters: Sequence[Mapping[str, Any]] | None,
        given: frozenset[str],
        selectivities: Sequence[float],
    ) -> list[SearchCase]:
        tenant = sizes[0][0] if sizes else None
        cases = [
            SearchCase(f"tenant {name}" + (f", {rows:,} rows" if rows >= 0 else ""), "tenant", tenant=name)
            for name, rows in sizes
        ] or [SearchCase("no further filter", "all")]
        if filters is not None:
            for values in filters:
                words = ", ".join(f"{name}={value}" for name, value in values.items())
                cases.append(SearchCase(words, "filter", values, tenant))
            return cases
        derived = filter_cases(connection, self._search, given, selectivities, self._notes)
        return [*cases, *(SearchCase(each.name, each.kind, each.values, tenant) for each in derived)]

    def _case(
        self, connection: Connection[Any], case: SearchCase, settings: Sequence[dict[str, str]]
    ) -> RecallCase | None:
        with planning_session(
            connection,
            self._statement,
            search_path=self._search_path,
            settings=self._limits,
            tenant=None if case.tenant is None else _tenant_values(case.tenant),
            role=self._role,
        ) as session:
            self._notes += session.notes
            if case.tenant is None and session.settings:
                self._notes.append(f"searched with a common value of {', '.join(session.settings)}")
            searches = self._searches(connection, case, self._measured, settings[0])
            reference = self._searches(connection, case, self._reference, settings[0])
            with settings_of(connection, {**dict(reference.text.settings), **_EXACT}):
                plan = reference.explain(analyze=True)
                if scanned := vector_indexes(connection, plan):
                    raise PlainsqlError(
                        f"{self._statement.name}: there is no exact answer: its plan scans {scanned[0]}",
                        hint="report this plan: enable_indexscan is off for it",
                    )
                matching = matching_rows(plan)
                exact = reference.run(self._shown(f"{case.name}: exact"))
            kept = [at for at, answer in enumerate(exact.answers) if answer.rows]
            if not kept:
                self._notes.append(f"{case.name}: no search returns rows")
                return None
            runs = [self._measure(connection, searches, each, case.name) for each in settings]
        answers = [exact.answers[at] for at in kept]
        if runs[0][0].answers[0].names != answers[0].names:
            raise BindError(
                f"{self._reference[1].name}: expected the columns of {self._statement.name},"
                f" {', '.join(runs[0][0].answers[0].names)}, got {', '.join(answers[0].names)}",
                place=Place(self._reference[1].path),
                hint="return the same columns in the same order",
            )
        comparer = Comparer(answers)
        for run, _ in runs:
            if not comparer.fit([run.answers[at] for at in kept]):
                comparer.by_rows()
        self._by_distance = self._by_distance and comparer.is_by_distance
        return RecallCase(
            name=case.name,
            kind=case.kind,
            searches=len(kept),
            matching=matching,
            selectivity=matching / self._table_rows if matching is not None and self._table_rows else None,
            exact_rows=statistics.fmean(len(answer.rows) for answer in answers),
            exact_ms=_ms(statistics.median(exact.seconds)),
            measurements=tuple(
                _measurement(
                    each or dict(searches.text.settings),
                    comparer,
                    answers,
                    [run.answers[at] for at in kept],
                    run,
                    indexes,
                )
                for each, (run, indexes) in zip(settings, runs, strict=True)
            ),
        )

    def _searches(
        self, connection: Connection[Any], case: SearchCase, source: _Source, tried: Mapping[str, str]
    ) -> Searches:
        """Return the searches of a case, for vectors that the case's tenant may see.

        A parameter that has only the value of a setting that is ``tried`` need not be given.
        """
        search, (query, statement) = self._search, source
        texts = self._vectors
        if texts is None:
            texts = sample_vectors(connection, search, self._sample) if search.oid else []
        raise_unless_vectors(statement, search, texts)
        given = {**_values_of_tried(statement, tried), **self._given, **case.values}
        given[search.parameter] = texts[0]
        if source is not self._measured:  # it need not have the parameters that only tune the other
            given = {name: value for name, value in given.items() if name in query.parameters}
        text, values = query.compiled.text(query.compiled.bind((), given))
        names = text.variant.parameters
        if search.parameter not in names:
            raise BindError(f"{statement.name}: these parameters leave out {search.parameter}")
        fixed = [
            server_text(connection, value, search.types.get(name, ""))
            for name, value in zip(names, values, strict=True)
        ]
        at = names.index(search.parameter)
        rows = [[*fixed[:at], each, *fixed[at + 1 :]] for each in texts]
        return Searches(connection, statement, text, rows, binary_vectors(texts, search.type), at)

    def _measure(
        self, connection: Connection[Any], searches: Searches, settings: dict[str, str], name: str
    ) -> tuple[Run, tuple[str, ...]]:
        # Those of the query's header hold unless they are the ones to try.
        with settings_of(connection, {**dict(searches.text.settings), **settings}):
            indexes = vector_indexes(connection, searches.explain())
            shown = ", ".join(f"{each} = {value}" for each, value in settings.items())
            run = searches.run(self._shown(f"{name}: {shown}" if shown else name))
            if run.generic:
                indexes = vector_indexes(connection, searches.explain_generic())
        return run, indexes

    def _shown(self, name: str) -> Callable[[int, int], None]:
        """Return the function that reports the progress of searches."""
        progress = self._progress
        return lambda done, total: None if progress is None else progress(name, done, total)


def _values_of_tried(statement: Statement, tried: Mapping[str, str]) -> dict[str, Any]:
    """Return values of the parameters that only settings take, for settings that have other values anyway."""
    own = {each.name for each in statement.setting_parameters}
    names = {name.lower(): value for name, value in tried.items()}
    values: dict[str, Any] = {}
    for each in statement.settings:
        if each.parameter in own and (text := names.get(each.name)) is not None:
            values[each.parameter] = int(text) if text.isdecimal() else text
    return values


def _reached(cases: Sequence[RecallCase], at_least: float) -> dict[str, str] | None:
    """Return the fastest settings that reach a recall in all cases."""
    fitting = [
        (sum(case.measurements[at].median_ms for case in cases), at)
        for at in range(len(cases[0].measurements))
        if all(case.measurements[at].recall >= at_least for case in cases)
    ]
    return cases[0].measurements[min(fitting)[1]].settings if fitting else None


def _measurement(
    settings: dict[str, str],
    comparer: Comparer,
    exact: Sequence[Answer],
    answers: Sequence[Answer],
    run: Run,
    indexes: tuple[str, ...],
) -> RecallMeasurement:
    found = [comparer.recall(number, answer) for number, answer in enumerate(answers)]
    ordered = sorted(run.seconds)
    return RecallMeasurement(
        settings=settings,
        recall=statistics.fmean(found),
        lowest=min(found),
        rows=statistics.fmean(len(answer.rows) for answer in answers),
        short=sum(len(a.rows) < len(b.rows) for a, b in zip(answers, exact, strict=True)),
        median_ms=_ms(statistics.median(ordered)),
        p95_ms=_ms(ordered[-(-len(ordered) * 95 // 100) - 1]),
        indexes=indexes,
        generic=run.generic,
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _tenant_values(tenant: str) -> dict[str, str]:
    tenant_setting, user_setting = tenant_settings()
    return {"app.jwt_tenant": tenant, "app.jwt_user": "", tenant_setting: tenant, user_setting: ""}
