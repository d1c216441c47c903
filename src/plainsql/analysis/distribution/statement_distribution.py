"""The tenants whose rows a statement reads or writes: one of them, each by itself, or several together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from plainsql.analysis.catalog.relations import Relation
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.distribution.citus_notes import citus_notes
from plainsql.analysis.distribution.model import Distribution, Kind
from plainsql.analysis.distribution.tenant_doubts import TenantDoubt, TenantDoubts
from plainsql.analysis.distribution.tenant_uses import TenantUse, TenantUses
from plainsql.analysis.distribution.tenant_values import TenantValue
from plainsql.analysis.findings.examined import TextPositions
from plainsql.analysis.findings.schema_lints import quoted
from plainsql.analysis.tree.query_tree import Command, Scope

__all__ = ["distribution_of"]

_NOT_MERGED = "write it as an insert with on conflict, or as an update and an insert"


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
    return _Verdict(TenantUses(catalog, scope, names, column, reference)).distribution(TextPositions(sql))


class _Verdict:
    """The verdict about one statement."""

    def __init__(self, uses: TenantUses) -> None:
        self._uses = uses
        self._bind(by_policies=False)

    def distribution(self, places: TextPositions) -> Distribution:
        """Return the verdict, with the tables."""
        used = {str(use) for use in (*self._uses.effects.reads, *self._uses.effects.writes)}
        found = self._verdict(places)
        return replace(found, others=tuple(sorted(used - {*found.tables})))

    def _verdict(self, places: TextPositions) -> Distribution:
        """Return the verdict; a fault of one tenant is reported before a doubt."""
        tables = tuple(sorted({str(use.relation) for use in self._uses.all}))
        if self._uses.all and any(site.scope.query.command == Command.MERGE for site in self._uses.sites):
            return self._doubted(TenantDoubt("merge is not followed", _NOT_MERGED), places, tables)
        doubts = [*TenantDoubts(self._uses).all()]
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
        self._all, self._seen = (
            self._uses.bindings(by_policies=by_policies, seen=seen) for seen in (False, True)
        )

    def _doubted(self, doubt: TenantDoubt, places: TextPositions, tables: tuple[str, ...]) -> Distribution:
        kind: Kind = "across" if doubt.is_across else "unknown"
        position = self._position(doubt.relation, places)
        return Distribution(kind, doubt.because, hint=doubt.hint, position=position, tables=tables)

    def _of_uses(self, places: TextPositions, tables: tuple[str, ...]) -> Distribution:
        if not self._uses.all:
            named = [*self._uses.effects.reads, *self._uses.effects.writes]
            if named:
                return Distribution("reference", "its tables do not have the column")
            return Distribution("none", "it reads and writes no table")
        each = [(use, self._all.of(use.site.scope, use.entry.index, use.column)) for use in self._uses.all]
        fixed = [(use, {value for value in found if not value.is_column}) for use, found in each]
        common = set[TenantValue].intersection(*(values for _, values in fixed))
        if common:
            return self._of_one_tenant(common, places, tables)
        free = next((use for use, values in each if use.event == "insert" and len(values) == 1), None)
        is_joined = set[TenantValue].intersection(*(values for _, values in each))
        if is_joined and free is None and not any(values for _, values in fixed):
            use = self._uses.all[0]
            return Distribution(
                "joined",
                f"it reads every tenant: {use.text} is not compared with one {self._uses.column}"
                + (f", and joined on {self._uses.column}" if len(self._uses.all) > 1 else ""),
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
            f"the inserted value of {self._uses.column} in {unbound.text} may differ by row"
            if inserts
            else f"{unbound.text} is not bound to the tenant"
            + (f" of {bound.text}" if bound is not None else "")
        )
        return Distribution(
            "across",
            because,
            hint=f"insert one value: a parameter, or the {self._uses.column} of the rows that are read"
            if inserts
            else self._remedy(unbound, bound),
            position=self._position(unbound.relation, places, unbound.entry.alias),
            tables=tables,
        )

    def _of_one_tenant(
        self,
        common: Collection[TenantValue],
        places: TextPositions,
        tables: tuple[str, ...],
    ) -> Distribution:
        """Return the verdict about rows of one tenant; a value to insert need not be known to a planner."""
        reads = [use for use in self._uses.all if use.event != "insert"]
        seen = [self._seen.of(use.site.scope, use.entry.index, use.column) & {*common} for use in reads]
        # One value that planners see everywhere: two that happen to be equal are two partitions to them.
        by_all = {*common}.intersection(*seen)
        best = self._best(by_all or common)
        unseen = (
            None
            if by_all
            else next(use for use, values in zip(reads, seen, strict=True) if best not in values)
        )
        if not best.is_fixed and self._uses.changes_settings:
            doubt = TenantDoubt(
                f"set_config may change {best.text} while it runs", "set it in a statement of its own, before"
            )
            return self._doubted(doubt, places, tables)
        if unseen is None:
            return Distribution(
                "tenant",
                f"{self._uses.column} is {best.text}",
                best.text,
                tables=tables,
                citus=citus_notes(self._uses, best),
            )
        alias = unseen.entry.alias or unseen.relation.name
        return Distribution(
            "unseen",
            f"planners do not see that {unseen.text} has the tenant {best.text}: it comes from a query that"
            " they plan by itself",
            best.text,
            hint=f"repeat it: add {alias}.{self._uses.column} = {best.text if best.text[0] == ':' else '…'}",
            position=self._position(unseen.relation, places, unseen.entry.alias),
            tables=tables,
        )

    @staticmethod
    def _best(values: Collection[TenantValue]) -> TenantValue:
        """Return the value that most planners see: a parameter."""
        return min(values, key=lambda value: (not value.is_fixed, not value.text.startswith(":"), value.text))

    def _several(
        self,
        fixed: Sequence[tuple[TenantUse, set[TenantValue]]],
        places: TextPositions,
        tables: tuple[str, ...],
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

    def _remedy(self, use: TenantUse, other: TenantUse | None = None) -> str:
        alias = use.entry.alias or use.relation.name
        value = (
            f"{other.entry.alias or other.relation.name}.{self._uses.column}" if other is not None else "…"
        )
        if other is not None and other.site.scope.query.id != use.site.scope.query.id:
            value = "the same value as in the other query"
        return f"add {alias}.{self._uses.column} = {value}; or allow it: allow: fans-out: the reason"

    @staticmethod
    def _position(relation: Relation | None, places: TextPositions, alias: str = "") -> int:
        """Return the place where a table is mentioned, if there is only one, or one with this alias."""
        if relation is None:
            return 0
        # As the text has them: names in quotes keep these.
        table, schema, alias = (
            quoted(each).lower() if each else "" for each in (relation.name, relation.schema, alias)
        )
        name, whole = (table,), (schema, ".", table)
        texts = (
            [(*whole, "as", alias), (*whole, alias), (*name, "as", alias), (*name, alias)] if alias else []
        )
        found = (places.of_words(*words) for words in (*texts, whole, name))
        # A table without an alias: its name is also before the dots of its columns.
        after = (places.of_words(word, *name, at=1) for word in ("from", "join", "into", "update"))
        return next(filter(None, (*found, *after)), 0)
