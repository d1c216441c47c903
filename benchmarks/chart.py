"""The chart: for each case a bar for each contender, as a ratio to the base."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import Measured, Results
from benchmarks.spread import ratio

__all__ = ["draw", "save"]

_CHOSEN = (
    "point-read/1",
    "point-read/64",
    "rows/1000",
    "tenant-read/1",
    "tenant-read/64",
    "mixed/64",
    "bulk-insert",
    "stream",
    "columns/1000",
)
_COLOURS = {
    "plainsql": "#1f7a4d",
    "plainsql-not-compiled": "#5fa381",
    "plainsql-unjoined": "#8fc2a6",
    "plainsql-rows": "#8fc2a6",
}
_NOT_SHOWN = ("plainsql-before",)
_BASE, _OTHERS = "#3b6ea5", "#b9bfc6"


def draw(results: Results, base: str, folder: Path, name: str) -> list[Path]:
    """Write ``name``.svg and ``name``.png into a folder and return their paths; none where there is no ratio.

    Raises ``ModuleNotFoundError`` where matplotlib is not installed.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    shown = _choose(results.measured, base)
    if not shown:
        return []
    columns = min(3, len(shown))
    lines = -(-len(shown) // columns)
    heights = [
        0.7 + 0.24 * max(len(one.series) for one in shown[start : start + columns])
        for start in range(0, len(shown), columns)
    ]
    with mpl.rc_context({"font.size": 9, "svg.fonttype": "path", "svg.hashsalt": "plainsql"}):
        figure, grid = plt.subplots(
            lines,
            columns,
            figsize=(max(4.6 * columns, 8.0), 0.6 + sum(heights)),
            gridspec_kw={"height_ratios": heights},
            squeeze=False,
            layout="constrained",
        )
        for axes in grid.flat[len(shown) :]:
            axes.set_visible(False)
        for axes, one in zip(grid.flat, shown, strict=False):
            _draw_case(axes, one, results, base)
        machine = results.machine
        figure.suptitle(
            f"Times as fast as {results.names[base]} — longer is better (median of rounds, quartiles)\n"
            f"{machine.cpu}, {machine.cores} cores, {machine.python}, PostgreSQL {machine.postgresql},"
            f" {shown[0].loop}, a Unix socket",
            fontsize=10,
        )
        paths = save(figure, folder, name)
        plt.close(figure)
    return paths


def save(figure: Any, folder: Path, name: str) -> list[Path]:
    """Write a figure as ``name``.svg and ``name``.png, the same bytes each time, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.svg", folder / f"{name}.png"]
    for path in paths:
        figure.savefig(path, dpi=130, metadata={"Date": None} if path.suffix == ".svg" else None)
    return paths


def _choose(measured: Sequence[Measured], base: str) -> list[Measured]:
    """Take the chosen cases, on the loop that was measured first; where none is there, all."""
    able = [one for one in measured if one.rates(base) and one.loop == measured[0].loop]
    chosen = [one for case in _CHOSEN for one in able if one.case == case]
    return chosen or able


def _draw_case(axes: Any, one: Measured, results: Results, base: str) -> None:
    against = one.rates(base) or []
    bars = [
        (series.contender, ratio(series.rates, against))
        for series in one.series
        if series.contender not in _NOT_SHOWN
    ]
    bars.sort(key=lambda bar: bar[1].median)
    colours = [_COLOURS.get(name, _BASE if name == base else _OTHERS) for name, _ in bars]
    places = range(len(bars))
    medians = [value.median for _, value in bars]
    reach = [
        [value.median - value.low for _, value in bars],
        [value.high - value.median for _, value in bars],
    ]
    axes.barh(places, medians, color=colours, xerr=reach, error_kw={"elinewidth": 0.8, "ecolor": "#555555"})
    axes.set_yticks(places, [results.names[name] for name, _ in bars])
    for label, (name, _) in zip(axes.get_yticklabels(), bars, strict=True):
        if name == "plainsql":
            label.set_fontweight("bold")
    widest = max(value.high for _, value in bars)
    for place, (_, value) in zip(places, bars, strict=True):
        axes.text(value.high + widest * 0.015, place, f"{value.median:.2f}", va="center", fontsize=8)
    axes.axvline(1.0, color=_BASE, linewidth=0.8, linestyle=":")
    axes.set_xlim(0, widest * 1.13)
    axes.set_title(one.title, fontsize=10, fontweight="bold", loc="left")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
