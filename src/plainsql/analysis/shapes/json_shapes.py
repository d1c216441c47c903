"""The structure of the JSON that a query builds: objects with known keys, lists, and the values in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from plainsql.analysis.catalog.definitions import FIRST_USER_OID
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.model import PgType, Shape
from plainsql.analysis.nodes import Node
from plainsql.analysis.nullability.verdict import Context
from plainsql.analysis.shapes.array_shapes import inside_aggregate
from plainsql.analysis.shapes.merge_shapes import ANY_JSON, merged, without_nulls
from plainsql.analysis.shapes.shape_finder import ShapeFinder
from plainsql.analysis.tree.function_calls import called_function

__all__ = ["as_json", "json_call", "json_constant", "json_constructor"]

_OBJECT, _ARRAY, _OBJECT_AGGREGATE, _ARRAY_AGGREGATE = 1, 2, 3, 4
"""The values of ``JsonConstructorType``."""
_EMPTY: Final[dict[int | bytes, Shape]] = {
    0x40000000: Shape("list", nullable=False),
    0x20000000: Shape("object", nullable=False),
    b"[]": Shape("list", nullable=False),
    b"{}": Shape("object", nullable=False),
}
"""The empty containers, by their header in ``jsonb`` and by their text in ``json``."""

_CONVERSIONS: Final = frozenset({"to_json", "to_jsonb", "row_to_json", "array_to_json"})
_LISTS: Final = frozenset({"json_agg", "jsonb_agg", "json_agg_strict", "jsonb_agg_strict"})
_MAPS: Final = frozenset(
    f"{prefix}_object_agg{suffix}"
    for prefix in ("json", "jsonb")
    for suffix in ("", "_strict", "_unique", "_unique_strict")
)
_TEXTS: Final = PgType(25, "pg_catalog", "text", "base")


def as_json(catalog: Catalog, shape: Shape) -> Shape:
    """Return the shape of the JSON that ``to_json`` makes of a value."""
    outer = replace(shape, nullable=shape.nullable or shape.assumed, assumed=False)
    match shape.kind:
        case "value" if _is_known(catalog, shape.type):
            return replace(outer, kind="scalar")
        case "value":
            return replace(outer, kind="json", type=None)
        case "array":
            parts = tuple(as_json(catalog, part) for part in shape.parts)
            return replace(outer, kind="list", type=None, parts=parts)
        case "row":
            return _object(replace(outer, type=None), [as_json(catalog, part) for part in shape.parts])
        case _:
            return shape


def _is_known(catalog: Catalog, type: PgType | None) -> bool:
    """Return whether the JSON of a type is known: a user's type may have a cast to JSON, which is used."""
    while type is not None and type.kind == "domain":
        type = type.element
    if type is None or (type.kind == "pseudo" and type.name not in ("unknown", "cstring")):
        return False
    if type.oid < FIRST_USER_OID:
        return True
    casts = catalog.routines.casts
    return not any(
        catalog.type(target).name in ("json", "jsonb") for source, target in casts if source == type.oid
    )


def _object(outer: Shape, parts: Sequence[Shape], *, last_wins: bool = False) -> Shape:
    """Return an object of these fields; if a key is there twice, ``json`` keeps both values."""
    by_name = {part.name: part for part in parts}
    if not parts or (len(by_name) < len(parts) and not last_wins):
        return replace(outer, kind="json", parts=())
    return replace(outer, kind="object", parts=tuple(by_name.values()))


def json_constant(node: Node, type: PgType) -> Shape | None:
    """Return the shape of an empty list or object that is written out, as in ``coalesce(…, '[]')``."""
    value = node.datum("constvalue")
    if value is None or len(value) < 6:
        return None
    if type.name == "jsonb":
        return _EMPTY.get(int.from_bytes(value[4:8], "little")) if len(value) == 8 else None
    return _EMPTY.get(value[4:].strip()) if type.name == "json" else None


def json_constructor(shapes: ShapeFinder, node: Node, context: Context) -> Shape | None:
    """Return the shape of ``json_object(…)``, ``json_array(…)`` and their aggregates, in the words of SQL."""
    kind, coercion, without = node.number("type"), node.node("coercion"), node.flag("absent_on_null")
    if shapes.of_type(shapes.type_of(node)).kind != "json":
        return None
    if coercion is not None and coercion.kind not in ("RELABELTYPE", "CASETESTEXPR", "COERCEVIAIO"):
        return None
    args = node.nodes("args")
    if kind == _OBJECT:
        built = _built_object(shapes, args, context, last_wins=shapes.type_of(node).name == "jsonb")
        return _without_absent(built) if without else built
    if kind == _ARRAY:
        return _built_list(shapes, args, context, without=without)
    function = node.node("func")
    if kind in (_OBJECT_AGGREGATE, _ARRAY_AGGREGATE) and function is not None:
        return json_call(shapes, function, context)
    return None


