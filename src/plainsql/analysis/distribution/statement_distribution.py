"""The tenants whose rows a statement reads or writes: one of them, each by itself, or several together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from plainsql.analysis.catalog.function_annotations import annotated_tables, kept_columns
from plainsql.analysis.catalog.relations import Relation
from plainsql.analysis.catalog.routines import Function
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.distribution.distributed_tables import is_reference
from plainsql.analysis.distribution.model import Distribution, Kind
from plainsql.analysis.distribution.policy_values import PolicyEvent, policy_values
from plainsql.analysis.distribution.tenant_bindings import TenantBindings
from plainsql.analysis.distribution.tenant_values import TenantValue, TenantValues
from plainsql.analysis.effects.effects import Effects
from plainsql.analysis.effects.statement_effects import effects_of
from plainsql.analysis.findings.examined import TextPositions
from plainsql.analysis.nodes import Node, read_tree
from plainsql.analysis.tree.query_sites import QuerySite, query_sites
from plainsql.analysis.tree.query_tree import Command, EntryKind, RangeTableEntry, Scope
from plainsql.analysis.tree.scopes import Scopes

__all__ = ["distribution_of"]

_ON_CONFLICT_UPDATE = 2
_NOT_MERGED = "write it as an insert with on conflict, or as an update and an insert"


@dataclass(frozen=True, slots=True)
class _Use:
    """A mention of a distributed table in a query."""

    site: QuerySite
    entry: RangeTableEntry
    relation: Relation
    column: int
    event: PolicyEvent

    @property
    def text(self) -> str:
        alias = self.entry.alias
        return f"{self.relation} as {alias}" if alias != self.relation.name else str(self.relation)


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A reason why the tenants of a statement are not known, or are several."""

    because: str
    hint: str
    relation: Relation | None = None
    is_across: bool = False
    """True if the statement is known to reach several tenants."""


def distribution_of(
    catalog: Catalog,
    scope: Scope,
    sql: str,
    names: tuple[str, ...],
    column: str,
    reference: Collection[str] = (),
) -> Distribution:
    """Return the tenants of a statement.

    Args:
        catalog: the database.
        scope: the statement's query.
        sql: the text of the statement, for positions.
        names: the names of its parameters, in order.
        column: the distribution column; tables with it are distributed.
        reference: the tables that every server has a copy of, as ``schema.table`` or ``schema.*``.
    """
    return _Examination(catalog, scope, names, column, reference).distribution(TextPositions(sql))


