"""The tree of one plan, read from ``explain (format json)``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

__all__ = ["Actual", "Condition", "ConditionKind", "PlanNode", "Shape", "read_plan"]

ConditionKind: TypeAlias = Literal[
    "index", "order", "filter", "recheck", "join", "hash", "merge", "one-time", "run", "conflict", "tid"
]
Shape: TypeAlias = "tuple[str, str, str, tuple[str, ...], tuple[Shape, ...]]"

_CONDITIONS: Final[dict[str, ConditionKind]] = {
    "Index Cond": "index",
    "TID Cond": "tid",
    "Order By": "order",
    "Hash Cond": "hash",
    "Merge Cond": "merge",
    "Join Filter": "join",
    "Recheck Cond": "recheck",
    "Run Condition": "run",
    "Filter": "filter",
    "One-Time Filter": "one-time",
    "Conflict Filter": "conflict",
}
"""The conditions of a node, by the field of the JSON, in the order in which a row passes them."""

_CONSTANT: Final = re.compile(r"\"[^\"]*\"|'(?:[^']|'')*'")
"""A quoted name or a constant: both are taken whole, so that a quote in one begins none of the other."""
_LONG_CONSTANT: Final = 64
_KEPT: Final = 32
"""Constants of more than 64 characters, such as a vector, keep 32 of them."""
_SUBPLANS: Final = frozenset({"InitPlan", "SubPlan"})
_AGGREGATES: Final = {
    "Sorted": "GroupAggregate",
    "Hashed": "HashAggregate",
    "Mixed": "MixedAggregate",
}


class Condition(msgspec.Struct, frozen=True, omit_defaults=True):
    """A condition of a node, as the server prints it."""

    kind: ConditionKind
    """``index`` finds rows by the index, ``filter`` discards rows that were read."""
    text: str


class Actual(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The measured facts of a node that was executed."""

    rows: float
    """The rows of one loop, on average."""
    loops: int
    """0 if the node was never executed."""
    startup_ms: float | None = None
    total_ms: float | None = None
    """The time of one loop, on average; ``None`` if it was not measured."""
    removed_by_filter: float = 0
    removed_by_recheck: float = 0
    removed_by_join: float = 0
    """Rows that the condition discarded in one loop, on average."""
    heap_fetches: int = 0
    """Rows that an index-only scan read from the table, in all loops."""
    sort_method: str = ""
    space_kb: int = 0
    """The memory or disk that a sort or a hash used."""
    disk_kb: int = 0
    """The disk that a sort or an aggregate used; 0 if its memory was enough."""
    batches: int = 1
    """The batches of a hash: more than one if its memory was not enough."""
    hit: int = 0
    read: int = 0
    """Pages of tables and indexes, found in shared buffers and not; children included."""
    temp_read: int = 0
    temp_written: int = 0
    """Pages of temporary files; children included."""


