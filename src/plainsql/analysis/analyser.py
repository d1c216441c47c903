"""The analyser: from the text of one statement to all facts about it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from psycopg import Connection, pq

from plainsql.analysis.assumptions import NO_ASSUMPTIONS, Assumptions
from plainsql.analysis.cardinality.row_counts import Cardinality
from plainsql.analysis.cardinality.unique_key_reads import reads_by_key
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.deep_stack import with_deep_stack
from plainsql.analysis.describer import Describer, Description, RefusedError
from plainsql.analysis.distribution.model import Distribution
from plainsql.analysis.distribution.statement_distribution import distribution_of
from plainsql.analysis.effects.cache_dependencies import changes_of, dependencies_of
from plainsql.analysis.effects.statement_effects import effects_of
from plainsql.analysis.effects.violations import explained_arbiters, violations_of
from plainsql.analysis.findings.cacheability import caching_findings
from plainsql.analysis.findings.examined import Examined, TextPositions
from plainsql.analysis.findings.frozen_literals import frozen_literals
from plainsql.analysis.findings.index_findings import examine_indexes
from plainsql.analysis.findings.insert_findings import examine_inserts
from plainsql.analysis.findings.page_order import page_order
from plainsql.analysis.findings.parent_keys import Parents, parents_of
from plainsql.analysis.findings.row_findings import examine
from plainsql.analysis.findings.row_order import in_total_order
from plainsql.analysis.findings.server_findings import examine_versions
from plainsql.analysis.findings.session_time_zones import session_time_zones
from plainsql.analysis.findings.stars import stars
from plainsql.analysis.findings.storable_types import unstorable_columns
from plainsql.analysis.findings.vector_dimensions import vector_dimensions
from plainsql.analysis.findings.vector_searches import vector_searches
from plainsql.analysis.model import Analysis, ColumnFact, Finding, ParameterFact, RowCount
from plainsql.analysis.nodes import Node, read_tree
from plainsql.analysis.nullability.parameter_uses import ParameterUse, parameter_uses
from plainsql.analysis.nullability.query_nullability import Nullability
from plainsql.analysis.nullability.verdict import OuterJoin, Verdict, nullable
from plainsql.analysis.origins.statement_origins import with_origins
from plainsql.analysis.shapes.value_shapes import ValueShapes
from plainsql.analysis.tree.output_positions import OutputPositions
from plainsql.analysis.tree.query_sites import query_sites
from plainsql.analysis.tree.query_tree import QueryTree, Scope
from plainsql.analysis.tree.scopes import Scopes

__all__ = ["Analyser"]


class Analyser:
    """An analyser of statements against the schema that a connection sees. It executes none of them.

    The connection belongs to the analyser until it closes. Its settings change, and it is set to autocommit
    unless a transaction is open. The catalog is read once; make a new analyser after a migration.

    Raises:
        ContractError: the server is older than PostgreSQL 16.
    """

    def __init__(self, connection: Connection[Any], assumptions: Assumptions = NO_ASSUMPTIONS) -> None:
        """Read the catalog; ``assumptions`` are those of the project's settings."""
        self._connection = connection
        self._assumptions = assumptions
        self._autocommit = connection.autocommit
        if connection.info.transaction_status == pq.TransactionStatus.IDLE:
            connection.autocommit = True
        self.catalog = Catalog(connection)
        self.catalog.assume_not_null(assumptions.not_null)
        self._describer = Describer(connection)
        self.catalog.read_bodies(self._describer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Reset the connection and release it."""
        self._describer.close()
        if self._connection.info.transaction_status == pq.TransactionStatus.IDLE:
            self._connection.autocommit = self._autocommit

    def analyse(
        self, sql: str, parameters: tuple[str, ...] = (), *, accepting: Collection[str] = ()
    ) -> Analysis:
        """Return all that can be proved about a statement; ``parameters`` names its ``$n`` in order.

        A parameter that is found to refuse null never gets it, so no value computed from that parameter is
        null for its sake. ``accepting`` names the parameters that default to null: they get null whatever is
        found.

        Raises:
            RefusedError: PostgreSQL refuses the statement; a ``ContractError`` with ``sqlstate`` and
                ``position``.
        """
        described = self._describer.describe(sql)
        try:
            self.catalog.assumption_used = False
            analysis = with_deep_stack(lambda: self._analysis(sql, parameters, accepting, described))
            if not self.catalog.assumption_used:
                return analysis
            self.catalog.assumes = False
            proved = with_deep_stack(lambda: self._analysis(sql, parameters, accepting, described))
            return _with_assumed(analysis, proved)
        except RecursionError:
            raise RefusedError(
                "the statement nests too deep to be analysed",
                hint="divide its longest expression, for example by a subquery in from, or by an array",
            ) from None
        finally:
            self.catalog.assumes = True

    def distribution(
        self, sql: str, parameters: tuple[str, ...], *, column: str, reference: Collection[str] = ()
    ) -> Distribution:
        """Return the tenants whose rows a statement reads or writes, if tables are distributed by a column.

        ``reference`` names the tables that every server has a copy of, as ``schema.table`` or ``schema.*``.

        Raises ``RefusedError`` as ``analyse`` does.
        """

        def found() -> Distribution:
            described = self._describer.describe(sql)
            names = [*parameters, *(f"${n + 1}" for n in range(len(parameters), len(described.parameters)))]
            tree = read_tree(described.trees[0]) if described.trees else None
            if not isinstance(tree, Node):
                raise RefusedError("there is no statement", position=1)
            return distribution_of(self.catalog, Scope(QueryTree(tree)), sql, tuple(names), column, reference)

        try:
            return with_deep_stack(found)
        except RecursionError:
            return Distribution("unknown", "it nests too deep to be analysed", hint="divide it")

    def _analysis(
        self, sql: str, parameters: tuple[str, ...], accepting: Collection[str], described: Description
    ) -> Analysis:
        names = [*parameters, *(f"${n + 1}" for n in range(len(parameters), len(described.parameters)))]
        tree = read_tree(described.trees[0]) if described.trees else None
        if not isinstance(tree, Node):
            raise RefusedError("there is no statement", position=1)
        scopes = Scopes(self.catalog)
        scope = Scope(QueryTree(tree))
        sites = query_sites(self.catalog, scopes, scope)
        locks = any(site.scope.query.node.items("rowMarks") for site in sites)
        cardinality = Cardinality(self.catalog, scopes, locks=locks)
        facts = self._parameters(described, names, parameter_uses(self.catalog, scopes, scope), accepting)
        refusing = frozenset(number for number, fact in enumerate(facts, 1) if not fact.nullable)
        nullability = Nullability(self.catalog, scopes, cardinality, refusing)
        verdicts = nullability.outputs(scope) if described.columns else []
        rows, because = self._rows(scope, cardinality, bool(described.columns))
        effects = effects_of(self.catalog, sites, tuple(names))
        examined = Examined(scope, nullability, TextPositions(sql))
        columns = self._columns(described, verdicts, OutputPositions(sql, scope))
        shapes = ValueShapes(nullability).outputs(scope, [column.type for column in columns])
        columns = tuple(replace(each, shape=shape) for each, shape in zip(columns, shapes, strict=True))
        parents = parents_of(examined, columns)
        rows, because = _rows_of_parents(parents, rows, because)
        origins = with_origins(self.catalog, scopes, scope, facts, columns)
        keys, not_paged = page_order(examined, verdicts)
        return Analysis(
            parameters=origins.parameters,
            columns=origins.columns,
            rows=rows,
            rows_because=because,
            reads=tuple(effects.reads),
            writes=tuple(effects.writes),
            triggers=tuple(sorted(effects.triggers)),
            volatility=effects.volatility,
            read_only=not effects.not_read_only,
            session_safe=not effects.not_session_safe,
            not_read_only=effects.not_read_only,
            not_session_safe=effects.not_session_safe,
            row_security=tuple(sorted(effects.row_security)),
            settings=tuple(sorted(effects.settings.items())),
            settings_read=tuple(sorted(effects.settings_read)),
            opaque=tuple(sorted(effects.opaque)),
            by_key=reads_by_key(cardinality, scope),
            findings=(
                *(each for each in examine(examined) if not _is_of_joined_rows(each, parents)),
                *examine_indexes(examined),
                *vector_dimensions(examined),
                *vector_searches(examined),
                *frozen_literals(examined),
                *session_time_zones(examined),
                *stars(examined),
                *examine_inserts(examined),
                *self._of_server(examined),
                *parents.findings,
            ),
            levels=parents.levels,
            contiguous=parents.contiguous,
            dependencies=dependencies_of(self.catalog, effects),
            violations=violations_of(
                self.catalog,
                sites,
                effects.writes,
                nullability,
                lambda: explained_arbiters(self._connection, sql),
            ),
            page_keys=keys,
            not_paged_because=not_paged,
            in_order=in_total_order(examined, verdicts),
            changes=() if not effects.not_read_only else changes_of(self.catalog, effects),
            caching=(
                *caching_findings(self.catalog, effects, examined.places),
                *(() if effects.writes else unstorable_columns(columns)),
            ),
        )

    def _of_server(self, examined: Examined) -> Iterator[Finding]:
        """Yield the findings about the oldest server, if it is older than this one."""
        oldest = self._assumptions.oldest_server
        if oldest:
            yield from examine_versions(examined, oldest)

    def _parameters(
        self,
        described: Description,
        names: list[str],
        uses: dict[int, list[ParameterUse]],
        accepting: Collection[str],
    ) -> tuple[ParameterFact, ...]:
        facts: list[ParameterFact] = []
        for number, (name, oid) in enumerate(zip(names, described.parameters, strict=False), 1):
            sites = uses.get(number, [])
            type_ = self.catalog.type(oid)
            if type_.not_null:
                nullable_, because = False, f"{type_} is not null"
            elif name in accepting:
                nullable_, because = True, "null by default"
            elif not sites:
                nullable_, because = True, "no strict operator uses it"
            else:
                nullable_, because = sites[0].nullable, sites[0].because
            written = tuple(sorted({site.column for site in sites if site.column is not None}))
            facts.append(
                ParameterFact(
                    name,
                    type_,
                    nullable_,
                    because,
                    written_to=written,
                    compared=any(site.compared for site in sites),
                    comment=self.catalog.comment_on(written[0]) if len(written) == 1 else "",
                )
            )
        return tuple(facts)

    def _rows(self, scope: Scope, cardinality: Cardinality, returns: bool) -> tuple[RowCount, str]:
        if not returns:
            return "none", "the statement returns no columns"
        most = cardinality.at_most_one(scope)
        if not most.proved:
            return "many", most.because
        if cardinality.at_least_one(scope):
            return "one", most.because
        return "optional", most.because

    def _columns(
        self, described: Description, verdicts: list[Verdict], outputs: OutputPositions
    ) -> tuple[ColumnFact, ...]:
        positions = outputs.positions([column.name for column in described.columns])
        groups: dict[frozenset[OuterJoin], int] = {}
        facts: list[ColumnFact] = []
        for i, column in enumerate(described.columns):
            verdict = verdicts[i] if len(verdicts) == len(described.columns) else nullable("not understood")
            facts.append(
                ColumnFact(
                    column.name,
                    self.catalog.type(column.type, column.modifier),
                    verdict.nullable,
                    verdict.because,
                    origin=self.catalog.column(column.table, column.number),
                    nullable_group=groups.setdefault(verdict.joins, len(groups) + 1)
                    if verdict.joins
                    else None,
                    nullable_in_group=verdict.nullable_when_matched if verdict.joins else verdict.nullable,
                    position=positions[i],
                    comment=self.catalog.comment(column.table, column.number),
                )
            )
        return tuple(facts)


def _rows_of_parents(parents: Parents, rows: RowCount, because: str) -> tuple[RowCount, str]:
    """Return the number of parents if rows are grouped by one, else that of the rows."""
    if parents.at_most_one is None or rows == "none":
        return rows, because
    if not parents.at_most_one.proved:
        return "many", parents.at_most_one.because
    return ("one" if parents.at_least_one else "optional"), parents.at_most_one.because


def _is_of_joined_rows(finding: Finding, parents: Parents) -> bool:
    """Return whether a finding counts joined rows, and there is at most one parent."""
    most = parents.at_most_one
    return finding.name == "unproved-one" and most is not None and most.proved


def _with_assumed(analysis: Analysis, proved: Analysis) -> Analysis:
    """Mark the columns that are not null by an assumption alone: a null that arrives anyway is an error."""
    columns = tuple(
        replace(
            column,
            assumed=(plain.nullable and not column.nullable)
            or (plain.nullable_in_group and not column.nullable_in_group),
        )
        for column, plain in zip(analysis.columns, proved.columns, strict=True)
    )
    return replace(analysis, columns=columns)
