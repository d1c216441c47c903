"""``plainsql slow``: the statements that take a server's time, by the file of their query."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.cells import cell_len

from plainsql.cli.db.common import COMMON, Common, connected, print_json
from plainsql.cli.exit_codes import FINE
from plainsql.cli.number_range import NumberRange
from plainsql.cli.tables import print_table
from plainsql.settings import Project
from plainsql.workload.counters import Counters, read_counters
from plainsql.workload.query_files import QueryFiles
from plainsql.workload.query_workload import Sort, Workload, rank
from plainsql.workload.snapshots import read_snapshot, since_snapshot, write_snapshot

__all__ = ["slow"]

_SHOWN_OTHERS = 5
"""The most lines of statements that are no queries."""
_HIDDEN_DEFAULT = Parameter(show_default=False)
_LIMIT = NumberRange("an integer", 1, 2**31 - 1, "20")


def slow(
    *,
    sort: Sort = "total",
    limit: Annotated[int, Parameter(validator=_LIMIT)] = 20,
    since: Annotated[Path | None, _HIDDEN_DEFAULT] = None,
    save: Annotated[Path | None, _HIDDEN_DEFAULT] = None,
    common: Common = COMMON,
) -> int:
    """Show the queries that take the server's time, with their files, from pg_stat_statements.

    The single, joined and batched statements of a query are summed, with all its variants. Statements of
    other programs follow, without their constants. Only the statements of the connected database count.

    The role needs pg_monitor to see the statements of other roles.

    Parameters
    ----------
    sort
        The number to sort by, largest first: time, mean time, calls, rows, blocks of 8 kB, blocks read from
        outside of the cache, temporary blocks.
    limit
        The most queries to show.
    since
        A file of --save: show what has run since then.
    save
        Write the counters into a file, for a later --since.
    """
    earlier = read_snapshot(since) if since is not None else None
    with connected(common.database) as session:
        reading = read_counters(session.connection)
    begin = reading.reset_at
    if save is not None:
        write_snapshot(save, reading)
    if earlier is not None:
        begin = max(filter(None, [begin, earlier.taken_at]))
        reading = since_snapshot(reading, earlier)
    workload = rank(reading, QueryFiles(Project.load()), since=begin, sort=sort)
    if common.json:
        print_json(workload)
    else:
        _show(workload, limit)
        if save is not None:
            print(f"wrote {save}: compare with it by plainsql slow --since {save}")
    return FINE


def _show(workload: Workload, limit: int) -> None:
    began = f" since {_minute(workload.since)}" if workload.since else ""
    print(
        f"{workload.database}: {_count(workload.total.calls, 'statement')} in "
        f"{_duration(workload.total.total_ms)}{began}"
    )
    if workload.hidden.calls:
        share = workload.hidden.total_ms / (workload.total.total_ms or 1)
        print(f"hidden: {_count(workload.hidden.calls, 'statement')}, {_share(share)} of the time")
    for note in workload.notes:
        print(f"note: {note}")
    if workload.queries:
        print()
        _print_aligned(
            ["query", *_NUMBERS, "file"],
            [
                [each.name, *_numbers(each.counters, each.share), each.place]
                for each in workload.queries[:limit]
            ],
        )
    if len(workload.queries) > limit:
        print(f"{len(workload.queries) - limit} more queries (--limit shows them)")
    if not (workload.queries or workload.hidden.calls):
        print("no statement is of a query: each ends in its query's name, as in /* leads.get */")
    if workload.others:
        rest = sum((each.counters for each in workload.others), Counters())
        print(
            f"\nnot of a query: {_count(rest.calls, 'statement')}, "
            f"{_share(sum(each.share for each in workload.others))} of the time"
        )
        _print_aligned(
            ["statement", *_NUMBERS],
            [
                [each.statement, *_numbers(each.counters, each.share)]
                for each in workload.others[:_SHOWN_OTHERS]
            ],
        )
    if workload.nested.calls:
        print(
            f"\ninside of functions: {_count(workload.nested.calls, 'statement')}, counted with their caller"
        )


_NUMBERS = ["calls", "total", "mean", "share", "rows", "hit", "read", "temp"]


def _numbers(counters: Counters, share: float) -> list[str]:
    return [
        f"{counters.calls:,}",
        _duration(counters.total_ms),
        _duration(counters.mean_ms),
        _share(share),
        f"{counters.rows:,}",
        f"{counters.blocks_hit:,}",
        f"{counters.blocks_read:,}",
        f"{counters.temp_blocks_read + counters.temp_blocks_written:,}",
    ]


def _print_aligned(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print complete cells, the numbers aligned to the right."""
    lines = [list(headings), *map(list, rows)]
    for column in range(1, 1 + len(_NUMBERS)):
        width = max(cell_len(line[column]) for line in lines)
        for line in lines:
            line[column] = " " * (width - cell_len(line[column])) + line[column]
    print_table(lines[0], lines[1:])


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _share(share: float) -> str:
    return f"{share:.1%}"


def _minute(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M}"


def _duration(milliseconds: float) -> str:
    if milliseconds < 1:
        return f"{milliseconds * 1000:.0f} µs"
    if milliseconds < 1000:
        return f"{milliseconds:.3g} ms" if milliseconds < 100 else f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
