"""``plainsql plans``: the plan of each query as a committed file, compared with that of today."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cyclopts import Parameter

from plainsql.cli.exit_codes import FINDINGS, FINE
from plainsql.cli.project import load_project
from plainsql.errors import SettingsError, printable
from plainsql.plans.baseline.project_plans import ProjectPlans, check_plans
from plainsql.plans.copy.plan_database import open_plan_database

__all__ = ["plans"]

_FLAG = Parameter(negative=(), show_default=False)
_STATES: Final = (*("worse", "refused", "missing", "unreadable", "different", "better", "outdated"),)
"""The states of a summary, those that fail first."""


def plans(
    *,
    check: Annotated[bool, _FLAG] = False,
    strict: Annotated[bool, _FLAG] = False,
    accept: Annotated[list[str] | None, Parameter(negative=())] = None,
    stats: Path | None = None,
    json: Annotated[bool, _FLAG] = False,
) -> int:
    """Write the plans of all queries into files, or compare them with these files.

    The queries are planned on an empty copy of the database with the sizes and statistics of production,
    which plainsql stats pull has read. Without them a million rows are assumed in each table.

    A plan turned worse if it no longer uses an index, scans a large table, does other work at a higher cost,
    or costs ten times as much. Its file is kept until --accept names its query; all others are written.

    Reports go to standard output.

    Exits with 0 if no plan turned worse, 1 if one did, 2 if it could not run. With --check, it also exits
    with 1 if a query has no plan file, or a plan file no query.

    Parameters
    ----------
    check
        Write nothing, and report all differences.
    strict
        With --check: exit with 1 for better and for different plans, too, as their files are not up to date.
    accept
        Write the plan of this query though it is worse, and leave the files of other queries alone: its name,
        or a pattern such as 'shop.orders.*'. May be repeated.
    stats
        The folder of production's statistics; by default the one that pyproject.toml names, else stats.
    json
        Print JSON: one object with the queries, the files that are left over, and notes.
    """
    if check and accept:
        raise SettingsError(
            "--check and --accept: expected one of them, got both", hint="--accept writes, --check does not"
        )
    if strict and not check:
        raise SettingsError("--strict: expected --check with it, got none", hint="add --check")
    began = time.perf_counter()
    project = load_project()
    with open_plan_database(project, stats) as database:
        found = check_plans(project, database.connect, accept or ())
    if not check:
        found.write()
    if json:
        _print_json(found, database.notes)
    else:
        for note in database.notes:
            print(f"note: {printable(note)}")
        _print_reports(found, written=not check, accepted=bool(accept))
        took = time.perf_counter() - began
        print(f"{_summary(found, written=not check)}: {_counted(len(found.queries))}, {took:.1f} s")
    if check:
        return FINDINGS if found.fails or (strict and not found.is_current) else FINE
    left = ("refused",) if accept else ("refused", "worse")
    return FINDINGS if any(each.state in left or each.is_kept for each in found.queries) else FINE


def _print_reports(found: ProjectPlans, *, written: bool, accepted: bool) -> None:
    """Print what changed: in full if it is only reported, else one line for each file that was written."""
    for report in found.queries:
        if report.state == "same":
            continue
        left = report.state == "refused" or report.is_kept or (report.state == "worse" and not accepted)
        if not written or left:
            print(f"{printable(str(report))}\n")
        else:
            reasons = "; ".join(dict.fromkeys(each.reasons[0] for each in report.changes))
            state = "new" if report.state == "missing" else report.state
            print(printable(f"wrote {report.file}: {state}{reasons and f', {reasons}'}"))
    for file in found.leftovers:
        gone = f"{printable(os.path.relpath(file))}: its query is gone"
        print(f"removed {gone}" if written else f"{gone} [leftover]\n")


def _summary(found: ProjectPlans, *, written: bool) -> str:
    counts = Counter(report.state for report in found.queries)
    names = {"missing": "new"} if written else {}
    parts = [f"{counts[state]} {names.get(state, state)}" for state in _STATES if counts[state]]
    parts += [f"{len(found.leftovers)} {'removed' if written else 'left over'}"] if found.leftovers else []
    if not parts:
        return "no plan has changed"
    not_written = ("same", "worse", "refused")
    can_be_written = found.leftovers or any(
        each.state not in not_written and not each.is_kept for each in found.queries
    )
    hint = " (plainsql plans writes the files)" if can_be_written and not written else ""
    return f"{', '.join(parts)}{hint}"


def _print_json(found: ProjectPlans, notes: Sequence[str]) -> None:
    document = {
        "queries": found.queries,
        "leftovers": [os.path.relpath(file) for file in found.leftovers],
        "notes": notes,
    }
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document)).decode() + "\n")


def _counted(count: int) -> str:
    return f"{count} {'query' if count == 1 else 'queries'}"
