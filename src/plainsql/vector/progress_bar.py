"""The counter that ``fill(progress=True)`` shows on the standard error, if that is a terminal."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from plainsql.errors import SettingsError

if TYPE_CHECKING:
    from plainsql.vector.embedding_rounds import Filled

__all__ = ["counter"]


@contextmanager
def counter(title: str) -> Generator[Callable[[Filled], object]]:
    """Show a counter while the block runs; the number of rows that are left is not known."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    except ImportError:  # the extra is not installed
        raise SettingsError(
            "progress=True needs the rich package", hint="pip install 'plainsql[cli]', or pass a function"
        ) from None
    console = Console(stderr=True, highlight=False)
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:,.0f} embedded{task.fields[failed]}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(title, total=None, failed="", rate="")

        def show(filled: Filled) -> None:
            rate = filled.done / filled.seconds if filled.seconds else 0
            progress.update(
                task,
                completed=filled.done,
                failed=f", {filled.failed:,} failed" if filled.failed else "",
                rate=f"{rate:,.0f}/s",
            )

        yield show
