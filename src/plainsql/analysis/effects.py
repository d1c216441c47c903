"""What a statement reads and writes, what it may call, and what it can leave behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal, cast

from plainsql.analysis.bounds import Bounds, exact_class
from plainsql.analysis.catalogue import Catalogue
from plainsql.analysis.declarations import declared_tables
from plainsql.analysis.facts import function_of
from plainsql.analysis.model import Action, TableUse, Volatility
from plainsql.analysis.places import Place
from plainsql.analysis.policies import settings_asked
from plainsql.analysis.reader import Node, read_tree
from plainsql.analysis.relations import Relation
from plainsql.analysis.returned import returned_columns
from plainsql.analysis.routines import Function
from plainsql.analysis.safe_functions import hides_tables, leaves_nothing, only_reads
from plainsql.analysis.tree import Command, Entry, Kind, Query
from plainsql.analysis.written import Event, Written

__all__ = ["Effects", "effects_of"]

_SELECT_PRIVILEGE = 2
_FIRST_ATTRIBUTE = -7
"""Bit sets of columns count from the lowest system attribute (``FirstLowInvalidHeapAttributeNumber``)."""

_ORDER: dict[Volatility, int] = {"immutable": 0, "stable": 1, "volatile": 2}
# They lock, tell and set, and change no row.
_TOUCH_NO_ROWS = {
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
_SEQUENCES = ("nextval", "setval", "currval", "lastval")


@dataclass(slots=True)
class Effects:
    """All that a statement does beyond its result."""

    reads: list[TableUse] = field(default_factory=list)
    writes: list[TableUse] = field(default_factory=list)
    triggers: set[str] = field(default_factory=set)
    row_security: set[str] = field(default_factory=set)
    settings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By table: settings without which row-level security lets nothing of it through."""
    opaque: set[str] = field(default_factory=set)
    hidden_writes: set[str] = field(default_factory=set)
    """Those of the opaque that may write: which tables is not known."""
    volatility: Volatility = "immutable"
    not_read_only: str = ""
    """Why it is not proved to change nothing; empty where it is."""
    not_session_safe: str = ""
    """Why it is not proved to leave nothing behind; empty where it is."""


def effects_of(catalogue: Catalogue, places: list[Place], names: tuple[str, ...]) -> Effects:
    """Collect the effects of a statement's queries; ``names`` are its parameters' in order."""
    return _Collector(catalogue, places, names).collect()


