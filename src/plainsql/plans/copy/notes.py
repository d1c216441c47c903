"""The limits of the plans on a copy, as sentences for people."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from plainsql.plans.copy.assumed_sizes import ASSUMED_ROWS
from plainsql.plans.copy.restoration import Restored
from plainsql.plans.statistics.production_statistics import ProductionStatistics, never_analysed

__all__ = ["OLD_DAYS", "statistics_notes"]

OLD_DAYS: Final = 7
"""Days from which on statistics are old. Their times move with the clock (``time_shift``), sizes do not."""
_PLANNER_MAJOR: Final = 18
_SHOWN: Final = 5


def statistics_notes(
    stats: ProductionStatistics | None,
    restored: Restored,
    assumed: Sequence[str],
    guessed: Sequence[str],
    now: datetime | None = None,
    tables: Collection[str] | None = None,
) -> Iterator[str]:
    """Yield a sentence for each limit, in a stable order.

    ``tables``, as ``schema.table``, leave out the limits of other tables and of their indexes.
    """
    rows = f"{ASSUMED_ROWS:,}"
    if stats is None:
        yield f"no statistics of production: {rows} rows are assumed in each table (plainsql stats pull)"
        return
    production, gone = stats.production, restored.gone
    hidden = [name for name in production.hidden if tables is None or name in tables]
    assumed = [name for name in assumed if tables is None or name in tables]
    known = [
        (s, name, table)
        for s, own in stats.schemas.items()
        for name, table in own.items()
        if tables is None or f"{s}.{name}" in tables
    ]
    if tables is not None:
        objects = {
            *(f"the index {s}.{index}" for s, _, table in known for index in table.indexes),
            *(f"the statistics {s}.{name}" for s, _, table in known for name in table.extended),
            *(
                f"the column {s}.{name}.{column}"
                for s, name, table in known
                for column in (*table.columns, *table.inherited)
            ),
        }
        gone = [text for text in gone if text in objects]
    days = ((now or datetime.now(UTC)) - production.taken).days
    if days >= OLD_DAYS:
        yield f"the statistics are {days} days old ({production.taken:%Y-%m-%d}): plainsql stats pull"
    if production.major != _PLANNER_MAJOR:
        yield (
            f"the planner is that of PostgreSQL {_PLANNER_MAJOR}, and production runs {production.server}: "
            "a few plans differ between majors"
        )
    if hidden:
        yield f"the role that read the statistics could not see those of {_listed(hidden)}"
    if production.unread:
        yield f"not read from production: {_listed(production.unread)}"
    if never := [name for name in never_analysed(stats) if tables is None or name in tables]:
        yield f"never analysed: analyze {_listed(never)}"
    if assumed:
        yield f"no statistics of {_listed(assumed)}: {rows} rows are assumed in each"
    if guessed:
        yield f"production does not have {_listed(guessed)}: the sizes of these indexes are guessed"
    if gone:
        yield f"production has more than this schema: {_listed(gone)}"
    if restored.refused:
        yield f"not all statistics fit this schema: {_listed(restored.refused)}"
    extended = [
        f"{s}.{name}: {', '.join(each.left_out)}"
        for s, _, table in known
        for name, each in table.extended.items()
        if each.left_out
    ]
    if extended:
        yield f"extended statistics are not carried over as a whole ({_listed(extended)})"
    heights = [
        f"{s}.{name}"
        for s, _, table in known
        for name, index in table.indexes.items()
        if index.method == "btree" and index.height is None
    ]
    if heights:
        yield f"the heights of these B-trees are guessed: {_listed(heights)}"
    pending = [
        f"{s}.{name}"
        for s, _, table in known
        for name, index in table.indexes.items()
        if index.method == "gin" and index.gin is None
    ]
    if pending:
        yield (
            f"the pending pages of GIN indexes are not known ({_listed(pending)}): their costs may be "
            "9 percent off"
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
