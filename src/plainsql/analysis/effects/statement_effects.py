"""The effects of a statement: its reads and writes, the functions that it may call, the state that it may
leave.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Literal, cast

from plainsql.analysis.catalog.function_annotations import annotated_tables
from plainsql.analysis.catalog.policies import required_settings
from plainsql.analysis.catalog.relations import Relation
from plainsql.analysis.catalog.routines import Function
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.effects.effects import Effects
from plainsql.analysis.effects.evaluator import Evaluator
from plainsql.analysis.effects.parameter_bindings import ParameterBindings, exact_class
from plainsql.analysis.effects.returning_bindings import returned_columns
from plainsql.analysis.effects.write_bindings import (
    Event,
    WriteBindings,
    columns_set_by_every_insert,
    default_columns,
)
from plainsql.analysis.model import Action, TableUse
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.query_sites import QuerySite
from plainsql.analysis.tree.query_tree import Command, EntryKind, QueryTree, RangeTableEntry

__all__ = ["effects_of"]

_SELECT_PRIVILEGE = 2
_FIRST_ATTRIBUTE = -7
"""Bit sets of columns count from the lowest system attribute (``FirstLowInvalidHeapAttributeNumber``)."""

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
    def __init__(self, catalog: Catalog, sites: list[QuerySite], names: tuple[str, ...]) -> None:
        self._catalog = catalog
        self._sites = sites
        self._names = names
        self._outputs = [output.text("resname") or "" for output in sites[0].scope.query.outputs]
        self._bindings = ParameterBindings(catalog, sites)
        self._write_bindings = WriteBindings(catalog, self._bindings)
        self._effects = Effects()
        self._evaluator = Evaluator(catalog, self._effects, self._read_below, self._function_is_annotated)

    def collect(self) -> Effects:
        for site in self._sites:
            query = site.scope.query
            if query.command == Command.UTILITY:
                self._utility(query)
                continue
            self._evaluator.query(query.node, site.via)
            for entry in query.entries:
                self._read(site, entry)
            if query.command != Command.SELECT:
                self._write(site)
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
                self._fire_triggers(table, "truncate")
            if cascades:
                self._effects.may_use_hidden_tables("truncate … cascade")

    def _read(self, site: QuerySite, entry: RangeTableEntry) -> None:
        if entry.kind is not EntryKind.RELATION or entry.node.text("relkind") == "c":
            return
        relation = self._catalog.relation(entry.relation)
        if relation is None:
            self._effects.may_do_anything("an unknown table")
            return
        permissions = self._permissions(site.scope.query, entry)
        if permissions is None or not permissions.number("requiredPerms") & _SELECT_PRIVILEGE:
            return
        if relation.kind == "v":
            return
        self._fetch_foreign_rows(relation)
        self._policies(relation)
        bound = self._bindings.of(site.scope, entry.index)
        self._use(
            self._effects.reads,
            relation,
            "read",
            relation.column_names(_numbers(permissions, "selectedCols")),
            bound,
            site.via,
            with_children=entry.with_children,
        )

    def _read_below(self, relation: Relation, via: str) -> None:
        """Record a table that the server reads when it evaluates a policy, a check or a function."""
        self._fetch_foreign_rows(relation)
        self._use(self._effects.reads, relation, "read", (), {}, via, with_children=True)
        if via.startswith("function "):
            # Its tables need not be open to the session: a function may run as another role.
            self._evaluate_policies(relation)
        else:
            self._policies(relation)

    def _fetch_foreign_rows(self, relation: Relation) -> None:
        """Record that rows of a foreign table are made here, from another server or a program's output."""
        if relation.kind == "f":
            self._effects.may_change(f"foreign table {relation} may do more than read")
            self._effects.may_leave_state(f"foreign table {relation} may do more than read")
            self._effects.at_least("volatile")
            for column in relation.columns.values():
                self._evaluator.value(column.type, f"foreign table {relation}", made=True)

    def _permissions(self, query: QueryTree, entry: RangeTableEntry) -> Node | None:
        index = entry.node.number("perminfoindex")
        permissions = query.node.nodes("rteperminfos")
        return permissions[index - 1] if 0 < index <= len(permissions) else None

    def _use(
        self,
        uses: list[TableUse],
        relation: Relation,
        action: Action,
        columns: tuple[str, ...],
        bound: dict[int, set[int]],
        via: str,
        *,
        with_children: bool,
        moved: Mapping[int, set[int]] = MappingProxyType({}),
    ) -> None:
        numbers = {column.name: column.number for column in relation.columns.values()}

        def pairs(table: Relation, known: Mapping[int, set[int]]) -> list[tuple[str, int]]:
            return [
                (column.name, source)
                for column in table.columns.values()
                for source in known.get(numbers.get(column.name, 0), ())
                if exact_class(self._catalog, column.type)
            ]

        tables = [relation, *(self._catalog.descendants(relation) if with_children else ())]
        for table in tables:
            self._evaluator.planned(table)
            reason = via if table is relation else via or f"inherits from {relation}"
            found, changed = pairs(table, bound), pairs(table, moved)
            uses.append(
                TableUse(
                    table.schema,
                    table.name,
                    columns,
                    action,
                    tuple(sorted((column, self._name(source)) for column, source in found if source > 0)),
                    reason,
                    tuple(sorted((column, self._outputs[~source]) for column, source in found if source < 0)),
                    tuple(sorted((column, self._name(source)) for column, source in changed)),
                )
            )
            if table.row_security:
                self._effects.row_security.add(str(table))

    def _name(self, parameter: int) -> str:
        return self._names[parameter - 1] if parameter <= len(self._names) else f"${parameter}"

    def _write(self, site: QuerySite) -> None:
        query = site.scope.query
        entry = query.entry(query.result_relation)
        relation = self._catalog.relation(entry.relation) if entry is not None else None
        self._effects.may_change("it writes")
        self._effects.at_least("volatile")
        if entry is None or relation is None:
            self._effects.may_use_hidden_tables("a write to an unknown table")
            return
        conflict = query.node.node("onConflict")
        for event in self._events(query):
            given = conflict if event == "update" else None
            self._write_event(
                site, entry, relation, event, site.via, given, default_columns(query.node, relation)
            )

    def _events(self, query: QueryTree) -> list[Event]:
        names: dict[Command, Event] = {
            Command.INSERT: "insert",
            Command.UPDATE: "update",
            Command.DELETE: "delete",
        }
        if query.command == Command.MERGE:
            commands = {action.number("commandType") for action in query.node.nodes("mergeActionList")}
        else:
            commands = {query.command}
        conflict = query.node.node("onConflict")
        if conflict is not None and conflict.number("action") == 2:
            commands.add(Command.UPDATE)
        return [names[Command(command)] for command in sorted(commands) if command in names]

    def _write_event(
        self,
        site: QuerySite,
        entry: RangeTableEntry,
        relation: Relation,
        event: Event,
        via: str,
        conflict: Node | None,
        defaults: frozenset[int],
    ) -> None:
        query = site.scope.query
        if relation.is_system:
            # `update pg_settings` calls set_config: the rules of the server's own views are not examined.
            self._effects.may_do_anything(f"a write to {relation}")
        self._add_rules(relation)
        self._fire_triggers(relation, event)
        permissions = self._permissions(query, entry)
        field_name = {"insert": "insertedCols", "update": "updatedCols"}.get(event, "")
        written = frozenset(_numbers(permissions, field_name)) if permissions is not None else frozenset()
        if query.command == Command.MERGE and event == "insert":
            # Each action leaves out other columns.
            defaults |= written - columns_set_by_every_insert(query.node)
        bound = self._write_bindings.bound(site, entry, relation, event, conflict)
        for column, outputs in returned_columns(
            self._catalog, self._sites[0].scope, site.scope, relation
        ).items():
            # Outputs are stored as complements of their indexes, because parameters count from 1.
            bound[column] = bound.get(column, set()) | {~output for output in outputs}
        if relation.is_view:
            self._write_view(site, relation, event, written, bound, via or f"view {relation}", defaults)
            return
        self._write_table(
            relation,
            event,
            written,
            bound,
            via,
            with_children=entry.with_children or event == "insert",
            moved=self._write_bindings.moved(site, entry, relation),
            defaults=defaults,
        )

    def _write_table(
        self,
        relation: Relation,
        event: Event,
        written: frozenset[int],
        bound: dict[int, set[int]],
        via: str,
        *,
        with_children: bool,
        moved: Mapping[int, set[int]] = MappingProxyType({}),
        defaults: frozenset[int] = frozenset(),
    ) -> None:
        # Rows inserted into a partitioned table go to its partitions; into a plain one, to the table itself.
        children = with_children and (event != "insert" or relation.kind == "p")
        columns = () if event == "delete" else relation.column_names(written)
        self._use(
            self._effects.writes, relation, event, columns, bound, via, with_children=children, moved=moved
        )
        for table in [relation, *(self._catalog.descendants(relation) if children else ())]:
            if table is not relation:
                self._fire_inherited_triggers(relation, table, event)
            # A table that inherits may number its columns in another way.
            numbers = relation.numbers_in(table)
            written_there = frozenset(numbers[number] for number in written if number in numbers)
            bound_there = {numbers[number]: names for number, names in bound.items() if number in numbers}
            self._follow_row_expressions(
                table, event, written_there, frozenset(numbers[n] for n in defaults if n in numbers)
            )
            if event in ("delete", "update"):
                changed = self._changed_columns(table, event, written_there)
                self._cascade(table, event, changed, bound_there, set())

    def _changed_columns(self, relation: Relation, event: Event, written: frozenset[int]) -> frozenset[int]:
        """Return the written columns, with those that the server or a trigger sets on its own."""
        triggered = self._catalog.changed_by_triggers(relation, event)
        if triggered is None:
            return frozenset(relation.columns)
        generated = {column.number for column in relation.columns.values() if column.generated}
        return written | triggered | generated

    def _follow_row_expressions(
        self,
        relation: Relation,
        event: Event,
        written: frozenset[int],
        defaults: frozenset[int] = frozenset(),
    ) -> None:
        """Follow what the server computes for a row on its own: defaults, generated columns, checks,
        policies.
        """
        made = event != "delete"
        for column in relation.columns.values():
            self._evaluator.value(column.type, f"column {relation}.{column.name}", made=made)
        self._defaults(relation, event, written, defaults)
        if made:
            for check in relation.checks:
                self._evaluator.expression(check.expression, f"a check of {relation}")
        # A row that is put into a partition must satisfy the keys of all tables that the partition belongs
        # to.
        for table in (relation, *(self._catalog.partitioned(relation) if made else ())):
            self._follow_index_functions(table)
            of = self._catalog.implicit_functions.tables.get(table.oid)
            for expression in of.expressions if made and of is not None else ():
                self._evaluator.expression(expression, f"an index of {table}")
        for table in self._catalog.related(relation):
            # A foreign key is checked by a statement on the other table.
            self._follow_index_functions(table)
            self._evaluator.planned(table)
        self._policies(relation)

    def _follow_index_functions(self, relation: Relation) -> None:
        if (of := self._catalog.implicit_functions.tables.get(relation.oid)) is not None:
            for function in of.functions:
                self._evaluator.function(function, f"an index of {relation}")

    def _defaults(
        self, relation: Relation, event: Event, written: frozenset[int], defaults: frozenset[int]
    ) -> None:
        """Follow the defaults of columns that an insert leaves out, and of those that are set to their
        default by name.
        """
        for column in relation.columns.values():
            via = f"column {relation}.{column.name}"
            taken = column.number in defaults or (event == "insert" and column.number not in written)
            if not (taken or column.generated):
                continue
            if column.default:
                self._evaluator.expression(column.default, via)
            else:
                self._evaluator.default(column.type, via)

    def _policies(self, relation: Relation) -> None:
        if not relation.row_security:
            return
        self._effects.row_security.add(str(relation))
        if settings := required_settings(relation, self._is_setting):
            self._effects.settings[str(relation)] = tuple(sorted(settings))
        self._evaluate_policies(relation)

    def _evaluate_policies(self, relation: Relation) -> None:
        for policy in relation.policies if relation.row_security else ():
            for text in policy.expressions:
                self._evaluator.expression(text, f"policy {policy.name} on {relation}")

    def _is_setting(self, oid: int) -> bool:
        function = self._catalog.function(oid)
        return function is not None and function.name == "current_setting"

    def _write_view(
        self,
        site: QuerySite,
        view: Relation,
        event: Event,
        written: frozenset[int],
        bound: dict[int, set[int]],
        via: str,
        defaults: frozenset[int],
    ) -> None:
        """Follow a write to a view that the server passes on to the one table below it."""
        # A view's columns have defaults of their own; a column without one takes the table's.
        self._defaults(view, event, written, defaults)
        if any(trigger.instead for trigger in view.triggers_on(event)) or view.rules:
            # As with any trigger, only a comment can say which tables these write.
            self._effects.opaque.add(f"the triggers of view {view}")
            return
        inner = next(
            (p.scope for p in self._sites if p.reader is site.scope and p.via.endswith(f" {view}")), None
        )
        members = [e for e in inner.query.entries if e.index in inner.query.members] if inner else []
        base = self._catalog.relation(members[0].relation) if len(members) == 1 else None
        if inner is None or base is None:
            self._effects.may_do_anything(f"view {view}")
            return
        columns: dict[int, int] = {}
        for position, output in enumerate(inner.query.outputs, 1):
            expression = output.node("expr")
            if expression is not None and expression.kind == "VAR" and not expression.number("varlevelsup"):
                columns[position] = expression.number("varattno")
        below = frozenset(columns[number] for number in written if number in columns)
        defaults_below = frozenset(columns[number] for number in defaults if number in columns)
        bound_below = {columns[number]: names for number, names in bound.items() if number in columns}
        if event != "delete":
            bound_below = self._write_bindings.untouched(base, event, bound_below)
        if event == "update":
            generated = {column.number for column in base.columns.values() if column.generated}
            bound_below = {c: names for c, names in bound_below.items() if c not in generated}
        self._add_rules(base)
        self._fire_triggers(base, event)
        if base.is_view:
            nested = next((p for p in self._sites if p.scope is inner), None)
            if nested is not None:
                self._write_view(nested, base, event, below, bound_below, via, defaults_below)
            else:
                self._effects.may_do_anything(f"view {base}")
            return
        self._write_table(base, event, below, bound_below, via, with_children=True, defaults=defaults_below)

    def _cascade(
        self,
        relation: Relation,
        event: Event,
        written: frozenset[int],
        bound: dict[int, set[int]],
        seen: set[tuple[object, ...]],
    ) -> None:
        """Follow the actions of foreign keys that refer to the table, on their own tables."""
        deleted = event == "delete"
        # A partition's rows are referenced through the table that it is a part of.
        referred = [
            (relation.numbers_in(each), each, key)
            for each in (relation, *self._catalog.partitioned(relation))
            for key in each.referenced_by
        ]
        for numbers, above, key in referred:
            known = {numbers[number]: names for number, names in bound.items() if number in numbers}
            changed = {numbers[number] for number in written if number in numbers}
            action = key.on_delete if deleted else key.on_update
            if action not in "cnd" or not (deleted or changed & set(key.referenced_columns)):
                continue
            table = self._catalog.relation(key.table)
            if table is None:
                continue
            followed = {
                own: known[other]
                for own, other in zip(key.columns, key.referenced_columns, strict=False)
                if other in known and self._same_class(table, own, above, other)
            }
            effect: Event = "delete" if deleted and action == "c" else "update"
            if not deleted or action == "d":
                # The rows' key changes: they belong to another value afterwards (null is none).
                followed = {}
            elif effect == "update":
                followed = self._write_bindings.untouched(table, effect, followed)
            # A table that refers to itself is reached again, by rows of other values.
            reached = (key.name, key.table, event, *sorted((c, *sorted(n)) for c, n in followed.items()))
            if reached in seen:
                continue
            seen.add(reached)
            columns = table.column_names(key.columns) if effect == "update" else ()
            via = f"foreign key {key.name}"
            self._use(self._effects.writes, table, "cascade", columns, followed, via, with_children=True)
            # A cascade is a statement of the server's on the table, and is rewritten like any other.
            self._add_rules(table)
            for each in [table, *self._catalog.descendants(table)]:
                if each is table:
                    self._fire_triggers(table, effect)
                else:
                    self._fire_inherited_triggers(table, each, effect)
                own_numbers = table.numbers_in(each)
                own_columns = frozenset(own_numbers[n] for n in key.columns if n in own_numbers)
                self._follow_row_expressions(
                    each, effect, own_columns, own_columns if action == "d" else frozenset()
                )
                touched = self._changed_columns(each, effect, own_columns)
                follows = followed if effect == "delete" else {}
                there = {own_numbers[n]: names for n, names in follows.items() if n in own_numbers}
                self._cascade(each, effect, touched, there, seen)

    def _same_class(self, table: Relation, column: int, other_table: Relation, other: int) -> bool:
        one, two = table.columns.get(column), other_table.columns.get(other)
        if one is None or two is None:
            return False
        known = exact_class(self._catalog, one.type)
        return bool(known) and known == exact_class(self._catalog, two.type)

    def _add_rules(self, relation: Relation) -> None:
        """Record the rules of a table, which run other statements with a write or in its place."""
        for rule in relation.rules:
            self._effects.may_use_hidden_tables(f"rule {relation}.{rule}")
            self._effects.may_leave_state(f"rule {relation}.{rule}")

    def _fire_inherited_triggers(self, relation: Relation, table: Relation, event: Event) -> None:
        """Fire the triggers of a table that inherits from the written one."""
        self._fire_triggers(table, event)
        if event == "update" and relation.kind == "p":
            # A row that moves to another partition is deleted here and inserted there.
            self._fire_triggers(table, "delete")
            self._fire_triggers(table, "insert")

    def _fire_triggers(self, relation: Relation, event: Event) -> None:
        for trigger in relation.triggers_on(event):
            name = f"{relation}.{trigger.name}"
            self._effects.triggers.add(name)
            of = self._catalog.implicit_functions.tables.get(relation.oid)
            if of is not None and (condition := of.conditions.get(trigger.name)) is not None:
                self._evaluator.expression(condition, f"trigger {name}")
            if trigger.body is not None:
                self._evaluator.operators(f"trigger {name}")
            else:
                self._effects.may_leave_state(f"trigger {name}")
                function = self._catalog.function(trigger.function)
                if not self._add_annotated_tables(function, "writes", f"trigger {name}"):
                    self._effects.may_use_hidden_tables(f"trigger {name}")

    def _function_is_annotated(self, function: Function, verb: Literal["reads", "writes"]) -> bool:
        return self._add_annotated_tables(function, verb, f"function {function}")

    def _add_annotated_tables(
        self, function: Function | None, verb: Literal["reads", "writes"], via: str
    ) -> bool:
        """Return whether a function's comment lists the tables that it reads or writes, and record them."""
        tables = annotated_tables(function.comment, verb) if function is not None else None
        relations = [self._catalog.relation_named(*table) for table in tables or ()]
        if tables is None or None in relations:
            return False
        uses, action = (self._effects.reads, "read") if verb == "reads" else (self._effects.writes, "cascade")
        for relation in relations:
            if relation is not None:
                if verb == "reads":
                    self._evaluate_policies(relation)
                self._use(uses, relation, cast("Action", action), (), {}, via, with_children=True)
        return True


def _numbers(permissions: Node, field_name: str) -> list[int]:
    return [member + _FIRST_ATTRIBUTE for member in permissions.numbers(field_name)]


def _merge_uses(uses: list[TableUse]) -> list[TableUse]:
    """Return one entry for each table, action, binding and reason, with the columns combined."""
    columns: dict[tuple[object, ...], set[str] | None] = {}
    first: dict[tuple[object, ...], TableUse] = {}
    for use in uses:
        key = (use.schema, use.table, use.action, use.bound, use.via, use.returned, use.moved)
        first.setdefault(key, use)
        known = columns.setdefault(key, set())
        if known is not None:
            known.update(use.columns)
            if not use.columns:
                columns[key] = None
    merged = [replace(use, columns=tuple(sorted(columns[key] or ()))) for key, use in first.items()]
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
