"""Foreign keys that guarantee a match: a join or sub-select along one always finds the referenced row.

The guarantee holds for rows as a statement finds them, not as it writes them: a row in ``returning`` may
refer to a row that the same statement inserts and does not see. It does not hold either for rows that are
locked: if a row has changed in the meantime, its new version is joined with the row that its old version
referred to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from plainsql.analysis.catalog.relations import ForeignKey, Relation
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.conditions.equalities import equality_families, plain_variable, strip_relabel
from plainsql.analysis.conditions.known_facts import Facts, nulling_joins
from plainsql.analysis.nodes import Node, conjuncts
from plainsql.analysis.tree.query_tree import (
    Command,
    Join,
    JoinType,
    QueryTree,
    RangeTableEntry,
    Scope,
)
from plainsql.analysis.tree.row_limits import keeps_every_row
from plainsql.analysis.tree.scopes import Scopes

__all__ = ["join_always_matches", "subselect_always_matches"]


def join_always_matches(catalog: Catalog, scopes: Scopes, join: Join, scope: Scope, facts: Facts) -> bool:
    """Return whether an outer join always finds its match, because its condition is that of a foreign key."""
    sides = {JoinType.LEFT: join.right, JoinType.RIGHT: join.left}
    side = sides.get(join.type) if join.type is not None else None
    if side is None or side.kind != "RANGETBLREF" or join.condition is None:
        return False
    return _follows(catalog, scopes, join.condition, side.number("rtindex"), scope, facts)


def subselect_always_matches(catalog: Catalog, scopes: Scopes, scope: Scope, facts: Facts) -> bool:
    """Return whether a sub-select always finds a row, because its condition is that of an outer row's foreign
    key.

    Its limit and offset are not checked here.
    """
    query = scope.query
    leaves_out = (
        query.command != Command.SELECT
        or query.is_aggregated
        or query.set_operation() is not None
        or query.returned_sets()
        or query.where is None
    )
    if leaves_out or len(query.from_items) != 1 or query.from_items[0].kind != "RANGETBLREF":
        return False
    return _follows(catalog, scopes, query.where, query.from_items[0].number("rtindex"), scope, facts)


def _follows(
    catalog: Catalog, scopes: Scopes, condition: Node | None, index: int, scope: Scope, facts: Facts
) -> bool:
    source = _source(catalog, scopes, scope, index, all_rows=True)
    if source is None or not _reads_all_rows(source):
        return False
    pairs: dict[tuple[int, int], frozenset[int]] = {}
    homes: list[_Source] = []
    for part in conjuncts(condition):
        pair = _pair(catalog, scopes, part, index, scope, facts)
        if pair is None:
            return False
        own, other, home, families = pair
        if own not in source.columns:
            return False
        pairs[other, source.columns[own]] = families
        homes.append(home)
    if not homes or any(home.place != homes[0].place for home in homes):
        return False
    table = homes[0].relation
    return any(
        key.table == table.oid
        and key.holds
        and set(zip(key.columns, key.referenced_columns, strict=True)) == pairs.keys()
        and _by_its_equality(source.relation, pairs, key)
        and _is_kept(catalog, table, key)
        for key in source.relation.referenced_by
    )


@dataclass(frozen=True, slots=True)
class _Source:
    """A table that is read, plainly or through views and subqueries of it alone."""

    relation: Relation
    entry: RangeTableEntry
    scope: Scope
    """The query in whose ``from`` the table itself is."""
    columns: dict[int, int]
    """The table's columns by the number that the reader knows them by."""
    place: tuple[int, int]
    """The reader: the query's id and the range table index of what it reads."""


def _source(catalog: Catalog, scopes: Scopes, scope: Scope, index: int, *, all_rows: bool) -> _Source | None:
    """Return the table behind a range table entry; with ``all_rows``, if no row of it is left out."""
    entry = scope.query.entry(index)
    relation = catalog.relation(entry.relation) if entry is not None and entry.relation else None
    if entry is None or entry.node.flag("self_reference") or entry.node.node("tablesample") is not None:
        return None
    if relation is not None and relation.kind in "rp":
        return _Source(relation, entry, scope, {n: n for n in relation.columns}, (scope.query.id, index))
    # A materialised view may hold other rows than its table does now.
    inner = scopes.of_entry(entry, scope) if relation is None or relation.kind == "v" else None
    if inner is None or not _gives_rows_of_one(inner.query, all_rows=all_rows):
        return None
    below = _source(catalog, scopes, inner, inner.query.from_items[0].number("rtindex"), all_rows=all_rows)
    if below is None:
        return None
    columns: dict[int, int] = {}
    for number, output in enumerate(inner.query.outputs, 1):
        expression = output.node("expr")
        variable = plain_variable(expression, inner) if expression is not None else None
        if variable is not None and variable[1] in below.columns:
            columns[number] = below.columns[variable[1]]
    return replace(below, columns=columns, place=(scope.query.id, index))