class _Examination:
    """The examination of one statement."""

    def __init__(
        self,
        catalog: Catalog,
        scope: Scope,
        names: tuple[str, ...],
        column: str,
        reference: Collection[str],
    ) -> None:
        self._catalog = catalog
        self._column = column
        self._reference = frozenset(reference)
        scopes = Scopes(catalog)
        self._sites = query_sites(catalog, scopes, scope)
        self._effects: Effects = effects_of(catalog, self._sites, names)
        self._values = TenantValues(catalog, names)
        self._uses = [*self._found_uses()]
        self._scopes = scopes
        self._bind(by_policies=False)

    def distribution(self, places: TextPositions) -> Distribution:
        """Return the verdict, with the tables."""
        used = {str(use) for use in (*self._effects.reads, *self._effects.writes)}
        found = self._verdict(places)
        return replace(found, others=tuple(sorted(used - {*found.tables})))

    def _verdict(self, places: TextPositions) -> Distribution:
        """Return the verdict; a fault of one tenant is reported before a doubt."""
        tables = tuple(sorted({str(use.relation) for use in self._uses}))
        if self._uses and any(site.scope.query.command == Command.MERGE for site in self._sites):
            return self._doubted(_Doubt("merge is not followed", _NOT_MERGED), places, tables)
        doubts = [*self._doubts()]
        across = next((doubt for doubt in doubts if doubt.is_across), None)
        if across is not None:
            return self._doubted(across, places, tables)
        found = self._of_uses(places, tables)
        if found.kind in ("across", "joined"):
            self._bind(by_policies=True)
            by_policy = self._of_uses(places, tables)
            if by_policy.kind == "tenant":
                because = f"row-level security alone binds it to {by_policy.by}"
                found = replace(by_policy, kind="policy", because=because)
        if found.kind in ("across", "joined") or not doubts:
            return found
        return self._doubted(doubts[0], places, tables)

    def _bind(self, *, by_policies: bool) -> None:
        """Follow the equalities: all of them, and those that planners see."""
        seeds, inserted = [*self._seeds(by_policies=by_policies)], [*self._inserted()]
        self._all, self._seen = (
            TenantBindings(self._catalog, self._scopes, self._values, self._sites, seeds, inserted, seen=seen)
            for seen in (False, True)
        )

    def _doubted(self, doubt: _Doubt, places: TextPositions, tables: tuple[str, ...]) -> Distribution:
        kind: Kind = "across" if doubt.is_across else "unknown"
        position = self._position(doubt.relation, places)
        return Distribution(kind, doubt.because, hint=doubt.hint, position=position, tables=tables)

    # The tables

    def number(self, relation: Relation) -> int | None:
        """Return the number of a table's distribution column; ``None`` if it is not distributed."""
        if relation.is_system or relation.kind not in "rpfm":
            return None
        if is_reference(relation.schema, relation.name, self._reference):
            return None
        return next((each.number for each in relation.columns.values() if each.name == self._column), None)

    def _found_uses(self) -> Iterator[_Use]:
        for site in self._sites:
            query = site.scope.query
            for entry in query.entries:
                if entry.kind is not EntryKind.RELATION or entry.node.text("relkind") == "c":
                    continue
                is_result = entry.index == query.result_relation
                if not is_result and entry.index not in query.members:
                    continue
                relation = self._catalog.relation(entry.relation)
                column = self.number(relation) if relation is not None else None
                if relation is not None and column is not None:
                    event = _EVENTS.get(query.command, "select") if is_result else "select"
                    yield _Use(site, entry, relation, column, event)

    def _seeds(self, *, by_policies: bool) -> Iterator[tuple[tuple[int, int, int], TenantValue]]:
        for use in self._uses:
            variable = (use.site.scope.query.id, use.entry.index, use.column)
            yield variable, TenantValue(("column", variable), use.text, is_column=True)
            if by_policies and not use.site.via:
                scope = use.site.scope
                for value in policy_values(
                    self._catalog, self._values, use.relation, use.column, scope, use.event
                ):
                    yield variable, value

    def _inserted(self) -> Iterator[tuple[tuple[int, int, int], Node, Scope, int]]:
        for use in self._uses:
            query = use.site.scope.query
            if use.event != "insert":
                continue
            targets = {each.number("resno"): each.node("expr") for each in query.target_list}
            for number, column in use.relation.columns.items():
                node = targets.get(number)
                if node is None or node.kind == "SETTODEFAULT":
                    default = read_tree(column.default) if column.default else None
                    node = default if isinstance(default, Node) else None
                if node is not None:
                    variable = (query.id, use.entry.index, number)
                    yield variable, node, use.site.scope, column.type

    def _arbiters(self, conflict: Node) -> set[int]:
        constraint = conflict.number("constraint")
        if constraint:
            return {*self._catalog.constraint_columns(constraint)}
        found: set[int] = set()
        for element in conflict.nodes("arbiterElems"):
            expression = element.node("expr")
            if expression is not None and expression.kind == "VAR":
                found.add(expression.number("varattno"))
        return found

    # The doubts

    def _doubts(self) -> Iterator[_Doubt]:
        yield from self._of_statement()
        for use in self._uses:
            if use.event == "select":
                continue
            yield from self._of_write(use)
        yield from self._of_views()
        yield from self._of_functions()
        yield from self._of_triggers()

    def _of_statement(self) -> Iterator[_Doubt]:
        for write in self._effects.writes:
            relation = self._catalog.relation_named(write.schema, write.table)
            if write.action == "truncate" and relation is not None and self.number(relation) is not None:
                yield _Doubt(
                    f"truncate removes the rows of all tenants of {relation}",
                    f"delete the rows of one tenant: where {self._column} = …",
                    relation,
                    is_across=True,
                )
        for what in sorted(self._effects.opaque):
            if not what.startswith("trigger ") and not self._is_followed(what):
                yield _Doubt(
                    f"{what} may read or write tables that are not known",
                    "write out what it does, or declare in its comment what it reads and writes",
                )

    def _is_followed(self, name: str) -> bool:
        """Return whether a function is in SQL and only reads: the tables of its body are known."""
        for function in self._functions_named(name):
            body = self._catalog.body(function) if function.language == "sql" else None
            if function.volatility == "volatile" or body is None or not body.trees:
                return False
        return bool(self._functions_named(name))

    def _functions_named(self, name: str) -> list[Function]:
        return [each for each in self._catalog.routines.functions.values() if str(each) == name]

    def _of_write(self, use: _Use) -> Iterator[_Doubt]:
        query = use.site.scope.query
        targets = query.target_list if use.event == "update" else []
        conflict = query.node.node("onConflict")
        if conflict is not None and conflict.number("action") == _ON_CONFLICT_UPDATE:
            targets = conflict.nodes("onConflictSet")
            if use.column not in self._arbiters(conflict):
                yield _Doubt(
                    f"on conflict of {use.relation} does not have {self._column}: the row that is there"
                    " may be of another tenant",
                    f"add {self._column} to the unique key, and to the target of on conflict",
                    use.relation,
                    is_across=True,
                )
        if any(each.number("resno") == use.column and not each.flag("resjunk") for each in targets):
            yield _Doubt(
                f"it changes {self._column} of {use.relation}: the row would move to another server",
                f"leave {self._column} as it is; move a tenant by an insert and a delete",
                use.relation,
                is_across=True,
            )

    def _of_views(self) -> Iterator[_Doubt]:
        for site in self._sites:
            query = site.scope.query
            entry = query.entry(query.result_relation)
            relation = self._catalog.relation(entry.relation) if entry and entry.relation else None
            if relation is None or relation.kind != "v":
                continue
            if query.command == Command.INSERT:
                yield _Doubt(f"an insert into the view {relation} is not followed", "insert into its table")
            numbers = {number for number, each in relation.columns.items() if each.name == self._column}
            if query.command == Command.UPDATE and any(
                each.number("resno") in numbers and not each.flag("resjunk") for each in query.target_list
            ):
                yield _Doubt(
                    f"it changes {self._column} of {relation}: the row would move to another server",
                    f"leave {self._column} as it is; move a tenant by an insert and a delete",
                    relation,
                    is_across=True,
                )
        for use in self._uses:
            if use.relation.kind in "fm":
                kind = "foreign table" if use.relation.kind == "f" else "materialised view"
                yield _Doubt(
                    f"{use.relation} is a {kind}: its rows are of all tenants and on one server",
                    "read the tables instead",
                    use.relation,
                )

    def _of_functions(self) -> Iterator[_Doubt]:
        for what in (*self._effects.reads, *self._effects.writes):
            relation = self._catalog.relation_named(what.schema, what.table)
            if relation is None or self.number(relation) is None or not what.via.startswith("function "):
                continue
            name = what.via.removeprefix("function ")
            functions = self._functions_named(name)
            if not all(self._is_declared(each) for each in functions) or not functions:
                yield self._undeclared(f"the function {name}", relation, functions)

    def _of_triggers(self) -> Iterator[_Doubt]:
        for name in sorted(self._effects.triggers):
            table, _, own = name.rpartition(".")
            schema, _, table = table.rpartition(".")
            relation = self._catalog.relation_named(schema, table)
            triggers = [each for each in relation.triggers if each.name == own] if relation else []
            if relation is None or not triggers:
                yield _Doubt(f"the trigger {name} is not known", "run plainsql check again")
                continue
            for trigger in triggers:
                function = self._catalog.function(trigger.function)
                if trigger.body is not None:
                    changes = trigger.body.changes
                    if changes is not None and self._column not in changes:
                        continue
                elif function is not None and (
                    self._is_declared(function)
                    or (
                        (not trigger.rewrites or self.number(relation) is None)
                        and self._touches_no_tenant(function)
                    )
                ):
                    continue
                yield self._undeclared(f"the trigger {name}", relation, [function] if function else [])

    def _is_declared(self, function: Function) -> bool:
        return self._column in kept_columns(function.comment)

    def _touches_no_tenant(self, function: Function) -> bool:
        """Return whether a comment lists what a function reads and writes, and none of it is distributed."""
        named = [annotated_tables(function.comment, verb) for verb in ("reads", "writes")]
        if named[1] is None:
            return False
        tables = [self._catalog.relation_named(*table) for table in (named[0] or frozenset()) | named[1]]
        return all(table is not None and self.number(table) is None for table in tables)

    def _undeclared(self, what: str, relation: Relation, functions: Sequence[Function]) -> _Doubt:
        function = f"{functions[0].schema}.{functions[0].name}" if functions else "its function"
        return _Doubt(
            f"{what} may use rows of other tenants",
            f"if it keeps to the tenant of its row or session, add 'plainsql: keeps {self._column}'"
            f" to the comment on {function}",
            relation,
        )

    # The verdict

    def _of_uses(self, places: TextPositions, tables: tuple[str, ...]) -> Distribution:
        if not self._uses:
            named = [*self._effects.reads, *self._effects.writes]
            if named:
                return Distribution("reference", "its tables do not have the column")
            return Distribution("none", "it reads and writes no table")
        each = [(use, self._all.of(use.site.scope, use.entry.index, use.column)) for use in self._uses]
        fixed = [(use, {value for value in found if not value.is_column}) for use, found in each]
        common = set[TenantValue].intersection(*(values for _, values in fixed))
        if common:
            # A parameter is the value that most planners see.
            best = min(common, key=lambda value: (not value.text.startswith(":"), value.text))
            return self._of_one_tenant(best, common, places, tables)
        free = next((use for use, values in each if use.event == "insert" and len(values) == 1), None)
        is_joined = set[TenantValue].intersection(*(values for _, values in each))
        if is_joined and free is None and not any(values for _, values in fixed):
            use = self._uses[0]
            return Distribution(
                "joined",
                f"it reads every tenant: {use.text} is not compared with one {self._column}"
                + (f", and joined on {self._column}" if len(self._uses) > 1 else ""),
                hint=self._remedy(use),
                position=self._position(use.relation, places, use.entry.alias),
                tables=tables,
            )
        unbound = free or next((use for use, values in fixed if not values), None)
        if unbound is None:
            return self._several(fixed, places, tables)
        inserts = unbound.event == "insert"
        bound = next((use for use, values in fixed if values), None)
        because = (
            f"the inserted value of {self._column} in {unbound.text} may differ by row"
            if inserts
            else f"{unbound.text} is not bound to the tenant"
            + (f" of {bound.text}" if bound is not None else "")
        )
        return Distribution(
            "across",
            because,
            hint=f"insert one value: a parameter, or the {self._column} of the rows that are read"
            if inserts
            else self._remedy(unbound, bound),
            position=self._position(unbound.relation, places, unbound.entry.alias),
            tables=tables,
        )

    def _of_one_tenant(
        self,
        best: TenantValue,
        common: Collection[TenantValue],
        places: TextPositions,
        tables: tuple[str, ...],
    ) -> Distribution:
        """Return the verdict about rows of one tenant; a value to insert need not be known to a planner."""
        unseen = next(
            (
                use
                for use in self._uses
                if use.event != "insert"
                and not self._seen.of(use.site.scope, use.entry.index, use.column) & {*common}
            ),
            None,
        )
        if unseen is None:
            return Distribution("tenant", f"{self._column} is {best.text}", best.text, tables=tables)
        alias = unseen.entry.alias or unseen.relation.name
        return Distribution(
            "unseen",
            f"planners do not see that {unseen.text} has the tenant {best.text}: it comes from a query that"
            " they plan by itself",
            best.text,
            hint=f"repeat it: add {alias}.{self._column} = {best.text if best.text[0] == ':' else '…'}",
            position=self._position(unseen.relation, places, unseen.entry.alias),
            tables=tables,
        )

    def _several(
        self, fixed: Sequence[tuple[_Use, set[TenantValue]]], places: TextPositions, tables: tuple[str, ...]
    ) -> Distribution:
        """Return the verdict about tables that are each bound to one value, and not to the same."""
        (one, first), *others = fixed
        other, second = next((each for each in others if not each[1] & first), others[-1])
        texts = [min(value.text for value in values) for values in (first, second)]
        return Distribution(
            "across",
            f"{one.text} has the tenant of {texts[0]}, and {other.text} that of {texts[1]}",
            hint="compare both with the same value",
            position=self._position(other.relation, places, other.entry.alias),
            tables=tables,
        )

    def _remedy(self, use: _Use, other: _Use | None = None) -> str:
        alias = use.entry.alias or use.relation.name
        value = f"{other.entry.alias or other.relation.name}.{self._column}" if other is not None else "…"
        if other is not None and other.site.scope.query.id != use.site.scope.query.id:
            value = "the same value as in the other query"
        return f"add {alias}.{self._column} = {value}; or allow it: allow: fans-out: the reason"

    @staticmethod
    def _position(relation: Relation | None, places: TextPositions, alias: str = "") -> int:
        """Return the place where a table is mentioned, if there is only one, or one with this alias."""
        if relation is None:
            return 0
        name, whole = (relation.name,), (relation.schema, ".", relation.name)
        texts = (
            [(*whole, "as", alias), (*whole, alias), (*name, "as", alias), (*name, alias)] if alias else []
        )
        return next(filter(None, (places.of_words(*words) for words in (*texts, whole, name))), 0)


_EVENTS: dict[int, PolicyEvent] = {
    Command.INSERT: "insert",
    Command.UPDATE: "update",
    Command.DELETE: "delete",
}
