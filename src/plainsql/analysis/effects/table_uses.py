"""The tables that a statement uses, recorded with what their use evaluates: policies, foreign rows."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, cast

from plainsql.analysis.catalog.function_annotations import annotated_tables
from plainsql.analysis.catalog.policies import required_settings
from plainsql.analysis.catalog.relations import Relation
from plainsql.analysis.catalog.routines import Function
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.effects.effects import Effects
from plainsql.analysis.effects.evaluator import Evaluator
from plainsql.analysis.effects.parameter_bindings import exact_class
from plainsql.analysis.model import Action, TableUse
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.query_tree import QueryTree, RangeTableEntry

__all__ = ["TableUses", "column_numbers", "permissions_of"]

_FIRST_ATTRIBUTE = -7
"""Bit sets of columns count from the lowest system attribute (``FirstLowInvalidHeapAttributeNumber``)."""


class TableUses:
    """The uses of tables by one statement, and the effects that follow from them."""

    def __init__(self, catalog: Catalog, names: tuple[str, ...], outputs: list[str]) -> None:
        """``names`` are those of the statement's parameters, ``outputs`` those of its result columns."""
        self._catalog = catalog
        self._names = names
        self._outputs = outputs
        self.effects = Effects()
        self.evaluator = Evaluator(catalog, self.effects, self.read_below, self.is_annotated)

    def read_below(self, relation: Relation, via: str) -> None:
        """Record a table that the server reads when it evaluates a policy, a check or a function."""
        self.fetch_foreign_rows(relation)
        self.add(self.effects.reads, relation, "read", (), {}, via, with_children=True)
        if via.startswith("function "):
            # Its tables need not be open to the session: a function may run as another role.
            self._evaluate_policies(relation)
        else:
            self.add_policies(relation)

    def fetch_foreign_rows(self, relation: Relation) -> None:
        """Record that rows of a foreign table are made here, from another server or a program's output."""
        if relation.kind == "f":
            self.effects.may_change(f"foreign table {relation} may do more than read")
            self.effects.may_leave_state(f"foreign table {relation} may do more than read")
            self.effects.at_least("volatile")
            for column in relation.columns.values():
                self.evaluator.value(column.type, f"foreign table {relation}", made=True)

    def add(
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
        """Add a use of a table, and of those that inherit from it, to the reads or the writes."""
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
            self.evaluator.planned(table)
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
                self.effects.row_security.add(str(table))

    def _name(self, parameter: int) -> str:
        return self._names[parameter - 1] if parameter <= len(self._names) else f"${parameter}"

    def add_policies(self, relation: Relation) -> None:
        """Record the row-level security of a table that the session itself uses."""
        if not relation.row_security:
            return
        self.effects.row_security.add(str(relation))
        if settings := required_settings(relation, self._is_setting):
            self.effects.settings[str(relation)] = tuple(sorted(settings))
        self._evaluate_policies(relation)

    def _evaluate_policies(self, relation: Relation) -> None:
        for policy in relation.policies if relation.row_security else ():
            for text in policy.expressions:
                self.evaluator.expression(text, f"policy {policy.name} on {relation}")

    def _is_setting(self, oid: int) -> bool:
        function = self._catalog.function(oid)
        return function is not None and function.name == "current_setting"

    def is_annotated(self, function: Function, verb: Literal["reads", "writes"]) -> bool:
        """Return whether a called function's comment lists its tables, and record them."""
        return self.add_annotated_tables(function, verb, f"function {function}")

    def add_annotated_tables(
        self, function: Function | None, verb: Literal["reads", "writes"], via: str
    ) -> bool:
        """Return whether a function's comment lists the tables that it reads or writes, and record them."""
        tables = annotated_tables(function.comment, verb) if function is not None else None
        relations = [self._catalog.relation_named(*table) for table in tables or ()]
        if tables is None or None in relations:
            return False
        uses, action = (self.effects.reads, "read") if verb == "reads" else (self.effects.writes, "cascade")
        for relation in relations:
            if relation is not None:
                if verb == "reads":
                    self._evaluate_policies(relation)
                self.add(uses, relation, cast("Action", action), (), {}, via, with_children=True)
        return True


def permissions_of(query: QueryTree, entry: RangeTableEntry) -> Node | None:
    """Return the permissions that a query needs for an entry, with its columns; ``None`` if it has none."""
    index = entry.node.number("perminfoindex")
    permissions = query.node.nodes("rteperminfos")
    return permissions[index - 1] if 0 < index <= len(permissions) else None


def column_numbers(permissions: Node, field_name: str) -> list[int]:
    """Return the columns in a bit set of permissions."""
    return [member + _FIRST_ATTRIBUTE for member in permissions.numbers(field_name)]
