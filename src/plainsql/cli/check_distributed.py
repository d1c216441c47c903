"""The report of ``plainsql check --distributed``."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from plainsql.analysis.distribution.model import CALLED_KINDS
from plainsql.check.distribution_check import DistributionCheck, check_distribution
from plainsql.cli.tables import Column, print_rows
from plainsql.errors import SettingsError
from plainsql.settings import Project

__all__ = ["distribution_report", "print_distribution"]

_NAMED = 3
"""The number of queries that a note names."""


def distribution_report(
    project: Project,
    column: str,
    reference: Sequence[str],
    scratch: str | None = None,
    *,
    only: Sequence[Path] = (),
    no_cache: bool = False,
) -> tuple[DistributionCheck, list[str]]:
    """Check the distribution; return the result, and the lines that follow it.

    Raises what ``check_distribution`` raises.
    """
    if not column:
        raise SettingsError("--distributed: expected a column, got nothing", hint="for example: tenant_id")
    began = time.perf_counter()
    found = check_distribution(
        project, column, reference=reference, scratch=scratch, only=only, no_cache=no_cache
    )
    kinds = Counter(each.kind for each in found.queries)
    counts = [f"{CALLED_KINDS[kind]}: {kinds[kind]}" for kind in CALLED_KINDS if kinds[kind]]
    allowed = sum(each.allowed is not None for each in found.queries)
    notes = [f"note: {each.table}: Citus: {what}" for each in found.tables for what in each.citus[:1]]
    notes += _query_notes(found)
    summary = [
        f"{len(found.queries)} {'query' if len(found.queries) == 1 else 'queries'}",
        f"{len(found.tables)} {'table' if len(found.tables) == 1 else 'tables'}",
        f"{time.perf_counter() - began:.1f} s",
    ]
    problems = len(found.problems)
    told = f"{problems} {'problem' if problems == 1 else 'problems'} in " if problems else "clean: "
    return found, [
        *notes,
        *(
            [f"by {column}: {', '.join(counts)}" + (f"; allowed: {allowed}" if allowed else "")]
            if counts
            else []
        ),
        told + ", ".join(summary),
    ]


def _faults(number: int) -> str:
    return f"{number} {'fault' if number == 1 else 'faults'}"


def _query_notes(found: DistributionCheck) -> list[str]:
    """Return what Citus does otherwise with queries of one tenant, each with the first of its queries."""
    queries: dict[str, list[str]] = {}
    for query in found.queries:
        reasons = query.citus
        if query.kind == "policy":
            reasons = ("only a policy binds the tenant: it runs on all shards",)
        for what in reasons:
            queries.setdefault(what, []).append(query.query)
    return [
        f"note: Citus: {what}: {', '.join(names[:_NAMED])}"
        + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
        for what, names in queries.items()
    ]


def print_distribution(found: DistributionCheck) -> None:
    """Print the queries and the tables as tables for people."""
    print_rows(
        [Column("query"), Column("tenants"), Column("by")],
        [
            (each.query, each.text if each.allowed is None else f"{each.text} (allowed)", each.by)
            for each in found.queries
        ],
    )
    print()
    print_rows(
        [Column("table"), Column("place"), Column("keys")],
        [
            (each.table, each.place, _faults(len(each.faults)) if each.faults else "hold the column")
            for each in found.tables
            if each.place == "distributed" or each.faults
        ],
    )
    print()
