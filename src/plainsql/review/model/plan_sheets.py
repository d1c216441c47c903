"""The plans of a query as a sheet shows them: each shape once, with the calls that run it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from plainsql.plans.explain.explained_query import ExplainedQuery
from plainsql.plans.explain.plan_tree import PlanNode, Shape
from plainsql.plans.explain.query_plans import VariantPlans
from plainsql.review.model.sheets import PlanLine, PlanSheet, PlanUse, QueryPlanSheet

__all__ = ["query_plan_sheet"]

_MAX_PLANS: Final = 12


def query_plan_sheet(explained: ExplainedQuery) -> QueryPlanSheet:
    """Return the plans that run after five calls, the most expensive call of each shape."""
    plans = explained.plans
    shapes: dict[Shape, list[tuple[PlanNode, PlanUse]]] = {}
    for variant in plans.variants:
        for plan, use in _running(variant):
            shapes.setdefault(plan.shape, []).append((plan, use))
    sheets = []
    for members in shapes.values():
        costs = [plan.total_cost for plan, _ in members]
        most = max(members, key=lambda member: member[0].total_cost)
        sheets.append(
            PlanSheet(
                tuple(_lines(most[0], 0)),
                tuple(use for _, use in members),
                min(costs),
                max(costs),
                shown=most[1],
            )
        )
    return QueryPlanSheet(
        tuple(sheets[:_MAX_PLANS]),
        explained.observations,
        role=plans.role,
        total_variants=plans.total_variants,
        explained_variants=len(plans.variants),
        left_out=max(len(sheets) - _MAX_PLANS, 0),
    )


def _running(variant: VariantPlans) -> Iterator[tuple[PlanNode, PlanUse]]:
    """Yield the plans that run, each with its call."""
    cached = {call.call: call.cached for call in variant.calls}
    for call, plan in variant.running:
        yield plan, PlanUse(variant.name, call, cached.get(call, "generic"))
    if variant.joined is not None:
        yield variant.joined, PlanUse(variant.name, "", "joined")


def _lines(node: PlanNode, depth: int, whole: float = 0) -> Iterator[PlanLine]:
    whole = whole or node.total_cost
    own = max(node.total_cost - sum(child.total_cost for child in node.children), 0)
    yield PlanLine(
        depth,
        f"{node.subplan}: {node.label}" if node.subplan else node.label,
        node.table or node.function or node.cte,
        node.alias if node.alias != node.relation else "",
        node.index,
        ", ".join(node.sort_key or node.group_key),
        node.rows,
        node.total_cost,
        min(round(10 * own / whole), 10) if whole else 0,
        tuple((condition.kind, condition.text) for condition in node.conditions),
    )
    for child in node.children:
        yield from _lines(child, depth + 1, whole)
