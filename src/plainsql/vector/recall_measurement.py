"""The recall of a query's searches: each is compared with the exact answer of the same statement.

All statements run in read-only transactions that are rolled back, on one snapshot for each case.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg
from psycopg import Connection, IsolationLevel, RawCursor, pq
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result

from plainsql.application import project_search_path, tenant_settings
from plainsql.connect_errors import cannot_connect
from plainsql.errors import BindError, OptionError, Place, PlainsqlError
from plainsql.plans.explain.compared_columns import compared_parameters
from plainsql.plans.explain.plan_tree import PlanNode, read_plan
from plainsql.plans.explain.planning_session import apply_settings, first_plans, planning_session
from plainsql.plans.explain.query_plans import Call, refused_call
from plainsql.query.query import QueryFile
from plainsql.query.texts import QueryText
from plainsql.settings import Project
from plainsql.statements import Statement, parse
from plainsql.vector.codecs import BINARY
from plainsql.vector.query_vectors import (
    DISTANCE_OPERATORS,
    Search,
    find_search,
    raise_unless_vectors,
    sample_vectors,
    vector_texts,
)
from plainsql.vector.recall_report import RecallCase, RecallMeasurement, RecallReport
from plainsql.vector.recall_score import Answer, Comparer, read_answer
from plainsql.vector.search_cases import SearchCase, filter_cases, tenant_sizes

__all__ = ["Progress", "recall"]

Progress = Callable[[str, int, int], None]
"""Called with the name of the case, the searches that are done and those of the whole case."""

_SELECTIVITIES: Final = (0.001, 0.01, 0.1)
_WARM_UP: Final = 10
"""More searches than the plan cache makes custom plans for, so that the measured ones have its choice."""
_LOCK_TIMEOUT: Final = "5s"
_EXACT: Final = {"enable_indexscan": "off", "plan_cache_mode": "force_custom_plan"}
"""The settings of an exact search: vector indexes have index scans only, and a filter keeps bitmap scans."""
_NAMES: Final = itertools.count(1)

# An index of PostgreSQL's own methods is exact, also in the order of a distance: GiST is.
_INDEX_METHODS = """
select n.nspname::text, c.relname::text, m.amname::text
from unnest($1::text[], $2::text[]) as w (schema, name)
inner join pg_catalog.pg_class as c on w.name = c.relname
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid and (w.schema = '' or w.schema = n.nspname)
inner join pg_catalog.pg_am as m on c.relam = m.oid
where m.oid >= 16384
"""


def recall(
    query: QueryFile[..., Any, Any, Any],
    database: str,
    /,
    *,
    parameters: Mapping[str, Any] | None = None,
    vectors: Iterable[Any] | None = None,
    vector: str = "",
    column: str = "",
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
    _check(sample, selectivities, at_least, timeout)
    statement = _statement(query)
    measurement = _Measurement(query, statement, dict(parameters or {}), sample, timeout, role, progress)
    with _connected(database) as connection:
        return measurement.report(
            connection,
            vectors=vectors,
            vector=vector,
            column=column,
            settings=_combinations(settings or {}),
            filters=filters,
            selectivities=selectivities,
            tenants=None if tenants is None else [str(each) for each in tenants],
            at_least=at_least,
        )


def _check(sample: Any, selectivities: Sequence[float], at_least: float | None, timeout: float) -> None:
    wrong = ""
    if isinstance(sample, bool) or not isinstance(sample, int) or sample < 1:
        wrong = "sample: expected an integer from 1"
    elif not all(0 < each <= 1 for each in selectivities):
        wrong = "selectivities: expected numbers above 0, at most 1"
    elif at_least is not None and not 0 < at_least <= 1:
        wrong = "at_least: expected a number above 0, at most 1"
    elif not 0 < timeout < 2**31 / 1000:
        wrong = "timeout: expected seconds above 0"
    if wrong:
        raise OptionError(f"recall(): {wrong}")


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
    for name, values in settings.items():
        if isinstance(values, str) or not values:
            raise OptionError(f"recall(): settings: {name}: expected a list of values")
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


@dataclass(slots=True)
class _Searches:
    """The searches of one case in an open transaction."""

    text: QueryText
    values: list[list[str | None]]
    """The values of each search, in the order of ``$n``."""
    binary: list[bytes | None]
    """The vector of each search in the binary format, as a driver sends it; ``None`` for text."""
    at: int
    """The position of the vector among the values."""


@dataclass(slots=True)
class _Run:
    answers: list[Answer]
    seconds: list[float]
    generic: bool


class _Measurement:
    def __init__(
        self,
        query: QueryFile[..., Any, Any, Any],
        statement: Statement,
        parameters: dict[str, Any],
        sample: int,
        timeout: float,
        role: str | None,
        progress: Progress | None,
    ) -> None:
        self._query = query
        self._statement = statement
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
                raise BindError(f"{statement.name}: {search.parameter} is the vector that is searched for")
            if vectors is not None:
                self._vectors = vector_texts(vectors, search.type)[: self._sample]
            given = frozenset(self._given)
            if statement.examples:
                example = dict(statement.examples[0].values)
                example.pop(search.parameter, None)
                self._given = {**example, **self._given}
            if search.oid:
                count = connection.execute(
                    psycopg.sql.SQL("select count(*) from {}").format(search.relation)
                ).fetchone()
                self._table_rows = count[0] if count else None
            sizes = [(each, -1) for each in tenants or ()]
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
            searches = self._searches(connection, case)
            with self._settings(connection, _EXACT):
                plan = self._explain(connection, searches, analyze=True)
                if scanned := _vector_indexes(connection, plan):
                    raise PlainsqlError(
                        f"{self._statement.name}: there is no exact answer: its plan scans {scanned[0]}",
                        hint="report this plan: enable_indexscan is off for it",
                    )
                matching = _matching(plan)
                exact = self._run(connection, searches, f"{case.name}: exact")
            kept = [at for at, answer in enumerate(exact.answers) if answer.rows]
            if not kept:
                self._notes.append(f"{case.name}: no search returns rows")
                return None
            runs = [self._measure(connection, searches, each, case.name) for each in settings]
        answers = [exact.answers[at] for at in kept]
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
                _measurement(each, comparer, answers, [run.answers[at] for at in kept], run, indexes)
                for each, (run, indexes) in zip(settings, runs, strict=True)
            ),
        )

    def _searches(self, connection: Connection[Any], case: SearchCase) -> _Searches:
        """Return the searches of a case, for vectors that the case's tenant may see."""
        search, statement = self._search, self._statement
        texts = self._vectors
        if texts is None:
            texts = sample_vectors(connection, search, self._sample) if search.oid else []
        raise_unless_vectors(statement, search, texts)
        given = {**self._given, **case.values}
        binary: list[bytes | None] = [None] * len(texts)
        if search.type in BINARY:
            try:
                binary = [_binary(search.type, text) for text in texts]
            except ValueError:
                binary = [None] * len(texts)  # the server explains what is wrong
        args = self._query.compiled.bind((), {**given, search.parameter: texts[0]})
        text, values = self._query.compiled.text(args)
        names = text.variant.parameters
        if search.parameter not in names:
            raise BindError(f"{statement.name}: these parameters leave out {search.parameter}")
        fixed = [
            _server_text(connection, value, search.types.get(name, ""))
            for name, value in zip(names, values, strict=True)
        ]
        at = names.index(search.parameter)
        return _Searches(text, [[*fixed[:at], each, *fixed[at + 1 :]] for each in texts], binary, at)

    def _measure(
        self, connection: Connection[Any], searches: _Searches, settings: dict[str, str], name: str
    ) -> tuple[_Run, tuple[str, ...]]:
        with self._settings(connection, settings):
            indexes = _vector_indexes(connection, self._explain(connection, searches))
            shown = ", ".join(f"{each} = {value}" for each, value in settings.items())
            run = self._run(connection, searches, f"{name}: {shown}" if shown else name)
            if run.generic:
                generic = _explained(
                    connection, f"explain (generic_plan, format json, verbose)\n{_sql(searches)}"
                )
                indexes = _vector_indexes(connection, generic)
        return run, indexes

    @contextmanager
    def _settings(self, connection: Connection[Any], settings: Mapping[str, str]) -> Iterator[None]:
        """Open a savepoint with settings that end with it."""
        with connection.transaction(force_rollback=True):
            for name, value in settings.items():
                try:
                    connection.execute("select pg_catalog.set_config(%s, %s, true)", [name, value])
                except psycopg.Error as error:
                    raise OptionError(
                        f"settings: {name}: {error.diag.message_primary or type(error).__name__}",
                        hint="name a setting that the role may set, as in hnsw.ef_search=40,80",
                    ) from None
            yield

    def _explain(
        self, connection: Connection[Any], searches: _Searches, *, analyze: bool = False
    ) -> PlanNode:
        options = "analyze, timing off, format json, verbose" if analyze else "format json, verbose"
        try:
            with connection.transaction():  # after an error the types are still to be asked for
                return _explained(connection, f"explain ({options})\n{_sql(searches)}", searches.values[0])
        except psycopg.Error as error:
            raise self._refused(connection, error, searches, searches.values[0]) from None

    def _run(self, connection: Connection[Any], searches: _Searches, name: str) -> _Run:
        prepared = f"plainsql_recall_{next(_NAMES)}".encode()
        made = connection.pgconn.prepare(prepared, _sql(searches).encode())
        if made.status != pq.ExecStatus.COMMAND_OK:
            raise self._refused(
                connection, error_from_result(made, "utf-8"), searches, searches.values[0]
            ) from None
        calls = [*zip(searches.values, searches.binary, strict=True)]
        for values, binary in calls[:_WARM_UP]:
            self._execute(connection, prepared, searches, values, binary)
        run = _Run([], [], False)
        for number, (values, binary) in enumerate(calls, 1):
            began = time.perf_counter()
            result = self._execute(connection, prepared, searches, values, binary)
            run.seconds.append(time.perf_counter() - began)
            run.answers.append(read_answer(result))
            if self._progress is not None:
                self._progress(name, number, len(calls))
        row = RawCursor(connection).execute(
            "select p.generic_plans > 0 from pg_catalog.pg_prepared_statements as p where p.name = $1",
            [prepared.decode()],
        )
        run.generic = row.fetchone() == (True,)
        _close(connection, prepared)
        return run

    def _execute(
        self,
        connection: Connection[Any],
        prepared: bytes,
        searches: _Searches,
        values: Sequence[str | None],
        binary: bytes | None,
    ) -> pq.abc.PGresult:
        arguments: list[bytes | None] = [None if value is None else value.encode() for value in values]
        formats = [0] * len(arguments)
        if binary is not None:
            arguments[searches.at], formats[searches.at] = binary, 1
        sent: Any = arguments  # the declared type has no nulls
        result = connection.pgconn.exec_prepared(prepared, sent, formats)
        if result.status != pq.ExecStatus.TUPLES_OK:
            raise self._refused(connection, error_from_result(result, "utf-8"), searches, values) from None
        return result

    def _refused(
        self,
        connection: Connection[Any],
        error: psycopg.Error,
        searches: _Searches,
        values: Sequence[str | None],
    ) -> PlainsqlError:
        if error.sqlstate is None:
            raise error  # the connection was lost
        names = searches.text.variant.parameters
        call = Call(name="search", values=dict(zip(names, values, strict=True)))
        found = refused_call(connection, error, self._statement, searches.text.variant, call)
        if error.sqlstate == "25006":
            found.hint = "recall measures queries that only read"
        return found


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
    run: _Run,
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