def _gives_rows_of_one(query: QueryTree, *, all_rows: bool) -> bool:
    """Return whether a query gives the rows of the one table, view or subquery that it reads."""
    return not (
        query.command != Command.SELECT
        or query.is_aggregated
        or query.set_operation() is not None
        or query.returned_sets()
        or len(query.from_items) != 1
        or query.from_items[0].kind != "RANGETBLREF"
        or (all_rows and (query.where is not None or not keeps_every_row(query)))
    )


def _reads_all_rows(source: _Source) -> bool:
    """Return whether no policy and no partition is left out."""
    relation = source.relation
    return not relation.row_security and not (relation.kind == "p" and not source.entry.with_children)


def _pair(
    catalog: Catalog, scopes: Scopes, node: Node, index: int, scope: Scope, facts: Facts
) -> tuple[int, int, _Source, frozenset[int]] | None:
    """Return the two columns of `referenced.column = table.column`, the table of the latter, and the
    families.
    """
    families = equality_families(catalog, node.number("opno")) if node.kind == "OPEXPR" else frozenset[int]()
    args = [strip_relabel(arg) for arg in node.nodes("args")]
    if len(args) != 2 or not families or any(arg.kind != "VAR" for arg in args):
        return None
    if node.number("inputcollid") in catalog.routines.nondeterministic_collations:
        return None
    for own, other in (args, args[::-1]):
        if own.number("varlevelsup") or own.number("varno") != index:
            continue
        home = scope.up(other.number("varlevelsup"))
        source = _source(catalog, scopes, home, other.number("varno"), all_rows=False) if home else None
        column = source.columns.get(other.number("varattno")) if source is not None else None
        if home is None or source is None or column is None:
            continue
        if not _is_found(catalog, other, home, source, column, facts):
            continue
        return own.number("varattno"), column, source, families
    return None


def _is_found(
    catalog: Catalog, variable: Node, home: Scope, source: _Source, column: int, facts: Facts
) -> bool:
    """Return whether a variable is a column that is not null, of a row that the statement found in a
    table.
    """
    table, index = source.relation, variable.number("varno")
    if table.kind == "r" and source.entry.with_children and table.children:
        return False
    # The row to be written, and `excluded` of an insert, are not in `from`. Before PostgreSQL 18, grouping
    # sets make a column null under its own name.
    if (
        index not in home.query.members
        or index == home.query.result_relation
        or (home.query.node.items("groupingSets") and not home.query.node.flag("hasGroupRTE"))
    ):
        return False
    if not all(join in facts.matched for join in nulling_joins(variable, home)):
        return False
    known = ("var", home.query.id, index, variable.number("varattno")) in facts.keys
    return known or catalog.column_is_not_null(table, column, with_children=source.entry.with_children)[0]


def _by_its_equality(
    referenced: Relation, pairs: dict[tuple[int, int], frozenset[int]], key: ForeignKey
) -> bool:
    """Return whether the columns are compared by the equality with which the foreign key is checked."""
    unique = next((u for u in referenced.unique_keys if set(u.columns) == set(key.referenced_columns)), None)
    return unique is not None and all(
        unique.families[unique.columns.index(other)] in families for (_, other), families in pairs.items()
    )


def _is_kept(catalog: Catalog, table: Relation, key: ForeignKey) -> bool:
    """Return whether no trigger or rule of the table can undo the effect of the foreign key on its rows."""
    if not {key.on_delete, key.on_update} & set("cnd"):
        return True
    changed = catalog.changed_by_triggers(table, "update")
    return not (
        table.rules
        or changed is None
        or changed & set(key.columns)
        or catalog.may_drop_rows(table, "delete")
        or catalog.may_drop_rows(table, "update")
        or catalog.may_keep_old_row(table)
    )
