"""The judgement of a plan by the recorded one: the same, better, different or worse, with the reasons."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from plainsql.plans.baseline.magnitude import is_near, keep_step, nearest_step
from plainsql.plans.baseline.plan_file import RecordedPlan
from plainsql.plans.baseline.recorded_node import RecordedNode

__all__ = ["Judgement", "Verdict", "judge", "recorded_plan"]

Verdict: TypeAlias = Literal["same", "better", "different", "worse"]

_WORSE_FACTOR: Final = 10
"""The same work at so many times the recorded cost is worse; less is reported as different."""

_CHEAP: Final = 30
"""A cost up to which another plan is no worse one: that of reading some pages."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The judgement of one variant's plan."""

    verdict: Verdict
    reasons: tuple[str, ...]
    recorded: RecordedPlan
    now: RecordedPlan
    """The plan to record; the recorded one if it is the same."""


def recorded_plan(root: RecordedNode, cost: float, rows: float) -> RecordedPlan:
    """Return the record of a new plan."""
    return RecordedPlan(nearest_step(cost), nearest_step(rows), root)


def judge(
    recorded: RecordedPlan, root: RecordedNode, cost: float, rows: float, *, large: Collection[str]
) -> Judgement:
    """Judge a plan with its estimated cost and rows.

    Args:
        recorded: the recorded plan.
        root: the plan of today.
        cost: its total cost.
        rows: its rows.
        large: the tables that are too large to be scanned, as plans name them.
    """
    same_shape = root.key == recorded.root.key
    if same_shape and is_near(recorded.cost, cost) and is_near(recorded.rows, rows):
        return Judgement("same", (), recorded, recorded)
    now = RecordedPlan(
        keep_step(recorded.cost, cost),
        keep_step(recorded.rows, rows),
        recorded.root if same_shape else root,
    )
    cheaper, dearer = now.cost < recorded.cost, now.cost > recorded.cost
    reasons: list[str] = []
    if not cheaper:
        reasons += [f"scans {table}" for table in sorted((root.scanned - recorded.root.scanned) & {*large})]
        reasons += [
            f"no longer uses {index} on {table}"
            for table, index in sorted(recorded.root.indexes - root.indexes)
            if dearer or (table in large and not any(table == other for other, _ in root.indexes))
        ]
    if cost >= _WORSE_FACTOR * recorded.cost:
        reasons.append(f"costs about {now.cost // recorded.cost} times as much")
    elif dearer and not same_shape and not reasons and now.cost > _CHEAP:
        reasons.append("does other work at a higher cost")
    if reasons:
        return Judgement("worse", tuple(reasons), recorded, now)
    return Judgement("better" if cheaper else "different", (_change(recorded, now),), recorded, now)


def _change(recorded: RecordedPlan, now: RecordedPlan) -> str:
    if gained := sorted(now.root.indexes - recorded.root.indexes):
        return f"now uses {', '.join(f'{index} on {table}' for table, index in gained)}"
    if now.root is not recorded.root:
        return "does other work"
    if now.cost != recorded.cost:
        return f"costs about {now.cost}, not {recorded.cost}"
    return f"finds about {now.rows} rows, not {recorded.rows}"
