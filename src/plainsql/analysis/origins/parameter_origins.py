"""The columns that a parameter is compared with or stored in, through all queries of a statement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.model import Origin
from plainsql.analysis.nodes import Node
from plainsql.analysis.origins.passing_functions import (
    ARRAY_COMPARISONS,
    COMPARISONS,
    are_alike,
    arguments_of,
    passing,
    type_of,
)
from plainsql.analysis.origins.value_origins import NO_SOURCE, ValueOrigins
from plainsql.analysis.tree.query_tree import Command, EntryKind, RangeTableEntry, Scope, Sublink
from plainsql.analysis.tree.scopes import Scopes

__all__ = ["parameter_origins"]

_CASTS = (1, 2)
"""``CoercionForm`` of a call that was written as a cast, or is implicit."""

_Variable = tuple[int, int, int]
"""A query's id, range table index and column; the index 0 means an output column of the query."""
_Use = frozenset[Origin]


def parameter_origins(
    catalog: Catalog, scopes: Scopes, scope: Scope, values: ValueOrigins
) -> dict[int, tuple[Origin, ...]]:
    """Return the columns that give each parameter its meaning, by its number, sorted."""
    walk = _Collector(catalog, scopes, values)
    size = -1
    # Each round follows the values one query further down, from the reader to the source.
    while size != (size := sum(map(len, walk.read.values()))):
        walk.query(scope, {})
    return {number: tuple(sorted(origins)) for number, origins in walk.found.items()}


