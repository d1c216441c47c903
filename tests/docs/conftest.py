"""A database with the tables of realty, which the examples of the pages use."""

from __future__ import annotations

import functools
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

from plainsql import migrate
from plainsql.testing import Databases

MIGRATIONS: Final = Path(__file__).parents[2] / "migrations"
REALTY: Final = functools.partial(migrate.apply, folder=MIGRATIONS, layers=["realty"])


@pytest.fixture
def realty_url(plainsql_databases: Databases) -> Generator[str]:
    """A database of this test with realty's tables."""
    with plainsql_databases.clone(plainsql_databases.template(REALTY)) as url:
        yield url
