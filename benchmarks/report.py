"""The tables that a run prints."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.headlines import headlines
from benchmarks.results import Measured, Results
from benchmarks.spread import Spread, ratio, spread, three_digits

__all__ = ["print_case", "print_results", "print_start"]

_CASES_ABREAST = 10


def print_start(console: Console, results: Results) -> None:
    """Say where this runs and what takes part."""
    machine = results.machine
    console.print(
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_gb:g} GB · {machine.system}"
        f" · {machine.python} · PostgreSQL {machine.postgresql} · load {machine.load}"
    )
    console.print(" · ".join(f"{name} {version}" for name, version in machine.packages.items()))
    commit = results.commit[:12] + (" with changes" if results.dirty else "")
    for what, text in (("commit", commit), *results.compiled.items()):
        if text:
            console.print(f"{what}: {text}")
    for condition in results.conditions:
        console.print(f"- {condition}")
    for name, reason in results.missing.items():
        console.print(f"without {name}: {reason}", style="yellow")


def print_case(console: Console, one: Measured, names: Mapping[str, str], base: str) -> None:
    """Print a case: the contenders, the fastest first, and their ratio to ``base``."""
    against = one.rates(base)
    table = Table(
        title=f"\n{one.title} · {one.loop} · {one.took:.0f} s"
        + (f"\n{one.placement}" if one.placement else ""),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("contender")
    for heading in (f"{one.unit}/s", "quartiles", "ratio", "quartiles"):
        table.add_column(heading, justify="right", no_wrap=True)
    worked = any(series.cpu_us for series in one.series)
    if worked:
        table.add_column("client µs", justify="right", no_wrap=True)
    timed = any(series.p50_ms for series in one.series)
    if timed:
        for heading in ("p50 ms", "p99 ms"):
            table.add_column(heading, justify="right", no_wrap=True)
    streams = any(series.memory_mb for series in one.series)
    if streams:
        table.add_column("grew by", justify="right", no_wrap=True)
    whole = max((series.units for series in one.series), default=0)
    for series in sorted(one.series, key=lambda series: -spread(series.rates).median):
        rate = spread(series.rates)
        name = names[series.contender]
        if one.unit == "rows" and series.units < whole:
            name += f" ({series.units:,} {one.unit})"
        cells = [_count(rate.median), f"{_count(rate.low)}-{_count(rate.high)}"]
        cells += ["", ""] if against is None else _ratio_cells(ratio(series.rates, against))
        if worked:
            cells.append(three_digits(spread(series.cpu_us).median) if series.cpu_us else "")
        if timed:
            cells += [
                f"{spread(times).median:.3f}" if times else "" for times in (series.p50_ms, series.p99_ms)
            ]
        if streams:
            cells.append(f"{spread(series.memory_mb).median:.1f} MB")
        style = "bold green" if series.contender == "plainsql" else "cyan" if series.contender == base else ""
        table.add_row(name, *cells, style=style)
    console.print(table)
    for note, noted in _grouped({series.contender: series.note for series in one.series}, names):
        console.print(f"  {noted}: {note}")
    for reason, left_out in _grouped(one.skipped, names):
        console.print(f"  without {left_out}: {reason}", style="yellow")
    for name, reason in one.failed.items():
        console.print(f"  {names[name]} failed: {reason}", style="red")


def print_results(console: Console, results: Results, base: str) -> None:
    """Print the ratios of everybody in everything, then plainsql's in the comparisons that matter."""
    for loop in dict.fromkeys(one.loop for one in results.measured):
        measured = [one for one in results.measured if one.loop == loop and one.rates(base)]
        for start in range(0, len(measured), _CASES_ABREAST):
            console.print(_overview(measured[start : start + _CASES_ABREAST], results.names, base, loop))
    table = Table(
        title="\nplainsql against others: median of the rounds' ratios, and quartiles",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("comparison")
    table.add_column("loop")
    table.add_column("ratio", justify="right", style="bold", no_wrap=True)
    table.add_column("quartiles", justify="right", no_wrap=True)
    found = headlines(results.measured)
    for one in found:
        table.add_row(one.text, one.loop, *_ratio_cells(one.ratio))
    if found:
        console.print(table)
    for name, text in results.compiled.items():
        console.print(f"{results.names[name]}: {text}")
    if results.generated_queries:
        console.print("\nimport of generated modules", style="bold")
        console.print("\n".join(results.generated_queries))
    if results.left_out:
        console.print(f"no time was left for {', '.join(results.left_out)}", style="yellow")
    console.print(f"\n{len(results.measured)} cases in {results.took:.0f} s", style="dim")


def _grouped(texts: Mapping[str, str], names: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return each text that is not empty, with the names of those that it is about."""
    groups: dict[str, list[str]] = {}
    for name, text in texts.items():
        if text:
            groups.setdefault(text, []).append(names[name])
    return [(text, ", ".join(group)) for text, group in groups.items()]


def _overview(measured: Sequence[Measured], names: Mapping[str, str], base: str, loop: str) -> Table:
    table = Table(
        title=f"\nratio to {names[base]} · {loop}",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("contender", no_wrap=True)
    for one in measured:
        table.add_column(re.sub("[-/]", "\n", one.case), justify="right", no_wrap=True)
    for name, title in names.items():
        cells = []
        for one in measured:
            rates, against = one.rates(name), one.rates(base)
            cells.append(
                Text("-", style="dim") if not rates or not against else _shade(ratio(rates, against))
            )
        if any(cell.plain != "-" for cell in cells):
            table.add_row(Text(title, style="bold" if name == "plainsql" else ""), *cells)
    return table


def _shade(value: Spread) -> Text:
    style = "green" if value.low > 1.0 else "red" if value.high < 1.0 else ""
    return Text(f"{value.median:.2f}", style=style)


def _ratio_cells(value: Spread) -> list[str]:
    return [f"{value.median:.2f}x", f"{value.low:.2f}-{value.high:.2f}"]


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
