"""The tenants that the columns of a statement's queries are bound to, by the equalities that hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.conditions.equalities import (
    Equality,
    collect_equalities,
    conditions,
    equality_families,
    plain_variable,
    strip_relabel,
)
from plainsql.analysis.distribution.merged_queries import merged_queries
from plainsql.analysis.distribution.tenant_values import TenantValue, TenantValues
from plainsql.analysis.nodes import Node, conjuncts
from plainsql.analysis.tree.query_sites import QuerySite
from plainsql.analysis.tree.query_tree import (
    Command,
    EntryKind,
    QueryTree,
    RangeTableEntry,
    Scope,
    Sublink,
    ungrouped,
)
from plainsql.analysis.tree.scopes import Scopes

__all__ = ["TenantBindings"]

_Variable = tuple[int, int, int]
"""A query's id, range table index, column."""
_Seeds = Iterable[tuple[_Variable, TenantValue]]
_Inserted = Iterable[tuple[_Variable, Node, Scope, int]]
_SUBLINK_OUTPUT = 2
"""``PARAM_SUBLINK``: the output of a sub-select in the comparison of an `in`."""


class TenantBindings:
    """The values that columns are equal to in every row that a statement needs of a query.

    A row that has another value may be left out with the same result: that is what a server that has the
    rows of one tenant only does.

    Not all of these are seen by a planner. It merges a plain subquery into the query around it, and knows
    then that `a.x = b.x` and `b.x = 1` make `a.x = 1`. It does not look into a `with` item that is read
    twice, nor into a subquery with a limit.
    """

    def __init__(
        self,
        catalog: Catalog,
        scopes: Scopes,
        values: TenantValues,
        sites: Sequence[QuerySite],
        seeds: _Seeds,
        inserted: _Inserted,
        *,
        seen: bool,
    ) -> None:
        """Follow the equalities of a statement.

        Args:
            catalog: the database.
            scopes: the queries of the statement.
            values: the values of its calls.
            sites: its queries, those of views too.
            seeds: the values that are known beforehand: those of policies, and the columns' own.
            inserted: the expressions that become columns of inserted rows, with their queries and types.
            seen: true for the values that planners see.
        """
        self._catalog = catalog
        self._scopes = scopes
        self._values = values
        self._sites = [*sites]
        self._seeds = [*seeds]
        self._inserted = [*inserted]
        self._views = {
            (site.reader.query.id, site.entry.index): site.scope
            for site in sites
            if site.reader is not None and site.entry is not None and site.entry.kind is EntryKind.RELATION
        }
        self._merged = merged_queries(catalog, scopes, sites) if seen else None
        self._equalities = {
            site.scope.query.id: collect_equalities(catalog, site.scope)
            for site in sites
            if site.scope.query.command != Command.MERGE
        }
        self._recursive = dict(self._recursive_arms())
        # A recursive query has the tenant of its first arm if the other arm keeps it. That is assumed, and
        # the assumptions that do not hold are given up until all others do.
        self._given_up: set[tuple[int, int]] = set()
        while self._solve():
            pass

    def of(self, scope: Scope, index: int, column: int) -> set[TenantValue]:
        """Return the values of a column of one relation of a query."""
        return set(self._bound.get((scope.query.id, index, column), ()))

    def value(self, node: Node | None, scope: Scope, type_: int) -> set[TenantValue]:
        """Return the values that an expression of the given type is equal to."""
        if node is None:
            return set()
        value = self._values.of(node, scope, type_)
        if value is not None:
            return {value}
        node = self._values.unchanged(node)
        variable = self._variable(node, scope)
        if variable is None or self._values.value_class(node.number("vartype")) != self._values.value_class(
            type_
        ):
            return set()
        return set(self._bound.get(variable, ())) | self._of_rows(node, scope, type_)

    def _solve(self) -> bool:
        """Follow the equalities; return whether it must be done again with an assumption less."""
        self._bound: dict[_Variable, set[TenantValue]] = defaultdict(set)
        for variable, value in self._seeds:
            self._bound[variable].add(value)
        size = -1
        while size != (size := sum(map(len, self._bound.values()))):
            for variable, node, scope, type_ in self._inserted:
                self._add(variable, self.value(node, scope, type_))
            for site in self._sites:
                for equality in self._equalities.get(site.scope.query.id, ()):
                    self._equate(equality, site.scope)
                self._pass_from_lists(site.scope)
                self._pass_to_readers(site.scope)
                if site.reader is not None and site.entry is not None:
                    self._pass_inwards(site)
        broken = {
            (query, position)
            for query, arms in self._recursive.items()
            for position, held in enumerate(self._arm_outputs(query, arms), 1)
            if (query, position) not in self._given_up and not held
        }
        self._given_up |= broken
        return bool(broken)

    # Equalities

    def _equate(self, equality: Equality, scope: Scope) -> None:
        if equality.only_for is not None and equality.variable[0] not in equality.only_for:
            return
        if self._merged is not None and equality.null_is_equal:
            return  # planners follow `=` alone
        type_ = equality.variable_node.number("vartype")
        self._add((scope.query.id, *equality.variable), self.value(equality.other, scope, type_))

    def _pass_from_lists(self, scope: Scope) -> None:
        """Follow `(tenant_id, id) in (select …)`, both ways."""
        if scope.query.command == Command.MERGE:
            return
        for condition, only_for in conditions(scope):
            if condition.kind != "SUBLINK" or condition.number("subLinkType") != Sublink.ANY:
                continue
            inner, test = self._scopes.of_sublink(condition, scope), condition.node("testexpr")
            for part in conjuncts(test) if inner is not None else ():
                args = part.nodes("args")
                if part.kind != "OPEXPR" or len(args) != 2:
                    continue
                outer, output = plain_variable(args[0], scope), strip_relabel(args[1])
                if (
                    outer is None
                    or inner is None
                    or not equality_families(self._catalog, part.number("opno"))
                    or output.kind != "PARAM"
                    or output.number("paramkind") != _SUBLINK_OUTPUT
                    or (only_for is not None and outer[0] not in only_for)
                ):
                    continue
                position = output.number("paramid")
                variable = (scope.query.id, *outer)
                type_ = strip_relabel(args[0]).number("vartype")
                if self._merged is None or inner.query.id in self._merged:
                    self._add(variable, self._output(inner, position, type_))
                self._push(inner, position, self._bound.get(variable, set()))

    def _of_rows(self, node: Node, scope: Scope, type_: int) -> set[TenantValue]:
        """Return the value that a column has in all rows of a list of `values`."""
        if node.number("varlevelsup"):
            return set()
        entry, column = scope.query.entry(node.number("varno")), node.number("varattno")
        if entry is None or entry.kind is not EntryKind.VALUES:
            return set()
        found: set[TenantValue] | None = None
        for row in entry.node.items("values_lists"):
            value = row[column - 1] if isinstance(row, list) and column <= len(row) else None
            own = self._values.of(value, scope, type_) if isinstance(value, Node) else None
            found = ({own} if own else set()) if found is None else found & ({own} if own else set())
        return found or set()

    # Between queries

    def _pass_to_readers(self, scope: Scope) -> None:
        """Pass the values of a query's outputs to the entries that read it here."""
        for entry in scope.query.entries:
            if entry.kind not in (EntryKind.SUBQUERY, EntryKind.CTE, EntryKind.RELATION):
                continue
            inner = self._read_by(entry, scope)
            if inner is None or (self._merged is not None and inner.query.id not in self._merged):
                continue
            for position, output in enumerate(inner.query.outputs, 1):
                expression = output.node("expr")
                if expression is not None:
                    found = self._output(inner, position, _type_of(expression))
                    self._add((scope.query.id, entry.index, position), found)

    def _read_by(self, entry: RangeTableEntry, scope: Scope) -> Scope | None:
        if entry.kind is EntryKind.RELATION:
            return self._views.get((scope.query.id, entry.index))
        return self._scopes.of_entry(entry, scope)

    def _output(self, scope: Scope, position: int, type_: int) -> set[TenantValue]:
        """Return the values of one output column of a query."""
        query = scope.query
        if position > len(query.outputs):
            return set()
        if query.set_operation() is not None:
            arms = sorted(self._arms(query))
            recursive = self._recursive.get(query.id)
            if recursive is not None and (query.id, position) not in self._given_up:
                arms = [recursive[0]]
            each = [self._bound.get((query.id, arm, position), set()) for arm in arms]
            return set.intersection(*map(set, each)) if each else set()
        expression = query.outputs[position - 1].node("expr")
        return self.value(ungrouped(expression, scope), scope, type_) if expression is not None else set()

    def _pass_inwards(self, site: QuerySite) -> None:
        """Pass the values that an outer query needs into a subquery or a view."""
        reader, entry = site.reader, site.entry
        if reader is None or entry is None:
            return
        for position in range(1, len(site.scope.query.outputs) + 1):
            self._push(site.scope, position, self._bound.get((reader.query.id, entry.index, position), set()))

    def _push(self, scope: Scope, position: int, wanted: set[TenantValue]) -> None:
        query = scope.query
        if not wanted or position > len(query.outputs) or not _may_filter_before(query, position):
            return
        if query.set_operation() is not None:
            for arm in self._arms(query):
                self._add((query.id, arm, position), wanted)
            return
        expression = query.outputs[position - 1].node("expr")
        if expression is None:
            return
        expression = ungrouped(expression, scope)
        inner = self._variable(expression, scope)
        if inner is not None and not expression.number("varlevelsup"):
            self._add(inner, wanted)

    @staticmethod
    def _arms(query: QueryTree) -> frozenset[int]:
        return query.members or frozenset(e.index for e in query.entries if e.kind is EntryKind.SUBQUERY)

    def _recursive_arms(self) -> Iterator[tuple[int, tuple[int, int]]]:
        """Yield the recursive queries, each with its first arm and the one that reads it again."""
        for site in self._sites:
            for name, cte in site.scope.query.ctes.items():
                inner = self._scopes.of_cte(name, site.scope)
                if inner is None or not cte.flag("cterecursive"):
                    continue
                operation = inner.query.set_operation()
                sides = [operation.node(side) for side in ("larg", "rarg")] if operation else []
                if len(sides) == 2 and all(side is not None and side.kind == "RANGETBLREF" for side in sides):
                    first, again = (side.number("rtindex") for side in sides if side is not None)
                    yield inner.query.id, (first, again)

    def _arm_outputs(self, query: int, arms: tuple[int, int]) -> Iterator[bool]:
        """Yield for each column whether the recursive arm keeps the values of the first one."""
        scope = next((site.scope for site in self._sites if site.scope.query.id == query), None)
        for position in range(1, len(scope.query.outputs) + 1 if scope is not None else 1):
            first, again = (self._bound.get((query, arm, position), set()) for arm in arms)
            yield first <= again

    def _variable(self, node: Node, scope: Scope) -> _Variable | None:
        levels = node.number("varlevelsup")
        if node.kind == "VAR" and levels:
            home = scope.up(levels)
            if home is None or node.number("varattno") <= 0:
                return None
            if self._merged is not None and (levels > 1 or scope.query.id not in self._merged):
                return None
            return home.query.id, node.number("varno"), node.number("varattno")
        plain = plain_variable(node, scope)
        return (scope.query.id, *plain) if plain is not None else None

    def _add(self, variable: _Variable, values: Iterable[TenantValue]) -> None:
        self._bound[variable].update(values)


def _may_filter_before(query: QueryTree, position: int) -> bool:
    """Return whether rows with other values could be removed earlier, with the same result."""
    node = query.node
    if query.command != Command.SELECT or node.flag("hasWindowFuncs") or node.nodes("groupingSets"):
        return False
    if node.node("limitCount") is not None or node.node("limitOffset") is not None:
        return False
    if node.flag("hasDistinctOn") or query.returned_sets():
        return False
    if query.is_aggregated:
        reference = query.outputs[position - 1].number("ressortgroupref")
        return any(clause.number("tleSortGroupRef") == reference for clause in node.nodes("groupClause"))
    return True


def _type_of(node: Node) -> int:
    return (
        node.number("vartype")
        or node.number("paramtype")
        or node.number("consttype")
        or node.number("resulttype")
        or node.number("funcresulttype")
    )
