"""The number of rows of a query: at most one, at least one, and the keys by which its rows are unique."""

from __future__ import annotations

from collections.abc import Iterable

from plainsql.analysis.cardinality.conditional_keys import implied_keys
from plainsql.analysis.cardinality.foreign_key_matches import join_always_matches, subselect_always_matches
from plainsql.analysis.cardinality.pushed_conditions import PushedConditions
from plainsql.analysis.cardinality.row_facts import facts_of_rows
from plainsql.analysis.cardinality.unique_rows import AtMostOne, OutputKey, UniqueRows, from_entries
from plainsql.analysis.catalog.relations import Relation
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.conditions.equalities import equality_families, plain_variable, strip_relabel
from plainsql.analysis.conditions.known_facts import Facts, Inference, is_true
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.query_tree import (
    Command,
    EntryKind,
    Join,
    JoinType,
    RangeTableEntry,
    Scope,
    SetOperation,
    once_per_query,
    ungrouped,
)
from plainsql.analysis.tree.row_limits import constant_count, keeps_first_row
from plainsql.analysis.tree.scopes import Scopes

__all__ = ["Cardinality"]

_ON_CONFLICT_UPDATE = 2


class Cardinality:
    """The row counts of queries, proved by their keys, limits and aggregates."""

    def __init__(self, catalog: Catalog, scopes: Scopes, *, locks: bool = False) -> None:
        """Count the rows of a statement; with ``locks``, a query of it locks rows, and no foreign key holds
        for these.

        A view's rows are locked together with those of its tables, so this is a fact about the whole
        statement.
        """
        self.catalog = catalog
        self.scopes = scopes
        self._locks = locks
        self.pushed = PushedConditions()
        self._inference = Inference(catalog)
        self._at_most_one: dict[int, AtMostOne] = {}

    def at_most_one(self, scope: Scope) -> AtMostOne:
        """Return whether the query gives at most one row each time it runs."""
        known = self._at_most_one.get(scope.query.id)
        if known is None:
            # A recursive query that depends on itself gets the safe answer.
            self._at_most_one[scope.query.id] = AtMostOne(False, "a recursive query")
            known = self._at_most_one[scope.query.id] = self._count_at_most(scope)
        return known

    @once_per_query
    def at_least_one(self, scope: Scope) -> bool:
        """Return whether the query always gives a row."""
        query = scope.query
        if query.returned_sets():
            return False
        if not keeps_first_row(query):
            return False
        if query.command == Command.INSERT:
            return self._inserts_always(scope)
        if query.command != Command.SELECT:
            return False
        if (operation := query.set_operation()) is not None:
            return self._union_has_row(operation, scope)
        if not is_true(query.node.node("havingQual")):
            return False
        if query.is_aggregated and not query.is_grouped:
            return True
        return not query.node.nodes("groupingSets") and self.from_has_row(scope)

    def finds_referenced_row(self, scope: Scope, facts: Facts) -> bool:
        """Return whether a sub-select always finds the row that an outer row refers to by a foreign key."""
        if self._locks or not keeps_first_row(scope.query):
            return False
        return subselect_always_matches(self.catalog, self.scopes, scope, facts)

    def from_has_row(self, scope: Scope) -> bool:
        """Return whether ``from`` and ``where`` always give a row."""
        query = scope.query
        if query.command != Command.SELECT or query.set_operation() is not None or not is_true(query.where):
            return False
        return all(self.item_at_least_one(item, scope) for item in query.from_items)

    def item_at_least_one(self, item: Node, scope: Scope) -> bool:
        """Return whether one item of ``from`` always gives a row."""
        if item.kind == "JOINEXPR":
            left, right = item.node("larg"), item.node("rarg")
            if left is None or right is None:
                return False
            one, other = self.item_at_least_one(left, scope), self.item_at_least_one(right, scope)
            match item.number("jointype"):
                case JoinType.LEFT:
                    return one
                case JoinType.RIGHT:
                    return other
                case JoinType.FULL:
                    return one or other
                case JoinType.INNER:
                    return one and other and is_true(item.node("quals"))
                case _:
                    pass
            return False
        entry = scope.query.entry(item.number("rtindex")) if item.kind == "RANGETBLREF" else None
        if entry is None:
            return False
        if entry.kind is EntryKind.VALUES:
            return bool(entry.node.items("values_lists"))
        if entry.kind is EntryKind.RESULT:
            return True
        if entry.kind is EntryKind.FUNCTION:
            return self.one_call(entry)
        inner = self.scopes.of_entry(entry, scope)
        if inner is None or entry.node.flag("self_reference"):
            return False
        relation = self.catalog.relation(entry.relation) if entry.relation else None
        # A materialised view may not have been refreshed.
        return (relation is None or relation.kind == "v") and self.at_least_one(inner)

    def _union_has_row(self, node: Node, scope: Scope) -> bool:
        if node.kind == "RANGETBLREF":
            entry = scope.query.entry(node.number("rtindex"))
            inner = self.scopes.of_entry(entry, scope) if entry is not None else None
            return inner is not None and self.at_least_one(inner)
        arms = [arm for arm in (node.node("larg"), node.node("rarg")) if arm is not None]
        return node.number("op") == SetOperation.UNION and any(
            self._union_has_row(arm, scope) for arm in arms
        )

    def _inserts_always(self, scope: Scope) -> bool:
        query = scope.query
        entry = query.entry(query.result_relation)
        relation = self.catalog.relation(entry.relation) if entry is not None else None
        if (
            relation is None
            or relation.rules
            or relation.is_view
            or self.catalog.may_drop_rows(relation, "insert")
        ):
            return False
        conflict = query.node.node("onConflict")
        if conflict is not None:
            always = (
                conflict.number("action") == _ON_CONFLICT_UPDATE and conflict.node("onConflictWhere") is None
            )
            if not always or self.catalog.may_drop_rows(relation, "update"):
                return False
        return all(self.item_at_least_one(item, scope) for item in query.from_items)

    def _count_at_most(self, scope: Scope) -> AtMostOne:
        query = scope.query
        match query.command:
            case Command.SELECT:
                return self._select(scope)
            case Command.INSERT | Command.UPDATE | Command.DELETE | Command.MERGE:
                return self._write(scope)
            case _:
                pass
        return AtMostOne(False, "not a query whose rows can be counted")

    def _select(self, scope: Scope) -> AtMostOne:
        query = scope.query
        limit = constant_count(query.node.node("limitCount"))
        if limit is not None and limit <= 1 and not query.node.number("limitOption"):
            return AtMostOne(True, f"limit {limit}")
        return self._rows_before_limit(scope)

    def _rows_before_limit(self, scope: Scope) -> AtMostOne:
        query = scope.query
        if query.returned_sets():
            return AtMostOne(False, "a set-returning function in the select list")
        if (operation := query.set_operation()) is not None:
            return self._set_operation(operation, scope)
        if query.is_aggregated and not query.is_grouped:
            return AtMostOne(True, "an aggregate without group by")
        if not query.members:
            return AtMostOne(True, "one row of values" if is_true(query.where) else "no from")
        fixed = self.unique_rows(scope)
        missing = [entry for entry in from_entries(query) if entry.index not in fixed.relations]
        if not missing and not fixed.full_join and not query.node.nodes("groupingSets"):
            return AtMostOne(True, fixed.reason())
        groups = query.node.nodes("groupClause")
        if groups and not query.node.nodes("groupingSets") and fixed.clauses(groups):
            return AtMostOne(True, "one group: its columns are bound")
        if query.node.nodes("distinctClause") and fixed.clauses(query.node.nodes("distinctClause")):
            return AtMostOne(True, "distinct: its columns are bound")
        if not missing and query.node.nodes("groupingSets"):
            return AtMostOne(False, "a row for each grouping set")
        if fixed.full_join:
            return AtMostOne(False, "full join: unmatched rows of either side")
        return AtMostOne(False, f"no unique key of {missing[0].alias} is bound")

    def _write(self, scope: Scope) -> AtMostOne:
        query = scope.query
        target = query.entry(query.result_relation)
        relation = self.catalog.relation(target.relation) if target is not None else None
        if target is None or relation is None or relation.rules:
            return AtMostOne(False, "rules on the table")
        if query.returned_sets():
            return AtMostOne(False, "a set-returning function among the values")
        if query.command == Command.INSERT:
            rows = self.unique_rows(scope)
            if all(entry.index in rows.relations for entry in from_entries(query)) and not rows.full_join:
                return AtMostOne(True, "one row is inserted")
            return AtMostOne(False, "as many rows as are inserted")
        if query.command == Command.MERGE:
            actions = query.node.nodes("mergeActionList")
            if any(action.number("matchKind", -1) == 1 for action in actions):
                return AtMostOne(False, "merge: not matched by source")
            fixed = self.unique_rows(scope)
            if (
                all(entry.index in fixed.relations for entry in [target, *from_entries(query)])
                and not fixed.full_join
            ):
                return AtMostOne(True, "one row of the source, which matches at most one")
            return AtMostOne(False, "merge: no unique key of source and target is bound")
        # A row is updated or deleted once, however many rows of `from` it matches.
        fixed = self.unique_rows(scope)
        if target.index in fixed.relations:
            return AtMostOne(True, fixed.because[target.index])
        return AtMostOne(False, f"no unique key of {target.alias} is bound")

    def _set_operation(self, node: Node, scope: Scope) -> AtMostOne:
        if node.kind == "RANGETBLREF":
            entry = scope.query.entry(node.number("rtindex"))
            inner = self.scopes.of_entry(entry, scope) if entry is not None else None
            return self.at_most_one(inner) if inner is not None else AtMostOne(False, "unknown")
        left, right = node.node("larg"), node.node("rarg")
        if left is not None and right is not None:
            first = self._set_operation(left, scope)
            match node.number("op"):
                case SetOperation.INTERSECT:
                    return first if first.proved else self._set_operation(right, scope)
                case SetOperation.EXCEPT:
                    return first
                case _:
                    pass
        return AtMostOne(False, "union: rows of both arms")

    @once_per_query
    def output_keys(self, scope: Scope) -> list[OutputKey]:
        """Return the sets of output columns that no two rows of the query share."""
        query = scope.query
        if query.command in (Command.INSERT, Command.UPDATE, Command.DELETE):
            return self._keys_of_written_rows(scope)
        if query.command != Command.SELECT or query.returned_sets():
            return []
        if (operation := query.set_operation()) is not None:
            clauses = operation.nodes("groupClauses")
            if operation.flag("all") or not clauses:
                return []
            return [{i: self._equality(clause) for i, clause in enumerate(clauses, 1)}]
        keys: list[OutputKey] = []
        unique = [query.node.nodes("distinctClause")]
        if not query.node.nodes("groupingSets"):
            unique.append(query.node.nodes("groupClause"))
        for clauses in unique:
            targets = [query.sort_group_expression(clause.number("tleSortGroupRef")) for clause in clauses]
            if clauses and all(target is not None and not target.flag("resjunk") for target in targets):
                pairs = [
                    (target, clause)
                    for target, clause in zip(targets, clauses, strict=True)
                    if target is not None
                ]
                keys.append(self._without_dependents(pairs, scope))
        if not query.is_aggregated:
            keys.extend(self._keys_of_members(scope))
        return keys

    def _without_dependents(self, pairs: list[tuple[Node, Node]], scope: Scope) -> OutputKey:
        """Return the key that grouping makes, without the columns that depend on a unique key of their
        table.
        """
        key: OutputKey = {}
        origins: dict[int, tuple[int, int]] = {}
        for target, clause in pairs:
            key[target.number("resno")] = self._equality(clause)
            expression = target.node("expr")
            variable = plain_variable(ungrouped(expression, scope), scope) if expression is not None else None
            if variable is not None:
                origins[target.number("resno")] = variable
        for entry in from_entries(scope.query):
            own = {column: resno for resno, (index, column) in origins.items() if index == entry.index}
            for unique, _ in self.keys(entry, scope):
                if all(column in own and unique[column] & key[own[column]] for column in unique):
                    for column, resno in own.items():
                        if column not in unique:
                            key.pop(resno, None)
                    break
        return key

    def _keys_of_members(self, scope: Scope) -> list[OutputKey]:
        """Return the keys of one table that stay keys because every other relation has at most one row for
        each.
        """
        query = scope.query
        positions: dict[tuple[int, int], int] = {}
        for output in query.outputs:
            expression = output.node("expr")
            variable = plain_variable(expression, scope) if expression is not None else None
            if variable is not None:
                positions.setdefault(variable, output.number("resno"))
        found: list[OutputKey] = []
        for entry in from_entries(query):
            fixed = self.unique_rows(scope, assume=entry.index)
            if fixed.full_join or any(other.index not in fixed.relations for other in from_entries(query)):
                continue
            for key, _ in self.keys(entry, scope):
                if all((entry.index, column) in positions for column in key):
                    found.append(
                        {positions[entry.index, column]: families for column, families in key.items()}
                    )
        return found

    def _keys_of_written_rows(self, scope: Scope) -> list[OutputKey]:
        """Return the keys of the table among the columns of ``returning``: each row is written once.

        A trigger may change other rows before a row is written; no key is known then. The condition of a
        partial key holds for the rows as they were found, so it is not considered.
        """
        query = scope.query
        entry = query.entry(query.result_relation)
        relation = self.catalog.relation(entry.relation) if entry is not None else None
        if entry is None or relation is None or relation.rules or not self.has_own_keys(relation, entry):
            return []
        events = {Command.INSERT: ("insert", "update"), Command.UPDATE: ("update",)}
        events_of_query = events.get(Command(query.command), ("delete",))
        if any(self.catalog.changed_by_triggers(relation, event) is None for event in events_of_query):
            return []
        positions: dict[int, int] = {}
        for output in query.outputs:
            expression = output.node("expr")
            variable = plain_variable(expression, scope) if expression is not None else None
            # `old.id` in the place of `id` may be the number that another row has now.
            if expression is None or variable is None or variable[0] != entry.index:
                continue
            if not strip_relabel(expression).number("varreturningtype"):
                positions.setdefault(variable[1], output.number("resno"))
        return [
            {
                positions[column]: frozenset({family})
                for column, family in zip(key.columns, key.families, strict=True)
            }
            for key in relation.unique_keys
            if all(column in positions for column in key.columns)
        ]

    def at_most_one_but_for_limit(self, scope: Scope) -> bool:
        """Return whether the query would give at most one row without its limit."""
        return self._rows_before_limit(scope).proved

    def unique_rows(
        self, scope: Scope, assume: int = 0, columns: Iterable[tuple[int, int]] = ()
    ) -> UniqueRows:
        """Return the relations with one row and the columns with one value in a query.

        ``assume`` is a relation, and ``columns`` are columns, that are assumed to be among them.
        """
        return UniqueRows(self, scope, self.facts(scope), assume, columns)

    def keys(self, entry: RangeTableEntry, scope: Scope) -> list[tuple[OutputKey, str]]:
        """Return the columns that no two rows of a range table entry share, each set with its name in
        reasons.
        """
        relation = self.catalog.relation(entry.relation) if entry.relation else None
        # A materialised view may hold rows from before its tables had their keys: it has its own indexes.
        if relation is not None and relation.kind != "v":
            if not self.has_own_keys(relation, entry):
                return []
            return [
                (
                    {
                        column: frozenset({family})
                        for column, family in zip(key.columns, key.families, strict=True)
                    },
                    f"equality on the unique key {key.name} ({_named(relation, key.columns)})",
                )
                for key in relation.unique_keys
            ] + self._conditional_keys(relation, entry, scope)
        inner = self.scopes.of_entry(entry, scope)
        if inner is None or entry.node.flag("self_reference"):
            return []
        return [(key, f"equality on the unique columns of {entry.alias}") for key in self.output_keys(inner)]

    def has_own_keys(self, relation: Relation, entry: RangeTableEntry) -> bool:
        """Return whether the keys of a table hold for all rows that an entry reads: no tables inherit from
        it.
        """
        return not (
            relation.is_view
            or relation.kind == "f"
            or (relation.kind != "p" and entry.with_children and relation.children)
        )

    @once_per_query
    def has_other_keys(self, scope: Scope) -> bool:
        """Return whether a query reads a table with keys that are not of plain columns alone.

        Such a key is seen only together with the conditions of the query that reads it.
        """
        for entry in from_entries(scope.query):
            if entry.node.flag("self_reference"):
                continue
            relation = self.catalog.relation(entry.relation) if entry.relation else None
            if relation is not None and (relation.conditional_keys or relation.exclusion_keys):
                return True
            inner = self.scopes.of_entry(entry, scope)
            if inner is not None and self.has_other_keys(inner):
                return True
        return False

    def _conditional_keys(
        self, relation: Relation, entry: RangeTableEntry, scope: Scope
    ) -> list[tuple[OutputKey, str]]:
        """Return the keys on columns alone whose condition holds in every row of the query."""
        return [
            (
                {
                    column: frozenset({family})
                    for i, (column, family) in enumerate(zip(key.columns, key.families, strict=False))
                    if i not in alike
                },
                f"equality on the unique key {key.name} ({_named(relation, key.columns)})",
            )
            for key, alike in implied_keys(self.catalog, relation, entry, scope, self.facts(scope))
            if not key.expressions
        ]

    @once_per_query
    def facts(self, scope: Scope) -> Facts:
        """Return the facts that hold in every row of a query's ``from`` and ``where``."""
        if scope.query.command == Command.MERGE:
            # A merge acts also on rows that do not fulfil its condition.
            return Facts()
        return facts_of_rows(self._inference, scope, self.item_at_least_one, self._follows_key)

    def _follows_key(self, join: Join, scope: Scope, facts: Facts) -> bool:
        return not self._locks and join_always_matches(self.catalog, self.scopes, join, scope, facts)

    def _equality(self, clause: Node) -> frozenset[int]:
        return equality_families(self.catalog, clause.number("eqop"))

    def one_call(self, entry: RangeTableEntry) -> bool:
        """Return whether a function in ``from`` gives exactly one row."""
        for call in entry.node.nodes("functions"):
            expression = call.node("funcexpr")
            if expression is None or expression.flag("funcretset") or expression.flag("opretset"):
                return False
        return bool(entry.node.nodes("functions"))


def _named(relation: Relation, columns: tuple[int, ...]) -> str:
    return ", ".join(relation.columns[column].name for column in columns)
