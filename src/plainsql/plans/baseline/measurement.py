"""The tested plan of each variant of a query: the one that the plan cache takes for a typical call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from psycopg import Connection

from plainsql.plans.baseline.plan_shape import shape_of
from plainsql.plans.baseline.query_report import MeasuredPlan
from plainsql.plans.baseline.tested_variants import tested_variants
from plainsql.plans.baseline.variant_sets import facts_of
from plainsql.plans.explain.plan_tree import PlanNode
from plainsql.plans.explain.query_plans import VariantPlans, explain_query
from plainsql.statements import Statement

__all__ = ["measured_plans"]


def measured_plans(connection: Connection[Any], statement: Statement) -> Iterator[MeasuredPlan]:
    """Yield the tested plan of each tested variant of a query.

    Raises ``ContractError`` if PostgreSQL refuses the query.
    """
    variants = tested_variants(statement)
    plans = explain_query(connection, statement, variants=variants, max_variants=len(variants))
    for variant, found in zip(variants, plans.variants, strict=True):
        tested = _tested_plan(found)
        yield MeasuredPlan(facts_of(statement, variant), shape_of(tested), tested.total_cost, tested.rows)


def _tested_plan(found: VariantPlans) -> PlanNode:
    """Return the plan that runs after five calls of the first typical call.

    If the custom plan has the shape of the generic one, its cost is nearer to the truth: a generic plan
    assumes that ``limit`` leaves a tenth of the rows.
    """
    call = next((each for each in found.calls if each.plan is not None), None)
    if call is None or call.plan is None:
        return found.generic
    if call.cached == "generic" and shape_of(call.plan) != shape_of(found.generic):
        return found.generic
    return call.plan
