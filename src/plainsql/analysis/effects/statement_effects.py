"""The effects of a statement: its reads and writes, the functions it may call, the state it may leave."""

from __future__ import annotations

from dataclasses import replace

from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.effects.effects import Effects
from plainsql.analysis.effects.parameter_bindings import ParameterBindings
from plainsql.analysis.effects.table_uses import TableUses, column_numbers, permissions_of
from plainsql.analysis.effects.write_effects import WriteEffects
from plainsql.analysis.model import TableUse
from plainsql.analysis.tree.query_sites import QuerySite
from plainsql.analysis.tree.query_tree import Command, EntryKind, QueryTree, RangeTableEntry

__all__ = ["effects_of"]

_SELECT_PRIVILEGE = 2
_WHOLE_ROW = 0
"""The column number of a reference to a whole row."""

# They lock, notify and set, and change no row.
_STATEMENTS_WITHOUT_ROWS = {
    f"{name}STMT"
    for name in (
        "VARIABLESET",
        "VARIABLESHOW",
        "NOTIFY",
        "LISTEN",
        "UNLISTEN",
        "LOCK",
        "VACUUM",
        "CHECKPOINT",
    )
}


def effects_of(catalog: Catalog, sites: list[QuerySite], names: tuple[str, ...]) -> Effects:
    """Collect the effects of a statement's queries; ``names`` are its parameters' in order."""
    return _Collector(catalog, sites, names).collect()


class _Collector:
    """The collection of a statement's effects, query by query."""

    def __init__(self, catalog: Catalog, sites: list[QuerySite], names: tuple[str, ...]) -> None:
        outputs = [output.text("resname") or "" for output in sites[0].scope.query.outputs]
        self._catalog = catalog
        self._sites = sites
        self._bindings = ParameterBindings(catalog, sites)
        self._uses = TableUses(catalog, names, outputs)
        self._effects = self._uses.effects
        self._writes = WriteEffects(catalog, sites, self._uses, self._bindings)

    def collect(self) -> Effects:
        """Follow all queries of the statement, and return its effects."""
        for site in self._sites:
            query = site.scope.query
            if query.command == Command.UTILITY:
                self._utility(query)
                continue
            self._uses.evaluator.query(query.node, site.via)
            for entry in query.entries:
                self._read(site, entry)
            if query.command != Command.SELECT:
                self._writes.write(site)
            if query.node.items("rowMarks"):
                self._effects.may_change("row locks")
        effects = self._effects
        effects.reads = _merge_uses(effects.reads)
        effects.writes = _merge_uses(effects.writes)
        if effects.writes:
            effects.volatility = "volatile"
        elif effects.reads:
            self._effects.at_least("stable")
        return effects

    def _utility(self, query: QueryTree) -> None:
        statement = query.node.node("utilityStmt")
        kind = statement.kind if statement is not None else "unknown"
        self._effects.may_change("a utility statement")
        self._effects.may_leave_state("a utility statement")
        self._effects.at_least("volatile")
        if statement is None or kind != "TRUNCATESTMT":
            self._effects.may_use_hidden_tables(
                f"the {kind.removesuffix('STMT').lower()} statement", kind not in _STATEMENTS_WITHOUT_ROWS
            )
            return
        for name in statement.nodes("relations"):
            relation = self._catalog.resolve(name.text("schemaname"), name.text("relname") or "")
            if relation is None:
                self._effects.may_use_hidden_tables("the truncate statement")
                continue
            cascades = statement.number("behavior") == 1
            for table in [relation, *self._catalog.descendants(relation)]:
                via = "" if table is relation else f"inherits from {relation}"
                self._effects.writes.append(TableUse(table.schema, table.name, action="truncate", via=via))
                self._writes.fire_triggers(table, "truncate")
            if cascades:
                self._effects.may_use_hidden_tables("truncate … cascade")

    def _read(self, site: QuerySite, entry: RangeTableEntry) -> None:
        if entry.kind is not EntryKind.RELATION or entry.node.text("relkind") == "c":
            return
        relation = self._catalog.relation(entry.relation)
        if relation is None:
            self._effects.may_do_anything("an unknown table")
            return
        permissions = permissions_of(site.scope.query, entry)
        if permissions is None or not permissions.number("requiredPerms") & _SELECT_PRIVILEGE:
            return
        if relation.kind == "v":
            return
        self._uses.fetch_foreign_rows(relation)
        self._uses.add_policies(relation)
        bound = self._bindings.of(site.scope, entry.index)
        selected = column_numbers(permissions, "selectedCols")
        self._uses.add(
            self._effects.reads,
            relation,
            "read",
            relation.column_names(relation.columns if _WHOLE_ROW in selected else selected),
            bound,
            site.via,
            with_children=entry.with_children,
        )


def _merge_uses(uses: list[TableUse]) -> list[TableUse]:
    """Return one entry for each table, action, binding and reason, with the columns combined."""
    columns: dict[tuple[object, ...], set[str]] = {}
    first: dict[tuple[object, ...], TableUse] = {}
    for use in uses:
        key = (use.schema, use.table, use.action, use.bound, use.via, use.returned, use.moved)
        first.setdefault(key, use)
        columns.setdefault(key, set()).update(use.columns)
    merged = [replace(use, columns=tuple(sorted(columns[key]))) for key, use in first.items()]
    return sorted(
        merged,
        key=lambda use: (
            use.schema,
            use.table,
            use.action,
            use.bound,
            use.via,
            use.columns,
            use.returned,
            use.moved,
        ),
    )
