"""The effects of a write: the changed tables, and the triggers, rules, defaults and cascades that follow."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from plainsql.analysis.catalog.relations import Relation
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.effects.parameter_bindings import ParameterBindings, exact_class
from plainsql.analysis.effects.returning_bindings import returned_columns
from plainsql.analysis.effects.table_uses import TableUses, column_numbers, permissions_of
from plainsql.analysis.effects.write_bindings import (
    Event,
    WriteBindings,
    columns_set_by_every_insert,
    default_columns,
)
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.query_sites import QuerySite
from plainsql.analysis.tree.query_tree import Command, QueryTree, RangeTableEntry

__all__ = ["WriteEffects"]


class WriteEffects:
    """The writes of one statement, recorded in its uses of tables."""

    def __init__(
        self, catalog: Catalog, sites: list[QuerySite], uses: TableUses, bindings: ParameterBindings
    ) -> None:
        self._catalog = catalog
        self._sites = sites
        self._uses = uses
        self._effects = uses.effects
        self._evaluator = uses.evaluator
        self._bindings = WriteBindings(catalog, bindings)

    def write(self, site: QuerySite) -> None:
        """Record the writes of one query."""
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
        self.fire_triggers(relation, event)
        permissions = permissions_of(query, entry)
        field_name = {"insert": "insertedCols", "update": "updatedCols"}.get(event, "")
        written = (
            frozenset(column_numbers(permissions, field_name)) if permissions is not None else frozenset()
        )
        if query.command == Command.MERGE and event == "insert":
            # Each action leaves out other columns.
            defaults |= written - columns_set_by_every_insert(query.node)
        bound = self._bindings.bound(site, entry, relation, event, conflict)
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
            moved=self._bindings.moved(site, entry, relation),
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
        self._uses.add(
            self._effects.writes,
            relation,
            event,
            columns,
            bound,
            via,
            with_children=children,
            moved=moved,
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
        self._uses.add_policies(relation)

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
            bound_below = self._bindings.untouched(base, event, bound_below)
        if event == "update":
            generated = {column.number for column in base.columns.values() if column.generated}
            bound_below = {c: names for c, names in bound_below.items() if c not in generated}
        self._add_rules(base)
        self.fire_triggers(base, event)
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
                followed = self._bindings.untouched(table, effect, followed)
            # A table that refers to itself is reached again, by rows of other values.
            reached = (key.name, key.table, event, *sorted((c, *sorted(n)) for c, n in followed.items()))
            if reached in seen:
                continue
            seen.add(reached)
            columns = table.column_names(key.columns) if effect == "update" else ()
            via = f"foreign key {key.name}"
            self._uses.add(self._effects.writes, table, "cascade", columns, followed, via, with_children=True)
            # A cascade is a statement of the server's on the table, and is rewritten like any other.
            self._add_rules(table)
            for each in [table, *self._catalog.descendants(table)]:
                if each is table:
                    self.fire_triggers(table, effect)
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
        self.fire_triggers(table, event)
        if event == "update" and relation.kind == "p":
            # A row that moves to another partition is deleted here and inserted there.
            self.fire_triggers(table, "delete")
            self.fire_triggers(table, "insert")

    def fire_triggers(self, relation: Relation, event: Event) -> None:
        """Record the triggers of a table that fire on an event."""
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
                if not self._uses.add_annotated_tables(function, "writes", f"trigger {name}"):
                    self._effects.may_use_hidden_tables(f"trigger {name}")
