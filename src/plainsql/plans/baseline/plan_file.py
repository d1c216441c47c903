"""The file of one query's plans: groups of variants, each with its plan.

::

    # Written by plainsql plans: the plans of sql/shop/orders/list.sql

    without after_id
      cost ~30, rows ~100
      limit
        index scan on shop.orders using orders_created_at_idx
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from plainsql.plans.baseline.recorded_node import RecordedNode, parse_node, render_node
from plainsql.plans.baseline.variant_sets import VariantSet, parse_set, render_set

__all__ = [
    "MARK",
    "SUFFIX",
    "PlanFileError",
    "RecordedPlan",
    "is_plan_file",
    "parse_plans",
    "render_plan",
    "render_plans",
]

SUFFIX: Final = ".plan"
MARK: Final = "# Written by plainsql plans:"
"""The beginning of the first line; other files are neither replaced nor removed."""
_INDENT: Final = "  "
_SIZE: Final = re.compile("cost ~([0-9]{1,30}), rows ~([0-9]{1,30})")


class PlanFileError(ValueError):
    """A line of a plan file is not one that plainsql writes, such as the mark of a merge conflict."""

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line}")
        self.line = line


@dataclass(frozen=True, slots=True)
class RecordedPlan:
    """A plan without volatile numbers."""

    cost: int
    """The estimated total cost, as a step of ``magnitude``."""
    rows: int
    """The estimated rows, as such a step."""
    root: RecordedNode


def render_plan(plan: RecordedPlan) -> list[str]:
    """Return the lines of a plan."""
    return [f"cost ~{plan.cost}, rows ~{plan.rows}", *render_node(plan.root)]


def render_plans(path: str, recorded: Sequence[tuple[VariantSet, RecordedPlan]]) -> str:
    """Return the text of the file of the query in ``path``."""
    groups: dict[RecordedPlan, list[str]] = {}
    for described, plan in recorded:
        groups.setdefault(plan, []).append(render_set(described))
    lines = [f"{MARK} the plans of {path}"]
    for plan, sets in groups.items():
        lines += ["", *sets, *(_INDENT + line for line in render_plan(plan))]
    return "".join(f"{line}\n" for line in lines)


def is_plan_file(text: str) -> bool:
    """Return True if plainsql wrote the text, also if a merge conflict begins above its first line."""
    return any(line.startswith(MARK) for line in text.splitlines())


def parse_plans(text: str) -> list[tuple[VariantSet, RecordedPlan]]:
    """Return the recorded plans of a file's text, with the variants of each.

    Raises ``PlanFileError`` if a line is not one that plainsql writes.
    """
    numbered = list(enumerate(text.splitlines(), 1))
    recorded: list[tuple[VariantSet, RecordedPlan]] = []
    sets: list[VariantSet] = []
    for is_plan, lines in groupby(numbered, lambda line: line[1].startswith(_INDENT)):
        if is_plan:
            plan = _parse_plan([(number, line.removeprefix(_INDENT)) for number, line in lines])
            if not sets:
                raise PlanFileError(plan[0])
            recorded += [(each, plan[1]) for each in sets]
            sets = []
            continue
        for number, line in lines:
            if line and not line.startswith("#"):
                described = parse_set(line)
                if described is None:
                    raise PlanFileError(number)
                sets.append(described)
    if sets:
        raise PlanFileError(len(numbered))
    return recorded


def _parse_plan(lines: list[tuple[int, str]]) -> tuple[int, RecordedPlan]:
    (number, first), *nodes = lines
    size = _SIZE.fullmatch(first)
    if size is None or not nodes:
        raise PlanFileError(number)
    try:
        root = parse_node(nodes)
    except ValueError as error:
        raise PlanFileError(error.args[0]) from None
    return number, RecordedPlan(int(size[1]), int(size[2]), root)
