"""The elements of arrays: nullable if what is aggregated or listed can be null, not null if it is proved."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from plainsql.analysis.catalog.relations import Relation, RelationColumn
from plainsql.analysis.model import Shape
from plainsql.analysis.nodes import Node, conjuncts, read_tree
from plainsql.analysis.nullability.column_nullability import enforced_checks
from plainsql.analysis.nullability.expression_rules import cast_keeps, elements_never_null
from plainsql.analysis.nullability.verdict import Context
from plainsql.analysis.shapes.merge_shapes import merged
from plainsql.analysis.shapes.shape_finder import ShapeFinder
from plainsql.analysis.tree.function_calls import called_function

__all__ = ["array_call", "array_shape", "inside_aggregate", "stored_column_shape"]

_IS_NULL: Final = 0
_MIXED: Final = "its elements come from values of different forms"
_KEEPING: Final = frozenset({"trim_array", "array_shuffle", "array_sample", "array_sort", "array_reverse"})
"""The functions that give elements of their first argument."""
_WITHOUT_NULLS: Final = frozenset(
    {"regexp_split_to_array", "array_positions", "current_schemas", "tsvector_to_array", "parse_ident"}
)
_LISTING: Final = frozenset({"array_agg", "array_append", "array_prepend", "array_cat", "array_remove"})


def array_shape(shapes: ShapeFinder, node: Node, context: Context) -> Shape | None:
    """Return the shape of a constructor, a constant or a cast of an array."""
    type = shapes.type_of(node)
    plain = shapes.of_type(type)
    if plain.kind != "array":
        return None
    if node.kind == "ARRAYEXPR":
        elements = [shapes.of(element, context) for element in node.nodes("elements")]
        if not elements:
            return replace(plain, parts=_of_no_elements(plain))
        return replace(plain, parts=(merged(elements) or _nullable(plain.parts[0], _MIXED),))
    if node.kind == "ARRAYCOERCEEXPR":
        inner, cast = shapes.of(node.node("arg"), context), node.node("elemexpr")
        if inner.kind != "array" or not inner.parts:
            return plain
        (element,) = inner.parts
        if cast is None or not cast_keeps(shapes.prover, cast):
            element = replace(element, nullable=True, because="a cast may give null")
        known = replace(plain.parts[0], nullable=element.nullable, because=element.because)
        return replace(plain, parts=(replace(known, assumed=element.assumed and not element.nullable),))
    if elements_never_null(shapes.prover, node, context):
        return replace(plain, parts=_of_no_elements(plain))
    return replace(plain, parts=(_nullable(plain.parts[0], "an element is null"),))


def _of_no_elements(plain: Shape) -> tuple[Shape, ...]:
    return tuple(
        replace(part, nullable=False, assumed=False, because="no element is null") for part in plain.parts
    )


def _nullable(element: Shape, because: str) -> Shape:
    return replace(element, nullable=True, assumed=False, because=because)


def array_call(shapes: ShapeFinder, node: Node, context: Context) -> Shape | None:
    """Return the shape of an array that a built-in function, operator or aggregate makes."""
    function = shapes.catalog.function(called_function(node, shapes.catalog) or 0)
    type = shapes.type_of(node)
    plain = shapes.of_type(type)
    if function is None or not function.is_builtin or plain.kind != "array":
        return None
    name, inside = function.name, inside_aggregate(shapes, node, context)
    if inside is None:
        return None
    args = _arguments(node)
    if name in _WITHOUT_NULLS or (name == "string_to_array" and len(args) == 2):
        return replace(plain, parts=_of_no_elements(plain))
    if name in ("regexp_match", "regexp_matches"):
        return replace(plain, parts=(_nullable(plain.parts[0], "a group may not take part in the match"),))
    if name == "string_to_array":
        return replace(plain, parts=(_nullable(plain.parts[0], "a part of the text may mean null"),))
    if name in _KEEPING and args:
        return _as(plain, shapes.of(args[0], inside))
    if name not in _LISTING or not args:
        return None
    given = [shapes.of(arg, inside) for arg in args]
    if name == "array_agg":
        return Shape("array", type=type, parts=(given[0],))
    if name == "array_remove":
        kept = _as(plain, given[0])
        is_null = args[-1].kind == "CONST" and args[-1].flag("constisnull")
        if kept is not None and kept.parts and is_null:
            return replace(kept, parts=_of_no_elements(kept))
        return kept
    parts: list[Shape] = []
    for shape, arg in zip(given, args, strict=True):
        is_array = name == "array_cat" or arg is args[0 if name == "array_append" else 1]
        if not is_array:
            parts.append(shape)
        elif shape.kind == "array":
            parts += shape.parts
        elif shape.kind != "null":
            return None
    return replace(plain, parts=(merged(parts) or _nullable(plain.parts[0], _MIXED),))


def _as(plain: Shape, given: Shape) -> Shape | None:
    return replace(given, type=plain.type) if given.kind == "array" else None


def _arguments(node: Node) -> list[Node]:
    """Return the arguments of a call; those of an aggregate are target entries."""
    if node.kind != "AGGREF":
        return node.nodes("args")
    entries = (entry for entry in node.nodes("args") if not entry.flag("resjunk"))
    return [arg for entry in entries if (arg := entry.node("expr")) is not None]


def inside_aggregate(shapes: ShapeFinder, node: Node, context: Context) -> Context | None:
    """Return the context of a call's arguments; for an aggregate, that of the rows that its filter passes.

    It is ``None`` for an aggregate of an outer query.
    """
    if node.kind in ("FUNCEXPR", "OPEXPR"):
        return None if node.flag("funcretset") or node.flag("funcvariadic") else context
    if node.number("agglevelsup") or node.flag("aggvariadic"):
        return None
    inside = context.before_grouping() if node.kind == "AGGREF" else context
    return inside.with_facts(shapes.prover.inference.if_true(node.node("aggfilter"), context.scope))


def stored_column_shape(
    shapes: ShapeFinder, relation: Relation, column: RelationColumn, *, with_children: bool
) -> Shape:
    """Return the shape of a table's column, whose elements a check may keep from being null."""
    shape = shapes.of_type(shapes.catalog.type(column.type))
    if shape.kind != "array" or shapes.prover.in_the_past:
        return shape
    for check in enforced_checks(shapes.prover, relation, with_children=with_children):
        if _excludes_null_elements(shapes, check, column.number):
            because = "a check constraint excludes null elements"
            parts = (replace(part, nullable=False, assumed=False, because=because) for part in shape.parts)
            return replace(shape, parts=tuple(parts))
    return shape


