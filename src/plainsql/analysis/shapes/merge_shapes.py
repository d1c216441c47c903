"""One shape for values that come from several places: branches, arms of a union, elements of an array."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from plainsql.analysis.model import Shape

__all__ = ["ANY_JSON", "MAX_PARTS", "count_parts", "merged", "without_nulls"]

ANY_JSON: Final = Shape("json", nullable=False)

MAX_PARTS: Final = 500
"""The number of parts above which a shape is not kept: a chain of queries can double it at each step."""

_JSON_KINDS: Final = frozenset({"json", "scalar", "object", "list", "tuple", "map"})


def merged(shapes: Iterable[Shape]) -> Shape | None:
    """Return the shape that holds for each of these; ``None`` if they are values of SQL that do not agree."""
    found: Shape | None = None
    for shape in shapes:
        found = shape if found is None else _pair(found, shape)
        if found is None:
            return None
    return found


def count_parts(shape: Shape) -> int:
    """Return the number of parts at any depth, counted up to ``MAX_PARTS`` + 1."""
    pending, count = [shape], 0
    while pending and count <= MAX_PARTS:
        parts = pending.pop().parts
        count += len(parts)
        pending.extend(parts)
    return count


def without_nulls(shape: Shape, *, in_arrays: bool = False) -> Shape:
    """Return a shape after ``json_strip_nulls``: a field that is null is missing from its object."""
    match shape.kind:
        case "object":
            parts = [without_nulls(part, in_arrays=in_arrays) for part in shape.parts if part.kind != "null"]
            # A value that nothing is known about may be the null of JSON.
            fields = (
                replace(part, nullable=False, optional=part.optional or part.nullable or part.kind == "json")
                for part in parts
            )
            return replace(shape, parts=tuple(fields))
        case "map":
            parts = [
                replace(without_nulls(part, in_arrays=in_arrays), nullable=False) for part in shape.parts
            ]
            return replace(shape, parts=tuple(parts))
        case "list" | "tuple":
            if in_arrays and shape.kind == "tuple":
                return replace(ANY_JSON, nullable=shape.nullable, because=shape.because, name=shape.name)
            parts = [without_nulls(part, in_arrays=in_arrays) for part in shape.parts]
            if in_arrays:
                parts = [replace(part, nullable=False) for part in parts]
            return replace(shape, parts=tuple(parts))
        case _:
            return shape


def _pair(one: Shape, other: Shape) -> Shape | None:
    if "null" in (one.kind, other.kind):
        inside: Shape | None = other if one.kind == "null" else one
    elif one.kind in _JSON_KINDS and other.kind in _JSON_KINDS:
        inside = _json(one, other)
    else:
        inside = _sql(one, other)
    if inside is None:
        return None
    nullable = one if one.nullable else other
    return replace(
        inside,
        nullable=nullable.nullable,
        because=nullable.because,
        name=one.name,
        optional=one.optional or other.optional,
        assumed=one.assumed or other.assumed,
    )


def _sql(one: Shape, other: Shape) -> Shape | None:
    if one.kind != other.kind or _oid(one) != _oid(other):
        return None
    if one.kind == "value":
        return _with_both_origins(one, other)
    if len(one.parts) != len(other.parts):
        # An array of no elements has no part.
        return (one if one.parts else other) if one.kind == "array" else None
    parts = [_pair(mine, theirs) for mine, theirs in zip(one.parts, other.parts, strict=True)]
    known = [part for part in parts if part is not None]
    return replace(one, parts=tuple(known)) if len(known) == len(parts) else None


def _json(one: Shape, other: Shape) -> Shape:
    kinds = {one.kind, other.kind}
    if kinds == {"scalar"} and _oid(one) == _oid(other):
        return _with_both_origins(one, other)
    if kinds == {"object"}:
        return replace(one, parts=tuple(_fields(one, other)))
    if kinds == {"tuple"} and len(one.parts) == len(other.parts):
        pairs = zip(one.parts, other.parts, strict=True)
        return replace(one, parts=tuple(_pair(mine, theirs) or ANY_JSON for mine, theirs in pairs))
    if kinds <= {"list", "tuple"}:
        element = merged((*one.parts, *other.parts))
        return Shape("list", parts=(element,) if element is not None else ())
    if kinds == {"map"} or (
        kinds == {"map", "object"} and not (one if one.kind == "object" else other).parts
    ):
        element = merged((*one.parts, *other.parts))
        return Shape("map", parts=(element or ANY_JSON,))
    return ANY_JSON


def _fields(one: Shape, other: Shape) -> Iterator[Shape]:
    """Yield the fields of an object that is one or the other: a key of only one of them may be missing."""
    theirs = {part.name: part for part in other.parts}
    for part in one.parts:
        match = theirs.pop(part.name, None)
        yield replace(part, optional=True) if match is None else (_pair(part, match) or ANY_JSON)
    for part in theirs.values():
        yield replace(part, optional=True)


def _with_both_origins(one: Shape, other: Shape) -> Shape:
    known = one.origins and other.origins
    return replace(one, origins=tuple(sorted({*one.origins, *other.origins})) if known else ())


def _oid(shape: Shape) -> int:
    return shape.type.oid if shape.type is not None else 0
