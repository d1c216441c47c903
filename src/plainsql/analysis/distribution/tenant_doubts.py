"""The reasons why the tenants of a statement are not known, or are several, whatever its equalities say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from plainsql.analysis.catalog.function_annotations import annotated_tables, kept_columns
from plainsql.analysis.catalog.relations import Relation
from plainsql.analysis.catalog.routines import Function
from plainsql.analysis.conditions.equalities import plain_variable, strip_relabel
from plainsql.analysis.distribution.tenant_uses import TenantUse, TenantUses
from plainsql.analysis.nodes import Node
from plainsql.analysis.tree.query_sites import QuerySite
from plainsql.analysis.tree.query_tree import Command

__all__ = ["TenantDoubt", "TenantDoubts"]

_ON_CONFLICT_UPDATE = 2


@dataclass(frozen=True, slots=True)
class TenantDoubt:
    """A reason why the tenants of a statement are not known, or are several."""

    because: str
    hint: str
    relation: Relation | None = None
    is_across: bool = False
    """True if the statement is known to reach several tenants."""


class TenantDoubts:
    """The doubts about one statement: its triggers and functions, and writes that move rows."""

    def __init__(self, uses: TenantUses) -> None:
        self._uses = uses

    def all(self) -> Iterator[TenantDoubt]:
        """Yield the doubts, in the order in which they are reported."""
        yield from self._of_statement()
        yield from self._of_hidden_uses()
        for use in self._uses.all:
            if use.event == "select":
                continue
            yield from self._of_write(use)
        yield from self._of_views()
        yield from self._of_functions()
        yield from self._of_triggers()

    def _of_statement(self) -> Iterator[TenantDoubt]:
        for write in self._uses.effects.writes:
            relation = self._uses.catalog.relation_named(write.schema, write.table)
            if (
                write.action == "truncate"
                and relation is not None
                and self._uses.number(relation) is not None
            ):
                yield TenantDoubt(
                    f"truncate removes the rows of all tenants of {relation}",
                    f"delete the rows of one tenant: where {self._uses.column} = …",
                    relation,
                    is_across=True,
                )
        for what in sorted(self._uses.effects.opaque):
            if not what.startswith("trigger ") and not self._is_followed(what):
                yield TenantDoubt(
                    f"{what} may read or write tables that are not known",
                    "write out what it does, or declare in its comment what it reads and writes",
                )

    def _of_hidden_uses(self) -> Iterator[TenantDoubt]:
        """Yield the policies, the defaults and the foreign keys that use rows of any tenant."""
        for what in (*self._uses.effects.reads, *self._uses.effects.writes):
            relation = self._uses.catalog.relation_named(what.schema, what.table)
            if relation is None or self._uses.number(relation) is None:
                continue
            name = what.via.removeprefix("foreign key ")
            if name != what.via:
                if not self._holds_tenant(name):
                    yield TenantDoubt(
                        f"the foreign key {name} changes rows of {relation}, of any tenant",
                        f"add {self._uses.column} to both sides of the foreign key",
                        relation,
                        is_across=True,
                    )
            elif what.via and not what.via.startswith(("function ", "trigger ", "view ", "inherits from ")):
                yield TenantDoubt(
                    f"the {what.via} reads {relation}, of any tenant",
                    "move the query into a function, and add"
                    f" 'plainsql: reads {relation}; keeps {self._uses.column}' to its comment",
                    relation,
                )

    def _holds_tenant(self, name: str) -> bool:
        """Return whether all foreign keys with a name compare the column on both sides."""
        catalog = self._uses.catalog
        found = [
            (key, catalog.relation(key.table), other)
            for other in catalog.relations()
            for key in other.referenced_by
            if key.name == name
        ]
        return bool(found) and all(
            relation is not None
            and (self._uses.number(relation), self._uses.number(other))
            in [*zip(key.columns, key.referenced_columns, strict=False)]
            for key, relation, other in found
        )

    def _is_followed(self, name: str) -> bool:
        """Return whether a function is in SQL and only reads: the tables of its body are known."""
        for function in self._functions_named(name):
            body = self._uses.catalog.body(function) if function.language == "sql" else None
            if function.volatility == "volatile" or body is None or not body.trees:
                return False
        return bool(self._functions_named(name))

    def _functions_named(self, name: str) -> list[Function]:
        return [each for each in self._uses.catalog.routines.functions.values() if str(each) == name]

    def _of_write(self, use: TenantUse) -> Iterator[TenantDoubt]:
        query = use.site.scope.query
        targets = query.target_list if use.event == "update" else []
        conflict = query.node.node("onConflict")
        if conflict is not None and conflict.number("action") == _ON_CONFLICT_UPDATE:
            targets = conflict.nodes("onConflictSet")
            if use.column not in self._uses.arbiters(conflict):
                yield TenantDoubt(
                    f"on conflict of {use.relation} does not have {self._uses.column}: the row that is there"
                    " may be of another tenant",
                    f"add {self._uses.column} to the unique key, and to the target of on conflict",
                    use.relation,
                    is_across=True,
                )
        if any(
            each.number("resno") == use.column
            and not each.flag("resjunk")
            and not self._is_unchanged(each.node("expr"), use)
            for each in targets
        ):
            yield TenantDoubt(
                f"it changes {self._uses.column} of {use.relation}: the row would move to another server",
                f"leave {self._uses.column} as it is; move a tenant by an insert and a delete",
                use.relation,
                is_across=True,
            )

    def _is_unchanged(self, value: Node | None, use: TenantUse) -> bool:
        """Return whether a value is the column's own: that of the row, or that of the row to insert.

        Both are of one tenant if the target of `on conflict` holds the column.
        """
        node = strip_relabel(value) if value is not None else None
        if node is None or node.kind != "VAR" or node.number("varlevelsup"):
            return False
        conflict = use.site.scope.query.node.node("onConflict")
        own = {use.entry.index, conflict.number("exclRelIndex") if conflict is not None else 0}
        return node.number("varno") in own and node.number("varattno") == use.column

    def _of_views(self) -> Iterator[TenantDoubt]:
        for site in self._uses.sites:
            query = site.scope.query
            entry = query.entry(query.result_relation)
            relation = self._uses.catalog.relation(entry.relation) if entry and entry.relation else None
            if relation is None or relation.kind != "v":
                continue
            if query.command == Command.INSERT:
                yield TenantDoubt(
                    f"an insert into the view {relation} is not followed", "insert into its table"
                )
            if query.command == Command.UPDATE and any(
                not each.flag("resjunk") and self._is_tenant_of_view(site, query.result_relation, each)
                for each in query.target_list
            ):
                yield TenantDoubt(
                    f"it changes {self._uses.column} of {relation}: the row would move to another server",
                    f"leave {self._uses.column} as it is; move a tenant by an insert and a delete",
                    relation,
                    is_across=True,
                )
        for use in self._uses.all:
            if use.relation.kind in "fm":
                kind = "foreign table" if use.relation.kind == "f" else "materialised view"
                yield TenantDoubt(
                    f"{use.relation} is a {kind}: its rows are of all tenants and on one server",
                    "read the tables instead",
                    use.relation,
                )

    def _is_tenant_of_view(self, site: QuerySite, index: int, target: Node) -> bool:
        """Return whether a column of a view is the distribution column of a table, also through views."""
        column = target.number("resno")
        while True:
            below = next(
                (
                    each
                    for each in self._uses.sites
                    if each.reader is site.scope and each.entry is not None and each.entry.index == index
                ),
                None,
            )
            outputs = below.scope.query.outputs if below is not None else []
            node = outputs[column - 1].node("expr") if 0 < column <= len(outputs) else None
            plain = plain_variable(node, below.scope) if node is not None and below is not None else None
            entry = below.scope.query.entry(plain[0]) if plain is not None and below is not None else None
            relation = self._uses.catalog.relation(entry.relation) if entry and entry.relation else None
            if below is None or plain is None or relation is None:
                return True  # not known
            if relation.kind != "v":
                return self._uses.number(relation) == plain[1]
            site, index, column = below, plain[0], plain[1]

    def _of_functions(self) -> Iterator[TenantDoubt]:
        for what in (*self._uses.effects.reads, *self._uses.effects.writes):
            relation = self._uses.catalog.relation_named(what.schema, what.table)
            if (
                relation is None
                or self._uses.number(relation) is None
                or not what.via.startswith("function ")
            ):
                continue
            name = what.via.removeprefix("function ")
            functions = self._functions_named(name)
            if not all(self._is_declared(each) for each in functions) or not functions:
                yield self._undeclared(f"the function {name}", relation, functions)

    def _of_triggers(self) -> Iterator[TenantDoubt]:
        for name in sorted(self._uses.effects.triggers):
            table, _, own = name.rpartition(".")
            schema, _, table = table.rpartition(".")
            relation = self._uses.catalog.relation_named(schema, table)
            triggers = [each for each in relation.triggers if each.name == own] if relation else []
            if relation is None or not triggers:
                yield TenantDoubt(f"the trigger {name} is not known", "run plainsql check again")
                continue
            for trigger in triggers:
                function = self._uses.catalog.function(trigger.function)
                if trigger.body is not None:
                    changes = trigger.body.changes
                    if changes is not None and self._uses.column not in changes:
                        continue
                elif function is not None and (
                    self._is_declared(function)
                    or (
                        (not trigger.rewrites or self._uses.number(relation) is None)
                        and self._touches_no_tenant(function)
                    )
                ):
                    continue
                yield self._undeclared(f"the trigger {name}", relation, [function] if function else [])

    def _is_declared(self, function: Function) -> bool:
        return self._uses.column in kept_columns(function.comment)

    def _touches_no_tenant(self, function: Function) -> bool:
        """Return whether a comment lists what a function reads and writes, and none of it is distributed."""
        named = [annotated_tables(function.comment, verb) for verb in ("reads", "writes")]
        if named[1] is None:
            return False
        tables = [self._uses.catalog.relation_named(*table) for table in (named[0] or frozenset()) | named[1]]
        return all(table is not None and self._uses.number(table) is None for table in tables)

    def _undeclared(self, what: str, relation: Relation, functions: Sequence[Function]) -> TenantDoubt:
        function = f"{functions[0].schema}.{functions[0].name}" if functions else "its function"
        return TenantDoubt(
            f"{what} may use rows of other tenants",
            f"if it keeps to the tenant of its row or session, add 'plainsql: keeps {self._uses.column}'"
            f" to the comment on {function}",
            relation,
        )
