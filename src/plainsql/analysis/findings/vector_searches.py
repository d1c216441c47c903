"""Searches by distance: the orders that no index of vectors serves, and what the order needs for one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from plainsql.analysis.cardinality.conditional_keys import expression_shape, is_implied
from plainsql.analysis.catalog.relations import Index, Relation
from plainsql.analysis.catalog.routines import Operator
from plainsql.analysis.conditions.equalities import (
    conditions,
    equality_families,
    plain_variable,
    strip_relabel,
)
from plainsql.analysis.findings.examined import Examined
from plainsql.analysis.findings.policy_lints import compares_with_call
from plainsql.analysis.findings.relaxed_orders import relaxed_orders
from plainsql.analysis.findings.schema_lints import quoted
from plainsql.analysis.model import Finding
from plainsql.analysis.nodes import Node, conjuncts, read_tree
from plainsql.analysis.tree.query_tree import (
    EntryKind,
    RangeTableEntry,
    Scope,
    Sublink,
    expression_children,
)
from plainsql.analysis.tree.row_limits import constant_count

__all__ = ["VECTOR_METHODS", "VECTOR_TYPES", "vector_searches"]

VECTOR_TYPES = ("vector", "halfvec", "sparsevec", "bit")
VECTOR_METHODS = ("hnsw", "ivfflat")

_CLASSES = {"<->": "l2", "<#>": "ip", "<=>": "cosine", "<+>": "l1", "<~>": "hamming", "<%>": "jaccard"}
"""The part of an operator class's name that says which distance it orders by."""
_READING = ("*", "r")
"""The commands of policies for selects, as ``pg_policy.polcmd`` has them."""
_MOST_DIMENSIONS = 2000
"""The most dimensions of an index of the type vector."""


@dataclass(frozen=True, slots=True)
class _Distance:
    """A distance in an order: an operator, or the function behind one."""

    node: Node
    operator: Operator
    function: str
    """The name of the function, if it is called by its name; else empty."""


@dataclass(frozen=True, slots=True)
class _Ordered:
    """The side of a distance that is of the rows of a table, and the other one."""

    entry: RangeTableEntry
    relation: Relation
    side: Node
    other: Node
    columns: frozenset[int]

    @property
    def column(self) -> str:
        """Return the name of the only column of the side; empty if it has several."""
        names = self.relation.column_names(self.columns)
        return names[0] if len(names) == 1 else ""


def vector_searches(examined: Examined) -> Iterator[Finding]:
    """Yield the findings about orders by a distance, in all queries that the statement itself contains."""
    for scope in examined.prover.scopes.all(examined.scope):
        if scope.query.node.node("limitCount") is not None:
            yield from _orders(replace(examined, scope=scope), examined.scope)


def _orders(examined: Examined, top: Scope) -> Iterator[Finding]:
    query = examined.scope.query
    before: list[Node] = []
    for clause in query.node.nodes("sortClause"):
        target = query.sort_group_expression(clause.number("tleSortGroupRef"))
        expression = target.node("expr") if target is not None else None
        if expression is None:
            continue
        for part in expression_children(expression):
            distance = _distance(examined, part)
            ordered = _ordered(examined, distance) if distance is not None else None
            if distance is None or ordered is None or _is_looked_up(examined, ordered):
                continue
            bare = part is strip_relabel(expression)
            forward = not clause.flag("reverse_sort") and not clause.flag("nulls_first")
            yield from _of_distance(examined, top, distance, ordered, before, in_order=bare and forward)
        before.append(expression)


