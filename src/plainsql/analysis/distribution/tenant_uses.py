"""The mentions of distributed tables in a statement, and what is known of each beforehand."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from plainsql.analysis.catalog.relations import Relation
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.conditions.equalities import plain_variable
from plainsql.analysis.distribution.distributed_tables import is_reference
from plainsql.analysis.distribution.policy_values import PolicyEvent, policy_values
from plainsql.analysis.distribution.tenant_bindings import TenantBindings
from plainsql.analysis.distribution.tenant_values import TenantValue, TenantValues
from plainsql.analysis.effects.effects import Effects
from plainsql.analysis.effects.statement_effects import effects_of
from plainsql.analysis.nodes import Node, read_tree
from plainsql.analysis.tree.query_sites import QuerySite, query_sites
from plainsql.analysis.tree.query_tree import Command, EntryKind, RangeTableEntry, Scope, ungrouped
from plainsql.analysis.tree.scopes import Scopes

__all__ = ["TenantUse", "TenantUses"]

_EVENTS: dict[int, PolicyEvent] = {
    Command.INSERT: "insert",
    Command.UPDATE: "update",
    Command.DELETE: "delete",
}


@dataclass(frozen=True, slots=True)
class TenantUse:
    """A mention of a distributed table in a query."""

    site: QuerySite
    entry: RangeTableEntry
    relation: Relation
    column: int
    event: PolicyEvent

    @property
    def text(self) -> str:
        alias = self.entry.alias
        return f"{self.relation} as {alias}" if alias != self.relation.name else str(self.relation)


class TenantUses:
    """The mentions of distributed tables in one statement."""

    def __init__(
        self,
        catalog: Catalog,
        scope: Scope,
        names: tuple[str, ...],
        column: str,
        reference: Collection[str],
    ) -> None:
        """Find the mentions.

        Args:
            catalog: the database.
            scope: the statement's query.
            names: the names of its parameters, in order.
            column: the distribution column.
            reference: the tables that every server has a copy of.
        """
        self.catalog = catalog
        self.column = column
        self._reference = frozenset(reference)
        self._scopes = Scopes(catalog)
        self.sites = query_sites(catalog, self._scopes, scope)
        self.effects: Effects = effects_of(catalog, self.sites, names)
        self._values = TenantValues(catalog, names)
        self.all = [*self._found()]

    @property
    def changes_settings(self) -> bool:
        """Return whether the statement may change a setting while it runs."""
        return any(
            each.function is not None and each.function.is_builtin and each.function.name == "set_config"
            for each in self.effects.evaluated
        )

    def bindings(self, *, by_policies: bool, seen: bool) -> TenantBindings:
        """Follow the equalities: all of them, or those that planners see."""
        seeds, inserted = [*self._seeds(by_policies=by_policies)], [*self._inserted()]
        return TenantBindings(
            self.catalog, self._scopes, self._values, self.sites, seeds, inserted, seen=seen
        )

    def number(self, relation: Relation) -> int | None:
        """Return the number of a table's distribution column; ``None`` if it is not distributed."""
        if relation.is_system or relation.kind not in "rpfm":
            return None
        if is_reference(relation.schema, relation.name, self._reference):
            return None
        return next((each.number for each in relation.columns.values() if each.name == self.column), None)

    def is_distribution_column(self, node: Node, scope: Scope) -> bool:
        """Return whether an expression is the column of a distributed table, also through subqueries."""
        plain = plain_variable(ungrouped(node, scope), scope)
        entry = scope.query.entry(plain[0]) if plain is not None else None
        if plain is None or entry is None:
            return False
        if (
            entry.kind is EntryKind.RELATION
            and (relation := self.catalog.relation(entry.relation)) is not None
        ):
            return relation.kind != "v" and self.number(relation) == plain[1]
        inner = self._scopes.of_entry(entry, scope) if entry.kind is EntryKind.SUBQUERY else None
        outputs = inner.query.outputs if inner is not None else []
        output = outputs[plain[1] - 1].node("expr") if plain[1] <= len(outputs) else None
        return inner is not None and output is not None and self.is_distribution_column(output, inner)

    def _found(self) -> Iterator[TenantUse]:
        for site in self.sites:
            query = site.scope.query
            for entry in query.entries:
                if entry.kind is not EntryKind.RELATION or entry.node.text("relkind") == "c":
                    continue
                is_result = entry.index == query.result_relation
                if not is_result and entry.index not in query.members:
                    continue
                relation = self.catalog.relation(entry.relation)
                column = self.number(relation) if relation is not None else None
                if relation is not None and column is not None:
                    event = _EVENTS.get(query.command, "select") if is_result else "select"
                    yield TenantUse(site, entry, relation, column, event)

    def _seeds(self, *, by_policies: bool) -> Iterator[tuple[tuple[int, int, int], TenantValue]]:
        for use in self.all:
            variable = (use.site.scope.query.id, use.entry.index, use.column)
            yield variable, TenantValue(("column", variable), use.text, is_column=True)
            if by_policies and not use.site.via:
                scope = use.site.scope
                for value in policy_values(
                    self.catalog, self._values, use.relation, use.column, scope, use.event
                ):
                    yield variable, value

    def _inserted(self) -> Iterator[tuple[tuple[int, int, int], Node, Scope, int]]:
        for use in self.all:
            query = use.site.scope.query
            if use.event != "insert":
                continue
            targets = {each.number("resno"): each.node("expr") for each in query.target_list}
            for number, column in use.relation.columns.items():
                node = targets.get(number)
                if node is None or node.kind == "SETTODEFAULT":
                    default = read_tree(column.default) if column.default else None
                    node = default if isinstance(default, Node) else None
                if node is not None:
                    variable = (query.id, use.entry.index, number)
                    yield variable, node, use.site.scope, column.type

    def arbiters(self, conflict: Node) -> set[int]:
        """Return the columns of the target of an `on conflict`; none without a target."""
        constraint = conflict.number("constraint")
        if constraint:
            return {*self.catalog.constraint_columns(constraint)}
        found: set[int] = set()
        for element in conflict.nodes("arbiterElems"):
            expression = element.node("expr")
            if expression is not None and expression.kind == "VAR":
                found.add(expression.number("varattno"))
        return found
