"""Which parameters take null: where each value lands, and what it meets on the way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from plainsql.analysis.catalogue import Catalogue
from plainsql.analysis.facts import function_of
from plainsql.analysis.model import ColumnRef
from plainsql.analysis.reader import Node
from plainsql.analysis.scopes import Scopes
from plainsql.analysis.tree import Command, Entry, Kind, Query, Scope, Sublink

__all__ = ["Landing", "parameter_landings"]

_CASTS = (1, 2)
"""``CoercionForm`` of a call that was written as a cast, or not written at all."""


class Weight(IntEnum):
    """What a place says of null; of several places, the lowest decides."""

    REFUSES = 0
    ACCEPTS = 1
    STRICT = 2
    NEUTRAL = 3


@dataclass(frozen=True, slots=True)
class Landing:
    """What one place does with a parameter that is null."""

    weight: Weight
    because: str
    column: ColumnRef | None = None
    """The table's column that the value lands in as it is."""
    compared: bool = False

    @property
    def nullable(self) -> bool:
        """Whether null is a sensible argument here."""
        return self.weight in (Weight.ACCEPTS, Weight.NEUTRAL)


_RETURNED = Landing(Weight.NEUTRAL, "nothing strict meets it")
_DISTINCT = Landing(Weight.ACCEPTS, "is distinct from", compared=True)
_CONDITION = Landing(Weight.STRICT, "a condition that is null holds for no row")


def parameter_landings(catalogue: Catalogue, scopes: Scopes, scope: Scope) -> dict[int, list[Landing]]:
    """For each parameter number, all of its places; the one that decides about null comes first."""
    walk = _Walk(catalogue, scopes)
    walk.query(scope, {})
    return {
        number: sorted(landings, key=lambda landing: landing.weight)
        for number, landings in walk.found.items()
    }