def _of_distance(
    examined: Examined,
    top: Scope,
    distance: _Distance,
    ordered: _Ordered,
    before: list[Node],
    *,
    in_order: bool,
) -> Iterator[Finding]:
    """Yield the first reason why no index gives the rows in the order of a distance, if there is one.

    ``top`` is the scope of the whole statement.
    """
    indexes = [index for index in ordered.relation.indexes if index.method in VECTOR_METHODS]
    exact = [index for index in indexes if _is_of(index, ordered)]
    if not exact:
        near = [index for index in indexes if _columns_of(index) & ordered.columns]
        yield from _unindexed(examined, distance, ordered, near)
        return
    place = examined.places.of(distance.node)
    operator, what = distance.operator.name, exact[0].expression or ordered.column
    written = f"{distance.function}()" if distance.function else operator
    families = examined.prover.catalog.routines.ordering_families.get(distance.operator.oid, set())
    served = [index for index in exact if index.families[0] in families]
    if not served:
        yield Finding(
            "vector-operator",
            f"{what} is ordered by {written}, and the index {exact[0].name} is not for it",
            place,
            f"use the operator of the index, or make an index whose class serves {operator}",
        )
        return
    facts = examined.prover.cardinality.facts(examined.scope)
    usable = [i for i in served if is_implied(i.predicate, ordered.entry, examined.scope, facts)]
    if not usable:
        yield Finding(
            "vector-index",
            f"the index {served[0].name} has only the rows where {served[0].condition},"
            " and the query may need others",
            place,
            "write the condition of the index into the query, with constants, or make an index of all rows",
        )
        return
    name = usable[0].name
    if other := _row_of(examined, ordered.other):
        yield Finding(
            "vector-operator",
            f"the index {name} serves the distance to one vector, and this one is to each row of {other}",
            place,
            f"select the vector in a sub-select: {what} {operator} (select …), or search in a lateral join",
        )
    elif distance.function:
        ascending = ", ascending: it is the negative inner product" if operator == "<#>" else ""
        yield Finding(
            "vector-operator",
            f"the index {name} serves the operator {operator}, and not the function {written}",
            place,
            f"order by {what} {operator} the vector{ascending}",
        )
    elif not in_order:
        yield Finding(
            "vector-operator",
            f"the index {name} serves the bare operator {operator}, ascending",
            place,
            f"order by {what} {operator} the vector itself, and compute with it outside",
        )
    elif not _have_one_value(examined, before):
        yield Finding(
            "vector-operator",
            f"the index {name} serves {operator} as the first of the order, and here others are before it",
            place,
            f"order by {what} {operator} the vector in an inner query with a limit,"
            " and by the others outside",
        )
    else:
        yield from _generic_plan(examined, ordered.relation, place)
        yield from relaxed_orders(examined, top, distance.node, usable[0])


def _generic_plan(examined: Examined, relation: Relation, place: int) -> Iterator[Finding]:
    """Yield a constant limit next to a filter by a parameter, or by the tenant of a policy."""
    query = examined.scope.query
    limit = constant_count(query.node.node("limitCount"))
    tree = query.node.node("jointree")
    if not limit or tree is None:
        return
    policy = _policy_of_tenant(relation)
    if any(part.kind == "PARAM" for part in expression_children(tree)):
        reason = "a filter by a parameter: after some calls the plan may be one that does not know its value"
    elif policy:
        reason = f"the policy {policy}: after some calls the plan may be that of another tenant"
    else:
        return
    yield Finding(
        "generic-plan",
        f"limit {limit} is a constant next to {reason}",
        place,
        "make the limit a parameter: 'limit :limit', with"
        f" '-- param limit: 1..{max(limit, 200)} = {limit}' in the header",
    )


def _policy_of_tenant(relation: Relation) -> str:
    """Return a policy whose value the planner takes for its estimates; empty if there is none.

    The value of a sub-select is not known to it.
    """
    for policy in relation.policies if relation.row_security else ():
        for text in policy.expressions if policy.command in _READING else ():
            tree = read_tree(text)
            for condition in conjuncts(tree) if isinstance(tree, Node) else ():
                if compares_with_call(condition):
                    return policy.name
    return ""


