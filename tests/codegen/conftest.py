"""The kitchen, a project with a query for everything that can be generated, and projects made by a test."""

from __future__ import annotations

import asyncio
import importlib
import shutil
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest

import plainsql
import plainsql.sync
from plainsql import codegen
from plainsql.check.project_check import ProjectCheck, check_project
from plainsql.settings import Project

KITCHEN = Path(__file__).parent / "kitchen"
PACKAGE = "tests.codegen.kitchen.queries"
OWN_TYPES = {
    "guests.id": "tests.codegen.kitchen.own_types.GuestId",
    "bookings.id": "tests.codegen.kitchen.own_types.BookingId",
    "*.price": {
        "type": "tests.codegen.kitchen.own_types.Money",
        "from_db": "tests.codegen.kitchen.own_types.load",
        "to_db": "tests.codegen.kitchen.own_types.dump",
    },
}

Generate = Callable[[Path], ProjectCheck]


def project(root: Path) -> Project:
    return Project(root=root, package=PACKAGE, types=OWN_TYPES)


@pytest.fixture
def generate(database_url: str) -> Generate:
    """Check the project in a folder."""

    def run(root: Path) -> ProjectCheck:
        found = check_project(project(root), database_url)
        assert [str(error) for error in found.errors] == []
        return found

    return run


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the kitchen without the generated files."""
    root = tmp_path / "kitchen"
    for folder in ("sql", "migrations"):
        shutil.copytree(KITCHEN / folder, root / folder)
    return root


SCHEMA = """
create type mood as enum ('a"b', E'tab\\there', E'cr\\rlf\\n', E'\\x0b\\u2028', '{x}', 'back\\', '');
create type nothing as enum ();
create table cooks (id bigint primary key, name text not null, mail text);
create table dishes (
  id bigint primary key,
  cook_id bigint references cooks (id),
  mood mood,
  nothing nothing,
  payload jsonb,
  documents jsonb[],
  stars integer not null
);
"""

FUNCTIONS = """
create function nothing_at_all(x integer) returns void language plpgsql as $$ begin perform x; end $$;
create function nothing_often(x integer) returns setof void language sql as $$ select $$;
"""

Made = Callable[[Mapping[str, str]], ProjectCheck]
Load = Callable[..., ModuleType]


@pytest.fixture
def folder(tmp_path: Path) -> Project:
    return Project(root=tmp_path, output=f"package_of_{tmp_path.name}")


@pytest.fixture
def make(folder: Project, database_url: str) -> Made:
    """Write files below the project, and check it."""

    def run(files: Mapping[str, str]) -> ProjectCheck:
        for name, text in {"migrations/0001_all.sql": SCHEMA, **files}.items():
            (folder.root / name).parent.mkdir(parents=True, exist_ok=True)
            (folder.root / name).write_text(text)
        return check_project(folder, database_url)

    return run


@pytest.fixture
def load(folder: Project, make: Made, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """Generate from files, and import one of the modules."""

    def run(module: str, files: Mapping[str, str]) -> ModuleType:
        found = make(files)
        assert [str(error) for error in found.errors] == []
        codegen.write(found.files, folder.output_folder)
        monkeypatch.syspath_prepend(folder.root)
        return importlib.import_module(f"{folder.import_name}.{module}")

    return run


def query(columns: str, returns: str = "many Dish", header: str = "", tail: str = "") -> str:
    return f"-- It.\n-- returns: {returns}\n{header}select {columns}\n{tail}"


class Sides:
    """One database, over both drivers."""

    def __init__(
        self, runner: asyncio.Runner, first: plainsql.Database, second: plainsql.sync.Database
    ) -> None:
        self._runner, self._first, self._second = runner, first, second

    def ask(self, query: Any, /, **parameters: object) -> Any:
        """Call a query over both drivers, and return both answers."""
        first = self._runner.run(query(self._first, **parameters))
        assert query(self._second, **parameters) == first
        return first

    def refused(self, query: Any, error: type[plainsql.PlainsqlError], /, **parameters: object) -> Any:
        """Call a query over both drivers, and return the error that both raise."""
        with pytest.raises(error) as raised:
            self._runner.run(query(self._first, **parameters))
        with pytest.raises(error) as again:
            query(self._second, **parameters)
        assert str(raised.value) == str(again.value)
        return raised.value

    def stream(self, query: Any, /, **parameters: object) -> list[Any]:
        """Read a stream over both drivers, and return both answers."""

        async def first() -> list[Any]:
            return [row async for row in query.stream(self._first, **parameters)]

        rows = self._runner.run(first())
        assert list(query.stream(self._second, **parameters)) == rows
        return rows

    def refused_stream(self, query: Any, /, **parameters: object) -> Any:
        """Read a stream over both drivers, and return the contract error that both raise."""
        with pytest.raises(plainsql.ContractError) as raised:
            self.stream(query, **parameters)
        with pytest.raises(plainsql.ContractError) as again:
            list(query.stream(self._second, **parameters))
        assert str(raised.value) == str(again.value)
        return raised.value

    def run(self, use: Callable[[plainsql.Database], Awaitable[Any]]) -> Any:
        """Use the asynchronous side alone."""

        async def run() -> Any:
            return await use(self._first)

        return self._runner.run(run())

    @property
    def sync(self) -> plainsql.sync.Database:
        return self._second


@contextmanager
def opened_sides(url: str) -> Iterator[Sides]:
    """Fill an empty database, and connect both drivers to it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute((SCHEMA + FUNCTIONS).encode())
        connection.execute(
            "insert into cooks values (1, 'Ana', null), (2, 'Bob', 'b@b.b');"
            "insert into dishes (id, cook_id, stars) values (1, 1, 5), (2, 2, 4), (3, null, 3)"
        )
    with asyncio.Runner() as runner, plainsql.sync.connect(url) as second:
        first = runner.run(plainsql.connect(url, min_size=1, max_size=2)._open())
        try:
            yield Sides(runner, first, second)
        finally:
            runner.run(first.close())


@pytest.fixture
def sides(fresh_database_url: str) -> Iterator[Sides]:
    with opened_sides(fresh_database_url) as sides:
        yield sides


def of_schema(files: dict[str, str]) -> dict[str, str]:
    return {"migrations/0001_all.sql": SCHEMA + FUNCTIONS} | {f"sql/{n}": t for n, t in files.items()}
