"""Vectors of different dimensions that are compared or cast: PostgreSQL refuses every call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from plainsql.analysis.conditions.equalities import strip_relabel
from plainsql.analysis.findings.examined import Examined
from plainsql.analysis.findings.vector_searches import VECTOR_TYPES
from plainsql.analysis.model import Finding
from plainsql.analysis.nodes import Node

__all__ = ["vector_dimensions"]

_EXTENSION = "vector"
_BITS = ("<~>", "<%>", "&", "|", "#")
"""The operators that refuse bit strings of two lengths; a comparison such as `=` does not."""
_CONCATENATIONS = ("||", "vector_concat", "halfvec_concat")
_SAME = ("l2_normalize", "binary_quantize", "abs")
"""The functions whose result has the dimensions of their argument."""


def vector_dimensions(examined: Examined) -> Iterator[Finding]:
    """Yield the findings about dimensions, in all queries that the statement itself contains."""
    parameters: dict[int, dict[int, Node]] = {}
    for scope in examined.prover.scopes.all(examined.scope):
        each = replace(examined, scope=scope)
        for node in scope.query.expressions():
            if node.kind in ("OPEXPR", "FUNCEXPR"):
                yield from _of_cast(each, node)
                yield from _of_pair(each, node)
                for parameter, dimension in _demanded(each, node):
                    parameters.setdefault(parameter.number("paramid"), {}).setdefault(dimension, parameter)
    for uses in parameters.values():
        if len(uses) > 1:
            one, other = list(uses)[:2]
            yield Finding(
                "vector-dimension",
                f"one parameter is used as a vector of {one} dimensions and of {other}",
                examined.places.of(uses[other]),
                "take a parameter for each model",
            )


def _of_pair(examined: Examined, node: Node) -> Iterator[Finding]:
    """Yield a comparison or a sum of vectors of different dimensions."""
    args = _pair(examined, node)
    if not args:
        return
    one, other = (_dimension(examined, arg) for arg in args)
    if one is not None and other is not None and one != other:
        what = "bit string" if _type(examined, args[0]) == "bit" else "vector"
        yield Finding(
            "vector-dimension",
            f"a {what} of {one} dimensions is compared with one of {other}",
            examined.places.of(node),
            "use an embedding of the column's dimension",
        )


def _of_cast(examined: Examined, node: Node) -> Iterator[Finding]:
    """Yield a cast to another number of dimensions; a bit string is cut or filled without an error."""
    wanted = _cast_dimension(examined, node)
    if not wanted or _type(examined, node) == "bit":
        return
    inner = node.nodes("args")[0]
    found = _dimension(examined, inner)
    if found is not None and found != wanted:
        fewer = "; the first of them are subvector(…, 1, n)::vector(n)" if wanted < found else ""
        yield Finding(
            "vector-dimension",
            f"a vector of {found} dimensions is cast to {wanted}",
            examined.places.of(node),
            f"cast to {found} dimensions{fewer}",
        )


def _demanded(examined: Examined, node: Node) -> Iterator[tuple[Node, int]]:
    """Yield the parameters that an expression takes as they are, with the dimensions that it expects."""
    args = node.nodes("args")
    if wanted := _cast_dimension(examined, node):
        inner = strip_relabel(args[0])
        if inner.kind == "PARAM" and not inner.number("paramkind") and _type(examined, inner) != "bit":
            yield inner, wanted
        return
    pair = _pair(examined, node)
    for one, other in (pair, pair[::-1]) if pair else ():
        inner = strip_relabel(one)
        dimension = _dimension(examined, other) if inner.kind == "PARAM" else None
        if dimension is not None and not inner.number("paramkind"):
            yield inner, dimension


def _pair(examined: Examined, node: Node) -> list[Node]:
    """Return the two vectors that an operator or a function needs to have the same dimensions."""
    args = node.nodes("args")
    routines = examined.prover.catalog.routines
    kinds = [_type(examined, arg) for arg in args]
    if len(args) != 2 or not all(kinds):
        return []
    if node.kind == "OPEXPR":
        operator = routines.operators.get(node.number("opno"))
        name = operator.name if operator is not None else "||"
        return [] if name in _CONCATENATIONS or (kinds[0] == "bit" and name not in _BITS) else args
    function = routines.functions.get(node.number("funcid"))
    if function is None or function.extension != _EXTENSION or function.name in _CONCATENATIONS:
        return []
    return args


def _type(examined: Examined, node: Node) -> str:
    """Return the name of a vector type, below its domains; empty for every other type."""
    types = examined.prover.catalog.types
    row = types.row(types.base(examined.prover.type_of(strip_relabel(node))))
    return row.name if row is not None and row.name in VECTOR_TYPES else ""


def _cast_dimension(examined: Examined, node: Node) -> int:
    """Return the dimensions that a cast states; 0 if it states none, or if it is no cast to a vector."""
    args = node.nodes("args")
    if (
        node.kind != "FUNCEXPR"
        or node.number("funcformat") not in (1, 2)
        or len(args) < 2
        or not _type(examined, node)
    ):
        return 0
    return max(_integer(args[1]) or 0, 0)


def _integer(node: Node) -> int | None:
    """Return the value of a constant integer."""
    value = node.datum("constvalue")
    is_integer = node.kind == "CONST" and node.number("constlen") == 4 and not node.flag("constisnull")
    return int.from_bytes(value[:4], "little", signed=True) if is_integer and value else None


def _dimension(examined: Examined, node: Node) -> int | None:
    """Return the number of dimensions of a vector expression, if it is known."""
    while node.kind in ("RELABELTYPE", "COLLATEEXPR"):
        if node.number("resulttypmod", -1) > 0:
            break
        inner = node.node("arg")
        if inner is None:
            return None
        node = inner
    kind = _type(examined, node)
    if not kind:
        return None
    match node.kind:
        case "VAR":
            modifier = node.number("vartypmod", -1)
            return modifier if modifier > 0 else _domain_dimension(examined, node.number("vartype"))
        case "RELABELTYPE":
            return node.number("resulttypmod", -1)
        case "CONST":
            return _constant_dimension(node, kind)
        case "FUNCEXPR":
            return _cast_dimension(examined, node) or _call_dimension(examined, node)
        case "OPEXPR" if pair := _pair(examined, node):
            return _dimension(examined, pair[0]) or _dimension(examined, pair[1])
        case _:
            return None


def _domain_dimension(examined: Examined, oid: int) -> int | None:
    types = examined.prover.catalog.types
    row = types.row(oid)
    while row is not None and row.typtype == "d":
        if row.base_modifier > 0:
            return row.base_modifier
        row = types.row(row.base)
    return None


def _constant_dimension(node: Node, kind: str) -> int | None:
    value = node.datum("constvalue")
    # The length of the value, then the dimension, in as many bytes as the type has for it.
    size = 2 if kind in ("vector", "halfvec") else 4
    return int.from_bytes(value[4 : 4 + size], "little") if value and len(value) >= 4 + size else None


def _call_dimension(examined: Examined, node: Node) -> int | None:
    """Return the dimensions of the result of one of pgvector's functions, or of a cast without a length."""
    function = examined.prover.catalog.routines.functions.get(node.number("funcid"))
    args = node.nodes("args")
    if function is None or function.extension != _EXTENSION or not args:
        return None
    of_first = _dimension(examined, args[0])
    if of_first is None:
        return None
    if function.name in _SAME or node.number("funcformat") in (1, 2):
        return of_first
    if function.name == "subvector" and len(args) == 3:
        start, count = _integer(args[1]), _integer(args[2])
        if start is not None and count is not None and start >= 1 and count >= 1:
            left = of_first - start + 1
            return min(count, left) if left > 0 else None
    return None
