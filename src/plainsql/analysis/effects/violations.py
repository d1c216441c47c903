"""The constraints that a statement's writes may violate.

An insert may violate all constraints of its table, an update those that read a column it changes, and a
delete the foreign keys that refer to its rows. A constraint is left out only if it is proved that the
statement cannot violate it: the conflict is handled (``on conflict``), or the written value is never null.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

from psycopg import Connection, RawCursor, errors

from plainsql.analysis.catalog.relations import Relation
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.catalog.table_constraints import Constraint, Constraints
from plainsql.analysis.model import PgType, TableUse, Violation
from plainsql.analysis.nodes import Node
from plainsql.analysis.nullability.query_nullability import Nullability
from plainsql.analysis.tree.query_sites import QuerySite
from plainsql.analysis.tree.query_tree import Command, QueryTree

__all__ = ["explained_arbiters", "violations_of"]

_DO_NOTHING = 1
_ALL = "*"
"""In a set of handled keys: every key that is not deferrable."""
_RESTRICTS = "ar"


def violations_of(
    catalog: Catalog,
    sites: list[QuerySite],
    writes: Iterable[TableUse],
    nullability: Nullability,
    arbiters: Callable[[], dict[tuple[str, str], set[str]]],
) -> tuple[Violation, ...]:
    """Return the violations that the writes may end in, in the order of tables and names.

    ``arbiters`` returns the unique indexes whose conflicts the server's plan handles, by table.
    """
    uses = [use for use in writes if use.action != "truncate"]
    if not uses:
        return ()
    return _Collector(catalog, sites, nullability, arbiters).collect(uses)


def explained_arbiters(connection: Connection[Any], sql: str) -> dict[tuple[str, str], set[str]]:
    """Return the unique indexes by which the statement's plan finds conflicts, by schema and table."""
    with connection.transaction(force_rollback=True), RawCursor(connection) as cursor:
        try:
            row = cursor.execute(
                f"explain (generic_plan, costs off, verbose, format json)\n{sql}".encode()
            ).fetchone()
        except errors.Error:
            return {}  # no conflict is proved to be handled
    found: dict[tuple[str, str], set[str]] = {}
    pending = [(row or [[{"Plan": {}}]])[0][0]["Plan"]]
    while pending:
        plan = pending.pop()
        pending += plan.get("Plans", ())
        if indexes := plan.get("Conflict Arbiter Indexes"):
            found.setdefault((plan.get("Schema", ""), plan.get("Relation Name", "")), set()).update(indexes)
    return found


