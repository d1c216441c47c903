"""The catalog of a database as the analysis needs it, read once: types, relations, functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from psycopg import Connection

from plainsql.analysis.catalog.function_bodies import FunctionBodies, FunctionBody
from plainsql.analysis.catalog.implicit_functions import ImplicitFunctions, load_implicit_functions
from plainsql.analysis.catalog.relations import Relation, Trigger, load_relations
from plainsql.analysis.catalog.routines import Function, Operator, Routines, load_routines
from plainsql.analysis.catalog.safe_functions import only_computes
from plainsql.analysis.catalog.server_types import Types, load_types
from plainsql.analysis.catalog.table_constraints import Constraints, load_constraints
from plainsql.analysis.catalog.trigger_bodies import TriggerBody, builtin_body, read_body
from plainsql.analysis.describer import Describer
from plainsql.analysis.model import ColumnRef, PgType

__all__ = ["Catalog"]

_VIEW = """
select r.ev_action::text from pg_catalog.pg_rewrite as r where r.ev_class = %s and r.rulename = '_RETURN'
"""

_CONSTRAINT_COLUMNS = """
select coalesce(k.conkey, '{}')::int[] from pg_catalog.pg_constraint as k where k.oid = %s
"""


class Catalog:
    """The catalog of one database. Later changes are not followed: make a new one after a migration."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection
        self.version = connection.info.server_version
        self.types: Types = load_types(connection)
        self.routines: Routines = load_routines(connection)
        self._relations = load_relations(connection, self.version)
        self._constraints: Constraints | None = None
        self._missing: set[int] = set()
        """The oids that are no relation with rows, such as those of composite types."""
        self._views: dict[int, str | None] = {}
        self.implicit_functions: ImplicitFunctions = load_implicit_functions(connection, self.routines)
        self._bodies: FunctionBodies | None = None
        self._assumed: set[tuple[int, int]] = set()
        self.assumes = True
        """False while the assumptions are left out, to find what follows from them."""
        self.assumption_used = False
        """True once an answer followed from an assumption; the analyser resets it."""
        self._read_triggers()

    def type(self, oid: int, modifier: int = -1) -> PgType:
        """Return the type with this oid."""
        return self.types.get(oid, modifier)

    def relation(self, oid: int) -> Relation | None:
        """Return the relation with this oid; relations of the system schemas are read at the first use."""
        found = self._relations.get(oid)
        if found is None and oid not in self._missing:
            self._relations.update(load_relations(self._connection, self.version, oid=oid))
            found = self._relations.get(oid)
            if found is None:
                self._missing.add(oid)
        return found

    def relations(self) -> list[Relation]:
        """Return the relations of all user schemas."""
        return [relation for relation in self._relations.values() if not relation.is_system]

    def relation_named(self, schema: str, name: str) -> Relation | None:
        """Return a relation of a user schema by name."""
        for relation in self._relations.values():
            if relation.name == name and relation.schema == schema:
                return relation
        return None

    def resolve(self, schema: str | None, name: str) -> Relation | None:
        """Return the relation that a name refers to on the connection's search path."""
        row = self._connection.execute(
            "select pg_catalog.to_regclass(concat(quote_ident(%s::text) || '.', quote_ident(%s)))::oid",
            (schema, name),
        ).fetchone()
        return self.relation(row[0]) if row is not None and row[0] is not None else None

    def column(self, relation: int, number: int) -> ColumnRef | None:
        """Return the name of a column; ``None`` for system columns and unknown relations."""
        found = self.relation(relation) if relation else None
        if found is None or number not in found.columns:
            return None
        return ColumnRef(found.schema, found.name, found.columns[number].name)

    def comment(self, relation: int, number: int) -> str:
        """Return the comment on a column; empty if there is none."""
        found = self.relation(relation) if relation else None
        return found.columns[number].comment if found is not None and number in found.columns else ""

    def comment_on(self, column: ColumnRef) -> str:
        """Return the comment on a column of a user schema; empty if there is none."""
        found = self.relation_named(column.schema, column.table)
        named = (each for each in found.columns.values() if each.name == column.column) if found else ()
        return next((each.comment for each in named), "")

    def assume_not_null(self, names: Iterable[str]) -> None:
        """Take these columns as never null: ``schema.table.column`` or ``table.column``.

        A name that is not known is left out: plainsql.check.assumed_columns reports it.
        """
        for name in names:
            table, _, column = name.rpartition(".")
            schema, _, table = table.rpartition(".")
            relation = self.relation_named(schema, table) if schema else self.resolve(None, table)
            for each in relation.columns.values() if relation is not None else ():
                if relation is not None and each.name == column:
                    self._assumed.add((relation.oid, each.number))

    def is_assumed_not_null(self, relation: Relation, number: int) -> bool:
        """Return whether the project's settings declare a column of a table or view as never null."""
        if not self.assumes or (relation.oid, number) not in self._assumed:
            return False
        self.assumption_used = True
        return True

    @property
    def constraints(self) -> Constraints:
        """The constraints of all tables and domains, which are read at the first write."""
        if self._constraints is None:
            self._constraints = load_constraints(self._connection)
        return self._constraints

    def constraint_columns(self, oid: int) -> tuple[int, ...]:
        """Return the columns of a constraint; empty if it is not known."""
        row = self._connection.execute(_CONSTRAINT_COLUMNS, (oid,)).fetchone()
        return tuple(row[0]) if row is not None else ()

    def view_text(self, oid: int) -> str | None:
        """Return a view's definition in the server's node format."""
        if oid not in self._views:
            row = self._connection.execute(_VIEW, (oid,)).fetchone()
            self._views[oid] = row[0] if row else None
        return self._views[oid]

    def function(self, oid: int) -> Function | None:
        """Return the function with this oid."""
        return self.routines.functions.get(oid)

    def read_bodies(self, describer: Describer) -> None:
        """Read the bodies of functions from now on, through a describer of the same connection."""
        self._bodies = FunctionBodies(self._connection, describer)

    def body(self, function: Function) -> FunctionBody | None:
        """Return the facts about a function's body; ``None`` for languages that are not read."""
        return self._bodies.of(function) if self._bodies is not None else FunctionBody(read=False)

    def operator(self, oid: int) -> Operator | None:
        """Return the operator with this oid."""
        return self.routines.operators.get(oid)

    def descendants(self, relation: Relation) -> list[Relation]:
        """Return all tables that inherit from this one, at any depth; partitions too."""
        found: list[Relation] = []
        for oid in relation.children:
            child = self.relation(oid)
            if child is not None and child not in found:
                found.append(child)
                found.extend(self.descendants(child))
        return found

    def partitioned(self, relation: Relation) -> list[Relation]:
        """Return the partitioned tables that this one is a part of, the nearest first."""
        found: list[Relation] = []
        current: Relation | None = relation
        while current is not None:
            oid = current.oid
            above = (r for r in self._relations.values() if r.kind == "p" and oid in r.children)
            current = next(above, None)
            if current is not None:
                found.append(current)
        return found

    def related(self, relation: Relation) -> list[Relation]:
        """Return the tables on the other end of a foreign key of this table, or of one that it is a part
        of.
        """
        own = {table.oid: table for table in (relation, *self.partitioned(relation))}
        found = {key.table for table in own.values() for key in table.referenced_by}
        for other in self._relations.values():
            if any(key.table in own for key in other.referenced_by):
                found.add(other.oid)
        return [table for oid in sorted(found) if (table := self.relation(oid)) is not None]

    def key_columns(self, relation: Relation) -> frozenset[str]:
        """Return the columns by which rows are looked up: of keys and foreign keys, the first of indexes."""
        names: set[str] = set()
        for table in (relation, *self.partitioned(relation)):
            numbers = {number for key in table.unique_keys for number in key.columns}
            numbers |= {index.columns[0] for index in table.indexes if index.columns}
            for other in self._relations.values():
                for key in other.referenced_by:
                    if key.table == table.oid:
                        numbers |= set(key.columns)
            names |= set(table.column_names(numbers))
        return frozenset(names)

    def may_drop_rows(self, relation: Relation, event: str) -> bool:
        """Return whether a trigger may leave rows out of a write to the table."""
        return any(
            table.kind == "f"
            or any(t.rewrites and (t.body is None or each in t.body.drops) for t in table.triggers_on(each))
            for table, each in self._written_with(relation, event)
        )

    def changed_by_triggers(self, relation: Relation, event: str) -> frozenset[int] | None:
        """Return the columns that triggers may change in a row before it is stored; ``None`` if any may
        change.
        """
        names: set[str] = set()
        for table, each in self._written_with(relation, event):
            if table.kind == "f":
                return None
            for trigger in table.triggers_on(each):
                if not trigger.rewrites:
                    continue
                if trigger.body is None or trigger.body.changes is None:
                    return None
                # A name that is longer than PostgreSQL keeps, or written with escapes, is the name of another
                # column.
                if not trigger.body.changes <= {column.name for column in table.columns.values()}:
                    return None
                names |= trigger.body.changes
        return frozenset(column.number for column in relation.columns.values() if column.name in names)

    def may_keep_old_row(self, relation: Relation) -> bool:
        """Return whether a trigger may put the old row back in place of what an update assigns."""
        return any(
            table.kind == "f"
            or any(t.rewrites and (t.body is None or t.body.keeps_old) for t in table.triggers_on("update"))
            for table in (relation, *self.descendants(relation))
        )

    def _written_with(self, relation: Relation, event: str) -> list[tuple[Relation, str]]:
        tables = [relation, *self.descendants(relation)]
        # An update that moves a row to another partition deletes it here and inserts it there.
        events = ("update", "delete", "insert") if event == "update" and relation.kind == "p" else (event,)
        return [(table, each) for table in tables for each in events]

    def _read_triggers(self) -> None:
        """Attach to each trigger the proved effects of its function."""
        bodies: dict[int, TriggerBody | None] = {}
        for relation in self._relations.values():
            for i, trigger in enumerate(relation.triggers):
                if trigger.function not in bodies:
                    bodies[trigger.function] = self._trigger_body(trigger)
                relation.triggers[i] = replace(trigger, body=bodies[trigger.function])

    def _trigger_body(self, trigger: Trigger) -> TriggerBody | None:
        function = self.function(trigger.function)
        if function is not None and function.is_builtin:
            return builtin_body(function.name)
        body = read_body(trigger.source) if trigger.source else None
        # A name is that of the server's function only while no user has made a function of that name. An
        # operator or a cast only computes while no user has made one that does more.
        if body is None or any(self._may_be_another(name) for name in body.calls):
            return None
        return None if self.routines.has_volatile_operators() else body

    def _may_be_another(self, name: str) -> bool:
        """Return whether any function of this name is not known to only compute."""
        return any(not f.is_builtin and not only_computes(f) for f in self.routines.named(name))

    def column_is_not_null(
        self, relation: Relation, number: int, *, with_children: bool = True
    ) -> tuple[bool, str]:
        """Return whether a stored value of the column can never be null, and the reason."""
        if number < 0:
            return True, "system column"
        column = relation.columns.get(number)
        if column is None:
            return False, "unknown column"
        if self.is_assumed_not_null(relation, number):
            return True, "declared not null in pyproject.toml"
        if relation.kind == "f":
            return False, "a foreign table's constraints are not enforced"
        if not column.not_null:
            return False, "nullable column"
        if with_children and relation.children:
            for child in self.descendants(relation):
                mates = [c for c in child.columns.values() if c.name == column.name]
                if child.kind == "f" or not all(mate.not_null for mate in mates):
                    return False, f"nullable in {child}, which inherits"
        return True, "not-null column"
