"""Foreign keys that guarantee a match: a join or sub-select along one always finds the referenced row.

The guarantee holds for rows as a statement finds them, not as it writes them: a row in ``returning`` may
refer to a row that the same statement inserts and does not see. It does not hold either for rows that are
locked: if a row has changed in the meantime, its new version is joined with the row that its old version
referred to.
"""

from __future__ import annotations

from plainsql.analysis.catalog.relations import ForeignKey, Relation
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.conditions.equalities import equality_families, strip_relabel
from plainsql.analysis.conditions.known_facts import Facts, nulling_joins
from plainsql.analysis.nodes import Node, conjuncts
from plainsql.analysis.tree.query_tree import Command, EntryKind, Join, JoinType, RangeTableEntry, Scope

__all__ = ["join_always_matches", "subselect_always_matches"]


def join_always_matches(catalog: Catalog, join: Join, scope: Scope, facts: Facts) -> bool:
    """Return whether an outer join always finds its match, because its condition is that of a foreign key."""
    sides = {JoinType.LEFT: join.right, JoinType.RIGHT: join.left}
    side = sides.get(join.type) if join.type is not None else None
    if side is None or side.kind != "RANGETBLREF" or join.condition is None:
        return False
    return _follows(catalog, join.condition, side.number("rtindex"), scope, facts)


def subselect_always_matches(catalog: Catalog, scope: Scope, facts: Facts) -> bool:
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
    return _follows(catalog, query.where, query.from_items[0].number("rtindex"), scope, facts)


def _follows(catalog: Catalog, condition: Node | None, index: int, scope: Scope, facts: Facts) -> bool:
    referenced = _referenced(catalog, scope, index)
    if referenced is None:
        return False
    pairs: dict[tuple[int, int], frozenset[int]] = {}
    homes: list[tuple[Scope, RangeTableEntry]] = []
    for part in conjuncts(condition):
        pair = _pair(catalog, part, index, scope, facts)
        if pair is None:
            return False
        own, other, home, entry, families = pair
        pairs[other, own] = families
        homes.append((home, entry))
    if not homes or any(home[0] is not homes[0][0] or home[1] is not homes[0][1] for home in homes):
        return False
    home, entry = homes[0]
    table = catalog.relation(entry.relation)
    return table is not None and any(
        key.table == table.oid
        and key.holds
        and set(zip(key.columns, key.referenced_columns, strict=True)) == pairs.keys()
        and _by_its_equality(referenced, pairs, key)
        and _is_kept(catalog, table, key)
        for key in referenced.referenced_by
    )


def _referenced(catalog: Catalog, scope: Scope, index: int) -> Relation | None:
    """Return the table behind an entry, if all its rows are read."""
    entry = scope.query.entry(index)
    relation = catalog.relation(entry.relation) if entry is not None and entry.relation else None
    if entry is None or relation is None or relation.kind not in "rp" or relation.row_security:
        return None
    sampled = entry.node.node("tablesample") is not None
    only = relation.kind == "p" and not entry.with_children
    return None if sampled or only else relation


def _pair(
    catalog: Catalog, node: Node, index: int, scope: Scope, facts: Facts
) -> tuple[int, int, Scope, RangeTableEntry, frozenset[int]] | None:
    """Return the two columns of `referenced.column = table.column`, the home of the latter, and the
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
        entry = home.query.entry(other.number("varno")) if home is not None else None
        if home is None or entry is None or not _is_found(catalog, other, home, entry, facts):
            continue
        return own.number("varattno"), other.number("varattno"), home, entry, families
    return None


def _is_found(catalog: Catalog, variable: Node, home: Scope, entry: RangeTableEntry, facts: Facts) -> bool:
    """Return whether a variable is a column that is not null, of a row that the statement found in a
    table.
    """
    table = catalog.relation(entry.relation) if entry.kind is EntryKind.RELATION else None
    column = variable.number("varattno")
    if (
        table is None
        or table.kind not in "rp"
        or (table.kind == "r" and entry.with_children and table.children)
    ):
        return False
    # The row to be written, and `excluded` of an insert, are not in `from`. Before PostgreSQL 18, grouping
    # sets make a column null under its own name.
    if (
        entry.index not in home.query.members
        or entry.index == home.query.result_relation
        or (home.query.node.items("groupingSets") and not home.query.node.flag("hasGroupRTE"))
    ):
        return False
    if not all(join in facts.matched for join in nulling_joins(variable, home)):
        return False
    known = ("var", home.query.id, entry.index, column) in facts.keys
    return known or catalog.column_is_not_null(table, column, with_children=entry.with_children)[0]


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
