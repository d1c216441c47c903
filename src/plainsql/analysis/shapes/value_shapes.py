"""The shapes of expressions: their source, through joins, subqueries and ``with`` items, down to columns."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import replace
from typing import Final

from plainsql.analysis.model import Origin, PgType, Shape
from plainsql.analysis.nodes import Node
from plainsql.analysis.nullability.query_nullability import Nullability
from plainsql.analysis.nullability.verdict import Context
from plainsql.analysis.origins.value_origins import ValueOrigins
from plainsql.analysis.shapes.array_shapes import array_call, array_shape, stored_column_shape
from plainsql.analysis.shapes.json_shapes import as_json, json_call, json_constant, json_constructor
from plainsql.analysis.shapes.merge_shapes import ANY_JSON, MAX_PARTS, count_parts, merged
from plainsql.analysis.tree.query_tree import EntryKind, RangeTableEntry, Scope, Sublink

__all__ = ["ValueShapes"]

_TYPE_FIELDS: Final = {
    "FIELDSELECT": "resulttype",
    "SUBSCRIPTINGREF": "refrestype",
    "CONVERTROWTYPEEXPR": "resulttype",
    "XMLEXPR": "type",
}
_MAX_DEPTH: Final = 60
_UNDECLARED: Final = "PostgreSQL cannot declare that an array holds no null"


class ValueShapes:
    """The shapes of one statement's values; whatever is not understood has the shape of its type alone."""

    def __init__(self, prover: Nullability) -> None:
        self.prover: Nullability = prover
        self.catalog = prover.catalog
        self._outputs: dict[Hashable, Shape] = {}
        self._active: set[Hashable] = set()
        self._origins = ValueOrigins(prover.catalog, prover.scopes)
        self._depth = 0

    def outputs(self, scope: Scope, types: Iterable[PgType]) -> list[Shape | None]:
        """Return the shape of each column that the statement returns; ``None`` if it is not known."""
        found: list[Shape | None] = []
        for column, type in enumerate(types, 1):
            if not self._has_inside(type) or column > len(scope.query.outputs):
                found.append(None)
                continue
            shape = self.output(scope, column, None)
            found.append(shape if shape.kind not in ("value", "json", "null") else None)
        return found

    def of(self, node: Node | None, context: Context) -> Shape:
        """Return the shape of an expression in its context."""
        if node is None:
            return Shape("value", because="no expression")
        verdict = self.prover.expression(node, context)
        known = None
        if self._depth < _MAX_DEPTH:
            self._depth += 1
            try:
                known = self._known(node, context)
            finally:
                self._depth -= 1
        shape = known or self.of_type(self.type_of(node))
        if shape.kind in ("value", "array"):
            origins = self._origins.of(node, context.scope)
            shape = _with_origins(shape, tuple(sorted(origins or ())))
        return replace(shape, nullable=verdict.nullable, because=verdict.because, name="", optional=False)

    def json_of(self, node: Node | None, context: Context) -> Shape:
        """Return the shape of the JSON that an expression becomes, as ``to_json`` makes it."""
        return as_json(self.catalog, self.of(node, context))

    def output(self, scope: Scope, column: int, outside: Context | None) -> Shape:
        """Return the shape of a column that a query returns."""
        query = scope.query
        key = (query.id, column, outside.known if outside is not None else None)
        if (known := self._outputs.get(key)) is not None:
            return known
        expression = query.outputs[column - 1].node("expr")
        if key in self._active:  # a recursive query reads itself
            return self._of_recursion(self.of_type(self.type_of(expression)))
        self._active.add(key)
        try:
            if (operation := query.set_operation()) is not None:
                shape = self._arm(operation, scope, column, outside)
                shape = shape or self.of_type(self.type_of(expression))
            else:
                shape = self.of(expression, self.prover.output_context(scope, outside))
        finally:
            self._active.discard(key)
        if count_parts(shape) > MAX_PARTS:
            plain = self.of_type(self.type_of(expression))
            shape = replace(plain, nullable=shape.nullable, because=shape.because)
        self._outputs[key] = shape
        return shape

    def of_type(self, type: PgType) -> Shape:
        """Return the shape of a value of which only the type is known."""
        base = _below_domains(type)
        if base.name in ("json", "jsonb"):
            return ANY_JSON
        if base.kind == "array" and base.element is not None:
            element = replace(self.of_type(base.element), nullable=False, assumed=True, because=_UNDECLARED)
            return Shape("array", type=type, parts=(element,))
        if base.kind == "composite":
            return Shape("row", type=type, parts=tuple(self._attributes(base)))
        return Shape("value", type=type)

    def _attributes(self, type: PgType) -> Iterator[Shape]:
        """Yield the shapes of a composite type's fields."""
        for attribute in type.attributes:
            origins = self._origins.of_attribute(type.oid, attribute.number)
            shape = _with_origins(self.of_type(attribute.type), tuple(sorted(origins or ())))
            because = "a field of a composite may be null"
            yield replace(shape, name=attribute.name, nullable=True, because=because)

    def type_of(self, node: Node | None) -> PgType:
        """Return the type of an expression; an unnamed one if its node does not show it."""
        oid = self.prover.type_of(node)
        if not oid and node is not None:
            oid = node.number(_TYPE_FIELDS.get(node.kind, ""))
            if node.kind == "JSONCONSTRUCTOREXPR" and (returning := node.node("returning")) is not None:
                oid = returning.number("typid")
        return self.catalog.type(oid)

    def _has_inside(self, type: PgType) -> bool:
        base = _below_domains(type)
        return base.kind in ("array", "composite") or base.name in ("json", "jsonb", "record")

    def _of_recursion(self, shape: Shape) -> Shape:
        """Return the shape that adds nothing to the others: a null element comes from another step."""
        if shape.kind != "array":
            return shape
        parts = tuple(replace(part, assumed=False, because="") for part in shape.parts)
        return replace(shape, parts=parts)

    def _known(self, node: Node, context: Context) -> Shape | None:
        match node.kind:
            case "VAR":
                return self._variable(node, context)
            case "RELABELTYPE" | "COLLATEEXPR" | "NAMEDARGEXPR" | "COERCETODOMAIN" | "COERCEVIAIO":
                return self._cast(node, context)
            case "CONST":
                return self._constant(node, context)
            case "ARRAYEXPR" | "ARRAYCOERCEEXPR":
                return array_shape(self, node, context)
            case "CASEEXPR":
                return self._case(node, context)
            case "COALESCEEXPR" | "MINMAXEXPR":
                return merged(self.of(arg, context) for arg in node.nodes("args"))
            case "SUBLINK":
                return self._sublink(node, context)
            case "ROWEXPR":
                return self._row(node, context)
            case "FIELDSELECT":
                return self._field(node, context)
            case "JSONCONSTRUCTOREXPR":
                return json_constructor(self, node, context)
            case "AGGREF" | "WINDOWFUNC" | "FUNCEXPR" | "OPEXPR":
                return json_call(self, node, context) or array_call(self, node, context)
            case _:
                return None

    def _constant(self, node: Node, context: Context) -> Shape | None:
        type = self.type_of(node)
        plain = self.of_type(type)
        if node.flag("constisnull"):
            is_typed = plain.kind == "value" and type.name != "unknown"
            return None if is_typed else Shape("null", type=type)
        if plain.kind == "array":
            return array_shape(self, node, context)
        return json_constant(node, type)

    def _cast(self, node: Node, context: Context) -> Shape | None:
        arg, target = node.node("arg"), self.type_of(node)
        if arg is None:
            return None
        shape, plain = self.of(arg, context), self.of_type(target)
        if shape.kind == "null":
            return shape
        if plain.kind == "json":
            return None if shape.kind in ("value", "array", "row") else shape
        if node.kind == "COERCEVIAIO" or plain.kind != shape.kind or len(plain.parts) != len(shape.parts):
            return None
        if plain.kind != "array":
            return replace(shape, type=target) if node.kind != "COERCETODOMAIN" else plain
        (mine,), (theirs,) = plain.parts, shape.parts
        element = replace(theirs, type=mine.type) if mine.kind == theirs.kind else theirs
        return replace(shape, type=target, parts=(element,))

    def _variable(self, node: Node, context: Context) -> Shape | None:
        home = context.scope.up(node.number("varlevelsup"))
        number, column = node.number("varno"), node.number("varattno")
        entry = home.query.entry(number) if home is not None else None
        if home is None or entry is None:
            return None
        if column == 0:
            return self._whole_row(node, entry, home, context)
        if column < 0:
            return None
        at_home = Context(home, context.facts, context.left_out, context.returning)
        match entry.kind:
            case EntryKind.JOIN:
                items = entry.node.items("joinaliasvars")
            case EntryKind.GROUP:
                items, at_home = entry.node.items("groupexprs"), at_home.before_grouping()
            case EntryKind.VALUES:
                return self._values(entry, column, home)
            case EntryKind.FUNCTION:
                return self._function(entry, home)
            case _:
                return self._stored(node, entry, column, home)
        item = items[column - 1] if column <= len(items) else None
        return self.of(item, at_home) if isinstance(item, Node) else None

    def _stored(self, node: Node, entry: RangeTableEntry, column: int, home: Scope) -> Shape | None:
        relation = self.catalog.relation(entry.relation) if entry.kind is EntryKind.RELATION else None
        if relation is not None and relation.kind == "m":
            return None  # its rows may be older than the constraints that its query relies on
        inner = self.prover.scopes.of_entry(entry, home)
        if inner is not None:
            if not 0 < column <= len(inner.query.outputs):
                return None
            outside = self.prover.rows(home) if entry.kind is EntryKind.SUBQUERY else None
            return self.output(inner, column, outside)
        known = relation.columns.get(column) if relation is not None else None
        if relation is None or known is None:
            return None
        return stored_column_shape(self, relation, known, with_children=entry.with_children)

    def _whole_row(self, node: Node, entry: RangeTableEntry, home: Scope, context: Context) -> Shape | None:
        """Return the row of a relation, each field as a variable of that column would be."""
        relation = self.catalog.relation(entry.relation) if entry.kind is EntryKind.RELATION else None
        columns: list[tuple[int, str, int]] = []
        if relation is not None:
            columns = [
                (each.number, each.name, each.type)
                for _, each in sorted(relation.columns.items())
                if each.number > 0
            ]
        elif entry.kind in (EntryKind.SUBQUERY, EntryKind.CTE):
            inner = self.prover.scopes.of_entry(entry, home)
            names = entry.node.node("eref")
            given = names.texts("colnames") if names is not None else ()
            if inner is None or len(given) != len(inner.query.outputs):
                return None
            types = [self.type_of(output.node("expr")).oid for output in inner.query.outputs]
            columns = list(zip(range(1, len(given) + 1), given, types, strict=True))
        type = self.catalog.type(node.number("vartype"))
        if not columns or (type.kind == "composite" and len(type.attributes) != len(columns)):
            return None
        parts = []
        for number, name, oid in columns:
            variable = Node("VAR")
            variable.fields = {
                **node.fields,
                "varattno": str(number),
                "vartype": str(oid),
                "varnullingrels": frozenset(),
            }
            parts.append(replace(self.of(variable, context), name=name))
        return Shape("row", type=type, parts=tuple(parts))

    def _values(self, entry: RangeTableEntry, column: int, home: Scope) -> Shape | None:
        place = self.prover.rows(home)
        cells = [
            row[column - 1] if isinstance(row, list) and column <= len(row) else None
            for row in entry.node.items("values_lists")
        ]
        if not all(isinstance(cell, Node) for cell in cells):
            return None
        nodes = [cell for cell in cells if isinstance(cell, Node)]
        return merged(self.of(cell, place) for cell in nodes)

    def _function(self, entry: RangeTableEntry, home: Scope) -> Shape | None:
        """Return the shape of a function in ``from`` that gives one value."""
        calls = entry.node.nodes("functions")
        expression = calls[0].node("funcexpr") if len(calls) == 1 else None
        if expression is None or calls[0].number("funccolcount") != 1 or entry.node.flag("funcordinality"):
            return None
        if expression.flag("funcretset") or self.of_type(self.type_of(expression)).kind == "row":
            return None
        return self.of(expression, self.prover.rows(home))

    def _case(self, node: Node, context: Context) -> Shape | None:
        inside, shapes = context, []
        infer = self.prover.inference
        for branch in node.nodes("args"):
            condition, result = branch.node("expr"), branch.node("result")
            if condition is None or result is None:
                return None
            shapes.append(self.of(result, inside.with_facts(infer.if_true(condition, context.scope))))
            inside = inside.with_facts(infer.if_not_true(condition, context.scope))
        default = node.node("defresult")
        if default is not None:
            shapes.append(self.of(default, inside))
        return merged(shapes)

    def _sublink(self, node: Node, context: Context) -> Shape | None:
        kind = node.number("subLinkType")
        inner = self.prover.scopes.of_sublink(node, context.scope)
        if inner is None or kind not in (Sublink.EXPR, Sublink.ARRAY) or not inner.query.outputs:
            return None
        output = self.output(inner, 1, context)
        return output if kind == Sublink.EXPR else Shape("array", parts=(output,))

    def _row(self, node: Node, context: Context) -> Shape | None:
        args, type = node.nodes("args"), self.type_of(node)
        names = list(node.texts("colnames"))
        if type.kind == "composite":
            names = [attribute.name for attribute in type.attributes]
        if len(names) != len(args):
            return None
        parts = (replace(self.of(arg, context), name=name) for arg, name in zip(args, names, strict=True))
        return Shape("row", type=type, parts=tuple(parts))

    def _field(self, node: Node, context: Context) -> Shape | None:
        arg, number = node.node("arg"), node.number("fieldnum")
        row = self.of(arg, context)
        # The number of a field counts the dropped columns of a table.
        if row.kind != "row" or row.type is None or row.type.name != "record":
            return None
        return row.parts[number - 1] if 0 < number <= len(row.parts) else None

    def _arm(self, arm: Node, scope: Scope, column: int, outside: Context | None) -> Shape | None:
        """Return the shape of a column of ``union``, ``intersect`` or ``except``."""
        if arm.kind == "RANGETBLREF":
            entry = scope.query.entry(arm.number("rtindex"))
            inner = self.prover.scopes.of_entry(entry, scope) if entry is not None else None
            if inner is None or column > len(inner.query.outputs):
                return None
            return self.output(inner, column, self.prover.rows(scope, outside))
        left, right = arm.node("larg"), arm.node("rarg")
        if left is None or right is None:
            return None
        shapes = [self._arm(side, scope, column, outside) for side in (left, right)]
        wanted = arm.numbers("colTypes")
        known = [shape for shape in shapes if shape is not None]
        if len(known) != 2 or column > len(wanted):
            return None
        plain = self.of_type(self.catalog.type(wanted[column - 1]))
        # The planner casts each arm to the common type.
        if plain.kind != "json" and any(
            shape.type is not None and shape.type != plain.type for shape in known
        ):
            return None
        return merged(known)


def _with_origins(shape: Shape, origins: tuple[Origin, ...]) -> Shape:
    """Return a value, or an array with elements that have no sources yet, with its sources."""
    if shape.kind == "value":
        return replace(shape, origins=origins)
    if shape.kind == "array" and len(shape.parts) == 1 and not shape.parts[0].origins:
        return replace(shape, parts=(_with_origins(shape.parts[0], origins),))
    return shape


def _below_domains(type: PgType) -> PgType:
    while type.kind == "domain" and type.element is not None:
        type = type.element
    return type
