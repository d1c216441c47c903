"""The sources of an expression's values: the columns that they come from unchanged, through all queries.

The sources of an array are those of its elements. A set of sources holds all of them: the arms of a union,
the results of a case. ``None`` is a value of another source, such as a computed one.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Final, TypeAlias

from plainsql.analysis.catalog.relations import Relation
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.model import ColumnRef, Origin
from plainsql.analysis.nodes import Node, Value
from plainsql.analysis.origins.passing_functions import are_alike, arguments_of, passing, type_of
from plainsql.analysis.tree.query_tree import EntryKind, RangeTableEntry, Scope, SetOperation, Sublink
from plainsql.analysis.tree.scopes import Scopes

__all__ = ["NO_SOURCE", "Sources", "ValueOrigins", "united"]

Sources: TypeAlias = "frozenset[Origin] | None"

NO_SOURCE: Final[frozenset[Origin]] = frozenset()
"""The sources of null, of an empty array and of a parameter: they add nothing to those of other values."""

_CASTS: Final = (1, 2)
"""``CoercionForm`` of a call that was written as a cast, or is implicit."""
_SUBLINK_PARAMETER: Final = 2
"""``PARAM_SUBLINK``: a column of the sub-select whose test is evaluated."""


def united(parts: Iterable[Sources]) -> Sources:
    """Return the sources of a value that is one of several; ``None`` if one of them is."""
    found: frozenset[Origin] = NO_SOURCE
    for part in parts:
        if part is None:
            return None
        found |= part
    return found


class ValueOrigins:
    """The sources of values in the queries of one statement."""

    def __init__(self, catalog: Catalog, scopes: Scopes) -> None:
        self._catalog = catalog
        self._scopes = scopes
        self._outputs: dict[int, list[Sources]] = {}
        self._open: dict[int, list[Sources]] = {}
        """The outputs that are known so far of the queries that are visited now."""
        self._recursive: set[int] = set()
        self._known: dict[tuple[int, int], tuple[Sources, Node, Scope]] = {}
        """The sources of expressions, by the node and the scope."""
        self._of_columns: dict[tuple[int, int], frozenset[Origin]] = {}
        self.tested: list[Scope] = []
        """The sub-selects whose tests are evaluated, the innermost last."""

    def outputs(self, scope: Scope) -> list[Sources]:
        """Return the sources of each column that a query returns."""
        query = scope.query.id
        if query in self._open:
            self._recursive.add(query)
            return self._open[query]
        if query in self._outputs:
            return self._outputs[query]
        # A recursive query begins with no sources, and gets those of its steps until none is new.
        self._open[query] = [NO_SOURCE] * len(scope.query.outputs)
        before = set(self._outputs)
        while True:
            found = self._compute(scope)
            if query not in self._recursive or found == self._open[query]:
                break
            self._open[query] = found
            self._known.clear()
            self._outputs = {key: value for key, value in self._outputs.items() if key in before}
        del self._open[query]
        self._outputs[query] = found
        return found

    def _compute(self, scope: Scope) -> list[Sources]:
        operation = scope.query.set_operation()
        if operation is not None:
            return self._set_operation(operation, scope)
        return [self.of(output.node("expr"), scope) for output in scope.query.outputs]

    def _set_operation(self, node: Node, scope: Scope) -> list[Sources]:
        if node.kind == "RANGETBLREF":
            entry = scope.query.entry(node.number("rtindex"))
            inner = self._scopes.of_entry(entry, scope) if entry is not None else None
            return self.outputs(inner) if inner is not None else [None] * len(scope.query.outputs)
        left, right = node.node("larg"), node.node("rarg")
        first = self._arm(left, node, scope)
        if node.number("op") == SetOperation.EXCEPT:
            return first
        return [united(pair) for pair in zip(first, self._arm(right, node, scope), strict=False)]

    def _arm(self, arm: Node | None, node: Node, scope: Scope) -> list[Sources]:
        """Return the sources of one arm; the planner casts its columns to the common types."""
        if arm is None:
            return [None] * len(scope.query.outputs)
        types: list[int] = []
        if arm.kind != "RANGETBLREF":
            types = list(arm.numbers("colTypes"))
        else:
            entry = scope.query.entry(arm.number("rtindex"))
            inner = self._scopes.of_entry(entry, scope) if entry is not None else None
            for output in inner.query.outputs if inner is not None else ():
                expression = output.node("expr")
                types.append(type_of(expression) if expression is not None else 0)
        return [
            sources if sources == NO_SOURCE or are_alike(self._catalog, type_, wanted) else None
            for sources, type_, wanted in zip(
                self._set_operation(arm, scope), types, node.numbers("colTypes"), strict=False
            )
        ]

    def of(self, node: Node | None, scope: Scope) -> Sources:
        """Return the sources of an expression of a query."""
        if node is None:
            return None
        if self.tested or node.kind in ("VAR", "CONST", "PARAM"):
            return self._sources(node, scope)
        # Callers want each level of a nested expression: without this, the time is quadratic.
        key = id(node), id(scope)
        if key not in self._known:
            # The node and the scope stay alive with the answer, and so do their ids.
            self._known[key] = (self._sources(node, scope), node, scope)
        return self._known[key][0]

    def _sources(self, node: Node, scope: Scope) -> Sources:
        found = self._of(node, scope)
        if found or node.kind in ("VAR", "CASETESTEXPR"):
            return found
        domains = self.domains(type_of(node))
        return frozenset({Origin(domains=domains)}) if domains else found

    def _of(self, node: Node, scope: Scope) -> Sources:
        args = arguments_of(node)
        match node.kind:
            case "VAR":
                return self._variable(node, scope)
            case "PARAM":
                return self._parameter(node)
            case "CONST":
                return NO_SOURCE if node.flag("constisnull") or self._is_empty_array(node) else None
            case "SETTODEFAULT":
                return NO_SOURCE
            case "RELABELTYPE" | "COLLATEEXPR" | "COERCEVIAIO" | "ARRAYCOERCEEXPR" | "NAMEDARGEXPR":
                return self._cast(node, node.node("arg"), scope)
            case "COERCETODOMAIN":
                below, domains = self.of(node.node("arg"), scope), self.domains(node.number("resulttype"))
                return frozenset(Origin(o.columns, o.references, domains) for o in below or (Origin(),))
            case "COALESCEEXPR" | "MINMAXEXPR":
                return united(self.of(arg, scope) for arg in args)
            case "CASEEXPR":
                results = [branch.node("result") for branch in args]
                if (default := node.node("defresult")) is not None:
                    results.append(default)
                return united(self.of(result, scope) for result in results)
            case "ARRAYEXPR":
                return united(self.of(element, scope) for element in node.nodes("elements"))
            case "NULLIFEXPR":
                return self.of(args[0], scope) if args else None
            case "SUBLINK" if node.number("subLinkType") in (Sublink.EXPR, Sublink.ARRAY):
                inner = self._scopes.of_sublink(node, scope)
                outputs = self.outputs(inner) if inner is not None else []
                return outputs[0] if outputs else None
            case "SUBSCRIPTINGREF" if node.node("refassgnexpr") is None:
                is_array = self._catalog.types.may_be_array(node.number("refcontainertype"))
                return self.of(node.node("refexpr"), scope) if is_array else None
            case "FIELDSELECT":
                row = node.node("arg")
                return self.of_attribute(type_of(row), node.number("fieldnum")) if row is not None else None
            case "FUNCEXPR" if node.number("funcformat") in _CASTS and args:
                return self._cast(node, args[0], scope)
            case "FUNCEXPR" | "OPEXPR" | "AGGREF" | "WINDOWFUNC":
                if (found := passing(self._catalog, node)) is None:
                    return None
                values = [args[index] for index in found.values if index < len(args)]
                return united(self.of(value, scope) for value in values) if values else None
            case _:
                return None

    def domains(self, oid: int) -> tuple[str, ...]:
        """Return the names of a type's domains, the outermost first; those of its elements for an array."""
        type_ = self._catalog.type(oid)
        found: list[str] = []
        while type_.kind in ("array", "domain") and type_.element is not None:
            if type_.kind == "domain":
                found.append(f"{type_.schema}.{type_.name}")
            type_ = type_.element
        return tuple(found)

    def of_column(self, relation: Relation, number: int) -> frozenset[Origin]:
        """Return the sources of a column of a table or view: the column itself, and those below it."""
        key = relation.oid, number
        if key not in self._of_columns:
            self._of_columns[key] = NO_SOURCE  # a view that is defined by itself through a function
            self._of_columns[key] = self._stored(relation, number)
        return self._of_columns[key]

    def _stored(self, relation: Relation, number: int) -> frozenset[Origin]:
        column = relation.columns.get(number)
        if column is None:
            return NO_SOURCE
        own = ColumnRef(relation.schema, relation.name, column.name)
        inner = self._scopes.of_view(relation.oid)
        if inner is not None:
            outputs = self.outputs(inner)
            below = outputs[number - 1] if 0 < number <= len(outputs) else None
            return frozenset(Origin((own, *o.columns), o.references, o.domains) for o in below or (Origin(),))
        columns, keys = [own], [(relation.oid, number)]
        for table in self._catalog.partitioned(relation):
            for above in table.columns.values():
                if above.name == column.name:
                    columns.append(ColumnRef(table.schema, table.name, above.name))
                    keys.append((table.oid, above.number))
        return frozenset({Origin(tuple(columns), self._referred(keys), self.domains(column.type))})

    def _referred(self, keys: Iterable[tuple[int, int]]) -> tuple[ColumnRef, ...]:
        """Return the columns that foreign keys of these refer to, directly or through others."""
        pending, reached = list(keys), set(keys)
        found: list[ColumnRef] = []
        while pending:
            for target in self._foreign_keys.get(pending.pop(0), ()):
                if target not in reached and (column := self._catalog.column(*target)) is not None:
                    reached.add(target)
                    pending.append(target)
                    found.append(column)
        return tuple(found)

    @cached_property
    def _foreign_keys(self) -> dict[tuple[int, int], list[tuple[int, int]]]:
        found: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for relation in self._catalog.relations():
            for key in relation.referenced_by:
                for own, other in zip(key.columns, key.referenced_columns, strict=False):
                    found.setdefault((key.table, own), []).append((key.referenced, other))
        return found

    def of_attribute(self, type_: int, number: int) -> Sources:
        """Return the sources of an attribute of a composite type; for a row of a table, of its column."""
        row = self._catalog.types.row(self._catalog.types.base(type_))
        if row is None or not row.relation:
            return None
        if (relation := self._catalog.relation(row.relation)) is not None:
            return self.of_column(relation, number) or None
        attributes = self._catalog.type(row.oid).attributes
        attribute = next((each for each in attributes if each.number == number), None)
        if attribute is None:
            return None
        column = ColumnRef(row.schema, row.name, attribute.name)
        return frozenset({Origin((column,), (), self.domains(attribute.type.oid))})

    def _variable(self, node: Node, scope: Scope) -> Sources:
        home = scope.up(node.number("varlevelsup"))
        entry = home.query.entry(node.number("varno")) if home is not None else None
        column = node.number("varattno")
        if home is None or entry is None or column <= 0:
            return None
        match entry.kind:
            case EntryKind.JOIN:
                return self._item(entry.node.items("joinaliasvars"), column, home)
            case EntryKind.GROUP:
                return self._item(entry.node.items("groupexprs"), column, home)
            case EntryKind.SUBQUERY | EntryKind.CTE:
                inner = self._scopes.of_entry(entry, home)
                outputs = self.outputs(inner) if inner is not None else []
                return outputs[column - 1] if column <= len(outputs) else None
            case EntryKind.RELATION:
                relation = self._catalog.relation(entry.relation)
                return (self.of_column(relation, column) or None) if relation is not None else None
            case EntryKind.VALUES:
                rows = [row for row in entry.node.items("values_lists") if isinstance(row, list)]
                return united(self._item(row, column, home) for row in rows)
            case EntryKind.FUNCTION:
                return self._function(entry, column, home)
            case _:
                return None

    def _item(self, items: list[Value], column: int, home: Scope) -> Sources:
        node = items[column - 1] if 0 < column <= len(items) else None
        return self.of(node, home) if isinstance(node, Node) else None

    def _function(self, entry: RangeTableEntry, column: int, home: Scope) -> Sources:
        for call in entry.node.nodes("functions"):
            width = call.number("funccolcount")
            if column <= width:
                expression = call.node("funcexpr")
                if expression is None:
                    return None
                result = type_of(expression)
                if self._catalog.types.is_composite(result):
                    return self.of_attribute(result, column)
                return self.of(expression, home) if width == 1 else None
            column -= width
        return None

    def _parameter(self, node: Node) -> Sources:
        if node.number("paramkind") != _SUBLINK_PARAMETER:
            return NO_SOURCE if not node.number("paramkind") else None
        outputs = self.outputs(self.tested[-1]) if self.tested else []
        number = node.number("paramid")
        return outputs[number - 1] if 0 < number <= len(outputs) else None

    def _cast(self, node: Node, arg: Node | None, scope: Scope) -> Sources:
        if arg is None:
            return None
        found = self.of(arg, scope)
        return found if found == NO_SOURCE or self.keeps(node, arg) else None

    def keeps(self, node: Node, arg: Node) -> bool:
        """Return whether a cast leaves the values as they are in Python."""
        return are_alike(self._catalog, type_of(arg), type_of(node))

    def _is_empty_array(self, node: Node) -> bool:
        value = node.datum("constvalue")
        # An array's header: length, dimensions.
        is_array = self._catalog.types.may_be_array(node.number("consttype"))
        return is_array and value is not None and len(value) >= 8 and not any(value[4:8])
