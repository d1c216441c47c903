"""The statements of one tenant that Citus does not send to one node as they are, or refuses."""

from __future__ import annotations

from collections.abc import Iterator

from plainsql.analysis.conditions.equalities import calls_volatile
from plainsql.analysis.distribution.tenant_uses import TenantUses
from plainsql.analysis.distribution.tenant_values import TenantValue
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.function_calls import called_function
from plainsql.analysis.tree.query_tree import Command, EntryKind, QueryTree, expression_children

__all__ = ["citus_notes"]

_ON_CONFLICT_UPDATE = 2


def citus_notes(uses: TenantUses, value: TenantValue) -> tuple[str, ...]:
    """Return what Citus does otherwise with a statement whose rows are all of one tenant, in phrases.

    They were found by running statements on Citus 15 and comparing its plans.
    """
    if not uses.all:
        return ()
    return tuple(dict.fromkeys(_Notes(uses, value).all()))


class _Notes:
    """The notes about one statement."""

    def __init__(self, uses: TenantUses, value: TenantValue) -> None:
        self._uses = uses
        self._catalog = uses.catalog
        self._value = value
        self._queries = [site.scope.query for site in uses.sites]

    def all(self) -> Iterator[str]:
        # The values of an insert are computed before its node is chosen.
        if not self._value.is_fixed and any(use.event != "insert" for use in self._uses.all):
            yield f"the tenant is {self._value.text}, and no parameter or constant: it runs on all shards"
        by_type = {use.relation.columns[use.column].type: use.relation for use in self._uses.all}
        if len(by_type) > 1:
            one, other, *_ = sorted(map(str, by_type.values()))
            yield (
                f"{self._uses.column} of {one} and of {other} have two types: the tables are not colocated,"
                " and joins are refused"
            )
        inserts = any(query.command == Command.INSERT for query in self._queries)
        items = [cte for query in self._queries for cte in query.ctes.values()]
        if inserts and items:
            yield "a with item in a statement with an insert: it runs in parts, through the coordinator"
        if any(calls_volatile(self._catalog, cte) for cte in items):
            yield "a with item calls a volatile function: it runs in parts, through the coordinator"
        if any(cte.node("search_clause") or cte.node("cycle_clause") for cte in items):
            yield "a recursive query with search or cycle: it may be refused"
        for query in self._queries:
            yield from self._of_query(query)

    def _of_query(self, query: QueryTree) -> Iterator[str]:
        result = query.entry(query.result_relation)
        relation = self._catalog.relation(result.relation) if result is not None and result.relation else None
        if relation is not None and relation.kind == "v":
            yield f"it changes the view {relation}: that is refused"
        elif relation is not None and self._uses.number(relation) is None:
            yield f"it changes {relation} and uses distributed tables: that may be refused"
        calls = [*self._calls(query)]
        if query.command in (Command.UPDATE, Command.DELETE):
            if calls_volatile(self._catalog, query.node):
                yield "an update or a delete calls a volatile function: that is refused"
            elif any(self._is_irreducible(part) for part in query.expressions()):
                yield (
                    "an update or a delete calls a function that is not immutable with a column or in case or"
                    " coalesce: that is refused"
                )
        if query.command != Command.INSERT and "nextval" in calls:
            yield "nextval runs on the coordinator: the query runs on all shards"
        if query.command == Command.INSERT:
            yield from self._of_insert(query)

    def _of_insert(self, query: QueryTree) -> Iterator[str]:
        conflict = query.node.node("onConflict")
        if (
            conflict is not None
            and conflict.number("action") == _ON_CONFLICT_UPDATE
            and not all(map(self._is_immutable, conflict.walk()))
        ):
            yield "on conflict … set calls a function that is not immutable: that is refused"
        selects = any(entry.kind is EntryKind.SUBQUERY for entry in query.entries)
        if selects and not self._inserts_column(query):
            yield (
                "insert … select of a tenant that is no column of a distributed table: its rows go through"
                " the coordinator"
            )
        if any(node.kind == "SUBLINK" for node in query.expressions()):
            yield "a sub-select in an insert: that is refused"

    def _inserts_column(self, query: QueryTree) -> bool:
        """Return whether the inserted tenant is a column of a distributed table that the query reads."""
        uses = [
            use for use in self._uses.all if use.site.scope.query.id == query.id and use.event == "insert"
        ]
        sites = {site.scope.query.id: site for site in self._uses.sites}
        for use in uses:
            target = next((t for t in query.target_list if t.number("resno") == use.column), None)
            node = target.node("expr") if target is not None else None
            scope = sites[query.id].scope
            if node is None or not self._uses.is_distribution_column(node, scope):
                return False
        return bool(uses)

    def _calls(self, query: QueryTree) -> Iterator[str]:
        for target in query.target_list:
            for part in expression_children(target):
                oid = called_function(part, self._catalog)
                function = self._catalog.function(oid) if oid is not None else None
                if part.kind == "NEXTVALUEEXPR":
                    yield "nextval"
                elif function is not None and function.is_builtin:
                    yield function.name

    def _is_irreducible(self, node: Node) -> bool:
        """Return whether a value is neither computed before the node is chosen, nor the same on each node."""
        below = [*expression_children(node)]
        if node.kind in ("CASEEXPR", "COALESCEEXPR", "MINMAXEXPR"):
            return not all(map(self._is_immutable, below))
        return not self._is_immutable(node) and any(part.kind == "VAR" for part in below)

    def _is_immutable(self, node: Node) -> bool:
        oid = called_function(node, self._catalog)
        function = self._catalog.function(oid) if oid is not None else None
        return node.kind != "SQLVALUEFUNCTION" and (
            oid is None or (function is not None and function.volatility == "immutable")
        )
