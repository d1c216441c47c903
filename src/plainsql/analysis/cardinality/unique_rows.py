"""Relations of a query that are reduced to one row, and columns that are reduced to one value.

A relation is *determined* if all of its rows that remain are the same row: its unique key is equal to
determined values, or it has only one row to begin with. Under an outer join a determined relation can still
be present in one row of the query and be filled with nulls in another. If that matters, its *state* must be
determined as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from plainsql.analysis.cardinality.conditional_keys import expression_equalities, implied_keys
from plainsql.analysis.cardinality.exclusion_rows import leaves_one_row
from plainsql.analysis.cardinality.pushed_conditions import PushedConditions
from plainsql.analysis.catalog.relations import Relation
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.conditions.equalities import (
    Equality,
    calls_volatile,
    collect_equalities,
    equality_families,
    is_repeatable,
    lateral_variables,
    outer_variables,
    plain_variable,
    strip_relabel,
)
from plainsql.analysis.conditions.known_facts import Facts, NullingJoin, nulling_joins
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.query_tree import (
    Command,
    EntryKind,
    Join,
    JoinType,
    QueryTree,
    RangeTableEntry,
    Scope,
    expression_children,
    ungrouped,
)
from plainsql.analysis.tree.scopes import Scopes

__all__ = ["AtMostOne", "OutputKey", "UniqueRows", "from_entries"]

OutputKey = dict[int, frozenset[int]]
"""Output positions (1-based) that no two rows share, each with the operator families by whose equality."""


@dataclass(frozen=True, slots=True)
class AtMostOne:
    """The proof that a query gives at most one row, or the reason why there is none."""

    proved: bool
    because: str

    def reason_through(self, name: str) -> str:
        """Return the reason for a view, ``with`` item or subquery of this name."""
        return f"{self.because} in {name}"


class Counts(Protocol):
    """The row counts of a statement's queries; ``Cardinality`` implements it."""

    @property
    def catalog(self) -> Catalog:
        """The catalog of the database."""
        ...

    @property
    def scopes(self) -> Scopes:
        """The queries of the statement."""
        ...

    def at_most_one(self, scope: Scope) -> AtMostOne:
        """Return whether a query gives at most one row each time it runs."""
        ...

    def one_call(self, entry: RangeTableEntry) -> bool:
        """Return whether a function in ``from`` gives exactly one row."""
        ...

    def keys(self, entry: RangeTableEntry, scope: Scope) -> list[tuple[OutputKey, str]]:
        """Return the columns that no two rows of an entry share, each set with its name in reasons."""
        ...

    def has_own_keys(self, relation: Relation, entry: RangeTableEntry) -> bool:
        """Return whether the keys of a table hold for all rows that an entry reads."""
        ...

    @property
    def pushed(self) -> PushedConditions:
        """The queries of views and subqueries with the conditions of the queries around them."""
        ...

    def has_other_keys(self, scope: Scope, /) -> bool:
        """Return whether a query reads a table with keys that are not of plain columns alone."""
        ...


