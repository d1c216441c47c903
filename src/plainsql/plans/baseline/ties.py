"""Ties of two indexes: among plans with equal costs, the planner chooses by the order of creation."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from psycopg import Connection

from plainsql.plans.baseline.measurement import measured_plans
from plainsql.plans.baseline.plan_file import RecordedPlan
from plainsql.plans.baseline.query_report import MeasuredPlan
from plainsql.plans.baseline.recorded_node import quoted_name
from plainsql.plans.baseline.variant_sets import VariantSet, plan_of_variant
from plainsql.statements import Statement

__all__ = ["break_ties"]

_EQUAL: Final = 1.01
"""The planner takes costs to be equal that differ by one percent (``STD_FUZZ_FACTOR``)."""
_INDEXES: Final = """
select i.indexrelid::bigint, c.relname
from pg_catalog.pg_index as i
inner join pg_catalog.pg_class as c on i.indexrelid = c.oid
where i.indrelid = pg_catalog.to_regclass(%s)
"""


def break_ties(
    connection: Connection[Any],
    statement: Statement,
    recorded: Sequence[tuple[VariantSet, RecordedPlan]],
    measured: Sequence[MeasuredPlan],
    *,
    search_path: str = "",
) -> Sequence[MeasuredPlan]:
    """Return the plans, with the recorded one for each variant in which it costs as much as another.

    The indexes that the recorded plans do not use are hidden from the planner, in a transaction that is
    rolled back.
    """
    gained: set[tuple[str, str]] = set()
    for plan in measured:
        before = plan_of_variant(recorded, plan.facts)
        if before is not None:
            gained |= plan.root.indexes - before.root.indexes
    oids = _oids(connection, gained)
    if not oids:
        return measured
    with connection.transaction(force_rollback=True):
        connection.execute("set transaction read write")
        connection.execute(
            "update pg_catalog.pg_index set indisvalid = false where indexrelid = any(%s::oid[])", [oids]
        )
        others = measured_plans(connection, statement, search_path)
    return [
        other if _is_tie(plan, other, plan_of_variant(recorded, plan.facts)) else plan
        for plan, other in zip(measured, others, strict=True)
    ]


def _is_tie(plan: MeasuredPlan, other: MeasuredPlan, recorded: RecordedPlan | None) -> bool:
    return (
        recorded is not None
        and other.root.key == recorded.root.key
        and max(plan.cost, other.cost) <= _EQUAL * min(plan.cost, other.cost)
    )


def _oids(connection: Connection[Any], indexes: Collection[tuple[str, str]]) -> list[int]:
    names = {table: {name for other, name in indexes if other == table} for table, _ in indexes}
    return [
        oid
        for table, wanted in names.items()
        for oid, name in connection.execute(_INDEXES, [table]).fetchall()
        if quoted_name(name) in wanted
    ]