class PlanNode(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A node of a plan."""

    kind: str
    """The node type: ``Index Scan``, ``Nested Loop``, ``ModifyTable``."""
    label: str
    """The name as ``psql`` prints it: ``Parallel Seq Scan``, ``Hash Left Join``, ``Insert``."""
    schema: str = ""
    relation: str = ""
    alias: str = ""
    index: str = ""
    backward: bool = False
    """True if an index is read in the reverse of its order."""
    join_type: str = ""
    """``Inner``, ``Left``, ``Semi``, ``Anti`` …; empty for a node that is no join."""
    function: str = ""
    cte: str = ""
    conditions: tuple[Condition, ...] = ()
    """In the order in which a row passes them. Long constants are cut in all texts."""
    sort_key: tuple[str, ...] = ()
    presorted_key: tuple[str, ...] = ()
    group_key: tuple[str, ...] = ()
    rows: float
    """The estimated rows of one loop."""
    width: int
    """The estimated bytes of a row."""
    startup_cost: float
    total_cost: float
    parent: str = ""
    """The relationship to the parent: ``Outer``, ``Inner``, ``Member``, ``InitPlan``, ``SubPlan`` …."""
    subplan: str = ""
    """The name of a sub-plan: ``InitPlan 1``, ``CTE moved``."""
    workers: int = 0
    """The planned number of parallel workers."""
    parallel: bool = False
    disabled: bool = False
    """True if a setting such as ``enable_seqscan`` discourages the node, and nothing else was possible."""
    actual: Actual | None = None
    """The measured facts; ``None`` if the plan was not executed."""
    children: tuple[PlanNode, ...] = ()

    @property
    def table(self) -> str:
        """The relation with its schema: ``shop.leads``; empty if the node reads none."""
        return f"{self.schema}.{self.relation}" if self.schema and self.relation else self.relation

    @property
    def inputs(self) -> tuple[PlanNode, ...]:
        """The nodes whose rows it reads, the outer side of a join first; without its sub-plans."""
        return tuple(child for child in self.children if child.parent not in _SUBPLANS)

    @property
    def shape(self) -> Shape:
        """The plan without costs, rows and constants: equal shapes do the same work in the same way."""
        kinds = tuple(condition.kind for condition in self.conditions)
        source = self.index or self.table or self.function or self.cte
        return (self.label, f"{source} {self.alias}".strip(), self.subplan, kinds, self._shapes())

    def _shapes(self) -> tuple[Shape, ...]:
        return tuple(child.shape for child in self.children)

    def texts(self, kind: ConditionKind) -> tuple[str, ...]:
        """Return the texts of the conditions of one kind."""
        return tuple(condition.text for condition in self.conditions if condition.kind == kind)

    def walk(self) -> Iterator[PlanNode]:
        """Yield this node and all nodes below it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()


def read_plan(document: Sequence[Mapping[str, Any]]) -> PlanNode:
    """Read the answer to ``explain (format json)``, as decoded JSON.

    A rule may turn one statement into several or into none: the root is then an ``Append`` of them, with the
    sum of their costs.
    """
    plans = [_read_node(each["Plan"]) for each in document if "Plan" in each]
    if len(plans) == 1:
        return plans[0]
    return PlanNode(
        kind="Append",
        label="Several Statements" if plans else "No Statement",
        rows=plans[0].rows if plans else 0,
        width=plans[0].width if plans else 0,
        startup_cost=plans[0].startup_cost if plans else 0,
        total_cost=sum(plan.total_cost for plan in plans),
        children=tuple(plans),
    )


def _read_node(fields: Mapping[str, Any]) -> PlanNode:
    conditions = [
        Condition(kind, _text(fields[name])) for name, kind in _CONDITIONS.items() if fields.get(name)
    ]
    return PlanNode(
        kind=fields["Node Type"],
        label=_label(fields),
        schema=fields.get("Schema", ""),
        relation=fields.get("Relation Name", ""),
        alias=fields.get("Alias", ""),
        index=fields.get("Index Name", ""),
        backward=fields.get("Scan Direction") == "Backward",
        join_type=fields.get("Join Type", ""),
        function=fields.get("Function Name", ""),
        cte=fields.get("CTE Name", ""),
        conditions=tuple(conditions),
        sort_key=tuple(map(_text, fields.get("Sort Key", ()))),
        presorted_key=tuple(map(_text, fields.get("Presorted Key", ()))),
        group_key=tuple(map(_text, fields.get("Group Key", ()))),
        rows=fields["Plan Rows"],
        width=fields["Plan Width"],
        startup_cost=fields["Startup Cost"],
        total_cost=fields["Total Cost"],
        parent=fields.get("Parent Relationship", ""),
        subplan=fields.get("Subplan Name", ""),
        workers=fields.get("Workers Planned", 0),
        parallel=fields.get("Parallel Aware", False),
        disabled=fields.get("Disabled", False),
        actual=_read_actual(fields),
        children=tuple(_read_node(child) for child in fields.get("Plans", ())),
    )


def _read_actual(fields: Mapping[str, Any]) -> Actual | None:
    if "Actual Loops" not in fields:
        return None
    on_disk = fields.get("Sort Space Type") == "Disk"
    space = fields.get("Sort Space Used") or fields.get("Peak Memory Usage") or 0
    return Actual(
        rows=fields.get("Actual Rows", 0),
        loops=fields["Actual Loops"],
        startup_ms=fields.get("Actual Startup Time"),
        total_ms=fields.get("Actual Total Time"),
        removed_by_filter=fields.get("Rows Removed by Filter", 0),
        removed_by_recheck=fields.get("Rows Removed by Index Recheck", 0),
        removed_by_join=fields.get("Rows Removed by Join Filter", 0),
        heap_fetches=fields.get("Heap Fetches", 0),
        sort_method=fields.get("Sort Method", ""),
        space_kb=space,
        disk_kb=space if on_disk else fields.get("Disk Usage", 0),
        batches=fields.get("Hash Batches", fields.get("HashAgg Batches", 1)) or 1,
        hit=fields.get("Shared Hit Blocks", 0),
        read=fields.get("Shared Read Blocks", 0),
        temp_read=fields.get("Temp Read Blocks", 0),
        temp_written=fields.get("Temp Written Blocks", 0),
    )


def _label(fields: Mapping[str, Any]) -> str:
    """Return the name of a node, in the words of the text format."""
    kind: str = fields["Node Type"]
    join = fields.get("Join Type", "")
    strategy = fields.get("Strategy", "")
    if kind == "ModifyTable":
        label = fields.get("Operation", kind)
    elif kind == "Aggregate":
        label = _AGGREGATES.get(strategy, kind)
    elif kind == "SetOp":
        label = ("HashSetOp" if strategy == "Hashed" else kind) + f" {fields.get('Command', '')}".rstrip()
    elif kind == "Nested Loop" and join not in ("", "Inner"):
        label = f"{kind} {join} Join"
    elif join not in ("", "Inner"):
        label = f"{kind.removesuffix(' Join')} {join} Join"
    else:
        label = kind
    if fields.get("Partial Mode", "Simple") != "Simple":
        label = f"{fields['Partial Mode']} {label}"
    if fields.get("Parallel Aware"):
        label = f"Parallel {label}"
    return f"{label} Backward" if fields.get("Scan Direction") == "Backward" else label


def _text(value: object) -> str:
    text = " and ".join(map(str, value)) if isinstance(value, list) else str(value)
    return _CONSTANT.sub(_shortened, text) if len(text) > _LONG_CONSTANT else text


def _shortened(found: re.Match[str]) -> str:
    constant = found[0]
    return f"{constant[:_KEPT]}…'" if constant[0] == "'" and len(constant) > _LONG_CONSTANT else constant
