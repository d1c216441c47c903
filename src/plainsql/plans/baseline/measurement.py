"""The tested plan of each variant of a query: the one that the plan cache takes for a typical call."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import psycopg
from psycopg import Connection

from plainsql.plans.baseline.plan_shape import shape_of
from plainsql.plans.baseline.query_report import MeasuredPlan
from plainsql.plans.baseline.tested_variants import tested_variants
from plainsql.plans.baseline.variant_sets import facts_of
from plainsql.plans.explain.plan_tree import PlanNode
from plainsql.plans.explain.planning_session import apply_settings, planning_session
from plainsql.plans.explain.query_plans import Call, default_text, refused, refused_call
from plainsql.plans.explain.server_plans import PlannedStatement
from plainsql.plans.explain.typical_calls import drawn_calls, example_calls
from plainsql.statements import Statement, Variant

__all__ = ["measured_plans"]


def measured_plans(
    connection: Connection[Any], statement: Statement, search_path: str = ""
) -> list[MeasuredPlan]:
    """Return the tested plan of each tested variant of a query.

    Args:
        connection: a connection in autocommit mode that prepares no statement by itself, to a database of
            plainsql's own.
        statement: the query.
        search_path: the application's search path; empty for the connection's own.

    Raises ``ContractError`` if PostgreSQL refuses the query, and ``BindError`` if it cannot read a value of
    an example in its header.
    """
    calls = example_calls(statement)
    if not calls:
        with connection.transaction(force_rollback=True):
            apply_settings(connection, search_path)
            calls, _ = drawn_calls(connection, statement)
    found = []
    with planning_session(connection, statement, search_path=search_path, own=True):
        for variant in tested_variants(statement):
            plan = _tested_plan(connection, statement, variant, calls)
            facts = facts_of(statement, variant)
            found.append(MeasuredPlan(facts, shape_of(plan), plan.total_cost, plan.rows))
    return found


def _tested_plan(
    connection: Connection[Any], statement: Statement, variant: Variant, calls: Sequence[Call]
) -> PlanNode:
    """Return the plan that runs after five calls of the first typical call; generic if there is no call.

    The choice of the plan cache is left out if both plans have one shape, as it costs eight statements. The
    custom plan's cost is then nearer to the truth: a generic plan assumes that ``limit`` leaves a tenth of
    the rows.
    """
    call = next((each for each in calls if each.serves(statement, variant)), None)
    try:
        with connection.transaction():
            generic = PlannedStatement.plan_of(connection, variant.sql)
            if call is None:
                return generic
            values = [call.values.get(name, default_text(statement, name)) for name in variant.parameters]
            custom = PlannedStatement.custom_plan_of(connection, variant.sql, values)
            if shape_of(custom) == shape_of(generic):
                return custom
            with closing(PlannedStatement(connection, variant.sql)) as planned:
                return generic if planned.choice(values) == "generic" else custom
    except psycopg.Error as error:
        if isinstance(error, psycopg.DataError) and call is not None and not call.required:
            # A value that was drawn is outside of an expression's range.
            return _tested_plan(connection, statement, variant, ())
        if call is not None:
            raise refused_call(connection, error, statement, variant, call) from None
        raise refused(error, statement, variant) from None
