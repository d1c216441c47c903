"""The facts of plans that a DBA looks for, each with its numbers.

They are about the plans that run: for each typical call the one that the plan cache takes after five calls.
A fact of a generic plan that is never taken would be false.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, Literal

import msgspec

from plainsql.plans.explain.plan_tree import PlanNode
from plainsql.plans.explain.query_plans import QueryPlans, VariantPlans
from plainsql.plans.explain.table_facts import PlanFacts

__all__ = ["LARGE_TABLE_ROWS", "NAMES", "Observation", "observe"]

LARGE_TABLE_ROWS: Final = 10_000
"""A scan of a table with fewer rows is no observation."""
_DISCARDED_ROWS: Final = 10_000
_KEPT_SHARE: Final = 0.1
"""Discarded rows are an observation if fewer than this share of the rows read is kept."""
_ROUNDS: Final = 10_000
_SORTED_ROWS: Final = 1_000
_JOINED_CALLS: Final = 10
"""The calls that the planner assumes in the joined form: the elements of an array that it does not know."""

NAMES: Final = {
    "large-scan": "all rows of a large table are read",
    "rows-thrown-away": "most rows that are read are discarded by a filter",
    "spill": "a sort or a hash is larger than its memory, and goes to disk",
    "many-rounds": "the inner side of a nested loop runs many times",
    "order-not-used": "rows are sorted for a limit, although an index begins with the order",
    "generic-differs": "the generic plan does other work than the plan for the values",
    "joined-differs": "concurrent calls run as one statement, which reads a table in another way",
}
"""The observations by name."""

_TUPLE_OVERHEAD: Final = 24
"""The bytes that the planner adds to a sorted row: the header of a tuple (``relation_byte_size``)."""
_HASH_OVERHEAD: Final = 32
"""The bytes that a hash adds to a row: its entry and the header (``ExecChooseHashTableSize``)."""
_BLOCKING: Final = frozenset({"Sort", "Incremental Sort", "Hash", "Materialize", "Bitmap Heap Scan"})
_SCANS: Final = frozenset({"Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan"})
_SORT_KEY: Final = re.compile(r'(?:(?:"[^"]+"|\w+)\.)?("[^"]+"|\w+)(?: COLLATE \S+)?( DESC)?(?: NULLS \w+)?')


class Observation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One fact about the plans of a query."""

    name: str
    """One of ``NAMES``."""
    message: str
    """A sentence with the numbers, about the first plan that has it."""
    node: str
    """The label of the plan's node, such as ``Seq Scan``."""
    table: str = ""
    index: str = ""
    cached: Literal["", "custom", "generic"] = ""
    """For ``generic-differs``: the plan that runs after five calls. Each choice is an observation of its
    own: the two mean different things."""
    variant: str = ""
    """The variant of the first plan that has it."""
    variants: int = 1
    """The number of variants that have it."""
    calls: tuple[str, ...] = ()
    """The typical calls whose plans have it; empty if it is of the generic plan alone."""


def observe(plans: QueryPlans, facts: PlanFacts) -> tuple[Observation, ...]:
    """Return the observations about the plans of a query, in the order of ``NAMES``.

    The same fact in several variants or calls is one observation.
    """
    merged: dict[tuple[str, ...], Observation] = {}
    for variant in plans.variants:
        own: set[tuple[str, ...]] = set()
        for each in _of_variant(variant, facts):
            key = (each.name, each.node, each.table, each.index, each.cached)
            known = merged.get(key)
            if known is None:
                merged[key] = each
            else:
                calls = dict.fromkeys((*known.calls, *each.calls))
                merged[key] = msgspec.structs.replace(
                    known, calls=tuple(calls), variants=known.variants + (key not in own)
                )
            own.add(key)
    return tuple(sorted(merged.values(), key=lambda each: list(NAMES).index(each.name)))


def _of_variant(variant: VariantPlans, facts: PlanFacts) -> Iterator[Observation]:
    for call, plan in variant.running:
        calls = (call,) if call else ()
        for check in _CHECKS:
            for each in check(plan, facts):
                yield msgspec.structs.replace(each, variant=variant.name, calls=calls)
    for found in (*_generic_differs(variant), *_joined_differs(variant)):
        yield msgspec.structs.replace(found, variant=variant.name)


# -- Of one plan


def _large_scans(plan: PlanNode, facts: PlanFacts) -> Iterator[Observation]:
    processes = _processes(plan)
    for node, share in _shares(plan):
        rows = facts.rows.get(node.table, 0)
        if node.kind != "Seq Scan" or rows < LARGE_TABLE_ROWS or rows * share < LARGE_TABLE_ROWS:
            continue
        kept_rows = _total_rows(node) if node.actual else node.rows * processes.get(id(node), 1)
        kept = f" and keeps {_number(kept_rows)}" if node.texts("filter") else ""
        read = "all" if share == 1 else "about"
        yield Observation(
            name="large-scan",
            message=f"reads {read} {_number(rows * share)} rows of {node.table}{kept}: "
            f"cost {_number(node.total_cost * share)}",
            node=node.label,
            table=node.table,
        )


