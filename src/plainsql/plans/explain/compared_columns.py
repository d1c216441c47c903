"""The columns that parameters and settings are compared with, from the server's analysed trees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, Final, NamedTuple

from psycopg import Connection, RawCursor

from plainsql.analysis.describer import Describer
from plainsql.analysis.nodes import Node, read_tree
from plainsql.statements import Statement, Variant

__all__ = ["Comparison", "compared_parameters", "compared_settings"]

_RELATION, _SUBQUERY, _JOIN, _GROUP = 0, 1, 2, 9
"""``RTEKind``."""
_COMPARISONS: Final = ("OPEXPR", "DISTINCTEXPR", "SCALARARRAYOPEXPR")
_CASTS: Final = ("RELABELTYPE", "COERCEVIAIO", "COERCETODOMAIN", "ARRAYCOERCEEXPR")
_CAST_FORMS: Final = (1, 2)
"""``CoercionForm`` of a call that was written as a cast, or is implicit."""
_SETTING_FUNCTIONS: Final = (2077, 3294)
"""The oids of ``current_setting`` with one and with two arguments."""
_TIME_FUNCTIONS: Final = {
    **dict.fromkeys((1159, 2069, 2037), ("time zone",)),
    **dict.fromkeys((1217, 2020, 1218), ("unit",)),
    1284: ("unit", "", "time zone"),
}
"""The arguments of ``timezone`` and ``date_trunc`` that are names, by the functions' oids."""
_CASES: Final = (870, 871)
"""The oids of ``lower`` and ``upper``: the statistics of their argument are good enough."""
_VARLENA_HEADER: Final = 4

_OPERATORS = (
    "select o.oid::int8, o.oprname::text from pg_catalog.pg_operator as o where o.oid = any($1::oid[])"
)
_POLICIES = """
select p.polrelid::int8, q.expression::text
from pg_catalog.pg_policy as p
cross join lateral (values (p.polqual), (p.polwithcheck)) as q (expression)
where p.polrelid = any($1::oid[]) and q.expression is not null
order by p.oid
"""


class Comparison(NamedTuple):
    """A comparison of a value with a column, by one operator."""

    table: int
    """The oid of the table."""
    column: int
    operator: str
    """The operator's name with the column on its left: ``=``, ``<``, ``@>``; ``set`` if the value is written
    to the column. Without a column: ``limit``, ``offset``, ``time zone`` and ``unit`` of a time."""
    of_elements: bool = False
    """True if the value is compared with the elements of the column, which is an array."""
    any_of: bool = False
    """True if the value is an array, and its elements are compared with the column."""


class _Found(NamedTuple):
    value: Node
    table: int
    column: int
    operator: int
    swapped: bool
    of_elements: bool
    any_of: bool


_SWAPPED: Final = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "@>": "<@", "<@": "@>"}


def compared_parameters(
    connection: Connection[Any], statement: Statement
) -> tuple[dict[str, list[Comparison]], dict[str, int]]:
    """Return the comparisons of each parameter, and the oids of the types of all parameters.

    Raises ``RefusedError`` if PostgreSQL refuses the statement.
    """
    found: dict[str, list[Comparison]] = {}
    types: dict[str, int] = {}
    comparisons: list[tuple[str, _Found]] = []
    with closing(Describer(connection)) as describer:
        for variant in _widest(statement.variants()):
            described = describer.describe(variant.sql)
            types |= dict(zip(variant.parameters, described.parameters, strict=False))
            tree = read_tree(described.trees[0]) if described.trees else None
            if not isinstance(tree, Node):
                continue
            for number, made in _uses(tree):
                uses = found.setdefault(variant.parameters[number - 1], [])
                uses += [made] if made not in uses else []
            for item in _comparisons(tree, ()):
                parameter = _parameter(item.value)
                if parameter is not None:
                    comparisons.append((variant.parameters[parameter - 1], item))
    names = _operator_names(connection, (item.operator for _, item in comparisons))
    for name, item in comparisons:
        made = _comparison(item, names)
        if made not in found.setdefault(name, []):
            # Before the columns that it is written to: a condition decides about the plan.
            found[name].insert(sum(each.operator != "set" for each in found[name]), made)
    return found, types


def compared_settings(connection: Connection[Any], tables: Sequence[int]) -> dict[str, list[Comparison]]:
    """Return the columns with which the policies of tables compare settings, by the setting's name."""
    found: list[tuple[str, _Found]] = []
    rows = RawCursor(connection).execute(_POLICIES, [list(tables)]).fetchall()
    for table, text in rows:
        tree = read_tree(text)
        if isinstance(tree, Node):
            entry = Node("RANGETBLENTRY")
            entry.fields |= {"rtekind": "0", "relid": str(table)}
            for item in _comparisons(tree, ([entry],)):
                found += [(name, item) for name in _settings(item.value)]
    names = _operator_names(connection, (item.operator for _, item in found))
    settings: dict[str, list[Comparison]] = {}
    for name, item in found:
        settings.setdefault(name, []).append(_comparison(item, names))
    return settings


def _widest(variants: Sequence[Variant]) -> list[Variant]:
    """Return the variant with the most parameters for each combination of choices."""
    widest: dict[tuple[object, ...], Variant] = {}
    for variant in variants:
        key = tuple(variant.choices.values())
        if key not in widest or len(widest[key].parameters) < len(variant.parameters):
            widest[key] = variant
    return list(widest.values())


