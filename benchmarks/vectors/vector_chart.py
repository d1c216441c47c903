"""The chart of a vector run: the speed of the stores, their recall with filters, recall against time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.chart import save
from benchmarks.spread import Spread, spread
from benchmarks.vectors.stores.store import FILTERS
from benchmarks.vectors.vector_claims import SHARES
from benchmarks.vectors.vector_results import VectorResults

__all__ = ["draw_vectors"]

_OURS, _OTHERS = "#1f7a4d", "#b9bfc6"
_SHADES = ("#1f7a4d", "#5fa381", "#c2dccd")


def draw_vectors(results: VectorResults, folder: Path, name: str) -> list[Path]:
    """Write ``name``.svg and ``name``.png into a folder and return their paths.

    Raises ``ModuleNotFoundError`` where matplotlib is not installed.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    with mpl.rc_context({"font.size": 9, "svg.fonttype": "path", "svg.hashsalt": "plainsql"}):
        figure, grid = plt.subplots(2, 3, figsize=(13.0, 5.2), layout="constrained")
        panels = [*grid.flat]
        for axes, way, title in (
            (panels[0], "one", "searches a second, one after another"),
            (panels[1], "at-once", f"searches a second, {results.at_once} at once"),
        ):
            every = {store: found.rates for store in results.stores if (found := results.find(store, way))}
            _draw_rates(axes, results, every, title)
        loads = {store: one.load_rates for store, one in results.stores.items()}
        _draw_rates(panels[2], results, loads, "rows loaded a second")
        _draw_filters(panels[3], results, "recall", f"recall@{results.limit}, by what a filter leaves")
        _draw_filters(panels[4], results, "mean_rows", "rows of an answer")
        _draw_settings(panels[5], results)
        for axes in panels:
            axes.spines[["top", "right"]].set_visible(False)
        machine = results.machine
        figure.suptitle(
            f"Vector stores on {results.rows:,} texts, {results.dimensions} dimensions; HNSW, ef_search ="
            f" {results.ef_search} (median of rounds, quartiles)\n{machine.cpu}, {machine.cores} cores,"
            f" {machine.python}, PostgreSQL {machine.postgresql}, a Unix socket",
            fontsize=10,
        )
        paths = save(figure, folder, name)
        plt.close(figure)
    return paths


def _draw_rates(axes: Any, results: VectorResults, rates: dict[str, list[float]], title: str) -> None:
    bars = sorted(((name, spread(values)) for name, values in rates.items()), key=lambda bar: bar[1].median)
    values = [value for _, value in bars]
    axes.barh(
        [results.stores[name].title for name, _ in bars],
        [value.median for value in values],
        color=[_OURS if name == "plainsql" else _OTHERS for name, _ in bars],
        xerr=_reach(values),
        error_kw={"elinewidth": 0.8, "ecolor": "#555555"},
    )
    widest = max(value.high for value in values)
    for place, value in enumerate(values):
        axes.text(value.high + widest * 0.015, place, f"{value.median:,.0f}", va="center", fontsize=8)
    axes.set_xlim(0, widest * 1.18)
    axes.set_title(title, fontsize=10, fontweight="bold", loc="left")


def _reach(values: Sequence[Spread]) -> list[list[float]]:
    return [[one.median - one.low for one in values], [one.high - one.median for one in values]]


def _draw_filters(axes: Any, results: VectorResults, figure: str, title: str) -> None:
    kinds: tuple[str | None, ...] = (None, *FILTERS)
    names = [*reversed(results.stores)]
    for number, kind in enumerate(kinds):
        found = [results.find(name, "one", kind) for name in names]
        values = [getattr(one, figure) if one else 0.0 for one in found]
        places = [place + 0.27 - number * 0.27 for place in range(len(names))]
        axes.barh(places, values, height=0.25, color=_SHADES[number], label=SHARES[kind])
        for place, value in zip(places, values, strict=True):
            shown = f"{value:.2f}" if figure == "recall" else f"{value:.1f}"
            axes.text(value * 1.01, place, shown, va="center", fontsize=7)
    axes.set_yticks(range(len(names)), [results.stores[name].title for name in names])
    axes.set_xlim(0, (1 if figure == "recall" else results.limit) * 1.8)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(0.68, 0.5), frameon=False)
    axes.set_title(title, fontsize=10, fontweight="bold", loc="left")


def _draw_settings(axes: Any, results: VectorResults) -> None:
    times = [one.median_ms for one in results.settings]
    recalls = [one.recall for one in results.settings]
    axes.plot(times, recalls, marker="o", color=_OURS, markersize=3)
    for one in results.settings:
        axes.annotate(
            str(one.ef_search),
            (one.median_ms, one.recall),
            fontsize=7,
            textcoords="offset points",
            xytext=(3, -8),
        )
    axes.set_xlabel("median ms of a search")
    axes.set_title("plainsql: recall by ef_search", fontsize=10, fontweight="bold", loc="left")
