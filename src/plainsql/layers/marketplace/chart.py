"""The daily report as a chart."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from plainsql.errors import BindError, SettingsError
from plainsql.layers.marketplace.daily_report import CategoryLine, DailyReport
from plainsql.layers.marketplace.formatting import amount, duration, percent, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw", "suffix"]

_FORMATS: Final = ("png", "svg")
_MAX_CATEGORIES: Final = 8
_HEADING_LEFT: Final = -0.55
"""The left edge of the categories and their heading, in widths of their bars."""

_INK, _SOFT, _FAINT, _PAPER, _TILE = "#1d2733", "#5f6b7a", "#dfe4ea", "#ffffff", "#f4f6f8"
_BUYERS, _BOT, _SALES = "#8fb3d9", "#2a5d9f", "#1f8a5b"


def suffix(path: Path) -> str:
    """Return the format of a file by its name: ``png`` or ``svg``.

    Raises ``BindError`` if the name ends otherwise.
    """
    found = path.suffix.lower().removeprefix(".")
    if found not in _FORMATS:
        raise BindError(
            f"{path.name}: expected a name that ends in .png or .svg", hint="write report.png or report.svg"
        )
    return found


def draw(report: DailyReport, path: Path) -> None:
    """Write the chart of a report, 1,600 by 1,000 pixels as PNG.

    An existing file is replaced atomically. Raises ``BindError`` if the name ends neither in ``.png`` nor in
    ``.svg``, ``SettingsError`` if matplotlib is not installed, ``OSError`` if the file cannot be written.
    """
    kind = suffix(path)
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise SettingsError(
            "the chart needs matplotlib, which is not installed", hint="pip install 'plainsql[report]'"
        ) from None
    # Text in SVG stays text, so that it can be searched and copied. The same report gives the same file.
    style: Any = {"font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "plainsql"}
    style |= {"font.family": ["DejaVu Sans"], "text.color": _INK, "axes.edgecolor": _FAINT}
    style |= {"text.parse_math": False}  # A category or a sum may hold a dollar sign.
    with mpl.rc_context(style):
        figure = Figure(figsize=(12.8, 8.0), dpi=125, facecolor=_PAPER)
        _compose(figure, report)
        _save(figure, path, kind)


def _compose(figure: Figure, report: DailyReport) -> None:
    figure.text(0.035, 0.945, title(report.day), fontsize=21, fontweight="bold", va="center")
    figure.text(0.965, 0.945, report.time_zone, fontsize=11, color=_SOFT, va="center", ha="right")
    earned = [amount(part.amount, part.currency) for part in report.revenue if part.amount] or ["-"]
    more = f" + {', '.join(earned[1:])}" if len(earned) > 1 else ""
    tiles = (
        (f"{report.conversations:,}", "conversations begun"),
        (percent(report.response_rate), f"answered: {report.answered:,} of {report.asked:,} who wrote"),
        (earned[0], f"{report.sales:,} sold{more}"),
        (duration(report.median_time_to_sale), "median time to sale"),
    )
    for place, (value, label) in enumerate(tiles):
        _tile(figure, 0.035 + place * 0.2355, value, label)
    _hours(figure.add_axes((0.065, 0.085, 0.50, 0.545)), report)
    _categories(figure.add_axes((0.745, 0.085, 0.22, 0.545)), report.categories)


def _tile(figure: Figure, left: float, value: str, label: str) -> None:
    axes = figure.add_axes((left, 0.735, 0.2235, 0.15), facecolor=_TILE)
    axes.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1))
    for spine in axes.spines.values():
        spine.set_visible(False)
    # Long sums have a smaller font, not fewer digits.
    size = min(25.0, 25.0 * 11.5 / max(len(value), 1))
    axes.text(0.06, 0.62, value, fontsize=size, fontweight="bold", va="center")
    axes.text(0.06, 0.22, label, fontsize=10 if len(label) < 38 else 8.5, color=_SOFT, va="center")


def _hours(axes: Axes, report: DailyReport) -> None:
    """Draw the messages of each hour, of buyers and of the bot, and the sales above them."""
    _plain(axes, "Messages by hour", left=-0.06)
    places = range(len(report.hours))
    buyers = [hour.buyer_messages for hour in report.hours]
    bot = [hour.bot_messages for hour in report.hours]
    top = max([*buyers, *bot, 1])
    axes.bar([place - 0.21 for place in places], buyers, 0.4, color=_BUYERS, label="buyers")
    axes.bar([place + 0.21 for place in places], bot, 0.4, color=_BOT, label="the bot")
    sold = [(place, hour.sales) for place, hour in enumerate(report.hours) if hour.sales]
    if sold:
        axes.scatter(
            [place for place, _ in sold],
            [top * 1.09] * len(sold),
            s=[36 + 14 * min(count, 12) for _, count in sold],
            color=_SALES,
            marker="o",
            label="sales",
            zorder=3,
        )
        for place, count in sold:
            if count > 1:
                axes.text(
                    place,
                    top * 1.09,
                    f"{count}",
                    color=_PAPER,
                    fontsize=7,
                    ha="center",
                    va="center",
                    zorder=4,
                )
    axes.set_ylim(0, top * 1.18)
    axes.set_xlim(-0.7, len(report.hours) - 0.3)
    ticks = [place for place, hour in enumerate(report.hours) if hour.starts_at.hour % 3 == 0]
    axes.set_xticks(ticks, [f"{report.hours[place].starts_at:%H:%M}" for place in ticks])
    axes.locator_params(axis="y", integer=True)
    axes.grid(axis="y", color=_FAINT, linewidth=0.8)
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda place: labels[place] == "sales")
    axes.legend(
        [handles[place] for place in order],
        [labels[place] for place in order],
        loc="lower right",
        bbox_to_anchor=(1.0, 1.005),
        ncols=3,
        frameon=False,
        handlelength=1.0,
        fontsize=10,
    )
    if not any([*buyers, *bot]):
        _nothing(axes, "no messages")


def _categories(axes: Axes, lines: Sequence[CategoryLine]) -> None:
    """Draw the revenue of the largest categories, and the rest in one bar for each currency."""
    _plain(axes, "Revenue by category", left=_HEADING_LEFT)
    bars = _bars(lines)
    axes.set_xticks([])
    if not bars:
        axes.set_yticks([])
        _nothing(axes, "no sales")
        return
    # Either all sums have decimals, or none has.
    cents = any(earned != earned.to_integral_value() for _, earned, _, _ in bars)
    longest = max(float(earned) for _, earned, _, _ in bars) or 1.0
    axes.barh(range(len(bars)), [float(earned) for _, earned, _, _ in bars], 0.42, color=_SALES)
    axes.set_yticks([])
    for place, (name, _, _, _) in enumerate(bars):
        _category(axes, place, name)
    # A few bars keep their thickness: there is always room for six.
    axes.set_ylim(max(len(bars), 6) - 0.4, -0.6)
    axes.set_xlim(0, longest * 1.02)
    for place, (_, earned, currency, sales) in enumerate(bars):
        text = f"{amount(earned, currency, cents=cents)}  ·  {sales:,} sold"
        axes.text(0, place + 0.40, text, fontsize=8.5, color=_SOFT, va="center", ha="left")


def _category(axes: Axes, place: int, name: str) -> None:
    """Write a category's name, aligned with the heading and cut to the room before the bars."""
    text = axes.text(
        _HEADING_LEFT, place, name, transform=axes.get_yaxis_transform(), color=_SOFT, va="center", ha="left"
    )
    room = -_HEADING_LEFT * axes.bbox.width - 12
    for length in range(min(len(name), 40), 0, -1):
        if text.get_window_extent().width <= room:
            return
        text.set_text(f"{name[: length - 1].rstrip()}…")