class _Collector:
    def __init__(
        self,
        catalog: Catalog,
        sites: list[QuerySite],
        nullability: Nullability,
        arbiters: Callable[[], dict[tuple[str, str], set[str]]],
    ) -> None:
        self._catalog = catalog
        self._constraints: Constraints = catalog.constraints
        self._sites = sites
        self._nullability = nullability
        self._plan = arbiters
        self._found: dict[tuple[int, str], tuple[Constraint, Violation]] = {}
        self._not_null: dict[tuple[str, str], Violation] = {}

    def collect(self, uses: list[TableUse]) -> tuple[Violation, ...]:
        handled = self._handled()
        written = {(use.schema, use.table) for use in uses}
        for use in uses:
            relation = self._catalog.relation_named(use.schema, use.table)
            if relation is None or relation.is_view:
                continue
            keys = handled.get(relation.oid, set()) if use.action == "insert" else set()
            for constraint, is_triggered in self._of_use(use, relation):
                handles = constraint.kind in ("unique", "exclusion") and not constraint.deferrable
                if handles and (keys & {_ALL, constraint.name} or keys & self._parents(constraint)):
                    continue
                # A part of a table that the statement names is written as directly as the table.
                via = "" if use.via.startswith("inherits from ") else use.via
                self._add(constraint, _through_trigger(via, relation) if is_triggered else via)
            if not any(
                (above.schema, above.name) in written for above in self._catalog.partitioned(relation)
            ):
                self._add_not_null(use, relation)
        named = [self._with_partitions(one, violation) for one, violation in self._found.values()]
        found = {(v.kind, v.table, v.name, v.columns, v.via): v for v in named if v is not None}
        found |= {(v.kind, v.table, v.name, v.columns, v.via): v for v in self._not_null.values()}
        return tuple(sorted(found.values(), key=lambda v: (v.via != "", v.table, v.name, v.columns, v.kind)))

    def _of_use(self, use: TableUse, relation: Relation) -> Iterator[tuple[Constraint, bool]]:
        """Yield the constraints that a use may violate, and whether only a trigger changes their columns."""
        written, triggered = self._changed(use, relation)
        direct = {constraint.oid for constraint in self._reached(use, relation, written)}
        for constraint in self._reached(use, relation, written | triggered):
            yield constraint, constraint.oid not in direct

    def _reached(self, use: TableUse, relation: Relation, changed: frozenset[int]) -> Iterator[Constraint]:
        own = self._constraints.of_table.get(relation.oid, [])
        referring = self._constraints.referring.get(relation.oid, [])
        anything = use.via.startswith(("trigger ", "function "))
        if anything or use.action == "insert":
            yield from own
            yield from self._of_domains(relation, frozenset(relation.columns))
        if anything:
            yield from referring
        elif use.action == "delete" or (use.action == "cascade" and not use.columns):
            yield from (one for one in referring if one.on_delete in _RESTRICTS)
        elif use.action in ("update", "cascade"):
            yield from (one for one in own if one.columns & changed or not one.columns)
            yield from self._of_domains(relation, changed)
            yield from (
                one for one in referring if one.on_update in _RESTRICTS and one.referenced_columns & changed
            )

    def _changed(self, use: TableUse, relation: Relation) -> tuple[frozenset[int], frozenset[int]]:
        """Return the columns that an update changes, with the generated ones, and those that triggers set."""
        triggered = self._catalog.changed_by_triggers(relation, "update")
        columns = relation.columns.values()
        written = frozenset(c.number for c in columns if c.name in use.columns or c.generated)
        return written, frozenset(relation.columns) if triggered is None else triggered

    def _of_domains(self, relation: Relation, columns: frozenset[int]) -> Iterator[Constraint]:
        for number in columns:
            if number not in relation.columns:
                continue
            type_: PgType | None = self._catalog.type(relation.columns[number].type)
            while type_ is not None:
                for one in self._constraints.of_domain.get(type_.oid, ()):
                    yield replace(one, table=relation.oid, columns=frozenset({number}))
                type_ = type_.element

    def _add(self, constraint: Constraint, via: str) -> None:
        table = self._catalog.relation(constraint.table)
        columns = table.column_names(constraint.columns) if table is not None else ()
        violation = Violation(
            constraint.kind,
            constraint.name,
            str(table),
            columns,
            via,
            constraint.deferred,
            (constraint.name,),
        )
        self._found[constraint.oid, via] = constraint, violation

    def _parents(self, constraint: Constraint) -> set[str]:
        """Return the names of the constraints that this one is a partition's part of."""
        names: set[str] = set()
        by_oid = {one.oid: one for each in self._constraints.of_table.values() for one in each}
        while constraint.parent and (above := by_oid.get(constraint.parent)) is not None:
            names.add(above.name)
            constraint = above
        return names

    def _with_partitions(self, constraint: Constraint, violation: Violation) -> Violation | None:
        """Return the violation with the names that partitions report; None if it is a partition's itself."""
        found = [each for (_, via), (each, _) in self._found.items() if via == violation.via]
        oids = {each.oid for each in found}
        if constraint.parent in oids:
            return None
        relation = self._catalog.relation(constraint.table)
        above = {each.oid for each in self._catalog.partitioned(relation)} if relation is not None else set()
        # A check has no parent: a partition inherits it under the same name.
        if constraint.kind == "check" and any(
            each.kind == "check" and each.name == constraint.name and each.table in above for each in found
        ):
            return None
        names, below = {constraint.name}, {constraint.oid}
        while more := {each.oid for each in found if each.parent in below} - below:
            below |= more
            names |= {each.name for each in found if each.oid in more}
        return replace(violation, names=tuple(sorted(names, key=lambda n: (n != violation.name, n))))

    # Nulls --------------------------------------------------------------------------------------------

    def _add_not_null(self, use: TableUse, relation: Relation) -> None:
        if use.action == "delete" or (use.action == "cascade" and not use.columns):
            return
        event = "insert" if use.action == "insert" else "update"
        triggered = self._catalog.changed_by_triggers(relation, event)
        refusing = [
            column
            for column in relation.columns.values()
            if column.not_null or self._catalog.type(column.type).not_null
        ]
        for column in refusing:
            by_trigger = triggered is None or column.number in triggered
            left_out = event == "insert" and column.name not in use.columns
            if left_out:
                may = not (column.default or column.identity or column.generated)
            else:
                may = column.name in use.columns and self._may_be_null(relation, column.number)
            if may or by_trigger:
                via = use.via if may else _through_trigger(use.via, relation)
                violation = Violation("not null", "", str(relation), (column.name,), via, False, ())
                self._not_null[f"{relation}.{column.name}", via] = violation

    def _may_be_null(self, relation: Relation, column: int) -> bool:
        """Return whether a written value may be null, as far as the prover knows."""
        seen = False
        for site in self._sites:
            query = site.scope.query
            entry = query.entry(query.result_relation)
            if query.command == Command.SELECT or entry is None or entry.relation != relation.oid:
                continue
            for target in _targets(query):
                if target.number("resno") != column or target.flag("resjunk"):
                    continue
                seen = True
                value = target.node("expr")
                if value is None or value.kind == "SETTODEFAULT":
                    continue
                context = self._nullability.rows(site.scope)
                if self._nullability.expression(value, context).nullable:
                    return True
        return not seen

    # Conflicts ----------------------------------------------------------------------------------------

    def _handled(self) -> dict[int, set[str]]:
        """Return by table the keys whose conflicts every insert of the statement handles."""
        handled: dict[int, set[str]] = {}
        for site in self._sites:
            query = site.scope.query
            entry = query.entry(query.result_relation)
            relation = self._catalog.relation(entry.relation) if entry is not None else None
            if relation is None or query.command not in (Command.INSERT, Command.MERGE):
                continue
            keys = self._keys_of(query, relation)
            known = handled.get(relation.oid)
            handled[relation.oid] = keys if known is None else _both(known, keys)
        return handled

    def _keys_of(self, query: QueryTree, relation: Relation) -> set[str]:
        conflict = query.node.node("onConflict")
        if conflict is None:
            return set()
        if not conflict.items("arbiterElems") and not conflict.number("constraint"):
            return {_ALL} if conflict.number("action") == _DO_NOTHING else set()
        return self._arbiters.get((relation.schema, relation.name), set())

    @cached_property
    def _arbiters(self) -> dict[tuple[str, str], set[str]]:
        """The answer of the server's plan, which is made once for all inserts of the statement."""
        return self._plan()


def _through_trigger(via: str, relation: Relation) -> str:
    return via if via and not via.startswith(("view ", "inherits from ")) else f"trigger of {relation}"


def _both(one: set[str], other: set[str]) -> set[str]:
    if _ALL in one:
        return other
    return one if _ALL in other else one & other


def _targets(query: QueryTree) -> Iterator[Node]:
    yield from query.target_list
    conflict = query.node.node("onConflict")
    if conflict is not None:
        yield from conflict.nodes("onConflictSet")
    for action in query.node.nodes("mergeActionList"):
        yield from action.nodes("targetList")
