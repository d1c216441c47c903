"""Rows for people: a table if it fits the terminal, else one block a row."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["Column", "print_rows", "print_table", "shorten", "size_of"]

_MAX_CELL_WIDTH = 48
"""The maximum width of a value in a table, in terminal cells."""
_MIN_FOLDED_WIDTH = 20
"""The minimum width of a folded column, in terminal cells."""
_MAX_VECTOR_NUMBERS = 3
"""The count of a vector's numbers that are printed."""


@dataclass(frozen=True, slots=True)
class Column:
    """The heading of a column, and the form of its values."""

    name: str
    right: bool = False
    """True if values are aligned to the right, as numbers are."""
    vector: bool = False


def print_rows(
    columns: Sequence[Column], rows: Sequence[Sequence[str | None]], *, upright: bool = False
) -> None:
    """Print rows, their values as PostgreSQL writes them.

    Args:
        columns: the headings.
        rows: values in the columns' order; None is null.
        upright: one line for each column, the best form of a single row.
    """
    if not rows or not columns:
        return
    # Names come from the database, as values do.
    columns = [replace(column, name=shorten(column.name, Column(""))) for column in columns]
    if not sys.stdout.isatty():
        _print_plain(columns, rows, upright=upright)
        return
    console = Console(highlight=False)
    cells = [[shorten(value, column) for value, column in zip(row, columns, strict=True)] for row in rows]
    lines = [[column.name for column in columns], *cells]
    widths = [max(map(cell_len, values)) for values in zip(*lines, strict=True)]
    if not upright and sum(widths) + 3 * len(widths) + 1 <= console.width:
        console.print(_table(columns, rows))
        return
    width = max(cell_len(column.name) for column in columns)
    for number, row in enumerate(rows, 1):
        if len(rows) > 1:
            console.print(Text(f"row {number}", style="bold"))
        for column, value in zip(columns, row, strict=True):
            line = Text().append(_padded(column.name, width), style="bold").append("  ")
            line.append_text(_styled(value, column, max(console.width - width - 2, 20)))
            console.print(line, overflow="ellipsis", no_wrap=True)


def print_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, styles: Sequence[str | None] = ()
) -> None:
    """Print a table with complete cells.

    At a terminal, long cells are folded; one that is too narrow for that gets a block for each row. Elsewhere
    there is one line a row. ``styles`` are the styles of the rows at a terminal.
    """
    if sys.stdout.isatty():
        console = Console(highlight=False)
        styled = [*styles, *[None] * (len(rows) - len(styles))]
        widths = [max(map(cell_len, column)) for column in zip(headings, *rows, strict=True)]
        needed = sum(min(width, _MIN_FOLDED_WIDTH) for width in widths) + 3 * len(widths) + 1
        if needed > console.width:
            for row, style in zip(rows, styled, strict=True):
                _print_block(console, headings, row, style)
            return
        table = Table(box=box.ROUNDED, border_style="dim", header_style="bold")
        for heading, width in zip(headings, widths, strict=True):
            table.add_column(heading, overflow="fold", min_width=min(width, _MIN_FOLDED_WIDTH))
        for row, style in zip(rows, styled, strict=True):
            table.add_row(*(Text(cell) for cell in row), style=style)
        console.print(table)
        return
    widths = [max(map(cell_len, column)) for column in zip(headings, *rows, strict=True)]
    for line in (headings, *rows):
        cells = (_padded(cell, width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def _print_block(console: Console, headings: Sequence[str], row: Sequence[str], style: str | None) -> None:
    """Print the first cell, and below it as many of the others on a line as fit.

    Empty cells are left out.
    """
    console.print(Text(row[0].rstrip(), style=style or "bold"), overflow="fold")
    line = Text()
    for heading, cell in zip(headings[1:], map(str.strip, row[1:]), strict=True):
        if not cell:
            continue
        pair = Text(f"  {heading} ", style="dim").append_text(Text(cell, style=style or "not dim"))
        if line and line.cell_len + pair.cell_len > console.width:
            console.print(line, overflow="fold")
            line = Text()
        line.append_text(pair)
    if line:
        console.print(line, overflow="fold")


def shorten(value: str | None, column: Column, most: int = _MAX_CELL_WIDTH) -> str:
    """Return a value on one line of at most ``most`` cells, without control characters."""
    if value is None:
        return "null"
    if column.vector:
        numbers = value.strip("[]").split(",")
        if len(numbers) > _MAX_VECTOR_NUMBERS:
            shown = ", ".join(f"{float(number):.3g}" for number in numbers[:_MAX_VECTOR_NUMBERS])
            return f"[{shown}, … {len(numbers)} numbers]"
    # Enough characters for the widest cell, even if some have no width: a value may have megabytes.
    text = value[: most * 4].replace("\r\n", "⏎").replace("\n", "⏎").replace("\t", " ")
    text = "".join(character if character.isprintable() else "·" for character in text)
    return set_cell_size(text, most - 1).rstrip() + "…" if cell_len(text) > most else text


def _styled(value: str | None, column: Column, most: int) -> Text:
    return Text(shorten(value, column, most), style="dim" if value is None else "")


def _table(columns: Sequence[Column], rows: Sequence[Sequence[str | None]]) -> Table:
    table = Table(box=box.ROUNDED, border_style="dim", header_style="bold")
    for column in columns:
        table.add_column(Text(column.name), justify="right" if column.right else "left", no_wrap=True)
    for row in rows:
        table.add_row(
            *(_styled(value, column, _MAX_CELL_WIDTH) for value, column in zip(row, columns, strict=True))
        )
    return table


def _print_plain(columns: Sequence[Column], rows: Sequence[Sequence[str | None]], *, upright: bool) -> None:
    shown = [[shorten(value, column) for value, column in zip(row, columns, strict=True)] for row in rows]
    if upright:
        width = max(cell_len(column.name) for column in columns)
        for row in shown:
            for column, value in zip(columns, row, strict=True):
                print(f"{_padded(column.name, width)}  {value}".rstrip())
        return
    lines = [[column.name for column in columns], *shown]
    widths = [max(map(cell_len, values)) for values in zip(*lines, strict=True)]
    for line in lines:
        cells = (
            _padded(cell, width, right=column.right)
            for cell, width, column in zip(line, widths, columns, strict=True)
        )
        print("  ".join(cells).rstrip())


def _padded(text: str, width: int, *, right: bool = False) -> str:
    blanks = " " * (width - cell_len(text))
    return blanks + text if right else text + blanks


def size_of(size: object) -> str:
    """Return a number of bytes with a unit, as people read it."""
    amount = float(str(size))
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:,.1f} TB"