class _Walk:
    def __init__(self, catalogue: Catalogue, scopes: Scopes) -> None:
        self._catalogue = catalogue
        self._scopes = scopes
        self.found: dict[int, list[Landing]] = {}

    def query(self, scope: Scope, landings: dict[int, Landing]) -> None:
        """Visit a query whose output columns (1-based) land as given."""
        query = scope.query
        for name in query.ctes:
            if (inner := self._scopes.of_cte(name, scope)) is not None:
                self.query(inner, {})
        written = self._targets(query)
        for target in query.target_list:
            number = target.number("resno")
            landing = (
                written.get(number, _RETURNED) if written is not None else landings.get(number, _RETURNED)
            )
            self.expression(target.node("expr"), landing, scope)
        for entry in query.entries:
            self._entry(entry, scope, landings, written)
        for output in query.node.nodes("returningList"):
            self.expression(output.node("expr"), _RETURNED, scope)
        self.expression(query.where, _CONDITION, scope)
        for join in query.joins.values():
            self.expression(join.condition, _CONDITION, scope)
        self.expression(query.node.node("mergeJoinCondition"), _CONDITION, scope)
        self.expression(query.node.node("havingQual"), _CONDITION, scope)
        for field, word in (("limitCount", "limit"), ("limitOffset", "offset")):
            self.expression(query.node.node(field), Landing(Weight.STRICT, word), scope)
        self._conflict(query, scope)
        self._merge(query, scope)
        for clause in query.node.nodes("windowClause"):
            for field in ("startOffset", "endOffset"):
                self.expression(clause.node(field), Landing(Weight.STRICT, "a window's frame"), scope)

    def _targets(self, query: Query) -> dict[int, Landing] | None:
        """How the columns of the written table take null; ``None`` for a query that writes none."""
        if query.command not in (Command.INSERT, Command.UPDATE, Command.MERGE):
            return None
        entry = query.entry(query.result_relation)
        relation = self._catalogue.relation(entry.relation) if entry is not None else None
        if relation is None:
            return {}
        landings: dict[int, Landing] = {}
        for column in relation.columns.values():
            origin = self._base_column(relation.oid, column.number)
            if origin is None:
                landings[column.number] = Landing(Weight.ACCEPTS, f"lands in {column.name}, a view's column")
            else:
                refuses = origin or self._catalogue.type(column.type).not_null
                landings[column.number] = Landing(
                    Weight.REFUSES if refuses else Weight.ACCEPTS,
                    f"lands in the {'not-null' if refuses else 'nullable'} column {column.name}",
                    None if relation.is_view else ColumnRef(relation.schema, relation.name, column.name),
                )
        return landings

    def _base_column(self, oid: int, number: int) -> bool | None:
        """Whether the stored column behind a table's or view's column refuses null."""
        relation = self._catalogue.relation(oid)
        if relation is None:
            return None
        if not relation.is_view:
            column = relation.columns.get(number)
            return column.not_null if column is not None else None
        inner = self._scopes.of_view(oid)
        outputs = inner.query.outputs if inner is not None else []
        expression = outputs[number - 1].node("expr") if 0 < number <= len(outputs) else None
        if inner is None or expression is None or expression.kind != "VAR":
            return None
        below = inner.query.entry(expression.number("varno"))
        return (
            self._base_column(below.relation, expression.number("varattno"))
            if below and below.relation
            else None
        )

    def _entry(
        self, entry: Entry, scope: Scope, landings: dict[int, Landing], written: dict[int, Landing] | None
    ) -> None:
        # `insert … select` and `insert … values` with several rows reach the table through a range table
        # entry.
        through: dict[int, Landing] = {}
        if written is not None and scope.query.command == Command.INSERT:
            for target in scope.query.target_list:
                expression = _below_casts(target.node("expr"))
                if (
                    expression is not None
                    and expression.kind == "VAR"
                    and expression.number("varno") == entry.index
                ):
                    through[expression.number("varattno")] = written.get(target.number("resno"), _RETURNED)
        elif scope.query.set_operation() is not None:
            through = landings
        match entry.kind:
            case Kind.SUBQUERY:
                if (inner := self._scopes.of_entry(entry, scope)) is not None:
                    self.query(inner, through)
            case Kind.VALUES:
                for row in entry.node.items("values_lists"):
                    for i, value in enumerate(row if isinstance(row, list) else [], 1):
                        if isinstance(value, Node):
                            self.expression(value, through.get(i, _RETURNED), scope)
            case Kind.FUNCTION | Kind.TABLEFUNC:
                for child in entry.node.children():
                    if child.kind in ("RANGETBLFUNCTION", "TABLEFUNC"):
                        for part in child.children():
                            self.expression(part, _RETURNED, scope)
            case _:
                pass

    def _conflict(self, query: Query, scope: Scope) -> None:
        conflict = query.node.node("onConflict")
        if conflict is None:
            return
        written = self._targets(query) or {}
        for target in conflict.nodes("onConflictSet"):
            self.expression(target.node("expr"), written.get(target.number("resno"), _RETURNED), scope)
        self.expression(conflict.node("onConflictWhere"), _CONDITION, scope)
        self.expression(conflict.node("arbiterWhere"), _CONDITION, scope)

    def _merge(self, query: Query, scope: Scope) -> None:
        written = self._targets(query) or {}
        for action in query.node.nodes("mergeActionList"):
            self.expression(action.node("qual"), _CONDITION, scope)
            for target in action.nodes("targetList"):
                self.expression(target.node("expr"), written.get(target.number("resno"), _RETURNED), scope)

    def expression(self, node: Node | None, landing: Landing, scope: Scope) -> None:
        """Visit an expression whose value lands as given."""
        if node is None:
            return
        args = node.nodes("args")
        match node.kind:
            case "PARAM":
                self._note(node, landing)
            case (
                "RELABELTYPE"
                | "COERCEVIAIO"
                | "ARRAYCOERCEEXPR"
                | "COLLATEEXPR"
                | "CONVERTROWTYPEEXPR"
                | "NAMEDARGEXPR"
            ):
                self.expression(node.node("arg"), landing, scope)
            case "COERCETODOMAIN":
                domain = self._catalogue.type(node.number("resulttype"))
                refuses = Landing(Weight.REFUSES, f"cast to {domain}, which is not null")
                self.expression(node.node("arg"), refuses if domain.not_null else landing, scope)
            case "COALESCEEXPR":
                for arg in args[:-1]:
                    self.expression(arg, Landing(Weight.ACCEPTS, "coalesce"), scope)
                for arg in args[-1:]:
                    self.expression(arg, landing, scope)
            case "NULLTEST":
                self.expression(node.node("arg"), Landing(Weight.ACCEPTS, "is null"), scope)
            case "BOOLEANTEST":
                self.expression(node.node("arg"), Landing(Weight.ACCEPTS, "is true or is false"), scope)
            case "DISTINCTEXPR":
                for arg in args:
                    self.expression(arg, _DISTINCT, scope)
            case "NULLIFEXPR":
                for i, arg in enumerate(args):
                    self.expression(arg, landing if i == 0 else _RETURNED, scope)
            case "CASEEXPR":
                self._case(node, landing, scope)
            case "SCALARARRAYOPEXPR" if len(args) == 2:
                met = self._met(node)
                self.expression(args[0], met, scope)
                elements = args[1].nodes("elements") if args[1].kind == "ARRAYEXPR" else [args[1]]
                for element in elements:
                    self.expression(element, met, scope)
            case "FUNCEXPR" | "OPEXPR":
                is_cast = node.kind == "FUNCEXPR" and node.number("funcformat") in _CASTS
                met = self._met(node)
                for i, arg in enumerate(args):
                    self.expression(
                        arg, landing if is_cast and i == 0 and met.weight is Weight.STRICT else met, scope
                    )
            case "BOOLEXPR":
                for arg in args:
                    self.expression(arg, _CONDITION, scope)
            case "SUBLINK":
                self._sublink(node, landing, scope)
            case "ROWCOMPAREEXPR":
                for arg in (*node.nodes("largs"), *node.nodes("rargs")):
                    self.expression(arg, Landing(Weight.STRICT, "compared", compared=True), scope)
            case _:
                for child in node.children():
                    self.expression(child, _RETURNED, scope)

    def _met(self, node: Node) -> Landing:
        function = self._catalogue.function(function_of(node, self._catalogue) or 0)
        if function is None or not function.strict:
            return _RETURNED
        operator = self._catalogue.operator(node.number("opno")) if node.kind != "FUNCEXPR" else None
        name = operator.name if operator is not None else function.name
        because = f"met by {name}, which is null for null"
        return Landing(Weight.STRICT, because, compared=operator is not None)

    def _case(self, node: Node, landing: Landing, scope: Scope) -> None:
        self.expression(node.node("arg"), Landing(Weight.STRICT, "compared by case", compared=True), scope)
        for branch in node.nodes("args"):
            self.expression(branch.node("expr"), _CONDITION, scope)
            self.expression(branch.node("result"), landing, scope)
        self.expression(node.node("defresult"), landing, scope)

    def _sublink(self, node: Node, landing: Landing, scope: Scope) -> None:
        compared = Landing(Weight.STRICT, "compared with a sub-select", compared=True)
        self.expression(node.node("testexpr"), compared, scope)
        inner = self._scopes.of_sublink(node, scope)
        if inner is None:
            return
        type_ = node.number("subLinkType")
        lands = (
            landing
            if type_ == Sublink.EXPR
            else compared
            if type_ in (Sublink.ANY, Sublink.ALL)
            else _RETURNED
        )
        self.query(inner, {1: lands})

    def _note(self, node: Node, landing: Landing) -> None:
        if node.number("paramkind"):
            return
        self.found.setdefault(node.number("paramid"), []).append(landing)


def _below_casts(node: Node | None) -> Node | None:
    while node is not None:
        if node.kind in ("RELABELTYPE", "COERCEVIAIO", "ARRAYCOERCEEXPR", "COERCETODOMAIN"):
            node = node.node("arg")
        elif node.kind == "FUNCEXPR" and node.number("funcformat") in _CASTS and node.nodes("args"):
            node = node.nodes("args")[0]
        else:
            return node
    return None