def _sql(searches: _Searches) -> str:
    return searches.text.sql


def _explained(
    connection: Connection[Any], text: str, values: Sequence[str | None] | None = None
) -> PlanNode:
    arguments = None if values is None else [*values]
    row = RawCursor(connection).execute(text.encode(), arguments, prepare=False).fetchone()
    assert row is not None
    return read_plan(row[0])


def _vector_indexes(connection: Connection[Any], plan: PlanNode) -> tuple[str, ...]:
    """Return the indexes of vectors that a plan scans, with their access methods."""
    used = {(node.schema, node.index) for node in plan.walk() if node.index}
    if not used:
        return ()
    schemas, names = zip(*sorted(used), strict=True)
    rows = RawCursor(connection).execute(_INDEX_METHODS, [[*schemas], [*names]]).fetchall()
    return tuple(dict.fromkeys(f"{name} ({method})" for _, name, method in rows))


def _matching(plan: PlanNode) -> int | None:
    """Return the rows that the sort by distance reads: those that pass the conditions of the search."""
    for node in plan.walk():
        by_distance = any(
            f" {operator} " in key or f".{operator})" in key
            for key in node.sort_key
            for operator in DISTANCE_OPERATORS
        )
        if by_distance and node.inputs and all(each.actual is not None for each in node.inputs):
            return round(sum(each.actual.rows * each.actual.loops for each in node.inputs if each.actual))
    return None


