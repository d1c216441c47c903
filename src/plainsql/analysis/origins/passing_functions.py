"""The server's functions that return some of their arguments, or elements of them, unchanged."""

from __future__ import annotations

from typing import Final, NamedTuple

from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.effects.parameter_bindings import exact_class
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.function_calls import called_function

__all__ = ["COMPARISONS", "Passing", "are_alike", "arguments_of", "leaf_of", "passing", "type_of"]

COMPARISONS: Final = frozenset({"=", "<>", "!=", "<", "<=", ">", ">="})
"""The operators whose two sides have one meaning."""
ARRAY_COMPARISONS: Final = frozenset({"@>", "<@", "&&"})
"""The same, if both sides are arrays."""


class Passing(NamedTuple):
    """The arguments of a function, counted from 0, by their effect on its result."""

    values: tuple[int, ...]
    """The arguments that the result is, or has elements of."""
    alike: tuple[int, ...]
    """The arguments that have one meaning: they are compared, or are elements of one array."""


_FIRST: Final = Passing((0,), (0,))
_BOTH: Final = Passing((0, 1), (0, 1))
_PASSING: Final = {
    **dict.fromkeys(
        (
            *("unnest", "trim_array", "array_reverse", "array_sort", "array_shuffle", "array_sample"),
            *("array_agg", "min", "max", "any_value", "mode", "percentile_disc"),
            *("first_value", "last_value", "nth_value"),
        ),
        _FIRST,
    ),
    **dict.fromkeys(("array_append", "array_prepend", "array_cat"), _BOTH),
    **dict.fromkeys(("lag", "lead"), Passing((0, 2), (0, 2))),
    "array_remove": Passing((0,), (0, 1)),
    "array_replace": Passing((0, 2), (0, 1, 2)),
    "array_position": Passing((), (0, 1)),
    "array_positions": Passing((), (0, 1)),
}
_TYPE_FIELDS: Final = (
    *("vartype", "consttype", "paramtype", "funcresulttype", "opresulttype", "aggtype", "wintype"),
    *("resulttype", "casetype", "coalescetype", "minmaxtype", "array_typeid", "row_typeid", "refrestype"),
    "typeId",
)


def passing(catalog: Catalog, node: Node) -> Passing | None:
    """Return the arguments that a call of the server's own functions passes on; ``None`` for other calls."""
    function = catalog.function(called_function(node, catalog) or 0)
    if function is None or not function.is_builtin:
        return None
    return _PASSING.get(function.name)


def arguments_of(node: Node) -> list[Node]:
    """Return the arguments of a call; those of an aggregate without their target entries."""
    found: list[Node] = []
    for argument in node.nodes("args"):
        value = argument.node("expr") if argument.kind == "TARGETENTRY" else argument
        if value is not None:
            found.append(value)
    return found


def type_of(node: Node) -> int:
    """Return the type of an expression; 0 if its node does not show it."""
    if node.kind in ("COLLATEEXPR", "NAMEDARGEXPR") and (arg := node.node("arg")) is not None:
        return type_of(arg)
    return next((found for field in _TYPE_FIELDS if (found := node.number(field))), 0)


def leaf_of(catalog: Catalog, oid: int) -> int:
    """Return the type below all domains and arrays."""
    type_ = catalog.type(oid)
    while type_.kind in ("array", "domain") and type_.element is not None:
        type_ = type_.element
    return type_.oid


def are_alike(catalog: Catalog, one: int, other: int) -> bool:
    """Return whether values of two types, or their elements, are the same in Python."""
    first, second = leaf_of(catalog, one), leaf_of(catalog, other)
    if not first or not second:
        return False
    if first == second:
        return True
    known = exact_class(catalog, first)
    return bool(known) and known == exact_class(catalog, second)