def _discarded_rows(plan: PlanNode, _facts: PlanFacts) -> Iterator[Observation]:
    for node in plan.walk():
        actual = node.actual
        if actual is not None and actual.loops:
            removed = actual.removed_by_filter + actual.removed_by_recheck + actual.removed_by_join
            kept, removed = actual.rows * actual.loops, removed * actual.loops
        elif node.kind == "Bitmap Heap Scan" and node.inputs:
            kept, removed = node.rows, max(node.inputs[0].rows - node.rows, 0)
        elif node.kind == "Nested Loop" and node.texts("join") and len(node.inputs) > 1:
            kept = node.rows
            removed = max(node.inputs[0].rows * node.inputs[1].rows - kept, 0)
        else:
            continue
        if removed < _DISCARDED_ROWS or kept > (kept + removed) * _KEPT_SHARE:
            continue
        index = node.index or next((child.index for child in node.inputs if child.index), "")
        yield Observation(
            name="rows-thrown-away",
            message=f"discards {_number(removed)} rows of {_number(kept + removed)} that it reads"
            f"{f' by {index}' if index else ''}: {_conditions(node)}",
            node=node.label,
            table=node.table,
            index=index,
        )


def _spills(plan: PlanNode, facts: PlanFacts) -> Iterator[Observation]:
    for node, parent in _with_parents(plan):
        needed, limit = _memory(node, parent, facts)
        actual = node.actual
        if actual is not None:
            if not (actual.disk_kb or actual.batches > 1):
                continue
            used = (
                f"{_bytes(actual.disk_kb * 1024)} on disk" if actual.disk_kb else f"{actual.batches} batches"
            )
        elif needed <= limit:
            continue
        else:
            used = f"about {_bytes(needed)}"
        yield Observation(
            name="spill",
            message=f"needs {used} for {_number(node.rows)} rows, and has {_bytes(limit)} of memory "
            "(work_mem)",
            node=node.label,
            table=next((below.table for below in node.walk() if below.table), ""),
        )


def _memory(node: PlanNode, parent: PlanNode | None, facts: PlanFacts) -> tuple[float, float]:
    """Return the bytes that a node needs by the planner's estimate, and those that it may use."""
    if node.kind == "Sort":
        bounded = parent is not None and parent.kind == "Limit"
        rows = min(node.rows, parent.rows) if bounded and parent is not None else node.rows
        return rows * (_aligned(node.width) + _TUPLE_OVERHEAD), facts.work_mem
    if node.kind == "Hash":
        return node.rows * (_aligned(node.width) + _HASH_OVERHEAD), facts.hash_mem
    if node.label.endswith("HashAggregate"):
        return node.rows * (_aligned(node.width) + _HASH_OVERHEAD), facts.hash_mem
    return 0, facts.work_mem


def _rounds(plan: PlanNode, _facts: PlanFacts) -> Iterator[Observation]:
    for node, share in _shares(plan):
        inners: list[tuple[PlanNode, float]] = []
        sides = node.inputs
        if node.kind == "Nested Loop" and len(sides) > 1 and sides[1].kind != "Memoize":
            inners = [(sides[1], sides[0].rows * share)]
        hashed = any("hashed SubPlan" in condition.text for condition in node.conditions)
        inners += [
            (each, node.rows * share) for each in node.children if each.parent == "SubPlan" and not hashed
        ]
        for inner, estimated in inners:
            rounds, source = _loops(inner, estimated), _source(inner)
            if rounds < _ROUNDS:
                continue
            rows = f"{_number(inner.rows)} kept rows of " if inner.kind == "Materialize" else ""
            by = f" by {source.index}" if source.index else ""
            yield Observation(
                name="many-rounds",
                message=f"reads {rows}{source.table or source.label} {_number(rounds)} times{by}: cost "
                f"{_number(node.total_cost * share)}",
                node=node.label,
                table=source.table,
                index=source.index,
            )


def _loops(inner: PlanNode, estimated: float) -> float:
    """Return the rounds of an inner side: measured if the plan was executed."""
    return inner.actual.loops if inner.actual is not None else estimated


def _source(node: PlanNode) -> PlanNode:
    """Return the first node below that reads a table."""
    return next((below for below in node.walk() if below.table or below.index), node)