def _excludes_null_elements(shapes: ShapeFinder, text: str, column: int) -> bool:
    """Return whether a check requires that no element of the array is null.

    The forms are ``array_position(tags, null) is null`` and ``array_remove(tags, null) = tags``. Both pass
    for an array that is null.
    """
    tree = read_tree(text)
    for part in conjuncts(tree if isinstance(tree, Node) else None):
        if part.kind == "NULLTEST" and part.number("nulltesttype") == _IS_NULL:
            searched = part.node("arg")
            if searched is not None and _searches_null(shapes, searched, "array_position", column):
                return True
        if part.kind == "OPEXPR":
            operator, args = shapes.catalog.operator(part.number("opno")), part.nodes("args")
            if operator is not None and operator.name == "=" and len(args) == 2:
                one, other = args
                for removed, kept in ((one, other), (other, one)):
                    if _searches_null(shapes, removed, "array_remove", column) and _is_column(kept, column):
                        return True
    return False


def _searches_null(shapes: ShapeFinder, node: Node, name: str, column: int) -> bool:
    function = shapes.catalog.function(node.number("funcid")) if node.kind == "FUNCEXPR" else None
    args = node.nodes("args")
    return (
        function is not None
        and function.is_builtin
        and function.name == name
        and len(args) == 2
        and _is_column(args[0], column)
        and args[1].kind == "CONST"
        and args[1].flag("constisnull")
    )


def _is_column(node: Node, column: int) -> bool:
    while node.kind == "RELABELTYPE" and (arg := node.node("arg")) is not None:
        node = arg
    return node.kind == "VAR" and node.number("varattno") == column
