"""The connection of the tests of rows, with a type of each kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from plainsql.speed.loaded import MAKE_READER
from tests.speed.both_ways import BothWays, both_ways
from tests.speed.odd_values import ODD_VALUES, composite_of, type_of

SCHEMA = """
create extension if not exists vector;
create extension if not exists citext;
create extension if not exists ltree;
create extension if not exists hstore;
create type mood as enum ('sad', 'ok', 'so "happy", really', 'glücklich');
create type text_span as range (subtype = text);
create domain positive as integer check (value > 0);
create domain tags as text[];
"""


@pytest.fixture(scope="module")
def ways(database_url: str) -> Iterator[BothWays]:
    """A connection whose rows are read both ways."""
    if MAKE_READER is None:
        pytest.skip("needs the compiled part")
    composites = "".join(
        f"create type {composite_of(name)} as (one {type_of(name)}, many {type_of(name)}[]);"
        for name in ODD_VALUES
    )
    with both_ways(database_url, SCHEMA + composites) as ways:
        yield ways
