"""The nullability of a query's results: nullable unless proved otherwise, with the reason for each
verdict.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from plainsql.analysis.cardinality.row_counts import Cardinality
from plainsql.analysis.catalog.server_catalog import Catalog
from plainsql.analysis.conditions.known_facts import NO_FACTS, ExpressionKey, Facts, Inference
from plainsql.analysis.nodes import Node
from plainsql.analysis.nullability.expression_rules import expression_verdict
from plainsql.analysis.nullability.nonnull_functions import never_null
from plainsql.analysis.nullability.returning_rules import facts_after_write
from plainsql.analysis.nullability.variable_rules import returned_set, variable_verdict
from plainsql.analysis.nullability.verdict import Context, Verdict, never, nullable
from plainsql.analysis.tree.grouping_sets import columns_in_every_set
from plainsql.analysis.tree.query_tree import Command, Scope, SetOperation, Sublink
from plainsql.analysis.tree.scopes import Scopes

__all__ = ["Nullability"]

# The field of a node that holds the type of the expression.
_TYPE_FIELDS = {
    "VAR": "vartype", "CONST": "consttype", "PARAM": "paramtype", "FUNCEXPR": "funcresulttype",
    "OPEXPR": "opresulttype", "AGGREF": "aggtype", "WINDOWFUNC": "wintype", "RELABELTYPE": "resulttype",
    "COERCEVIAIO": "resulttype", "COERCETODOMAIN": "resulttype", "ARRAYCOERCEEXPR": "resulttype",
    "CASEEXPR": "casetype", "COALESCEEXPR": "coalescetype", "MINMAXEXPR": "minmaxtype",
    "ARRAYEXPR": "array_typeid", "ROWEXPR": "row_typeid",
    "SQLVALUEFUNCTION": "type", "NULLIFEXPR": "opresulttype",
}  # fmt: skip
_BOOLEAN_KINDS = frozenset(
    {"BOOLEXPR", "NULLTEST", "BOOLEANTEST", "DISTINCTEXPR", "SCALARARRAYOPEXPR", "ROWCOMPAREEXPR"}
)
_BOOL_OID = 16


class Nullability:
    """The proof, for the queries of one statement, that values cannot be null."""

    def __init__(
        self,
        catalog: Catalog,
        scopes: Scopes,
        cardinality: Cardinality,
        refusing: frozenset[int] = frozenset(),
        *,
        in_the_past: bool = False,
    ) -> None:
        """Prove for a statement; ``refusing`` are the numbers of the parameters to which null is never bound.

        With ``in_the_past``, the rows were read earlier, when the tables may have had other constraints.
        """
        self.catalog = catalog
        self.scopes = scopes
        self.cardinality = cardinality
        self.refusing = refusing
        self.in_the_past = in_the_past
        self.inference = Inference(catalog)
        # A sub-select is reached from several places, and not all of them know as much.
        self._outputs: dict[tuple[int, Hashable, Facts], list[Verdict]] = {}
        self._assumed: dict[int, list[Verdict]] = {}
        self._rows: dict[int, Context] = {}
        self._past: Nullability | None = None

    def outputs(
        self, scope: Scope, outside: Context | None = None, of_row: Facts = NO_FACTS
    ) -> list[Verdict]:
        """Return a verdict for each column that a query returns.

        ``outside`` is the context of the query, ``of_row`` the facts about the rows that are read from it.
        """
        key = (scope.query.id, outside.known if outside is not None else None, of_row)
        known = self._assumed.get(scope.query.id, self._outputs.get(key))
        if known is None:
            known = (
                self._compute_recursive(scope, outside)
                if self._is_recursive(scope)
                else self._compute(scope, outside, of_row)
            )
            self._outputs[key] = known
        return known

    @property
    def past(self) -> Nullability:
        """Return the prover for rows that a materialised view has read: no constraint of a table proves
        anything.
        """
        if self._past is None:
            scopes = Scopes(self.catalog)
            cardinality = Cardinality(self.catalog, scopes, locks=True)
            self._past = Nullability(self.catalog, scopes, cardinality, in_the_past=True)
        return self._past

    def expression(self, node: Node, context: Context) -> Verdict:
        """Return the verdict for an expression in its context."""
        return expression_verdict(self, node, context)

    def variable(self, node: Node, context: Context) -> Verdict:
        """Return the verdict for a variable."""
        return variable_verdict(self, node, context)

    def returned_set(self, node: Node, context: Context) -> Verdict:
        """Return the verdict for a set-returning call in the select list."""
        if context.scope.query.returned_sets() != 1:
            return nullable("the shorter of several sets is filled with nulls")
        return returned_set(self, node, 1, context)

    def rows(self, scope: Scope, outside: Context | None = None) -> Context:
        """Return the context of every row of a query's ``from`` and ``where``."""
        known = self._rows.get(scope.query.id)
        if known is None or outside is not None:
            base = Context(scope)
            if outside is not None:
                base = replace(outside, scope=scope)
            known = self._rows[scope.query.id] = base.with_facts(self.cardinality.facts(scope))
        return known

    def output_context(
        self, scope: Scope, outside: Context | None = None, of_row: Facts = NO_FACTS
    ) -> Context:
        """Return the context of the expressions that a query returns; the query is no set operation."""
        context = self.rows(scope, outside)
        if scope.query.command == Command.SELECT:
            return self._grouped(scope, context).with_facts(of_row)
        return facts_after_write(self, scope, context)

    def _compute(self, scope: Scope, outside: Context | None, of_row: Facts = NO_FACTS) -> list[Verdict]:
        query = scope.query
        if (operation := query.set_operation()) is not None:
            return self._set_operation(operation, scope, self.rows(scope, outside))
        context = self.output_context(scope, outside, of_row)
        return [
            self.expression(expression, context) if expression is not None else nullable("no expression")
            for expression in (output.node("expr") for output in query.outputs)
        ]

    def _grouped(self, scope: Scope, context: Context) -> Context:
        query = scope.query
        having = query.node.node("havingQual")
        left_out: frozenset[ExpressionKey] = frozenset()
        if query.node.nodes("groupingSets") and not query.node.flag("hasGroupRTE"):
            kept = columns_in_every_set(query)
            keys = []
            for clause in query.node.nodes("groupClause"):
                reference = clause.number("tleSortGroupRef")
                target = query.sort_group_expression(reference)
                expression = target.node("expr") if target is not None else None
                if reference not in kept and expression is not None:
                    keys.append(self.inference.grouping_key(expression, scope))
            left_out = frozenset(keys)
        context = replace(context, left_out=context.left_out | left_out)
        return context.with_facts(self.inference.if_true(having, scope))

    def _set_operation(self, node: Node, scope: Scope, context: Context) -> list[Verdict]:
        if node.kind == "RANGETBLREF":
            entry = scope.query.entry(node.number("rtindex"))
            inner = self.scopes.of_entry(entry, scope) if entry is not None else None
            return [verdict.alone() for verdict in self.outputs(inner, context)] if inner is not None else []
        left, right = node.node("larg"), node.node("rarg")
        if left is None or right is None:
            return []
        first = self._arm(left, node, scope, context)
        second = self._arm(right, node, scope, context)
        match node.number("op"):
            case SetOperation.EXCEPT:
                return first
            case SetOperation.INTERSECT:
                return [one if not one.nullable else other for one, other in zip(first, second, strict=False)]
            case _:
                pass
        return [one if one.nullable else other for one, other in zip(first, second, strict=False)]

    def _arm(self, arm: Node, node: Node, scope: Scope, context: Context) -> list[Verdict]:
        """Return the verdicts for one arm of a set operation, after the planner's casts to the common
        types.
        """
        verdicts = self._set_operation(arm, scope, context)
        targets = node.numbers("colTypes")
        if arm.kind != "RANGETBLREF":
            sources: list[int] = list(arm.numbers("colTypes"))
        else:
            entry = scope.query.entry(arm.number("rtindex"))
            inner = self.scopes.of_entry(entry, scope) if entry is not None else None
            sources = [self.type_of(output.node("expr")) for output in inner.query.outputs] if inner else []
        return [
            verdict
            if verdict.nullable or self._cast_keeps(source, target)
            else nullable("a cast may give null")
            for verdict, source, target in zip(verdicts, sources, targets, strict=False)
        ]

    def type_of(self, node: Node | None) -> int:
        """Return the type of an expression; 0 if its node does not show it in a known way."""
        if node is None:
            return 0
        if node.kind in _BOOLEAN_KINDS:
            return _BOOL_OID
        if node.kind == "SUBLINK" and node.number("subLinkType") != Sublink.EXPR:
            return _BOOL_OID if node.number("subLinkType") < Sublink.ROWCOMPARE else 0
        if node.kind == "SUBLINK" and (inner := node.node("subselect")) is not None:
            targets = inner.nodes("targetList")
            return self.type_of(targets[0].node("expr")) if targets else 0
        if node.kind == "COLLATEEXPR":
            return self.type_of(node.node("arg"))
        return node.number(_TYPE_FIELDS.get(node.kind, ""))

    def _cast_keeps(self, source: int, target: int) -> bool:
        types, casts = self.catalog.types, self.catalog.routines.casts
        source, target = types.base(source), types.base(target)
        if source == target:
            return True
        if (source, target) in casts:
            function = casts[source, target]
            return not function or never_null(self.catalog, function) is not None
        return self.catalog.type(source).kind == self.catalog.type(target).kind == "array"

    def _is_recursive(self, scope: Scope) -> bool:
        if scope.query.set_operation() is None:
            return False
        return any(
            entry.node.flag("self_reference") and self.scopes.of_entry(entry, inner) is scope
            for inner in self.scopes.all(scope)
            for entry in inner.query.entries
        )

    def _compute_recursive(self, scope: Scope, outside: Context | None) -> list[Verdict]:
        """Assume that no column of the recursive query is null, and drop the assumptions that do not
        follow.
        """
        width = len(scope.query.outputs)
        assumed = [never("not null in any step of the recursion") for _ in range(width)]
        before = set(self._outputs), set(self._rows)
        while True:
            self._assumed[scope.query.id] = assumed
            found = self._compute(scope, outside)
            del self._assumed[scope.query.id]
            # All verdicts under the assumption go with it.
            self._outputs = {key: value for key, value in self._outputs.items() if key in before[0]}
            self._rows = {key: value for key, value in self._rows.items() if key in before[1]}
            if all(old.nullable or not new.nullable for old, new in zip(assumed, found, strict=False)):
                return found
            assumed = [old if not new.nullable else new for old, new in zip(assumed, found, strict=False)]