def _without_absent(shape: Shape) -> Shape:
    """Return an object after ``absent on null``, which leaves out the nulls of this object alone."""
    if shape.kind not in ("object", "map"):
        return shape
    kept = (part for part in shape.parts if part.kind != "null")
    parts = (
        replace(part, nullable=False, optional=shape.kind == "object" and part.nullable) for part in kept
    )
    return replace(shape, parts=tuple(parts))


def json_call(shapes: ShapeFinder, node: Node, context: Context) -> Shape | None:
    """Return the shape of the JSON that a built-in function, operator or aggregate makes."""
    function = shapes.catalog.function(called_function(node, shapes.catalog) or 0)
    if function is None or not function.is_builtin or shapes.of_type(shapes.type_of(node)).kind != "json":
        return None
    inside, name = inside_aggregate(shapes, node, context), function.name
    if inside is None:
        return None
    args = node.nodes("args")
    if node.kind == "AGGREF":
        args = [arg for each in args if not each.flag("resjunk") and (arg := each.node("expr")) is not None]
    if name in ("json_build_object", "jsonb_build_object"):
        return _built_object(shapes, args, inside, last_wins=name[4] == "b")
    if name in ("json_build_array", "jsonb_build_array"):
        return _built_list(shapes, args, inside)
    if name in _CONVERSIONS and args:
        return shapes.json_of(args[0], inside)
    if name in _LISTS and args:
        element = shapes.json_of(args[0], inside)
        return Shape("list", parts=(_not_null(element) if name.endswith("_strict") else element,))
    if name in _MAPS and len(args) == 2:
        element = shapes.json_of(args[1], inside)
        return Shape("map", parts=(_not_null(element) if name.endswith("_strict") else element,))
    if name in ("json_object", "jsonb_object"):
        return Shape("map", parts=(Shape("scalar", type=_TEXTS, because="a value of the array may be null"),))
    if name in ("json_strip_nulls", "jsonb_strip_nulls") and args:
        in_arrays = args[1].datum("constvalue") if len(args) == 2 else b"\0"
        if in_arrays is None:
            return None
        return without_nulls(shapes.of(args[0], inside), in_arrays=any(in_arrays))
    if name == "jsonb_concat" and len(args) == 2:
        return _joined(shapes.of(args[0], inside), shapes.of(args[1], inside))
    return None


def _not_null(element: Shape) -> Shape:
    return replace(element, nullable=False, because="nulls are left out")


def _built_object(shapes: ShapeFinder, args: list[Node], context: Context, *, last_wins: bool) -> Shape:
    keys = [_key(arg) for arg in args[::2]]
    parts = [shapes.json_of(arg, context) for arg in args[1::2]]
    if len(keys) != len(parts):
        return ANY_JSON
    if not keys:
        return Shape("object", nullable=False)
    if None in keys:
        return Shape("map", parts=(merged(parts) or ANY_JSON,))
    named = [replace(part, name=key or "") for part, key in zip(parts, keys, strict=True)]
    return _object(ANY_JSON, named, last_wins=last_wins)


def _built_list(shapes: ShapeFinder, args: list[Node], context: Context, *, without: bool = False) -> Shape:
    """Return a list if one type holds for all elements, else a tuple; nulls may be left out."""
    parts = [shapes.json_of(arg, context) for arg in args]
    if without:
        parts = [_not_null(part) for part in parts if part.kind != "null"]
    element = merged(parts)
    if element is None or without or element.kind != "json" or all(part.kind == "json" for part in parts):
        return Shape("list", parts=() if element is None else (element,))
    return Shape("tuple", parts=tuple(parts))


def _joined(left: Shape, right: Shape) -> Shape:
    """Return the shape of ``left || right``."""
    if left.kind == right.kind == "object":
        parts = {part.name: part for part in left.parts}
        for part in right.parts:
            before = parts.get(part.name)
            if not part.optional or before is None:
                parts[part.name] = part
                continue
            either = merged((before, part)) or ANY_JSON
            parts[part.name] = replace(either, optional=before.optional)
        return Shape("object", parts=tuple(parts.values()))
    if {left.kind, right.kind} <= {"list", "tuple"}:
        element = merged((*left.parts, *right.parts))
        return Shape("list", parts=() if element is None else (element,))
    if left.kind == right.kind == "map":
        return Shape("map", parts=(merged((*left.parts, *right.parts)) or ANY_JSON,))
    return ANY_JSON


def _key(node: Node) -> str | None:
    """Return the key that is written out; ``None`` if the data has it."""
    while node.kind in ("RELABELTYPE", "NAMEDARGEXPR") and (arg := node.node("arg")) is not None:
        node = arg
    value, type = node.datum("constvalue"), node.number("consttype")
    if node.kind != "CONST" or value is None or node.flag("constisnull"):
        return None
    if type == _UNKNOWN_OID:
        value = value.removesuffix(b"\0")
    elif type in _TEXT_OIDS:
        value = value[4:]
    else:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


_UNKNOWN_OID: Final = 705
_TEXT_OIDS: Final = (25, 1043)