def _bars(lines: Sequence[CategoryLine]) -> list[tuple[str, Decimal, str, int]]:
    sold = [line for line in lines if line.sales]
    bars = [(line.category or "no category", line.revenue, line.currency, line.sales) for line in sold]
    if len(bars) <= _MAX_CATEGORIES:
        return bars
    shown, rest = bars[: _MAX_CATEGORIES - 1], bars[_MAX_CATEGORIES - 1 :]
    for currency in dict.fromkeys(currency for _, _, currency, _ in rest):
        parts = [bar for bar in rest if bar[2] == currency]
        total = sum((earned for _, earned, _, _ in parts), Decimal(0))
        shown.append((f"{len(parts)} more", total, currency, sum(bar[3] for bar in parts)))
    return shown


def _plain(axes: Axes, heading: str, left: float) -> None:
    """Remove frames and ticks, and write the heading at ``left``, in widths of the axes."""
    axes.set_title(heading, loc="left", x=left, fontsize=12, fontweight="bold", pad=10)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0, labelcolor=_SOFT, pad=6)
    axes.set_axisbelow(True)


def _nothing(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, fontsize=12, color=_SOFT, ha="center", va="center")


def _save(figure: Figure, path: Path, kind: str) -> None:
    made, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=f".{kind}", dir=path.parent)
    os.close(made)
    try:
        metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {}
        figure.savefig(name, format=kind, metadata=metadata)
        # The permissions that open() gives a file, which a temporary file does not have.
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
