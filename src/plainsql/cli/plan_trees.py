"""Plans for people: one tree for each shape, with what an index finds and what a filter discards."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from plainsql.cli.tables import Column, shorten
from plainsql.errors import printable
from plainsql.plans.explain.explained_query import ExplainedQuery
from plainsql.plans.explain.plan_tree import PlanNode
from plainsql.plans.explain.query_plans import Call, QueryPlans, VariantPlans
from plainsql.statements import Statement

__all__ = ["plan_lines", "print_explained"]

_WORDS: Final = {
    "index": "index",
    "tid": "row id",
    "order": "order",
    "hash": "hash",
    "merge": "merge",
    "join": "join filter",
    "recheck": "recheck",
    "run": "run",
    "filter": "filter",
    "one-time": "once",
    "conflict": "conflict",
}
"""The words in front of a node's conditions."""
_PIPE_WIDTH: Final = 10_000
"""The width of the lines in a pipe: nothing is folded or cut."""


def print_explained(statement: Statement, found: ExplainedQuery) -> None:
    """Print the plans and the observations of a query."""
    terminal = sys.stdout.isatty()
    console = Console(highlight=False, width=None if terminal else _PIPE_WIDTH, soft_wrap=not terminal)
    plans = found.plans
    console.print(Text(f"{statement.name}  {statement.path}", style="bold"))
    for session in _session_lines(plans):
        console.print(Text(session, style="dim"))
    for variant in plans.variants:
        joined = any(
            each.name == "joined-differs" and each.variant == variant.name for each in found.observations
        )
        _print_variant(console, variant, plans.calls, joined=joined)
    left = plans.total_variants - len(plans.variants)
    if left:
        console.print(
            Text(f"\n{left} of {plans.total_variants} variants are left out: pass --variants N", style="dim")
        )
    for each in found.observations:
        line = Text(f"\n{each.name}", style="yellow").append(f"  {printable(each.message)}", style="")
        about = [", ".join(each.calls)] if each.calls else []
        about += [f"in {each.variants} variants" if each.variants > 1 else each.variant]
        shown = "; ".join(word for word in about if word)
        console.print(line.append(f" ({shown})" if shown else "", style="dim"))
    for note in plans.notes:
        console.print(Text(f"\nnote: {printable(note)}", style="dim"))


def _session_lines(plans: QueryPlans) -> list[str]:
    words = [f"as {plans.role}"] if plans.role else []
    words += [f"{name} = {shorten(value, Column(''))}" for name, value in plans.settings.items()]
    return [f"planned {', '.join(words)}"] if words else []


def _print_variant(console: Console, variant: VariantPlans, calls: Sequence[Call], *, joined: bool) -> None:
    known = {call.name: call for call in calls}
    if variant.name:
        console.print(Text(f"\nwith {printable(variant.name)}", style="bold"))
    # Plans of one shape are one tree: the first of them.
    groups: dict[object, list[tuple[str, PlanNode]]] = {}
    for each in variant.calls:
        plan = each.measured or each.plan
        if plan is not None:
            groups.setdefault(plan.shape, []).append((each.call, plan))
    if variant.generic.shape not in groups or not any(each.measured for each in variant.calls):
        groups.setdefault(variant.generic.shape, []).append(("generic", variant.generic))
    for group in groups.values():
        costs = ", ".join(f"{call} {_cost(plan)}" for call, plan in group)
        console.print(Text(f"\nplan: {costs}", style="cyan"))
        console.print(_tree(group[0][1]))
    for each in variant.calls:
        values = known[each.call].values if each.call in known else {}
        text = ", ".join(
            f"{name}={shorten(values[name], Column(name))}" for name in variant.parameters if name in values
        )
        outcome = f"refused ({each.error})" if each.error else f"{each.cached} plan after five calls"
        line = Text(f"{each.call}: {outcome}", style="bold")
        console.print(line.append(f"  {text}" if text else "", style="dim"))
    if variant.joined is not None and joined:
        console.print(Text(f"\nplan of concurrent calls, joined: {_cost(variant.joined)}", style="cyan"))
        console.print(_tree(variant.joined))


def plan_lines(plan: PlanNode) -> list[str]:
    """Return the lines of a plan's tree, as they are printed in a pipe."""
    console = Console(width=_PIPE_WIDTH, soft_wrap=True, highlight=False, color_system=None)
    with console.capture() as captured:
        console.print(_tree(plan))
    return captured.get().splitlines()


def _tree(plan: PlanNode) -> Tree:
    tree = Tree(_label(plan), guide_style="dim")
    pending = [(tree, child) for child in reversed(plan.children)]
    while pending:
        branch, node = pending.pop()
        below = branch.add(_label(node))
        pending += [(below, child) for child in reversed(node.children)]
    return tree


def _label(node: PlanNode) -> Text:
    label = Text(f"{node.subplan}: " if node.subplan else "").append(node.label, style="bold")
    source = node.table or node.function or node.cte
    if source:
        name = node.alias if node.alias not in ("", node.relation) else ""
        label.append(f"  {printable(source)}{f' as {printable(name)}' if name else ''}")
    if node.index:
        label.append(f"  by {printable(node.index)}", style="green")
    keys = node.sort_key or node.group_key
    if keys:
        label.append(f"  by {printable(', '.join(keys))}")
    label.append(f"  {_rows(node.rows)}, cost {_cost(node)}", style="dim")
    if node.workers:
        label.append(f", {node.workers} worker{'' if node.workers == 1 else 's'}", style="dim")
    for text in _measured(node):
        label.append(f"\n{text}", style="magenta")
    for condition in node.conditions:
        style = "yellow" if condition.kind in ("filter", "join") else ""
        label.append(f"\n{_WORDS[condition.kind]}: {printable(condition.text)}", style=style)
    return label


def _measured(node: PlanNode) -> list[str]:
    actual = node.actual
    if actual is None:
        return []
    if not actual.loops:
        return ["never executed"]
    words = [_rows(actual.rows)]
    if actual.loops > 1:
        words.append(f"{actual.loops:,} times")
    if actual.total_ms is not None:
        words.append(f"{actual.total_ms:,.2f} ms")
    pages = actual.hit + actual.read
    words.append(
        f"{pages:,} page{'' if pages == 1 else 's'}, {actual.read:,} from disk" if pages else "no pages"
    )
    removed = actual.removed_by_filter + actual.removed_by_join + actual.removed_by_recheck
    if removed:
        words.append(f"{removed:,.0f} discarded")
    if actual.disk_kb:
        words.append(f"{actual.disk_kb:,} kB on disk")
    if actual.batches > 1:
        words.append(f"{actual.batches:,} batches")
    return [f"measured: {', '.join(words)}"]


def _rows(value: float) -> str:
    number = f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"
    return f"{number} row{'' if value == 1 else 's'}"


def _cost(plan: PlanNode) -> str:
    return f"{plan.total_cost:,.2f}"