class _Collector:
    def __init__(self, catalogue: Catalogue, places: list[Place], names: tuple[str, ...]) -> None:
        self._catalogue = catalogue
        self._places = places
        self._names = names
        self._outputs = [output.text("resname") or "" for output in places[0].scope.query.outputs]
        self._bounds = Bounds(catalogue, places)
        self._written = Written(catalogue, self._bounds)
        self._effects = Effects()
        self._expressions_seen: set[str] = set()

    def collect(self) -> Effects:
        for place in self._places:
            query = place.scope.query
            if query.command == Command.UTILITY:
                self._utility(query)
                continue
            self._calls(query.node.children(), skip_queries=True)
            for entry in query.entries:
                self._read(place, entry)
            if query.command != Command.SELECT:
                self._write(place)
            if query.node.items("rowMarks"):
                self._changes("row locks")
        effects = self._effects
        effects.reads = _merged(effects.reads)
        effects.writes = _merged(effects.writes)
        if effects.writes:
            effects.volatility = "volatile"
        elif effects.reads:
            self._at_least("stable")
        return effects

    def _utility(self, query: Query) -> None:
        statement = query.node.node("utilityStmt")
        kind = statement.kind if statement is not None else "unknown"
        self._changes("a utility statement")
        self._leaves("a utility statement")
        self._at_least("volatile")
        if statement is None or kind != "TRUNCATESTMT":
            self._hides(f"the {kind.removesuffix('STMT').lower()} statement", kind not in _TOUCH_NO_ROWS)
            return
        for name in statement.nodes("relations"):
            relation = self._catalogue.resolve(name.text("schemaname"), name.text("relname") or "")
            if relation is None:
                self._hides("the truncate statement")
                continue
            cascades = statement.number("behavior") == 1
            for table in [relation, *self._catalogue.descendants(relation)]:
                via = "" if table is relation else f"inherits from {relation}"
                self._effects.writes.append(TableUse(table.schema, table.name, action="truncate", via=via))
                self._fire(table, "truncate")
            if cascades:
                self._hides("truncate … cascade")

    def _read(self, place: Place, entry: Entry) -> None:
        relation = self._catalogue.relation(entry.relation) if entry.kind is Kind.RELATION else None
        if relation is None or entry.node.text("relkind") == "c":
            return
        permissions = self._permissions(place.scope.query, entry)
        if permissions is None or not permissions.number("requiredPerms") & _SELECT_PRIVILEGE:
            return
        if relation.kind == "f":
            self._at_least("volatile")
        if relation.kind == "v":
            return
        self._policies(relation, place)
        bound = self._bounds.of(place.scope, entry.index)
        self._use(
            self._effects.reads,
            relation,
            "read",
            relation.column_names(_numbers(permissions, "selectedCols")),
            bound,
            place.via,
            with_children=entry.with_children,
        )

    def _permissions(self, query: Query, entry: Entry) -> Node | None:
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
                if exact_class(self._catalogue, column.type)
            ]

        tables = [relation, *(self._catalogue.descendants(relation) if with_children else ())]
        for table in tables:
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

    def _write(self, place: Place) -> None:
        query = place.scope.query
        entry = query.entry(query.result_relation)
        relation = self._catalogue.relation(entry.relation) if entry is not None else None
        self._changes("it writes")
        self._at_least("volatile")
        if entry is None or relation is None:
            self._hides("a write to an unknown table")
            return
        conflict = query.node.node("onConflict")
        for event in self._events(query):
            self._write_to(place, entry, relation, event, place.via, conflict if event == "update" else None)

    def _events(self, query: Query) -> list[Event]:
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

    def _write_to(
        self, place: Place, entry: Entry, relation: Relation, event: Event, via: str, conflict: Node | None
    ) -> None:
        query = place.scope.query
        for rule in relation.rules:
            self._hides(f"rule {relation}.{rule}")
            self._leaves(f"rule {relation}.{rule}")
        self._fire(relation, event)
        permissions = self._permissions(query, entry)
        field_name = {"insert": "insertedCols", "update": "updatedCols"}.get(event, "")
        written = frozenset(_numbers(permissions, field_name)) if permissions is not None else frozenset()
        bound = self._written.bound(place, entry, relation, event, conflict)
        for column, outputs in returned_columns(
            self._catalogue, self._places[0].scope, place.scope, relation
        ).items():
            # Complements of the outputs' indexes, where parameters count from 1.
            bound[column] = bound.get(column, set()) | {~output for output in outputs}
        if relation.is_view:
            self._write_through(place, relation, event, written, bound, via or f"view {relation}")
            return
        self._stored(
            relation,
            event,
            written,
            bound,
            via,
            with_children=entry.with_children or event == "insert",
            moved=self._written.moved(place, entry, relation),
        )

    def _stored(
        self,
        relation: Relation,
        event: Event,
        written: frozenset[int],
        bound: dict[int, set[int]],
        via: str,
        *,
        with_children: bool,
        moved: Mapping[int, set[int]] = MappingProxyType({}),
    ) -> None:
        # Rows inserted into a partitioned table land in its partitions; into a plain one, in the table
        # itself.
        children = with_children and (event != "insert" or relation.kind == "p")
        columns = () if event == "delete" else relation.column_names(written)
        self._use(
            self._effects.writes, relation, event, columns, bound, via, with_children=children, moved=moved
        )
        for table in [relation, *(self._catalogue.descendants(relation) if children else ())]:
            if table is not relation:
                self._fire(table, event)
            # A table that inherits may number its columns in another way.
            numbers = relation.numbers_in(table)
            written_there = frozenset(numbers[number] for number in written if number in numbers)
            bound_there = {numbers[number]: names for number, names in bound.items() if number in numbers}
            self._implied(table, event, written_there)
            if event in ("delete", "update"):
                changed = self._computed(table, event, written_there)
                self._cascade(table, event, changed, bound_there, set())

    def _computed(self, relation: Relation, event: Event, written: frozenset[int]) -> frozenset[int]:
        """The columns written, with those that the server or a trigger sets on its own."""
        triggered = self._catalogue.changed_by_triggers(relation, event)
        if triggered is None:
            return frozenset(relation.columns)
        generated = {column.number for column in relation.columns.values() if column.generated}
        return written | triggered | generated

    def _implied(self, relation: Relation, event: Event, written: frozenset[int]) -> None:
        """What the server computes for a row on its own: defaults, generated columns, checks, policies."""
        for column in relation.columns.values():
            if column.default and (column.generated or (event == "insert" and column.number not in written)):
                self._hidden_expression(column.default)
        if event != "delete":
            for check in relation.checks:
                self._hidden_expression(check.expression)
        self._policies(relation, None)

    def _policies(self, relation: Relation, place: Place | None) -> None:
        if not relation.row_security:
            return
        self._effects.row_security.add(str(relation))
        if settings := settings_asked(relation, self._is_setting):
            self._effects.settings[str(relation)] = tuple(sorted(settings))
        for policy in relation.policies:
            for text in policy.expressions:
                self._hidden_expression(text, via=f"policy {policy.name} on {relation}")

    def _is_setting(self, oid: int) -> bool:
        function = self._catalogue.function(oid)
        return function is not None and function.name == "current_setting"

    def _hidden_expression(self, text: str, via: str = "") -> None:
        if text in self._expressions_seen:
            return
        self._expressions_seen.add(text)
        tree = read_tree(text)
        if not isinstance(tree, Node):
            return
        self._calls([tree], skip_queries=False)
        for node in tree.walk():
            if node.kind != "RANGETBLENTRY" or not node.number("relid"):
                continue
            relation = self._catalogue.relation(node.number("relid"))
            if relation is None:
                continue
            if relation.kind == "v":
                self._effects.opaque.add(f"view {relation} in {via or 'an expression of the schema'}")
                continue
            self._use(self._effects.reads, relation, "read", (), {}, via, with_children=True)
            self._policies(relation, None)

    def _write_through(
        self,
        place: Place,
        view: Relation,
        event: Event,
        written: frozenset[int],
        bound: dict[int, set[int]],
        via: str,
    ) -> None:
        """A write to a view that the server passes on to the one table below it."""
        if any(trigger.instead for trigger in view.triggers_on(event)) or view.rules:
            # Which tables those write is told, or not, as of any trigger.
            self._effects.opaque.add(f"the triggers of view {view}")
            return
        inner = next(
            (p.scope for p in self._places if p.reader is place.scope and p.via.endswith(f" {view}")), None
        )
        members = [e for e in inner.query.entries if e.index in inner.query.members] if inner else []
        base = self._catalogue.relation(members[0].relation) if len(members) == 1 else None
        if inner is None or base is None:
            self._hides(f"view {view}")
            return
        columns: dict[int, int] = {}
        for position, output in enumerate(inner.query.outputs, 1):
            expression = output.node("expr")
            if expression is not None and expression.kind == "VAR" and not expression.number("varlevelsup"):
                columns[position] = expression.number("varattno")
        below = frozenset(columns[number] for number in written if number in columns)
        bound_below = {columns[number]: names for number, names in bound.items() if number in columns}
        if event != "delete":
            bound_below = self._written.untouched(base, event, bound_below)
        if event == "update":
            generated = {column.number for column in base.columns.values() if column.generated}
            bound_below = {c: names for c, names in bound_below.items() if c not in generated}
        self._fire(base, event)
        if base.is_view:
            nested = next((p for p in self._places if p.scope is inner), None)
            if nested is not None:
                self._write_through(nested, base, event, below, bound_below, via)
            return
        self._stored(base, event, below, bound_below, via, with_children=True)

    def _cascade(
        self,
        relation: Relation,
        event: Event,
        written: frozenset[int],
        bound: dict[int, set[int]],
        seen: set[tuple[object, ...]],
    ) -> None:
        """What foreign keys that refer to the table do to their own tables."""
        deleted = event == "delete"
        # A partition's rows are referred to through the table that it is a part of.
        referred = [
            (relation.numbers_in(each), each, key)
            for each in (relation, *self._catalogue.partitioned(relation))
            for key in each.referenced_by
        ]
        for numbers, above, key in referred:
            known = {numbers[number]: names for number, names in bound.items() if number in numbers}
            changed = {numbers[number] for number in written if number in numbers}
            action = key.on_delete if deleted else key.on_update
            if action not in "cnd" or not (deleted or changed & set(key.referenced_columns)):
                continue
            table = self._catalogue.relation(key.table)
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
                followed = self._written.untouched(table, effect, followed)
            # A table that refers to itself is reached again, by rows of other values.
            reached = (key.name, key.table, event, *sorted((c, *sorted(n)) for c, n in followed.items()))
            if reached in seen:
                continue
            seen.add(reached)
            columns = table.column_names(key.columns) if effect == "update" else ()
            via = f"foreign key {key.name}"
            self._use(self._effects.writes, table, "cascade", columns, followed, via, with_children=True)
            for each in [table, *self._catalogue.descendants(table)]:
                self._fire(each, effect)
                self._implied(each, effect, frozenset(key.columns))
                own_numbers = table.numbers_in(each)
                touched = self._computed(
                    each, effect, frozenset(own_numbers[n] for n in key.columns if n in own_numbers)
                )
                follows = followed if effect == "delete" else {}
                there = {own_numbers[n]: names for n, names in follows.items() if n in own_numbers}
                self._cascade(each, effect, touched, there, seen)

    def _same_class(self, table: Relation, column: int, other_table: Relation, other: int) -> bool:
        one, two = table.columns.get(column), other_table.columns.get(other)
        if one is None or two is None:
            return False
        known = exact_class(self._catalogue, one.type)
        return bool(known) and known == exact_class(self._catalogue, two.type)

    def _fire(self, relation: Relation, event: Event) -> None:
        for trigger in relation.triggers_on(event):
            name = f"{relation}.{trigger.name}"
            self._effects.triggers.add(name)
            if trigger.body is None:
                self._leaves(f"trigger {name}")
                function = self._catalogue.function(trigger.function)
                if not self._declared(function, "writes", f"trigger {name}"):
                    self._hides(f"trigger {name}")

    def _calls(self, nodes: Iterable[Node], *, skip_queries: bool) -> None:
        pending = list(nodes)
        while pending:
            node = pending.pop()
            # The queries inside have a place of their own.
            pending.extend(child for child in node.children() if not (skip_queries and child.kind == "QUERY"))
            if node.kind in ("SQLVALUEFUNCTION", "COERCEVIAIO"):
                self._at_least("stable")
            elif node.kind == "NEXTVALUEEXPR":
                self._changes("nextval")
                self._at_least("volatile")
            elif (oid := function_of(node, self._catalogue)) is not None:
                self._call(oid, node)

    def _call(self, oid: int, node: Node) -> None:
        function = self._catalogue.function(oid)
        if function is None:
            self._changes("an unknown function")
            self._leaves("an unknown function")
            self._hides("an unknown function")
            return
        self._at_least(function.volatility)
        if function.is_builtin and function.volatility == "immutable":
            return
        if not only_reads(function):
            self._changes(f"{function} may write")
        if not leaves_nothing(function, node):
            reads_session = function.name in _SEQUENCES
            self._leaves(
                f"{function} reads what an earlier call left"
                if reads_session
                else f"{function} may leave something behind"
            )
        if hides_tables(function):
            if not self._declared(function, "reads", f"function {function}"):
                self._effects.opaque.add(str(function))
            if not only_reads(function) and not self._declared(function, "writes", f"function {function}"):
                self._hides(str(function))

    def _declared(self, function: Function | None, verb: Literal["reads", "writes"], via: str) -> bool:
        """Whether a function's comment says which tables it reads or writes; they are noted."""
        tables = declared_tables(function.comment, verb) if function is not None else None
        relations = [self._catalogue.relation_named(*table) for table in tables or ()]
        if tables is None or None in relations:
            return False
        uses, action = (self._effects.reads, "read") if verb == "reads" else (self._effects.writes, "cascade")
        for relation in relations:
            if relation is not None:
                self._use(uses, relation, cast("Action", action), (), {}, via, with_children=True)
        return True

    def _hides(self, what: str, writes: bool = True) -> None:
        """Something may read tables that are not listed, and write them too."""
        self._effects.opaque.add(what)
        if writes:
            self._effects.hidden_writes.add(what)

    def _at_least(self, volatility: Volatility) -> None:
        if _ORDER[volatility] > _ORDER[self._effects.volatility]:
            self._effects.volatility = volatility

    def _changes(self, because: str) -> None:
        self._effects.not_read_only = self._effects.not_read_only or because

    def _leaves(self, because: str) -> None:
        self._effects.not_session_safe = self._effects.not_session_safe or because


def _numbers(permissions: Node, field_name: str) -> list[int]:
    return [member + _FIRST_ATTRIBUTE for member in permissions.numbers(field_name)]


def _merged(uses: list[TableUse]) -> list[TableUse]:
    """One entry for each table, action, binding and reason; the columns put together."""
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