def _unindexed(
    examined: Examined, distance: _Distance, ordered: _Ordered, near: list[Index]
) -> Iterator[Finding]:
    """Yield an order by an expression that no index is on, unless another index finds the rows."""
    if _is_filtered(examined, ordered) or _row_of(examined, ordered.other):
        return
    place = examined.places.of(distance.node)
    operator = distance.operator.name
    if near:
        indexed = near[0].expression or ordered.relation.columns[near[0].columns[0]].name
        yield Finding(
            "vector-index",
            f"the index {near[0].name} is on {indexed}, and the order is by another expression",
            place,
            f"order by that of the index, letter by letter: {indexed} {operator} the vector,"
            " or make an index on this one",
        )
    elif ordered.relation.kind in ("r", "p", "m") and not _is_indexed_below(examined, ordered.relation):
        yield Finding(
            "vector-index",
            f"no index of {ordered.relation.name} serves the order by {operator}:"
            " all of its rows are read and compared",
            place,
            "in a migration of its own that starts with '-- transactional: false':"
            f" create index concurrently on {_indexed(examined, ordered, operator)}",
            large=str(ordered.relation),
        )


def _is_indexed_below(examined: Examined, relation: Relation) -> bool:
    """Return whether a partition has an index of vectors of its own."""
    below = examined.prover.catalog.descendants(relation)
    return any(index.method in VECTOR_METHODS for table in below for index in table.indexes)


def _indexed(examined: Examined, ordered: _Ordered, operator: str) -> str:
    """Return what an index for an order is on, or as much of it as is known."""
    relation = ordered.relation
    table = f"{quoted(relation.schema)}.{quoted(relation.name)} using hnsw"
    variable = plain_variable(ordered.side, examined.scope)
    kind = _vector_type(examined, ordered.side)
    if variable is None or not kind:
        return f"{table} (…)"
    column = relation.columns[variable[1]]
    name, distance = quoted(column.name), _CLASSES[operator]
    if kind == "vector" and column.modifier > _MOST_DIMENSIONS:
        # The order needs the same cast: the finding of the next check says so.
        return f"{table} (({name}::halfvec({column.modifier})) halfvec_{distance}_ops)"
    return f"{table} ({name} {kind}_{distance}_ops)"


def _distance(examined: Examined, node: Node) -> _Distance | None:
    """Return the distance that an expression is, by an operator or by its function."""
    routines = examined.prover.catalog.routines
    if node.kind == "OPEXPR":
        operator = routines.operators.get(node.number("opno"))
        return _Distance(node, operator, "") if operator and _is_distance(examined, operator) else None
    function = routines.functions.get(node.number("funcid")) if node.kind == "FUNCEXPR" else None
    if function is None or len(node.nodes("args")) != 2:
        return None
    behind = routines.operators_of(function.oid)
    if function.name == "inner_product" and function.extension == "vector":
        # The operator gives the negative, so that the nearest come first.
        left = examined.prover.type_of(node.nodes("args")[0])
        behind = [o for o in routines.operators.values() if o.name == "<#>" and o.left == left]
    return next((_Distance(node, o, function.name) for o in behind if _is_distance(examined, o)), None)


def _is_distance(examined: Examined, operator: Operator) -> bool:
    catalog = examined.prover.catalog
    row = catalog.types.row(operator.left)
    return (
        row is not None
        and row.name in VECTOR_TYPES
        and operator.name in _CLASSES
        and operator.oid in catalog.routines.ordering_families
    )


def _vector_type(examined: Examined, node: Node) -> str:
    """Return the name of an expression's type, below its domains, if it is one of vectors; else empty."""
    types = examined.prover.catalog.types
    row = types.row(types.base(examined.prover.type_of(strip_relabel(node))))
    return row.name if row is not None and row.name in VECTOR_TYPES else ""


def _ordered(examined: Examined, distance: _Distance) -> _Ordered | None:
    """Return the table whose rows are ordered: of two, the one that has an index for vectors."""
    args = distance.node.nodes("args")
    if len(args) != 2:
        return None
    found = [_of_table(examined, one, other) for one, other in (args, args[::-1])]
    sides = [each for each in found if each is not None]
    indexed = (each for each in sides if any(i.method in VECTOR_METHODS for i in each.relation.indexes))
    return next(indexed, None) or next(iter(sides), None)


