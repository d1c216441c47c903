"""``python -m benchmarks``, or ``make bench ARGS="…"``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import App, Parameter
from rich.console import Console

from benchmarks import contenders, report
from benchmarks.chart import draw
from benchmarks.contenders import UnknownContenderError
from benchmarks.extent import FULL, QUICK
from benchmarks.loops import available_loops
from benchmarks.more import measure_more
from benchmarks.processors import Mode
from benchmarks.run import Listener, run

__all__ = ["app"]

RESULTS = Path(__file__).parent / "results"

app = App(name="benchmarks", help="plainsql side by side with what else there is.", version_flags=[])


@app.default
def benchmarks(
    *,
    quick: Annotated[bool, Parameter(negative="")] = False,
    json: Path | None = None,
    only: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    contenders: Annotated[str, Parameter(name="--contenders")] = ",".join(contenders.NAMES),
    loop: Literal["both", "uvloop", "asyncio"] = "both",
    processors: Mode = "auto",
    base: str = "asyncpg-pool",
    before: Path | None = None,
    seconds: float | None = None,
    chart: str = "latest",
    folder: Path = RESULTS,
) -> int:
    """Measure, print the ratios, write a chart.

    Exits with 1 if a contender failed or gave a wrong answer.

    Parameters
    ----------
    quick
        A shorter run with fewer rows: at most 90 seconds, and wider spreads.
    json
        A file for everything that was measured, round by round.
    only
        Cases, by the beginnings of their names, such as point-read or rows/1000.
    contenders
        Who takes part, by their short names, with commas.
    loop
        The event loop. Of both, uvloop runs everything and asyncio's own some cases.
    processors
        Whether the clients and the server share the processors: in all cases, in none, or, with auto, if
        many calls are concurrent. One call at a time is all noise if they share.
    base
        The contender that ratios are to.
    before
        Another checkout, whose plainsql takes part too: what did this one make faster or slower?
    seconds
        No further case begins after so many, instead of the 75 or 840 of a quick or a full run: on a
        machine that is slow, or busy.
    chart
        The name of the chart, which is written as SVG and PNG.
    folder
        Where the chart goes.
    """
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 150)
    available = available_loops()
    loops = available if loop == "both" else (loop,)
    if loop not in ("both", *available):
        console.print(f"{loop} is not installed", style="red")
        return 2
    listener = Listener(
        start=lambda results: report.print_start(console, results),
        case=lambda one, names: report.print_case(console, one, names, base),
    )
    extent = QUICK if quick else FULL
    if seconds is not None:
        extent = replace(extent, seconds=seconds)
    wanted = [name.strip() for name in contenders.split(",") if name.strip()]
    try:
        results = run(wanted, only or [], loops, extent, listener, processors, before)
    except UnknownContenderError as error:
        console.print(str(error), style="red")
        return 2
    report.print_results(console, results, base)
    # Cases that are named are the only ones to run.
    more = {} if only else measure_more(console, quick=quick)
    if json is not None:
        everything = msgspec.to_builtins(results) | more
        json.write_bytes(msgspec.json.format(msgspec.json.encode(everything), indent=1) + b"\n")
        console.print(f"wrote {json}; python -m benchmarks.page {json} puts it into docs/benchmarks.md")
    try:
        for path in draw(results, base, folder, chart):
            console.print(f"wrote {path.name}")
    except ModuleNotFoundError as error:
        console.print(f"no chart: {error.name} is not installed", style="yellow")
    return 1 if "failed" in more or any(one.failed for one in results.measured) else 0


if __name__ == "__main__":
    sys.exit(app())
