"""The plot of a recall report: recall against time, a line for each case."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from plainsql.errors import BindError, SettingsError
from plainsql.vector.recall_report import RecallCase, RecallReport

__all__ = ["draw", "plot_format"]

_FORMATS: Final = ("png", "svg")
_MARKERS: Final = "osD^vP*X"


def plot_format(path: Path) -> str:
    """Return the format of a plot by its file's name: ``png`` or ``svg``.

    Raises ``BindError`` if the name ends otherwise, ``SettingsError`` if matplotlib is not installed.
    """
    found = path.suffix.lower().removeprefix(".")
    if found not in _FORMATS:
        raise BindError(
            f"{path.name}: expected a name that ends in .png or .svg", hint="write recall.png or recall.svg"
        )
    if find_spec("matplotlib") is None:
        raise SettingsError(
            "the plot needs matplotlib, which is not installed", hint="pip install 'plainsql[report]'"
        )
    return found


def draw(report: RecallReport, path: Path) -> None:
    """Write a plot of a report as PNG or SVG. The same report gives the same file.

    Raises what ``plot_format`` does, and ``OSError`` if the file cannot be written.
    """
    kind = plot_format(path)
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    style: Any = {"font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "plainsql"}
    style |= {"font.family": ["DejaVu Sans"], "text.parse_math": False}
    with mpl.rc_context(style):
        figure = Figure(figsize=(9.6, 6.0), dpi=125, layout="constrained")
        axes = figure.add_subplot()
        for number, case in enumerate(report.cases):
            _draw_case(axes, case, number)
        if report.at_least is not None:
            axes.axhline(report.at_least, color="#b03030", linewidth=1, linestyle="--")
            axes.text(
                0.995,
                report.at_least,
                f"at least {report.at_least:g}",
                transform=axes.get_yaxis_transform(),
                color="#b03030",
                ha="right",
                va="bottom",
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("median time of a search, ms")
        axes.set_ylabel(f"recall@{max(case.exact_rows for case in report.cases):g}")
        lowest = min(each.recall for case in report.cases for each in case.measurements)
        axes.set_ylim(max(min(lowest, report.at_least or 1) - 0.05, 0), 1.01)
        axes.grid(alpha=0.3, which="both")
        figure.legend(loc="outside lower center", ncols=min(len(report.cases), 3), frameon=False)
        figure.suptitle(f"{report.query}: recall against time")
        figure.savefig(path, format=kind, metadata={"Date": None} if kind == "svg" else None)


def _draw_case(axes: Any, case: RecallCase, number: int) -> None:
    points = sorted(case.measurements, key=lambda each: each.median_ms)
    (line,) = axes.plot(
        [each.median_ms for each in points],
        [each.recall for each in points],
        marker=_MARKERS[number % len(_MARKERS)],
        label=case.name,
    )
    for each in points:
        if each.settings:
            axes.annotate(
                ", ".join(each.settings.values()),
                (each.median_ms, each.recall),
                xytext=(4, -11),
                textcoords="offset points",
                fontsize=8,
                color=line.get_color(),
            )