def _operator_names(connection: Connection[Any], oids: Iterable[int]) -> dict[int, str]:
    wanted = sorted(set(oids))
    return dict(RawCursor(connection).execute(_OPERATORS, [wanted]).fetchall()) if wanted else {}


def _comparison(item: _Found, names: dict[int, str]) -> Comparison:
    name = names.get(item.operator, "")
    operator = _SWAPPED.get(name, name) if item.swapped else name
    return Comparison(item.table, item.column, operator, item.of_elements, item.any_of)


def _comparisons(node: Node, queries: tuple[list[Node], ...]) -> Iterator[_Found]:
    """Yield the comparisons of columns; ``queries`` are the range tables of the queries around."""
    if node.kind == "QUERY":
        queries = (*queries, node.nodes("rtable"))
    args = node.nodes("args")
    if node.kind in _COMPARISONS and len(args) == 2:
        by_array = node.kind == "SCALARARRAYOPEXPR"
        for swapped, column, value in ((False, args[0], args[1]), (True, args[1], args[0])):
            home = _column(column, queries)
            if home is not None:
                yield _Found(
                    value, *home, node.number("opno"), swapped, by_array and swapped, by_array and not swapped
                )
    if node.kind == "ROWCOMPAREEXPR":
        sides = zip(node.nodes("largs"), node.nodes("rargs"), node.numbers("opnos"), strict=True)
        for left, right, operator in sides:
            for swapped, column, value in ((False, left, right), (True, right, left)):
                home = _column(column, queries)
                if home is not None:
                    yield _Found(value, *home, operator, swapped, False, False)
    for child in node.children():
        yield from _comparisons(child, queries)


def _column(node: Node, queries: tuple[list[Node], ...]) -> tuple[int, int] | None:
    """Return the table and the column that an expression is, through casts, joins and subqueries."""
    node = _without_casts(node)
    level = len(queries) - 1 - node.number("varlevelsup")
    if node.kind != "VAR" or not 0 <= level < len(queries) or node.number("varattno") <= 0:
        return None
    entries, number, column = queries[level], node.number("varno"), node.number("varattno")
    if not 0 < number <= len(entries):
        return None
    entry = entries[number - 1]
    kind, around = entry.number("rtekind", -1), queries[: level + 1]
    if kind == _RELATION:
        return entry.number("relid"), column
    if kind in (_JOIN, _GROUP):
        below = entry.items("joinaliasvars" if kind == _JOIN else "groupexprs")
        inner = below[column - 1] if column <= len(below) else None
        return _column(inner, around) if isinstance(inner, Node) else None
    query = entry.node("subquery")
    if kind != _SUBQUERY or query is None:
        return None
    targets = query.nodes("targetList")
    expression = targets[column - 1].node("expr") if column <= len(targets) else None
    return _column(expression, (*around, query.nodes("rtable"))) if expression is not None else None


def _without_casts(node: Node) -> Node:
    while True:
        inner = node.node("arg") if node.kind in _CASTS else None
        if node.kind == "FUNCEXPR" and node.nodes("args"):
            is_cast = node.number("funcformat") in _CAST_FORMS
            inner = node.nodes("args")[0] if is_cast or node.number("funcid") in _CASES else None
        if inner is None:
            return node
        node = inner


def _parameter(node: Node) -> int | None:
    node = _without_casts(node)
    return node.number("paramid") if node.kind == "PARAM" and not node.number("paramkind") else None


def _uses(tree: Node) -> Iterator[tuple[int, Comparison]]:
    """Yield the uses of parameters that are no comparison, with the parameters' numbers."""
    for node in tree.walk():
        uses: list[tuple[Node | None, Comparison]] = []
        if node.kind == "QUERY":
            uses += [(node.node("limitCount"), Comparison(0, 0, "limit"))]
            uses += [(node.node("limitOffset"), Comparison(0, 0, "offset"))]
            uses += _targets(node)
        elif node.kind == "FUNCEXPR" and node.number("funcid") in _TIME_FUNCTIONS:
            arguments = zip(node.nodes("args"), _TIME_FUNCTIONS[node.number("funcid")], strict=False)
            uses += [(value, Comparison(0, 0, use)) for value, use in arguments if use]
        for expression, use in uses:
            number = _parameter(expression) if expression is not None else None
            if number is not None:
                yield number, use


def _targets(query: Node) -> list[tuple[Node | None, Comparison]]:
    """Return the values that a query writes, with the columns of its table."""
    entries, written = query.nodes("rtable"), query.number("resultRelation")
    if not 0 < written <= len(entries):
        return []
    table = entries[written - 1].number("relid")
    conflict = query.node("onConflict")
    targets = [
        *query.nodes("targetList"),
        *(target for action in query.nodes("mergeActionList") for target in action.nodes("targetList")),
        *(conflict.nodes("onConflictSet") if conflict is not None else ()),
    ]
    return [
        (target.node("expr"), Comparison(table, target.number("resno"), "set"))
        for target in targets
        if not target.flag("resjunk")
    ]


def _settings(node: Node) -> Iterator[str]:
    """Yield the names of the settings that an expression reads."""
    for part in node.walk():
        if part.kind == "FUNCEXPR" and part.number("funcid") in _SETTING_FUNCTIONS:
            args = part.nodes("args")
            value = args[0].datum("constvalue") if args and args[0].kind == "CONST" else None
            if value is not None:
                yield value[_VARLENA_HEADER:].decode(errors="replace")
