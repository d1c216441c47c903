"""The uses of each parameter, which decide whether it accepts null: the column it is written to, the
operators.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from plainsql.analysis.catalog.relations import Relation, RelationColumn
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.model import ColumnRef
from plainsql.analysis.nodes import Node
from plainsql.analysis.nullability.column_nullability import excludes_null
from plainsql.analysis.tree.function_calls import called_function
from plainsql.analysis.tree.query_tree import Command, EntryKind, QueryTree, RangeTableEntry, Scope, Sublink
from plainsql.analysis.tree.scopes import Scopes

__all__ = ["ParameterUse", "parameter_uses"]

_CAST_FORMS = (1, 2)
"""``CoercionForm`` of a call that was written as a cast, or is implicit."""


_OLD = 1
"""``varreturningtype`` of a row as it was before (from PostgreSQL 18 on)."""


class Strictness(IntEnum):
    """The effect of a use on null; the lowest of a parameter's uses decides."""

    REFUSES = 0
    ACCEPTS = 1
    STRICT = 2
    NEUTRAL = 3


@dataclass(frozen=True, slots=True)
class ParameterUse:
    """One use of a parameter: its effect if the parameter is null."""

    strictness: Strictness
    because: str
    column: ColumnRef | None = None
    """The table's column into which the value is written unchanged."""
    compared: bool = False

    @property
    def nullable(self) -> bool:
        """Return whether null is a sensible argument here."""
        return self.strictness in (Strictness.ACCEPTS, Strictness.NEUTRAL)


_NEUTRAL_USE = ParameterUse(Strictness.NEUTRAL, "no strict operator uses it")
_DISTINCT_USE = ParameterUse(Strictness.ACCEPTS, "is distinct from", compared=True)
_CONDITION_USE = ParameterUse(Strictness.STRICT, "a condition that is null holds for no row")


def parameter_uses(catalog: Catalog, scopes: Scopes, scope: Scope) -> dict[int, list[ParameterUse]]:
    """Return all uses of each parameter by its number; the use that decides about null comes first."""
    walk = _UseCollector(catalog, scopes)
    size = -1
    # Each round follows the values one query further down, from the reader to the source.
    while size != (size := sum(map(len, walk.read.values()))):
        walk.found.clear()
        walk.query(scope, {})
    return {number: sorted(uses, key=lambda use: use.strictness) for number, uses in walk.found.items()}


_Variable = tuple[int, int, int]
"""A query's id, range table index and column; the index 0 means an output column of the query."""


