"""The output of a demo: for each step its title, its SQL file, its time and its rows."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, tzinfo
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

import asyncpg
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from plainsql.cli.tables import Column, shorten
from plainsql.errors import PlainsqlError, TenantError
from plainsql.executors import AsyncExecutor
from plainsql.query import Query

__all__ = ["Presenter", "Step"]

P = ParamSpec("P")
R = TypeVar("R")

_MAX_CELL_WIDTH = 60
"""Terminal cells."""


class Presenter:
    """Runs the queries of a demo one after the other, and prints each when it ends."""

    def __init__(self, db: AsyncExecutor, console: Console, zone: tzinfo = UTC) -> None:
        self.db = db
        """The executor of the next steps; a demo may replace it, by a tenant's view for example."""
        self.queries = 0
        self._console = console
        self._zone = zone
        self._steps = 0

    @asynccontextmanager
    async def step(self, title: str, columns: str) -> AsyncIterator[Step]:
        """Open a step of several queries, which are printed together.

        ``columns`` are the fields to print, separated by blanks: ``lead.phone`` is a field of a nested row,
        ``title=home`` has the heading "home".
        """
        step = Step(self.db)
        yield step
        self.queries += step.queries
        self._steps += 1
        self._heading(title, step)
        if step.rows:
            self._console.print(Padding(self._table(columns.split(), step.rows), (0, 0, 0, 4), expand=False))
        else:
            self._console.print(Text("    no rows", style="dim"))

    async def show(
        self, title: str, columns: str, query: Query[P, Any, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run one query as a step of its own, and print it."""
        async with self.step(title, columns) as step:
            return await step.run(query, *args, **kwargs)

    async def show_refusal(
        self, title: str, query: Query[P, Any, Any], /, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Run a query that the server must refuse, and print its error.

        Raises ``PlainsqlError`` if the query is not refused.
        """
        step = Step(self.db)
        try:
            await step.run(query, *args, **kwargs)
        except (asyncpg.IntegrityConstraintViolationError, TenantError) as error:
            self.queries += step.queries
            self._steps += 1
            self._heading(title, step)
            first = str(error).partition("\n")[0]
            said = Text(type(error).__name__, style="yellow").append(f": {first}", style="default")
            self._console.print(Padding(said, (0, 0, 0, 4)))
        else:
            raise PlainsqlError(f"the demo failed: {query.name} was not refused")

    def expect(self, holds: bool, what: str) -> None:
        """Raise ``PlainsqlError`` with the text of what failed, unless the condition holds."""
        if not holds:
            raise PlainsqlError(f"the demo failed: {what}")

    def _heading(self, title: str, step: Step) -> None:
        files = " ".join(dict.fromkeys(step.files))
        times = f", {step.queries} times" if step.queries > 1 else ""
        self._console.print()
        heading = Table.grid(padding=(0, 2, 0, 0))
        heading.add_column(width=2, justify="right", style="dim")
        heading.add_column(overflow="fold")
        heading.add_row(f"{self._steps}", Text(title, style="bold"))
        said = Text(f"{files}{times}", style="cyan").append(f"  {step.seconds * 1000:.1f} ms", style="green")
        heading.add_row("", said)
        self._console.print(heading)

    def _table(self, columns: list[str], rows: list[object]) -> Table:
        fields = [column.partition("=")[0] for column in columns]
        heads = [column.rpartition("=")[2] for column in columns]
        cells = [[self._shown(_get(row, field)) for field in fields] for row in rows]
        widths = [max(map(cell_len, cell)) for cell in zip(heads, *cells, strict=True)]
        # On a narrow terminal only the widest column is cut.
        longest = widths.index(max(widths))
        room = self._console.width - 4 - 2 * (len(widths) - 1) - sum(widths) + widths[longest]
        widths[longest] = max(min(widths[longest], room), 10)
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for field, head, width in zip(fields, heads, widths, strict=True):
            numeric = isinstance(_get(rows[0], field), int | float)
            table.add_column(head, justify="right" if numeric else "left", no_wrap=True, width=width)
        for row in cells:
            table.add_row(*(Text(cell, overflow="ellipsis", no_wrap=True) for cell in row))
        return table

    def _shown(self, value: object) -> str:
        if value is None:
            return "-"
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, int):
            return f"{value:,}"
        if isinstance(value, float):
            return f"{value:.3f}"
        if isinstance(value, datetime):
            return f"{value.astimezone(self._zone):%a %d %b %H:%M}"
        if isinstance(value, UUID):
            return f"{value}"[:8]
        return shorten(str(value), Column(""), _MAX_CELL_WIDTH)


class Step:
    """Several queries that are printed together."""

    def __init__(self, db: AsyncExecutor) -> None:
        self._db = db
        self.rows: list[object] = []
        self.files: list[str] = []
        self.queries = 0
        self.seconds = 0.0

    async def run(self, query: Query[P, Any, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a query, and keep its rows for the output."""
        self.files.append(query.file)
        self.queries += 1
        began = time.perf_counter()
        try:
            result = await query(self._db, *args, **kwargs)
        finally:
            self.seconds += time.perf_counter() - began
        if isinstance(result, list):
            self.rows.extend(result)
        elif result is not None and query.kind != "count":
            self.rows.append(result)
        return result


def _get(row: object, path: str) -> Any:
    value = row
    for name in path.split("."):
        value = getattr(value, name) if value is not None else None
    return value
