"""The contract between ``plainsql demo`` and a package that has one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from rich.console import Console

from plainsql.database import Database

__all__ = ["Demo", "SampleData"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SampleData(Generic[T]):
    """The rows that the tables of a demo begin with."""

    generate: Callable[[], T]
    """Return the data. Runs in a thread while the server starts."""
    count_rows: Callable[[T], int]
    load: Callable[[Database, T, Callable[[int], object]], Awaitable[None]]
    """Write the data to the empty tables. The last argument is called with the number of rows of each
    batch that is written."""
    load_after: str | None = None
    """The migration after which the data are loaded; None is the last one. Indexes that later migrations
    build over existing rows cost less than indexes that each row has to update."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """A demo: the migrations of its database, and the queries that it shows on it."""

    play: Callable[[str, Console], Awaitable[int]]
    """Run the queries on the database of the URL, print them on the console, and return their number."""
    migrations: Path
    """The folder of the migrations, which are applied to an empty database."""
    layer: str | None = None
    """The folder's layer to apply; None applies all."""
    sample: SampleData[Any] | None = None