class _UseCollector:
    def __init__(self, catalog: Catalog, scopes: Scopes) -> None:
        self._catalog = catalog
        self._scopes = scopes
        self.found: dict[int, list[ParameterUse]] = {}
        self.read: dict[_Variable, dict[ParameterUse, None]] = {}
        """The uses of the values of variables, if they decide about null."""

    def query(self, scope: Scope, uses: Mapping[int, Sequence[ParameterUse]]) -> None:
        """Visit a query whose output columns (1-based) have these uses."""
        query = scope.query
        for name in query.ctes:
            if (inner := self._scopes.of_cte(name, scope)) is not None:
                self.query(inner, {})
        given = {
            position: (*uses.get(position, ()), *self._read_from((query.id, 0, position)))
            for position in range(1, len(query.outputs) + 1)
        }
        written = self._targets(query)
        self._assigned(query.target_list, written if written is not None else given, scope)
        for entry in query.entries:
            self._entry(entry, scope, given)
        for position, output in enumerate(query.node.nodes("returningList"), 1):
            self._visit_value(output.node("expr"), given.get(position, ()), scope)
        self.expression(query.where, _CONDITION_USE, scope)
        for join in query.joins.values():
            self.expression(join.condition, _CONDITION_USE, scope)
        self.expression(query.node.node("mergeJoinCondition"), _CONDITION_USE, scope)
        self.expression(query.node.node("havingQual"), _CONDITION_USE, scope)
        for field, word in (("limitCount", "limit"), ("limitOffset", "offset")):
            self.expression(query.node.node(field), ParameterUse(Strictness.STRICT, word), scope)
        self._conflict(query, scope)
        self._merge(query, scope)
        for clause in query.node.nodes("windowClause"):
            for field in ("startOffset", "endOffset"):
                self.expression(
                    clause.node(field), ParameterUse(Strictness.STRICT, "a window's frame"), scope
                )

    def _targets(self, query: QueryTree) -> dict[int, tuple[ParameterUse, ...]] | None:
        """Return the uses of the columns of the written table; ``None`` for a query that writes none."""
        if query.command not in (Command.INSERT, Command.UPDATE, Command.MERGE):
            return None
        entry = query.entry(query.result_relation)
        relation = self._catalog.relation(entry.relation) if entry is not None else None
        if entry is None or relation is None:
            return {}
        return {
            column.number: (
                self._target(relation, column),
                *self._read_from((query.id, entry.index, column.number)),
            )
            for column in relation.columns.values()
        }

    def _target(self, relation: Relation, column: RelationColumn) -> ParameterUse:
        refuses = self._refuses(relation, column.number)
        if refuses is None:
            return ParameterUse(Strictness.ACCEPTS, f"lands in {column.name}, a view's column")
        filled = column.not_null and not relation.is_view
        because = refuses or (
            f"lands in {column.name}, which a trigger assigns"
            if filled
            else f"lands in the nullable column {column.name}"
        )
        origin = None if relation.is_view else ColumnRef(relation.schema, relation.name, column.name)
        return ParameterUse(Strictness.REFUSES if refuses else Strictness.ACCEPTS, because, origin)

    def _refuses(self, relation: Relation, number: int) -> str | None:
        """Return why the stored column behind a table's or view's column refuses null; empty if it accepts
        it.

        ``None`` if it is not known which column that is.
        """
        column = relation.columns.get(number)
        if column is None or relation.rules or any(trigger.instead for trigger in relation.triggers):
            return None
        if not relation.is_view:
            return self._stored_refuses(relation, column)
        inner = self._scopes.of_view(relation.oid)
        outputs = inner.query.outputs if inner is not None else []
        expression = outputs[number - 1].node("expr") if 0 < number <= len(outputs) else None
        if inner is None or expression is None or expression.kind != "VAR":
            return None
        below = inner.query.entry(expression.number("varno"))
        table = self._catalog.relation(below.relation) if below is not None else None
        return self._refuses(table, expression.number("varattno")) if table is not None else None

    def _stored_refuses(self, relation: Relation, column: RelationColumn) -> str:
        if column.number in self._filled(relation):
            return ""
        if column.not_null or self._catalog.type(column.type).not_null:
            return f"lands in the not-null column {column.name}"
        if self._catalog.is_assumed_not_null(relation, column.number):
            return f"lands in {column.name}, declared not null in pyproject.toml"
        if any(check.holds and excludes_null(check.expression, column.number) for check in relation.checks):
            return f"lands in {column.name}, whose check excludes null"
        return ""

    def _filled(self, relation: Relation) -> frozenset[int]:
        """Return the columns that a trigger is known to assign: the written value may be null before it."""
        return frozenset().union(
            *(self._catalog.changed_by_triggers(relation, event) or () for event in ("insert", "update"))
        )

    def _assigned(
        self, targets: Sequence[Node], uses: Mapping[int, Sequence[ParameterUse]], scope: Scope
    ) -> None:
        for target in targets:
            self._visit_value(target.node("expr"), uses.get(target.number("resno"), ()), scope)

    def _visit_value(self, node: Node | None, uses: Sequence[ParameterUse], scope: Scope) -> None:
        for use in uses or (_NEUTRAL_USE,):
            self.expression(node, use, scope)

    def _read_from(self, variable: _Variable) -> tuple[ParameterUse, ...]:
        """Return the uses of a variable's values; a value that one reader accepts as null is not refused."""
        uses = tuple(self.read.get(variable, ()))
        if not any(use.strictness is Strictness.ACCEPTS for use in uses):
            return uses
        accepting = min(uses, key=lambda use: use.strictness is not Strictness.ACCEPTS)
        return tuple(replace(use, strictness=Strictness.ACCEPTS, because=accepting.because) for use in uses)

    def _variable(self, node: Node, use: ParameterUse, scope: Scope) -> None:
        """Add a use of a variable's value to the source of the value."""
        home = scope.up(node.number("varlevelsup"))
        entry = home.query.entry(node.number("varno")) if home is not None else None
        column = node.number("varattno")
        if home is None or entry is None or use.strictness not in (Strictness.REFUSES, Strictness.ACCEPTS):
            return
        variable = (home.query.id, entry.index, column)
        match entry.kind:
            case EntryKind.JOIN | EntryKind.GROUP:
                items = entry.node.items("joinaliasvars" if entry.kind is EntryKind.JOIN else "groupexprs")
                below = items[column - 1] if 0 < column <= len(items) else None
                if isinstance(below, Node):
                    self.expression(below, use, home)
                return
            case EntryKind.SUBQUERY | EntryKind.CTE:
                inner = self._scopes.of_entry(entry, home)
                if inner is None:
                    return
                variable = (inner.query.id, 0, column)
            case EntryKind.VALUES:
                pass
            case EntryKind.RELATION if self._returns_as_written(node, entry, home.query):
                pass
            case _:
                return
        self.read.setdefault(variable, {})[use] = None

    def _returns_as_written(self, node: Node, entry: RangeTableEntry, query: QueryTree) -> bool:
        """Return whether a variable in ``returning`` is the inserted value, not one that a trigger
        assigned.
        """
        relation = self._catalog.relation(entry.relation)
        if query.command != Command.INSERT or entry.index != query.result_relation or relation is None:
            return False
        if node.number("varreturningtype") == _OLD or query.node.node("onConflict") is not None:
            return False
        changed = self._catalog.changed_by_triggers(relation, "insert")
        return not relation.rules and changed is not None and node.number("varattno") not in changed

    def _entry(
        self, entry: RangeTableEntry, scope: Scope, uses: Mapping[int, Sequence[ParameterUse]]
    ) -> None:
        # The arms of a set operation give the output of the query.
        through = uses if scope.query.set_operation() is not None else {}
        match entry.kind:
            case EntryKind.SUBQUERY:
                if (inner := self._scopes.of_entry(entry, scope)) is not None:
                    self.query(inner, through)
            case EntryKind.VALUES:
                for row in entry.node.items("values_lists"):
                    for i, value in enumerate(row if isinstance(row, list) else [], 1):
                        if isinstance(value, Node):
                            self._visit_value(value, self._read_from((scope.query.id, entry.index, i)), scope)
            case EntryKind.FUNCTION | EntryKind.TABLEFUNC:
                for child in entry.node.children():
                    if child.kind in ("RANGETBLFUNCTION", "TABLEFUNC"):
                        for part in child.children():
                            self.expression(part, _NEUTRAL_USE, scope)
            case _:
                pass

    def _conflict(self, query: QueryTree, scope: Scope) -> None:
        conflict = query.node.node("onConflict")
        if conflict is None:
            return
        self._assigned(conflict.nodes("onConflictSet"), self._targets(query) or {}, scope)
        self.expression(conflict.node("onConflictWhere"), _CONDITION_USE, scope)
        self.expression(conflict.node("arbiterWhere"), _CONDITION_USE, scope)

    def _merge(self, query: QueryTree, scope: Scope) -> None:
        written = self._targets(query) or {}
        for action in query.node.nodes("mergeActionList"):
            self.expression(action.node("qual"), _CONDITION_USE, scope)
            self._assigned(action.nodes("targetList"), written, scope)

    def expression(self, node: Node | None, use: ParameterUse, scope: Scope) -> None:
        """Visit an expression whose value has this use."""
        if node is None:
            return
        args = node.nodes("args")
        match node.kind:
            case "PARAM":
                self._note(node, use)
            case "VAR":
                self._variable(node, use, scope)
            case (
                "RELABELTYPE"
                | "COERCEVIAIO"
                | "ARRAYCOERCEEXPR"
                | "COLLATEEXPR"
                | "CONVERTROWTYPEEXPR"
                | "NAMEDARGEXPR"
            ):
                self.expression(node.node("arg"), use, scope)
            case "COERCETODOMAIN":
                domain = self._catalog.type(node.number("resulttype"))
                refuses = ParameterUse(Strictness.REFUSES, f"cast to {domain}, which is not null")
                self.expression(node.node("arg"), refuses if domain.not_null else use, scope)
            case "COALESCEEXPR":
                for arg in args[:-1]:
                    self.expression(arg, ParameterUse(Strictness.ACCEPTS, "coalesce"), scope)
                for arg in args[-1:]:
                    self.expression(arg, use, scope)
            case "NULLTEST":
                self.expression(node.node("arg"), ParameterUse(Strictness.ACCEPTS, "is null"), scope)
            case "BOOLEANTEST":
                self.expression(
                    node.node("arg"), ParameterUse(Strictness.ACCEPTS, "is true or is false"), scope
                )
            case "DISTINCTEXPR":
                for arg in args:
                    self.expression(arg, _DISTINCT_USE, scope)
            case "NULLIFEXPR":
                for i, arg in enumerate(args):
                    self.expression(arg, use if i == 0 else _NEUTRAL_USE, scope)
            case "CASEEXPR":
                self._case(node, use, scope)
            case "SCALARARRAYOPEXPR" if len(args) == 2:
                argument_use = self._argument_use(node)
                self.expression(args[0], argument_use, scope)
                elements = args[1].nodes("elements") if args[1].kind == "ARRAYEXPR" else [args[1]]
                for element in elements:
                    self.expression(element, argument_use, scope)
            case "FUNCEXPR" | "OPEXPR":
                is_cast = node.kind == "FUNCEXPR" and node.number("funcformat") in _CAST_FORMS
                argument_use = self._argument_use(node)
                for i, arg in enumerate(args):
                    self.expression(
                        arg,
                        use
                        if is_cast and i == 0 and argument_use.strictness is Strictness.STRICT
                        else argument_use,
                        scope,
                    )
            case "BOOLEXPR":
                for arg in args:
                    self.expression(arg, _CONDITION_USE, scope)
            case "SUBLINK":
                self._sublink(node, use, scope)
            case "ROWCOMPAREEXPR":
                for arg in (*node.nodes("largs"), *node.nodes("rargs")):
                    self.expression(arg, ParameterUse(Strictness.STRICT, "compared", compared=True), scope)
            case _:
                for child in node.children():
                    self.expression(child, _NEUTRAL_USE, scope)

    def _argument_use(self, node: Node) -> ParameterUse:
        function = self._catalog.function(called_function(node, self._catalog) or 0)
        if function is None or not function.strict:
            return _NEUTRAL_USE
        operator = self._catalog.operator(node.number("opno")) if node.kind != "FUNCEXPR" else None
        name = operator.name if operator is not None else function.name
        because = f"used by {name}, which is null for null"
        return ParameterUse(Strictness.STRICT, because, compared=operator is not None)

    def _case(self, node: Node, use: ParameterUse, scope: Scope) -> None:
        self.expression(
            node.node("arg"), ParameterUse(Strictness.STRICT, "compared by case", compared=True), scope
        )
        for branch in node.nodes("args"):
            self.expression(branch.node("expr"), _CONDITION_USE, scope)
            self.expression(branch.node("result"), use, scope)
        self.expression(node.node("defresult"), use, scope)

    def _sublink(self, node: Node, use: ParameterUse, scope: Scope) -> None:
        compared = ParameterUse(Strictness.STRICT, "compared with a sub-select", compared=True)
        self.expression(node.node("testexpr"), compared, scope)
        inner = self._scopes.of_sublink(node, scope)
        if inner is None:
            return
        type_ = node.number("subLinkType")
        written_to = (
            use
            if type_ == Sublink.EXPR
            else compared
            if type_ in (Sublink.ANY, Sublink.ALL)
            else _NEUTRAL_USE
        )
        self.query(inner, {1: (written_to,)})

    def _note(self, node: Node, use: ParameterUse) -> None:
        if node.number("paramkind"):
            return
        self.found.setdefault(node.number("paramid"), []).append(use)
