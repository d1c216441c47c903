"""Both executors on a database of the module, and a guest on a connection of asyncpg."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.columns.executors import Executors, executors_of
from tests.types.both import both_executors
from tests.types.conftest import SCHEMA

OWN_TYPES = """
create type item as (number integer, price numeric(10, 2), name text, mood mood);
create table copied (
  id uuid, number smallint, price numeric(10, 2), at timestamptz, day date, name text, mood mood, data jsonb,
  place item, tags text[], embedding vector(3), size real, is_open boolean, raw bytea, took interval,
  hour time
);
"""


@pytest.fixture(scope="module")
def executors(database_url: str) -> Iterator[Executors]:
    with (
        both_executors(database_url, statements=SCHEMA + OWN_TYPES) as both,
        executors_of(both, database_url) as made,
    ):
        yield made
