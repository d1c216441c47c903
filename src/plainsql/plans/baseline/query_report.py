"""The report of one query: the judgement of its variants, and the text of its plan file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import msgspec

from plainsql.plans.baseline.judgement import Judgement, judge, recorded_plan
from plainsql.plans.baseline.plan_file import RecordedPlan, render_plan, render_plans
from plainsql.plans.baseline.recorded_node import RecordedNode
from plainsql.plans.baseline.side_by_side import side_by_side
from plainsql.plans.baseline.variant_sets import VariantSet, describe_sets, plan_of_variant, render_set

__all__ = ["Change", "MeasuredPlan", "QueryReport", "State", "fresh_text", "report_query"]

State: TypeAlias = Literal[
    "same", "outdated", "better", "different", "missing", "unreadable", "worse", "refused"
]
"""``outdated``: no recorded plan has changed, but the file is not what is written today, as after a new
optional line."""

_ORDER: Final[tuple[State, ...]] = ("same", "outdated", "better", "different", "worse")
_SHOWN_CHANGES: Final = 3
"""The pairs of plans that are printed for a query; one query may have hundreds of variants."""


@dataclass(frozen=True, slots=True)
class MeasuredPlan:
    """The plan of one variant that is tested."""

    facts: Mapping[str, str]
    """The variant, as ``variant_sets.facts_of`` describes it."""
    root: RecordedNode
    cost: float
    rows: float


class Change(msgspec.Struct, frozen=True):
    """The variants whose plan has changed from one into another."""

    verdict: str
    variants: tuple[str, ...]
    """Sets of variants: ``with after_id; without status``."""
    reasons: tuple[str, ...]
    recorded: tuple[str, ...]
    """The lines of the recorded plan."""
    now: tuple[str, ...]
    both: tuple[str, ...]
    """The two plans next to each other."""


class QueryReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state of one query's plan file."""

    name: str
    path: str
    """The SQL file."""
    line: int
    """The line of the file at which the statement begins."""
    file: str
    """The plan file."""
    state: State
    message: str = ""
    """The reason of a state that has no changes."""
    changes: tuple[Change, ...] = ()
    is_kept: bool = False
    """True for another program's file, which only ``--accept`` replaces."""
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.path}:{self.line}: {self.name}: "
        if self.state == "worse":
            text += "the plan turned worse"
        elif self.state in ("better", "different"):
            text += f"the plan is {self.state}"
        message, *more = self.message.split("\n")
        lines = [f"{text}{message} [{self.state}]", *more]
        for change in self.changes[:_SHOWN_CHANGES]:
            lines += ["", f"  {'; '.join(change.reasons)}"]
            lines += [f"  in {described}" for described in change.variants]
            lines += [f"    {line}".rstrip() for line in change.both]
        if len(self.changes) > _SHOWN_CHANGES:
            lines += ["", f"  and {len(self.changes) - _SHOWN_CHANGES} more changes of its variants"]
        if self.hint:
            lines.append(f"HINT: {self.hint}")
        if self.state == "worse":
            lines.append(f"HINT: mend the query or the index, or take the plan: --accept {self.name}")
        return "\n".join(lines)


def report_query(
    query: tuple[str, str, int, str],
    text: str,
    recorded: Sequence[tuple[VariantSet, RecordedPlan]],
    measured: Sequence[MeasuredPlan],
    *,
    source: str,
    large: Collection[str],
    accept: bool,
) -> tuple[QueryReport, str]:
    """Return the report of a query, and the text of its plan file.

    Args:
        query: its name, its SQL file, the line of its statement, and the plan file, as they are shown.
        text: the text of the plan file.
        recorded: the plans that it holds.
        measured: the plans of all variants.
        source: the SQL file as the plan file names it, from the project's root.
        large: the tables that are too large to be scanned, as plans name them.
        accept: write worse plans as well; otherwise the text keeps the recorded ones.
    """
    to_write: list[tuple[Mapping[str, str], RecordedPlan]] = []
    judged: list[tuple[Mapping[str, str], Judgement]] = []
    for plan in measured:
        before = plan_of_variant(recorded, plan.facts)
        if before is None:  # as after a new choice
            to_write.append((plan.facts, recorded_plan(plan.root, plan.cost, plan.rows)))
            continue
        judgement = judge(before, plan.root, plan.cost, plan.rows, large=large)
        judged.append((plan.facts, judgement))
        keep = judgement.verdict == "worse" and not accept
        to_write.append((plan.facts, before if keep else judgement.now))
    written = _text(source, to_write)
    changes = tuple(sorted(_changes(judged), key=lambda change: -_ORDER.index(_state(change.verdict))))
    state: State = _state(changes[0].verdict) if changes else "same" if written == text else "outdated"
    message = "the plan file is not up to date" if state == "outdated" else ""
    return QueryReport(*query, state, message, changes), written


def fresh_text(source: str, measured: Sequence[MeasuredPlan]) -> str:
    """Return the text of the plan file of a query that has none."""
    return _text(source, [(each.facts, recorded_plan(each.root, each.cost, each.rows)) for each in measured])


def _text(source: str, plans: Sequence[tuple[Mapping[str, str], RecordedPlan]]) -> str:
    return render_plans(source, describe_sets(plans))


def _changes(judged: Sequence[tuple[Mapping[str, str], Judgement]]) -> list[Change]:
    found: list[Change] = []
    by_change: dict[Judgement, list[str]] = {}
    changed = [(facts, None if each.verdict == "same" else each) for facts, each in judged]
    for described, judgement in describe_sets(changed):
        if judgement is not None:
            by_change.setdefault(judgement, []).append(render_set(described))
    for judgement, variants in by_change.items():
        recorded, now = judgement.recorded, judgement.now
        found.append(
            Change(
                judgement.verdict,
                tuple(variants),
                judgement.reasons,
                tuple(render_plan(recorded)),
                tuple(render_plan(now)),
                tuple(side_by_side(recorded, now)),
            )
        )
    return found


def _state(verdict: str) -> State:
    return next(state for state in _ORDER if state == verdict)