class _Collector:
    def __init__(self, catalog: Catalog, scopes: Scopes, values: ValueOrigins) -> None:
        self._catalog = catalog
        self._scopes = scopes
        self._values = values
        self.found: dict[int, _Use] = {}
        self.read: dict[_Variable, _Use] = {}
        """The uses of the values of variables."""

    def query(self, scope: Scope, uses: Mapping[int, _Use]) -> None:
        """Visit a query whose output columns (1-based) have these uses."""
        query = scope.query
        for name in query.ctes:
            if (inner := self._scopes.of_cte(name, scope)) is not None:
                self.query(inner, {})
        given = {
            position: uses.get(position, NO_SOURCE) | self._read_from((query.id, 0, position))
            for position in range(1, len(query.outputs) + 1)
        }
        if query.set_operation() is not None:
            # The arms give the output of the query, and are alike.
            for position, sources in enumerate(self._values.outputs(scope), 1):
                given[position] = given.get(position, NO_SOURCE) | (sources or NO_SOURCE)
        written = self._targets(scope)
        self._assigned(query.target_list, given if written is None else written, scope)
        for entry in query.entries:
            self._entry(entry, scope, given)
        for position, output in enumerate(query.node.nodes("returningList"), 1):
            self.expression(output.node("expr"), given.get(position, NO_SOURCE), scope)
        conditions = [query.where, *(join.condition for join in query.joins.values())]
        conditions += [query.node.node(field) for field in ("mergeJoinCondition", "havingQual")]
        conditions += [query.node.node(field) for field in ("limitCount", "limitOffset")]
        for condition in conditions:
            self.expression(condition, NO_SOURCE, scope)
        conflict = query.node.node("onConflict")
        if conflict is not None:
            self._assigned(conflict.nodes("onConflictSet"), written or {}, scope)
            for field in ("onConflictWhere", "arbiterWhere"):
                self.expression(conflict.node(field), NO_SOURCE, scope)
        for action in query.node.nodes("mergeActionList"):
            self.expression(action.node("qual"), NO_SOURCE, scope)
            self._assigned(action.nodes("targetList"), written or {}, scope)

    def _targets(self, scope: Scope) -> dict[int, _Use] | None:
        """Return the uses of the columns of the written table; ``None`` for a query that writes none."""
        query = scope.query
        if query.command not in (Command.INSERT, Command.UPDATE, Command.MERGE):
            return None
        entry = query.entry(query.result_relation)
        relation = self._catalog.relation(entry.relation) if entry is not None else None
        if relation is None:
            return {}
        return {number: self._values.of_column(relation, number) for number in relation.columns}

    def _assigned(self, targets: Sequence[Node], uses: Mapping[int, _Use], scope: Scope) -> None:
        for target in targets:
            use = NO_SOURCE if target.flag("resjunk") else uses.get(target.number("resno"), NO_SOURCE)
            self.expression(target.node("expr"), use, scope)

    def _read_from(self, variable: _Variable) -> _Use:
        return self.read.get(variable, NO_SOURCE)

    def _entry(self, entry: RangeTableEntry, scope: Scope, uses: Mapping[int, _Use]) -> None:
        match entry.kind:
            case EntryKind.SUBQUERY:
                if (inner := self._scopes.of_entry(entry, scope)) is not None:
                    self.query(inner, uses if scope.query.set_operation() is not None else {})
            case EntryKind.VALUES:
                rows = [row for row in entry.node.items("values_lists") if isinstance(row, list)]
                for column, values in enumerate(zip(*rows, strict=False), 1):
                    nodes = [value for value in values if isinstance(value, Node)]
                    self._alike(nodes, self._read_from((scope.query.id, entry.index, column)), scope)
            case EntryKind.FUNCTION:
                column = 0
                for call in entry.node.nodes("functions"):
                    use = self._read_from((scope.query.id, entry.index, column + 1))
                    self.expression(call.node("funcexpr"), use, scope)
                    column += call.number("funccolcount")
            case EntryKind.TABLEFUNC:
                self._children(entry.node, scope)
            case _:
                pass

    def _variable(self, node: Node, use: _Use, scope: Scope) -> None:
        """Add the use of a variable's value to the source of the value."""
        home = scope.up(node.number("varlevelsup"))
        entry = home.query.entry(node.number("varno")) if home is not None else None
        column = node.number("varattno")
        if home is None or entry is None or not use:
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
            case EntryKind.VALUES | EntryKind.FUNCTION:
                pass
            case _:
                return
        self.read[variable] = self._read_from(variable) | use

    def expression(self, node: Node | None, use: _Use, scope: Scope) -> None:
        """Visit an expression whose value has this use."""
        if node is None:
            return
        args = arguments_of(node)
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
                | "COERCETODOMAIN"
                | "NAMEDARGEXPR"
            ):
                self._cast(node, node.node("arg"), use, scope)
            case "COALESCEEXPR" | "MINMAXEXPR":
                self._alike(args, use, scope)
            case "ARRAYEXPR":
                self._alike(node.nodes("elements"), use, scope)
            case "CASEEXPR":
                self._case(node, use, scope)
            case "NULLIFEXPR" if len(args) == 2:
                self._alike(args, NO_SOURCE, scope)
                self.expression(args[0], use, scope)
            case "OPEXPR" | "DISTINCTEXPR" | "SCALARARRAYOPEXPR" if self._compares(node, args):
                self._alike(args, NO_SOURCE, scope)
            case "ROWCOMPAREEXPR":
                for pair in zip(node.nodes("largs"), node.nodes("rargs"), strict=False):
                    self._alike(pair, NO_SOURCE, scope)
            case "FUNCEXPR" if node.number("funcformat") in _CASTS and args:
                self._cast(node, args[0], use, scope)
                for arg in args[1:]:
                    self.expression(arg, NO_SOURCE, scope)
            case "FUNCEXPR" | "OPEXPR" | "AGGREF" | "WINDOWFUNC":
                self._call(node, args, use, scope)
            case "ROWEXPR":
                for number, arg in enumerate(args, 1):
                    of_field = self._values.of_attribute(node.number("row_typeid"), number)
                    self.expression(arg, of_field or NO_SOURCE, scope)
            case "SUBLINK":
                self._sublink(node, use, scope)
            case _:
                self._children(node, scope)

    def _children(self, node: Node, scope: Scope) -> None:
        for child in node.children():
            if child.kind != "QUERY":
                self.expression(child, NO_SOURCE, scope)

    def _alike(self, nodes: Iterable[Node], use: _Use, scope: Scope) -> None:
        """Visit values that have one meaning: each has the sources of the others as its use."""
        nodes = list(nodes)
        sources = [self._values.of(node, scope) or NO_SOURCE for node in nodes]
        for index, node in enumerate(nodes):
            others = [found for place, found in enumerate(sources) if place != index]
            self.expression(node, use.union(*others), scope)

    def _compares(self, node: Node, args: Sequence[Node]) -> bool:
        operator = self._catalog.operator(node.number("opno"))
        if operator is None or len(args) != 2:
            return False
        left, right = map(type_of, args)
        if not are_alike(self._catalog, left, right):
            return False
        return operator.name in COMPARISONS or (
            operator.name in ARRAY_COMPARISONS
            and self._catalog.types.may_be_array(left)
            and self._catalog.types.may_be_array(right)
        )

    def _cast(self, node: Node, arg: Node | None, use: _Use, scope: Scope) -> None:
        if arg is not None:
            kept = self._values.keeps(node, arg)
            domains = self._values.domains(type_of(node)) if node.kind == "COERCETODOMAIN" else ()
            own = frozenset({Origin(domains=domains)}) if domains and not use else NO_SOURCE
            self.expression(arg, use | own if kept else NO_SOURCE, scope)

    def _call(self, node: Node, args: Sequence[Node], use: _Use, scope: Scope) -> None:
        found = passing(self._catalog, node)
        alike = [args[index] for index in found.alike if index < len(args)] if found is not None else []
        sources = [self._values.of(arg, scope) or NO_SOURCE for arg in alike]
        for index, arg in enumerate(args):
            own = use if found is not None and index in found.values else NO_SOURCE
            if found is not None and index in found.alike:
                own = own.union(*(s for other, s in zip(alike, sources, strict=True) if other is not arg))
            self.expression(arg, own, scope)
        for field in ("aggdirectargs", "aggfilter"):
            value = node.fields.get(field)
            for child in [value] if isinstance(value, Node) else node.nodes(field):
                self.expression(child, NO_SOURCE, scope)

    def _case(self, node: Node, use: _Use, scope: Scope) -> None:
        branches = node.nodes("args")
        results = [branch.node("result") for branch in branches] + [node.node("defresult")]
        self._alike([result for result in results if result is not None], use, scope)
        subject = node.node("arg")
        self.expression(subject, NO_SOURCE, scope)
        compared = (self._values.of(subject, scope) if subject is not None else None) or NO_SOURCE
        for branch in branches:
            condition = branch.node("expr")
            args = condition.nodes("args") if condition is not None else []
            # `case c.id when :id`: the test compares a stand-in with the value.
            if subject is not None and condition is not None and self._compares(condition, args):
                self.expression(args[1], compared, scope)
            else:
                self.expression(condition, NO_SOURCE, scope)

    def _sublink(self, node: Node, use: _Use, scope: Scope) -> None:
        inner = self._scopes.of_sublink(node, scope)
        if inner is None:
            self.expression(node.node("testexpr"), NO_SOURCE, scope)
            return
        self._values.tested.append(inner)
        self.expression(node.node("testexpr"), NO_SOURCE, scope)
        self._values.tested.pop()
        is_value = node.number("subLinkType") in (Sublink.EXPR, Sublink.ARRAY)
        self.query(inner, {1: use} if is_value else {})

    def _note(self, node: Node, use: _Use) -> None:
        number = node.number("paramid")
        match node.number("paramkind"):
            case 0:
                own = use
                if not use and (domains := self._values.domains(node.number("paramtype"))):
                    own = frozenset({Origin(domains=domains)})
                self.found[number] = self.found.get(number, NO_SOURCE) | own
            case 2 if self._values.tested:
                variable = (self._values.tested[-1].query.id, 0, number)
                self.read[variable] = self._read_from(variable) | use
            case _:
                pass
