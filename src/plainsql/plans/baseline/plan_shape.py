"""The plan of a server as it is recorded: a tree without numbers, conditions and constants."""

from __future__ import annotations

from plainsql.plans.baseline.recorded_node import RecordedNode, quoted_name
from plainsql.plans.explain.plan_tree import PlanNode

__all__ = ["shape_of"]


def shape_of(node: PlanNode) -> RecordedNode:
    """Return the shape of a plan."""
    return _shape(node, "")


def _shape(node: PlanNode, outer: str) -> RecordedNode:
    # A bitmap index scan names no table: it is its bitmap heap scan's.
    table = _named(node) or (outer if node.index else "")
    notes = [node.parent.lower()] if node.parent in ("InitPlan", "SubPlan") else []
    if any(condition.kind in ("filter", "join") for condition in node.conditions):
        notes.append("filtered")
    if node.disabled:
        notes.append("disabled")
    return RecordedNode(
        " ".join(node.label.lower().split()),
        table,
        quoted_name(node.index) if node.index else "",
        tuple(notes),
        tuple(_shape(child, table or outer) for child in node.children),
    )


def _named(node: PlanNode) -> str:
    if node.relation:
        return ".".join(quoted_name(part) for part in (node.schema, node.relation) if part)
    name = node.cte or node.function
    return quoted_name(name) if name else ""
