"""The rules for aggregates and window functions: null over no rows, and over which rows."""

from __future__ import annotations

from plainsql.analysis.catalog.routines import Function
from plainsql.analysis.nodes import Node
from plainsql.analysis.nullability.nonnull_functions import (
    AGGREGATES,
    ALWAYS_COUNTED,
    KEEPS_NULLS,
    WINDOW_FUNCTIONS,
)
from plainsql.analysis.nullability.prover import Prover
from plainsql.analysis.nullability.verdict import Context, Verdict, first_nullable, never, nullable
from plainsql.analysis.tree.grouping_sets import groups_are_never_empty

__all__ = ["aggregate_verdict", "window_verdict"]

# Bits of WindowClause.frameOptions.
_ROWS_OR_GROUPS = 0x04 | 0x08
_START_AT_OR_BEFORE = 0x20 | 0x200
_START_OFFSET_BEFORE = 0x800
_END_AT_OR_AFTER = 0x100 | 0x400
_END_OFFSET_AFTER = 0x4000
_EXCLUDES_CURRENT = 0x8000 | 0x10000


def _is_known(function: Function | None, kind: str) -> bool:
    return (
        function is not None
        and function.kind == kind
        and (function.is_builtin or function.extension in ("vector", "citext"))
    )


def aggregate_verdict(prover: Prover, node: Node, context: Context) -> Verdict:
    """Return whether an ``AGGREF`` can be null."""
    function = prover.catalog.function(node.number("aggfnoid"))
    if function is None or not _is_known(function, "a"):
        return nullable("nothing is known of this aggregate")
    name = function.name
    if name in ALWAYS_COUNTED:
        return never(f"{name} is never null")
    if name not in AGGREGATES:
        return nullable(f"{name} can be null")
    home = context.scope.up(node.number("agglevelsup"))
    if home is None:
        return nullable("unknown aggregate")
    if node.node("aggfilter") is not None:
        return nullable(f"{name} over no rows that pass the filter")
    if not groups_are_never_empty(home.query) and not prover.cardinality.from_has_row(home):
        return nullable(f"{name} over no rows")
    inside = context.before_grouping()
    arguments = [entry.node("expr") for entry in node.nodes("args") if not entry.flag("resjunk")]
    if name == "string_agg":
        # A null delimiter counts as an empty one.
        arguments = arguments[:1]
    needed = [argument for argument in (*arguments, *node.nodes("aggdirectargs")) if argument is not None]
    if name not in KEEPS_NULLS and (found := first_nullable(prover.expression(a, inside) for a in needed)):
        return nullable(f"{name} over nulls alone: {found.because}")
    return never(AGGREGATES[name].format(name))


def window_verdict(prover: Prover, node: Node, context: Context) -> Verdict:
    """Return whether a ``WINDOWFUNC`` can be null."""
    function = prover.catalog.function(node.number("winfnoid"))
    if function is None or not (_is_known(function, "w") or _is_known(function, "a")):
        return nullable("nothing is known of this window function")
    name, args = function.name, node.nodes("args")
    if name in WINDOW_FUNCTIONS or name in ("count", "regr_count"):
        return never(f"{name} is never null")
    verdicts = [prover.expression(arg, context) for arg in args]
    found = first_nullable(verdicts)
    if name == "ntile":
        return found or never("ntile of a number")
    if name in ("lag", "lead"):
        if len(args) < 3:
            return nullable(f"{name} past the end of its partition")
        return found or never(f"{name} with a default")
    if name in ("first_value", "last_value") or (name in AGGREGATES and function.kind == "a"):
        if node.node("aggfilter") is not None:
            return nullable(f"{name} over no rows that pass the filter")
        if not _frame_holds_current_row(node, context):
            return nullable(f"{name} over an empty frame")
        if name == "string_agg":
            found = first_nullable(verdicts[:1])
        if found is not None and name not in KEEPS_NULLS:
            return nullable(f"{name} over nulls alone: {found.because}")
        return never(f"{name} over a frame with the current row")
    return nullable(f"{name} can be null")


def _frame_holds_current_row(node: Node, context: Context) -> bool:
    reference = node.number("winref")
    for clause in context.scope.query.node.nodes("windowClause"):
        if clause.number("winref") != reference:
            continue
        options = clause.number("frameOptions")
        if options & _EXCLUDES_CURRENT:
            return False
        start, end = _START_AT_OR_BEFORE, _END_AT_OR_AFTER
        if options & _ROWS_OR_GROUPS:
            start, end = start | _START_OFFSET_BEFORE, end | _END_OFFSET_AFTER
        return bool(options & start) and bool(options & end)
    return False
