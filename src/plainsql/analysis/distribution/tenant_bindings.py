"""The tenants that the columns of a statement's queries are bound to, by the equalities that hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.conditions.equalities import (
    Equality,
    calls_volatile,
    collect_equalities,
    equality_families,
    plain_variable,
    strip_relabel,
)
from plainsql.analysis.distribution.merged_queries import is_inlined, planned_together
from plainsql.analysis.distribution.outer_joins import ReducedJoins
from plainsql.analysis.distribution.tenant_values import TenantValue, TenantValues
from plainsql.analysis.nodes import Node, conjuncts
from plainsql.analysis.tree.query_sites import QuerySite
from plainsql.analysis.tree.query_tree import (
    Command,
    EntryKind,
    Join,
    QueryTree,
    RangeTableEntry,
    Scope,
    SetOperation,
    Sublink,
    ungrouped,
)
from plainsql.analysis.tree.scopes import Scopes

__all__ = ["TenantBindings"]

_Variable = tuple[int, int, int]
"""A query's id, range table index, column."""
_Entry = tuple[int, int]
"""A query's id, range table index."""
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
        together = planned_together(catalog, scopes, sites) if seen else None
        self._merged = together.merged if together is not None else None
        self._joined = together.joined if together is not None else None
        self._joins = {
            site.scope.query.id: ReducedJoins(catalog, site.scope)
            for site in sites
            if site.scope.query.command != Command.MERGE
        }
        self._condition_joins: dict[int, tuple[Node, Join]] = {}
        self._conditions = {
            site.scope.query.id: [*self._restrictions(site.scope)]
            for site in sites
            if site.scope.query.id in self._joins
        }
        self._equalities = {
            site.scope.query.id: collect_equalities(
                catalog, site.scope, self._conditions[site.scope.query.id]
            )
            for site in sites
            if site.scope.query.id in self._conditions
        }
        self._items = [*self._with_items()]
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
            for item, readers in self._items:
                self._pass_into_item(item, readers)
        broken = {
            (query, position)
            for query, arms in self._recursive.items()
            for position, held in enumerate(self._arm_outputs(query, arms), 1)
            if (query, position) not in self._given_up and not held
        }
        self._given_up |= broken
        return bool(broken)

    # Equalities

    def _restrictions(self, scope: Scope) -> Iterator[tuple[Node, frozenset[int] | None]]:
        """Yield the conditions of a query, and those that all sides of an ``or`` have."""
        for condition, only_for, join in self._joins[scope.query.id].conditions:
            found = [condition]
            if condition.kind == "BOOLEXPR" and condition.text("boolop") == "or":
                first, *others = (conjuncts(side) for side in condition.nodes("args"))
                keys = [{self._values.structure(part, scope) for part in side} for side in others]
                found += [
                    part
                    for part in first
                    if all(self._values.structure(part, scope) in each for each in keys)
                ]
            for part in found:
                if join is not None:
                    # By the node's identity, which is unique only while the node is kept.
                    self._condition_joins[id(part)] = part, join
                yield part, only_for

    def _equate(self, equality: Equality, scope: Scope) -> None:
        if equality.only_for is not None and equality.variable[0] not in equality.only_for:
            return
        if self._merged is not None and equality.null_is_equal:
            return  # planners follow `=` alone
        if not self._is_followed(equality, scope):
            return
        type_ = equality.variable_node.number("vartype")
        self._add((scope.query.id, *equality.variable), self.value(equality.other, scope, type_))

    def _is_followed(self, equality: Equality, scope: Scope) -> bool:
        """Return whether planners follow an equality in an outer join's condition."""
        if self._merged is None or equality.only_for is None:
            return True
        if strip_relabel(equality.other).number("varlevelsup"):
            return False
        other = plain_variable(equality.other, scope)
        _, join = self._condition_joins.get(id(equality.node), (None, None))
        return other is None or (
            join is not None
            and self._joins[scope.query.id].sees(join, join.condition or equality.node, other[0])
        )

    def _pass_from_lists(self, scope: Scope) -> None:
        """Follow `(tenant_id, id) in (select …)`, both ways."""
        for condition, only_for in self._conditions.get(scope.query.id, ()):
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
                if self._joined is None or inner.query.id in self._joined:
                    self._push(inner, position, self._bound.get(variable, set()))

    def _of_rows(self, node: Node, scope: Scope, type_: int) -> set[TenantValue]:
        """Return the value that a column has in all rows of a list of `values`."""
        if node.number("varlevelsup"):
            return set()
        entry, column = scope.query.entry(node.number("varno")), node.number("varattno")
        if entry is None or entry.kind is not EntryKind.VALUES:
            return set()
        rows = entry.node.items("values_lists")
        if self._merged is not None and (
            len(rows) > 1 or self._is_nulled(scope, entry) or calls_volatile(self._catalog, entry.node)
        ):
            return set()  # planners look into a list of one row alone
        found: set[TenantValue] | None = None
        for row in rows:
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
            is_hidden = self._merged is not None and self._is_nulled(scope, entry)
            for position, output in enumerate(inner.query.outputs, 1):
                expression = output.node("expr")
                # Above an outer join, planners have a value that may be null: they do not look into it.
                if expression is not None and not (is_hidden and not self._is_column(inner, position)):
                    found = self._output(inner, position, _type_of(expression))
                    self._add((scope.query.id, entry.index, position), found)

    def _is_nulled(self, scope: Scope, entry: RangeTableEntry) -> bool:
        joins = self._joins.get(scope.query.id)
        return joins is None or entry.index in joins.nulled_as_written

    def _is_column(self, scope: Scope, position: int) -> bool:
        """Return whether an output of a query is a column of a table, also through subqueries."""
        expression = scope.query.outputs[position - 1].node("expr")
        plain = plain_variable(ungrouped(expression, scope), scope) if expression is not None else None
        entry = scope.query.entry(plain[0]) if plain is not None else None
        if plain is None or entry is None:
            return False
        if entry.kind is EntryKind.RELATION:
            return (scope.query.id, entry.index) not in self._views
        inner = self._read_by(entry, scope) if entry.kind in (EntryKind.SUBQUERY, EntryKind.CTE) else None
        return inner is not None and plain[1] <= len(inner.query.outputs) and self._is_column(inner, plain[1])

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

    def _with_items(self) -> Iterator[tuple[Scope, list[_Entry]]]:
        """Yield the `with` items that all their readers are known of, if planners look into them."""
        readers: dict[int, list[_Entry]] = defaultdict(list)
        for site in self._sites:
            for entry in site.scope.query.entries:
                inner = self._scopes.of_entry(entry, site.scope) if entry.kind is EntryKind.CTE else None
                if inner is not None:
                    readers[inner.query.id].append((site.scope.query.id, entry.index))
        for site in self._sites:
            for name, cte in site.scope.query.ctes.items():
                inner = self._scopes.of_cte(name, site.scope)
                if inner is None or cte.flag("cterecursive"):
                    continue
                found = readers[inner.query.id]
                if len(found) == cte.number("cterefcount") and (
                    self._merged is None or is_inlined(self._catalog, cte, inner.query)
                ):
                    yield inner, found

    def _pass_into_item(self, scope: Scope, readers: Sequence[_Entry]) -> None:
        """Pass the values that all readers of a `with` item need into it."""
        for position in range(1, len(scope.query.outputs) + 1) if readers else ():
            each = (self._bound.get((query, entry, position), set()) for query, entry in readers)
            self._push(scope, position, set.intersection(*map(set, each)))

    def _push(self, scope: Scope, position: int, wanted: set[TenantValue]) -> None:
        query = scope.query
        if not wanted or position > len(query.outputs) or not _may_filter_before(query, position):
            return
        if query.set_operation() is not None:
            if self._merged is not None and not self._is_filtered_by_arm(scope, position):
                return
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

    def _is_filtered_by_arm(self, scope: Scope, position: int) -> bool:
        """Return whether planners filter each arm of a union: not of ``except``, nor after a conversion."""
        operation = scope.query.set_operation()
        if operation is None or any(
            node.kind == "SETOPERATIONSTMT" and node.number("op") == SetOperation.EXCEPT
            for node in operation.walk()
        ):
            return False
        types = set[int]()
        for arm in self._arms(scope.query):
            entry = scope.query.entry(arm)
            inner = self._read_by(entry, scope) if entry is not None else None
            outputs = inner.query.outputs if inner is not None else []
            output = outputs[position - 1].node("expr") if position <= len(outputs) else None
            types.add(_type_of(output) if output is not None else 0)
        return len(types) == 1 and 0 not in types

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
            if self._merged is not None and (
                levels > 1
                or scope.query.id not in self._merged
                or home.query.id not in self._joins
                or node.number("varno") in self._joins[home.query.id].nulled
            ):
                return None
            return home.query.id, node.number("varno"), node.number("varattno")
        plain = plain_variable(node, scope)
        return (scope.query.id, *plain) if plain is not None else None

    def _add(self, variable: _Variable, values: Iterable[TenantValue]) -> None:
        self._bound[variable].update(values)


def _may_filter_before(query: QueryTree, position: int) -> bool:
    """Return whether rows with other values could be removed earlier, with the same result."""
    node = query.node
    if query.command != Command.SELECT or node.nodes("groupingSets") or query.returned_sets():
        return False
    if node.node("limitCount") is not None or node.node("limitOffset") is not None:
        return False
    # Rows are removed by groups, by windows, or by ``distinct on`` as a whole if the column divides them.
    divisions = [each.nodes("partitionClause") for each in node.nodes("windowClause")]
    if node.flag("hasDistinctOn"):
        divisions.append(node.nodes("distinctClause"))
    if query.is_aggregated:
        divisions.append(node.nodes("groupClause"))
    reference = query.outputs[position - 1].number("ressortgroupref")
    return all(
        any(clause.number("tleSortGroupRef") == reference for clause in clauses) for clauses in divisions
    )


def _type_of(node: Node) -> int:
    return (
        node.number("vartype")
        or node.number("paramtype")
        or node.number("consttype")
        or node.number("resulttype")
        or node.number("funcresulttype")
    )