class UniqueRows:
    """The relations of one query that are determined, and the columns that have one value."""

    def __init__(
        self,
        counts: Counts,
        scope: Scope,
        facts: Facts,
        assume: int = 0,
        columns: Iterable[tuple[int, int]] = (),
    ) -> None:
        """Find them; the relation ``assume`` (or 0) and ``columns`` are assumed to be determined."""
        self._counts = counts
        self._catalog = counts.catalog
        self._scope = scope
        self._facts = facts
        query = scope.query
        self.relations: set[int] = {assume} if assume else set()
        self.columns: dict[tuple[int, int], frozenset[int]] = {}
        """Columns with one value, each with the operator families by whose equality."""
        every = frozenset().union(*counts.catalog.routines.families_of_equality.values())
        for column in columns:
            self.columns[column] = every
        self.because: dict[int, str] = {}
        self.full_join = any(join.type in (JoinType.FULL, None) for join in query.joins.values())
        self._propagate()

    def _propagate(self) -> None:
        query = self._scope.query
        equalities = collect_equalities(self._catalog, self._scope)
        pending = from_entries(query)
        target = query.entry(query.result_relation)
        if target is not None and query.command != Command.INSERT and target not in pending:
            pending.insert(0, target)
        progress = True
        while progress:
            progress = False
            for equality in equalities:
                known = self.columns.get(equality.variable, frozenset())
                if not equality.families <= known and self._determines(equality):
                    self.columns[equality.variable] = known | equality.families
                    progress = True
            for entry in pending:
                if entry.index not in self.relations and (because := self._relation(entry)):
                    self.relations.add(entry.index)
                    self.because[entry.index] = because
                    progress = True

    def reason(self) -> str:
        """Return the reason why all relations of the query are determined: its keys before anything else."""
        reasons = [self.because.get(entry.index, "") for entry in from_entries(self._scope.query)]
        keys = [reason for reason in reasons if reason.startswith("equality")]
        return (keys or reasons)[0]

    def clauses(self, clauses: list[Node]) -> bool:
        """Return whether all expressions of a ``group by`` or ``distinct`` have one value."""
        for clause in clauses:
            target = self._scope.query.sort_group_expression(clause.number("tleSortGroupRef"))
            expression = target.node("expr") if target is not None else None
            if expression is None:
                return False
            expression = ungrouped(expression, self._scope)
            variable = plain_variable(expression, self._scope)
            families = equality_families(self._catalog, clause.number("eqop"))
            bound = variable is not None and families & self.columns.get(variable, frozenset())
            if not (bound and self._present(strip_relabel(expression))) and not self._expression(expression):
                return False
        return True

    def has_one_value(self, expression: Node) -> bool:
        """Return whether an expression of the select list has one value; null counts as one."""
        expression = strip_relabel(ungrouped(expression, self._scope))
        variable = plain_variable(expression, self._scope)
        if variable is not None:
            entry = self._scope.query.entry(expression.number("varno"))
            if entry is not None and entry.kind is EntryKind.JOIN:
                alias = entry.node.items("joinaliasvars")[expression.number("varattno") - 1]
                return isinstance(alias, Node) and self.has_one_value(alias)
            if variable in self.columns and self._present(expression):
                return True
        if self._expression(expression):
            return True
        # A sub-select has one value if the outer columns that it refers to have one.
        parts = [*expression_children(expression)]
        return (
            any(part.kind == "SUBLINK" for part in parts)
            and all(part.kind not in ("AGGREF", "GROUPINGFUNC", "WINDOWFUNC") for part in parts)
            and not calls_volatile(self._catalog, expression)
            and all(levels == 0 and self._variable(part) for part, levels in outer_variables(expression))
        )

    def _determines(self, equality: Equality) -> bool:
        if equality.only_for is not None and equality.variable[0] not in equality.only_for:
            return False
        variable = None if equality.null_is_equal else plain_variable(equality.other, self._scope)
        # An equality does not hold for null: it does not matter if an outer join filled the variable.
        if variable is not None and (
            variable[0] in self.relations or equality.families & self.columns.get(variable, frozenset())
        ):
            return True
        return self._expression(equality.other)

    def _expression(self, node: Node) -> bool:
        """Return whether an expression has one value; null counts as one."""
        if not is_repeatable(self._catalog, node):
            return False
        variables = (part for part in expression_children(node) if part.kind == "VAR")
        return all(self._variable(part) for part in variables if not part.number("varlevelsup"))

    def _variable(self, node: Node) -> bool:
        return node.number("varno") in self.relations and self._present(node)

    def _present(self, node: Node) -> bool:
        """Return whether a variable is filled with nulls in all rows or in none."""
        if node.kind != "VAR":
            return False
        entry = self._scope.query.entry(node.number("varno"))
        if entry is not None and entry.kind is EntryKind.JOIN:
            return False
        return self._all_matched(nulling_joins(node, self._scope)) or self._one_state(node.number("varno"))

    def _all_matched(self, joins: list[NullingJoin]) -> bool:
        return all(join in self._facts.matched for join in joins)

    def _one_state(self, index: int) -> bool:
        """Return whether a relation is present in all rows or in none: the other sides of its outer joins
        are one row.
        """
        query = self._scope.query
        for join in query.joins.values():
            for side, members in join.nullable_sides():
                if index not in members or (query.id, join.index, side) in self._facts.matched:
                    continue
                others = join.left_members if side == "right" else join.right_members
                single = others - set(query.joins)
                if join.type not in (JoinType.LEFT, JoinType.RIGHT):
                    return False
                if all(other in self.relations and self._one_state(other) for other in single):
                    continue
                if not self._matches_alike(join, members):
                    return False
        return True

    def _matches_alike(self, join: Join, members: frozenset[int]) -> bool:
        """Return whether the condition of an outer join has one value for the determined relations on its
        nullable side, whatever other relations there are on the other side.
        """
        single = members - set(self._scope.query.joins)
        condition = join.condition
        if condition is None or not single <= self.relations or not is_repeatable(self._catalog, condition):
            return False
        variables = (part for part in expression_children(condition) if part.kind == "VAR")
        return all(
            (part.number("varno") in single and not nulling_joins(part, self._scope)) or self._variable(part)
            for part in variables
            if not part.number("varlevelsup")
        )

    def _relation(self, entry: RangeTableEntry) -> str:
        """Return the reason why a relation is determined; empty if it is not."""
        # A lateral item gives rows for each row of the items that it refers to.
        if not all(self._variable(variable) for variable in lateral_variables(entry)):
            return ""
        if entry.kind is EntryKind.RESULT:
            return "one row"
        if entry.kind is EntryKind.FUNCTION and self._counts.one_call(entry):
            return "a function that returns no set"
        if entry.kind is EntryKind.VALUES and len(entry.node.items("values_lists")) == 1:
            return "one row of values"
        inner = self._counts.scopes.of_entry(entry, self._scope)
        if inner is not None and not entry.node.flag("self_reference"):
            answer = self._counts.at_most_one(inner)
            if answer.proved:
                return answer.because
        for key, because in self._counts.keys(entry, self._scope):
            if all(
                families & self.columns.get((entry.index, column), frozenset())
                for column, families in key.items()
            ):
                return because
        return self._expression_key(entry) or self._exclusion_key(entry) or self._pushed_down(entry, inner)

    def _exclusion_key(self, entry: RangeTableEntry) -> str:
        """Return the reason why an exclusion constraint determines a relation; empty if none does."""
        relation = self._catalog.relation(entry.relation) if entry.relation else None
        if relation is None or not self._counts.has_own_keys(relation, entry):
            return ""
        if self._scope.query.command == Command.MERGE:
            return ""

        def equal(column: int, families: frozenset[int]) -> bool:
            return bool(families & self.columns.get((entry.index, column), frozenset()))

        for key in relation.exclusion_keys:
            if leaves_one_row(self._catalog, key, entry, self._scope, equal, self._expression):
                return f"no two rows overlap by {key.name}"
        return ""

    def _pushed_down(self, entry: RangeTableEntry, inner: Scope | None) -> str:
        """Return the reason why a view or subquery gives one row under the conditions of this query."""
        if inner is None or entry.node.flag("self_reference") or not self._counts.has_other_keys(inner):
            return ""
        relation = self._catalog.relation(entry.relation) if entry.relation else None
        if relation is not None and relation.kind != "v":
            return ""
        pushed = self._counts.pushed.into(self._scope, entry, inner, self._variable)
        if pushed is None:
            return ""
        answer = self._counts.at_most_one(pushed)
        return answer.reason_through(entry.alias) if answer.proved else ""

    def _expression_key(self, entry: RangeTableEntry) -> str:
        """Return the reason why a unique index on expressions determines a relation; empty if none does."""
        relation = self._catalog.relation(entry.relation) if entry.relation else None
        if relation is None or not self._counts.has_own_keys(relation, entry):
            return ""
        for key, alike in implied_keys(self._catalog, relation, entry, self._scope, self._facts):
            expressions = iter(key.expressions)
            if key.expressions and all(
                i in alike
                or (
                    frozenset({family}) & self.columns.get((entry.index, column), frozenset())
                    if column
                    else self._equals(next(expressions), family, entry)
                )
                for i, (column, family) in enumerate(zip(key.columns, key.families, strict=False))
            ):
                return f"equality on the unique key {key.name}"
        return ""

    def _equals(self, expression: Node, family: int, entry: RangeTableEntry) -> bool:
        """Return whether an index's expression is equal to a determined value."""
        return any(
            family in equality.families and self._determines(equality)
            for equality in expression_equalities(self._catalog, expression, entry, self._scope)
        )


def from_entries(query: QueryTree) -> list[RangeTableEntry]:
    """Return the entries of ``from``, except joins."""
    return [entry for entry in query.entries if entry.index in query.members]
