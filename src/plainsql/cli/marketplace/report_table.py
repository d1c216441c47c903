"""The daily report of the marketplace as a table in the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from plainsql.cli.tables import Column, shorten
from plainsql.layers.marketplace.daily_report import DailyReport
from plainsql.layers.marketplace.formatting import amount, duration, percent, title

__all__ = ["print_report"]

_HEADS = ("category", "conversations", "answered", "sold", "revenue", "median time to sale")


def print_report(console: Console, report: DailyReport) -> None:
    """Print a day: a heading, a line for each category, and the day as a whole."""
    heading = Text(title(report.day), style="bold").append(f"  {report.time_zone}", style="not bold dim")
    console.print(heading)
    console.print(_table(report, plain=not console.is_terminal))
    hours = [hour for hour in report.hours if hour.buyer_messages or hour.bot_messages]
    if hours:
        busiest = max(hours, key=lambda hour: hour.buyer_messages + hour.bot_messages)
        asked = sum(hour.buyer_messages for hour in report.hours)
        answered = sum(hour.bot_messages for hour in report.hours)
        console.print(
            f"{asked:,} messages of buyers, {answered:,} of the bot; the busiest hour began at "
            f"{busiest.starts_at:%H:%M}"
        )
    else:
        console.print("no messages")


def _table(report: DailyReport, *, plain: bool) -> Table:
    table = Table(
        box=None if plain else box.ROUNDED,
        border_style="dim",
        header_style="bold",
        pad_edge=not plain,
        padding=(0, 2, 0, 0) if plain else (0, 1),
        show_footer=False,
    )
    for place, head in enumerate(_HEADS):
        table.add_column(head, justify="left" if place == 0 else "right", no_wrap=place == 0)
    for line in report.categories:
        table.add_row(
            Text(shorten(line.category, Column(""), 30) if line.category else "(none)"),
            f"{line.conversations:,}",
            _answered(line.answered, line.asked, line.response_rate),
            f"{line.sales:,}",
            amount(line.revenue, line.currency) if line.sales else "-",
            duration(line.median_time_to_sale),
        )
    if report.categories:
        table.add_section()
    earned = [amount(part.amount, part.currency) for part in report.revenue if part.amount] or ["-"]
    table.add_row(
        "all",
        f"{report.conversations:,}",
        _answered(report.answered, report.asked, report.response_rate),
        f"{report.sales:,}",
        "\n".join(earned),
        duration(report.median_time_to_sale),
        style="bold",
    )
    return table


def _answered(answered: int, asked: int, rate: float | None) -> str:
    return f"{percent(rate)} of {asked:,}" if asked else "-"
