"""Comparisons and orders that do not use the index that exists for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from plainsql.analysis.catalog.relations import Relation
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.conditions.equalities import plain_variable, strip_relabel
from plainsql.analysis.findings.examined import Examined
from plainsql.analysis.model import Finding
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.query_tree import EntryKind, QueryTree, Scope, expression_children
from plainsql.analysis.tree.row_limits import constant_count

__all__ = ["examine_indexes"]

_VECTORS = ("vector", "halfvec", "sparsevec")
_VECTOR_METHODS = ("hnsw", "ivfflat")


def examine_indexes(examined: Examined) -> Iterator[Finding]:
    """Yield the findings about indexes, in all queries that the statement itself contains."""
    for scope in examined.prover.scopes.all(examined.scope):
        each = replace(examined, scope=scope)
        for node in scope.query.expressions():
            if node.kind in ("OPEXPR", "SCALARARRAYOPEXPR"):
                yield from _casts(each, node)
                yield from _dimensions(each, node)
        yield from _distances(each)


def _column(examined: Examined, node: Node, scope: Scope) -> tuple[Relation, int] | None:
    """Return the table's column that an expression is."""
    variable = plain_variable(node, scope)
    entry = scope.query.entry(variable[0]) if variable is not None else None
    if variable is None or entry is None or entry.kind is not EntryKind.RELATION:
        return None
    relation = examined.prover.catalog.relation(entry.relation)
    return (relation, variable[1]) if relation is not None and variable[1] in relation.columns else None


def _casts(examined: Examined, node: Node) -> Iterator[Finding]:
    """Yield columns that are cast to be compared: an index on the column itself cannot serve that."""
    routines = examined.prover.catalog.routines
    if node.number("opno") not in routines.search_families:
        return
    for arg in node.nodes("args"):
        inner = _below_cast(arg)
        found = _column(examined, inner, examined.scope) if inner is not None else None
        if found is None:
            continue
        relation, column = found
        indexes = [index.name for index in relation.indexes if index.columns[0] == column]
        if not indexes or _has_expression_index(relation):
            continue
        name = relation.columns[column].name
        target = examined.prover.catalog.type(_result_type(arg))
        yield Finding(
            "cast-defeats-index",
            f"{name} is cast to {target} to be compared: the index {indexes[0]} does not serve that",
            examined.places.of(inner) or examined.places.of(node),
            f"cast the other side to {examined.prover.catalog.type(relation.columns[column].type)},"
            " or compare with a range",
        )


def _below_cast(node: Node) -> Node | None:
    """Return the argument of a cast that computes; a relabelling computes nothing."""
    node = strip_relabel(node)
    if node.kind == "FUNCEXPR" and node.number("funcformat") in (1, 2) and node.nodes("args"):
        return node.nodes("args")[0]
    if node.kind == "COERCEVIAIO":
        return node.node("arg")
    return None


def _result_type(node: Node) -> int:
    node = strip_relabel(node)
    return node.number("funcresulttype") or node.number("resulttype")


def _has_expression_index(relation: Relation) -> bool:
    # Its expression is not compared: no finding is better than a wrong one.
    return any(index.columns[0] == 0 for index in relation.indexes)


def _dimensions(examined: Examined, node: Node) -> Iterator[Finding]:
    catalog = examined.prover.catalog
    args = node.nodes("args")
    if len(args) != 2:
        return
    one, other = (_dimension(catalog, arg) for arg in args)
    if one is not None and other is not None and one != other:
        yield Finding(
            "vector-dimension",
            f"a vector of {one} dimensions is compared with one of {other}",
            examined.places.of(node),
            "use an embedding of the column's dimension",
        )


def _dimension(catalog: Catalog, node: Node) -> int | None:
    """Return the number of dimensions of a vector expression, if it is known."""
    node = strip_relabel(node) if node.kind != "RELABELTYPE" or node.number("resulttypmod", -1) < 0 else node
    args = node.nodes("args")
    match node.kind:
        case "VAR":
            oid, modifier = node.number("vartype"), node.number("vartypmod", -1)
        case "CONST":
            row = catalog.types.row(node.number("consttype"))
            value = node.datum("constvalue")
            if row is None or row.name not in ("vector", "halfvec") or value is None or len(value) < 6:
                return None
            # The length of the value, then the dimension.
            return int.from_bytes(value[4:6], "little")
        case "RELABELTYPE":
            oid, modifier = node.number("resulttype"), node.number("resulttypmod", -1)
        case "FUNCEXPR" if len(args) >= 2 and args[1].kind == "CONST":
            oid = node.number("funcresulttype")
            value = args[1].datum("constvalue")
            modifier = int.from_bytes(value[:4], "little", signed=True) if value else -1
        case _:
            return None
    row = catalog.types.row(oid)
    return modifier if row is not None and row.name in _VECTORS and modifier > 0 else None


def _distances(examined: Examined) -> Iterator[Finding]:
    """Yield orders by a distance that the column's vector index does not serve."""
    query, catalog = examined.scope.query, examined.prover.catalog
    if query.node.node("limitCount") is None:
        return
    for clause in query.node.nodes("sortClause"):
        target = query.sort_group_expression(clause.number("tleSortGroupRef"))
        expression = target.node("expr") if target is not None else None
        if expression is None:
            continue
        for part in expression_children(expression):
            found = _distance_of(examined, part)
            if found is None:
                continue
            relation, column = found
            indexes = [
                index
                for index in relation.indexes
                if index.method in _VECTOR_METHODS and index.columns[0] == column
            ]
            operator = catalog.operator(part.number("opno"))
            if not indexes or operator is None:
                continue
            name = relation.columns[column].name
            families = catalog.routines.ordering_families.get(operator.oid, set())
            served = [index for index in indexes if index.families[0] in families]
            place = examined.places.of(part)
            if not served:
                yield Finding(
                    "vector-operator",
                    f"{name} is ordered by {operator.name}, and the index {indexes[0].name} is not for it",
                    place,
                    f"use the operator of the index, or make an index whose class serves {operator.name}",
                )
            elif part is not strip_relabel(expression) or clause.flag("reverse_sort"):
                yield Finding(
                    "vector-operator",
                    f"the index {served[0].name} serves the bare operator {operator.name}, ascending",
                    place,
                    f"order by {name} {operator.name} the vector itself, and compute with it outside",
                )
            elif (limit := _constant_limit(query)) and _filters_by_parameter(query):
                yield Finding(
                    "generic-plan",
                    f"limit {limit} is a constant next to a filter by a parameter: after some calls the"
                    " plan may be one that does not know the filter's value",
                    place,
                    "make the limit a parameter: 'limit :limit', with"
                    f" '-- param limit: 1..{max(limit, 200)} = {limit}' in the header",
                )


def _constant_limit(query: QueryTree) -> int | None:
    return constant_count(query.node.node("limitCount"))


def _filters_by_parameter(query: QueryTree) -> bool:
    tree = query.node.node("jointree")
    return tree is not None and any(part.kind == "PARAM" for part in expression_children(tree))


def _distance_of(examined: Examined, node: Node) -> tuple[Relation, int] | None:
    if node.kind != "OPEXPR" or node.number("opno") not in examined.prover.catalog.routines.ordering_families:
        return None
    for arg in node.nodes("args"):
        found = _column(examined, arg, examined.scope)
        row = (
            examined.prover.catalog.types.row(found[0].columns[found[1]].type) if found is not None else None
        )
        if row is not None and row.name in _VECTORS:
            return found
    return None