def _of_table(examined: Examined, side: Node, other: Node) -> _Ordered | None:
    """Return a side of a distance, if all its columns are of one table of the query."""
    query = examined.scope.query
    columns: set[tuple[int, int]] = set()
    for part in expression_children(side):
        if part.kind == "VAR":
            variable = plain_variable(part, examined.scope)
            if variable is None:
                return None
            columns.add(variable)
        elif part.kind == "SUBLINK":
            return None
    entries = {index for index, _ in columns}
    entry = query.entry(next(iter(entries))) if len(entries) == 1 else None
    if entry is None or entry.kind is not EntryKind.RELATION:
        return None
    relation = examined.prover.catalog.relation(entry.relation)
    numbers = frozenset(number for _, number in columns)
    if relation is None or not numbers <= relation.columns.keys():
        return None
    return _Ordered(entry, relation, side, other, numbers)


def _is_of(index: Index, ordered: _Ordered) -> bool:
    """Return whether the first column of an index is the side of a distance."""
    side = strip_relabel(ordered.side)
    if index.columns[0]:
        return side.kind == "VAR" and ordered.columns == frozenset({index.columns[0]})
    expression = strip_relabel(index.expressions[0])
    return expression_shape(expression, 1) == expression_shape(side, ordered.entry.index)


def _columns_of(index: Index) -> frozenset[int]:
    """Return the columns of the table that the first column of an index is made of."""
    if index.columns[0]:
        return frozenset({index.columns[0]})
    return frozenset(
        part.number("varattno") for part in expression_children(index.expressions[0]) if part.kind == "VAR"
    )


def _is_looked_up(examined: Examined, ordered: _Ordered) -> bool:
    """Return whether the rows are those of given keys: the found rows of another search are ordered again."""
    given = {column for column, operator in _compared(ordered, examined.scope) if _equals(examined, operator)}
    return any(set(key.columns) <= given for key in ordered.relation.unique_keys)


def _is_filtered(examined: Examined, ordered: _Ordered) -> bool:
    """Return whether another index may find the few rows that are ordered."""
    families = examined.prover.catalog.routines.search_families
    for column, operator in _compared(ordered, examined.scope):
        for index in ordered.relation.indexes:
            serves = index.columns[0] == column and index.families[0] in families.get(operator, ())
            # A range may leave most rows.
            if serves and (index.method != "btree" or _equals(examined, operator)):
                return True
    # A sub-select in a condition is not compared: no finding is better than a wrong one.
    return any(
        part.kind == "SUBLINK" for node, _ in conditions(examined.scope) for part in expression_children(node)
    )


def _equals(examined: Examined, operator: int) -> bool:
    return bool(equality_families(examined.prover.catalog, operator))


def _compared(ordered: _Ordered, scope: Scope) -> Iterator[tuple[int, int]]:
    """Yield the columns of the table that a condition compares, each with the operator."""
    own = ordered.entry.index
    for condition, only_for in conditions(scope):
        if only_for is not None and own not in only_for:
            continue
        node = condition
        if node.kind == "SUBLINK" and node.number("subLinkType") == Sublink.ANY:
            node = node.node("testexpr") or node
        if node.kind not in ("OPEXPR", "SCALARARRAYOPEXPR"):
            continue
        if node.kind == "SCALARARRAYOPEXPR" and not node.flag("useOr"):
            continue
        for arg in node.nodes("args"):
            variable = plain_variable(arg, scope)
            if variable is not None and variable[0] == own:
                yield variable[1], node.number("opno")


def _have_one_value(examined: Examined, expressions: list[Node]) -> bool:
    """Return whether these expressions are the same in all rows: an order by them changes nothing."""
    if not expressions:
        return True
    rows = examined.prover.cardinality.unique_rows(examined.scope)
    return all(rows.has_one_value(expression) for expression in expressions)


def _row_of(examined: Examined, other: Node) -> str:
    """Return the table whose rows give the other side of a distance; empty if it is one vector."""
    for part in expression_children(other):
        variable = plain_variable(part, examined.scope) if part.kind == "VAR" else None
        entry = examined.scope.query.entry(variable[0]) if variable is not None else None
        if entry is None:
            continue
        inner = examined.prover.scopes.of_entry(entry, examined.scope)
        # The planner takes a subquery without tables as an expression.
        if entry.kind is EntryKind.RELATION or (inner is not None and inner.query.members):
            return entry.alias
    return ""