def _unused_orders(plan: PlanNode, facts: PlanFacts) -> Iterator[Observation]:
    for node, parent in _with_parents(plan):
        if node.kind != "Sort" or parent is None or parent.kind != "Limit" or not node.inputs:
            continue
        read = node.inputs[0]
        first = _SORT_KEY.fullmatch(node.sort_key[0]) if node.sort_key else None
        if first is None or read.kind not in _SCANS or read.rows < _SORTED_ROWS:
            continue
        column = first[1].strip('"')
        index = next((each for each in facts.indexes.get(read.table, ()) if each.columns[0] == column), None)
        if index is None:
            continue
        yield Observation(
            name="order-not-used",
            message=f"sorts {_number(read.rows)} rows of {read.table} by {', '.join(node.sort_key)} for "
            f"{_number(parent.rows)}, although {index.name} begins with {column}",
            node=node.label,
            table=read.table,
            index=index.name,
        )


_CHECKS: Final[tuple[Callable[[PlanNode, PlanFacts], Iterator[Observation]], ...]] = (
    _large_scans,
    _discarded_rows,
    _spills,
    _rounds,
    _unused_orders,
)

# -- Of several plans


def _generic_differs(variant: VariantPlans) -> Iterator[Observation]:
    generic = variant.generic
    for each in variant.calls:
        if each.plan is None or each.plan.shape == generic.shape:
            continue
        costs = (
            f"the generic plan costs {_number(generic.total_cost)}, "
            f"the plan for these values {_number(each.plan.total_cost)}"
        )
        taken = "takes the generic plan" if each.cached == "generic" else "keeps planning for the values"
        yield Observation(
            name="generic-differs",
            message=f"{costs}: after five calls PostgreSQL {taken}",
            node=generic.label,
            cached=each.cached,
            calls=(each.call,),
        )


def _joined_differs(variant: VariantPlans) -> Iterator[Observation]:
    if variant.joined is None:
        if variant.joined_error:
            yield Observation(
                name="joined-differs",
                message=f"PostgreSQL refuses the joined form: {variant.joined_error}",
                node=variant.generic.label,
            )
        return
    if variant.joined.total_cost <= variant.generic.total_cost * _JOINED_CALLS:
        return
    alone, joined = _accesses(variant.generic), _accesses(variant.joined)
    for alias, (table, way) in alone.items():
        other = joined.get(alias, (table, ""))[1]
        if other and other != way:
            yield Observation(
                name="joined-differs",
                message=f"reads {table} by {other} where a call alone reads it by {way}: cost "
                f"{_number(variant.joined.total_cost)} for {_JOINED_CALLS} calls, "
                f"{_number(variant.generic.total_cost)} for one",
                node=variant.joined.label,
                table=table,
            )


def _accesses(plan: PlanNode) -> dict[str, tuple[str, str]]:
    """Return the table of each alias, and the index or the kind of scan that reads it."""
    found: dict[str, tuple[str, str]] = {}
    for node in plan.walk():
        if node.kind == "Bitmap Heap Scan":
            indexes = sorted({below.index for below in node.walk() if below.index})
            found[node.alias] = node.table, ", ".join(indexes)
        elif node.kind in _SCANS:
            found[node.alias] = node.table, node.index or node.kind
    return found


# -- Numbers


def _shares(plan: PlanNode, share: float = 1.0) -> Iterator[tuple[PlanNode, float]]:
    """Yield each node with the share of its rows that are fetched: a limit stops the nodes below it."""
    yield plan, share
    for child in plan.children:
        inner = share
        blocks = plan.kind in _BLOCKING or (plan.kind == "Aggregate" and "GroupAggregate" not in plan.label)
        if blocks or child.parent == "InitPlan":
            inner = 1.0
        elif plan.kind == "Limit" and child.rows:
            inner = min(share * plan.rows / child.rows, 1.0)
        yield from _shares(child, inner)


def _with_parents(
    plan: PlanNode, parent: PlanNode | None = None
) -> Iterator[tuple[PlanNode, PlanNode | None]]:
    yield plan, parent
    for child in plan.children:
        yield from _with_parents(child, plan)


def _processes(plan: PlanNode, count: float = 1) -> dict[int, float]:
    """Return the processes that share the rows of each parallel node, as the planner counts them.

    The leader works less with more workers (``get_parallel_divisor``).
    """
    if plan.workers:
        count = plan.workers + max(1 - 0.3 * plan.workers, 0)
    found = {id(plan): count if plan.parallel else 1}
    for child in plan.children:
        found |= _processes(child, count)
    return found


def _total_rows(node: PlanNode) -> float:
    return node.actual.rows * node.actual.loops if node.actual is not None else node.rows


def _conditions(node: PlanNode) -> str:
    found = [each.text for each in node.conditions if each.kind in ("filter", "join")]
    return " and ".join(found or node.texts("recheck"))


def _aligned(width: int) -> int:
    return (width + 7) // 8 * 8


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:,.2f}".rstrip("0").rstrip(".")


def _bytes(value: float) -> str:
    for unit in ("B", "kB", "MB"):
        if value < 1024:
            return f"{value:,.0f} {unit}"
        value /= 1024
    return f"{value:,.1f} GB"