def _tenant_values(tenant: str) -> dict[str, str]:
    tenant_setting, user_setting = tenant_settings()
    return {"app.jwt_tenant": tenant, "app.jwt_user": "", tenant_setting: tenant, user_setting: ""}


def _binary(type: str, text: str) -> bytes:
    if type == "sparsevec":
        from pgvector import SparseVector

        return BINARY[type][0](SparseVector.from_text(text))
    return BINARY[type][0](msgspec.json.decode(text.encode(), type=list[float]))


def _server_text(connection: Connection[Any], value: Any, type: str) -> str | None:
    """Return a value in the form that PostgreSQL reads."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if type in ("json", "jsonb"):
        return msgspec.json.encode(value).decode()
    if type in BINARY:
        return vector_texts([value], type)[0]
    try:
        written = Transformer(connection).dump_sequence([value], [PyFormat.TEXT])[0]
    except psycopg.Error:
        raise BindError(
            f"expected a value that PostgreSQL can hold, got {value.__class__.__name__}"
        ) from None
    return None if written is None else bytes(written).decode()


def _close(connection: Connection[Any], prepared: bytes) -> None:
    # The protocol's own message also passes through a pooler that renames statements.
    try:
        connection.pgconn.close_prepared(prepared)
    except psycopg.NotSupportedError:
        connection.execute(b"deallocate " + prepared)
