"""The connection of the tests of rows, with types of every kind, on each server that there is.

``PLAINSQL_OTHER_SERVERS`` and ``PLAINSQL_OLD_SERVERS`` hold URLs of servers, separated by blanks.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import psycopg
import pytest

from plainsql.speed.loaded import MAKE_READER
from tests.speed.both_ways import BothWays, both_ways
from tests.speed.odd_values import ODD_VALUES, composite_of, type_of

SERVERS = " ".join(
    os.environ.get(name, "") for name in ("PLAINSQL_OTHER_SERVERS", "PLAINSQL_OLD_SERVERS")
).split()

EXTENSIONS = ("vector", "citext", "ltree", "hstore")

SCHEMA = """
create type mood as enum ('sad', 'ok', 'so "happy", really', 'glücklich');
create type text_span as range (subtype = text);
create domain positive as integer check (value > 0);
create domain tags as text[];
"""


@pytest.fixture(scope="module", params=["embedded", *SERVERS])
def ways(request: pytest.FixtureRequest) -> Generator[BothWays]:
    """A connection whose rows are read both ways."""
    if MAKE_READER is None:
        pytest.skip("needs the compiled part")
    if request.param == "embedded":
        url = request.getfixturevalue("database_url")
        with both_ways(url, _schema(url)) as ways:
            yield ways
        return
    with _database(request.param) as url, both_ways(url, _schema(url)) as ways:
        yield ways


@contextmanager
def _database(server_url: str) -> Generator[str]:
    name = f"rows_{secrets.token_hex(4)}"
    with closing(psycopg.connect(server_url, autocommit=True)) as admin:
        admin.execute(f"create database {name}".encode())
        try:
            yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
        finally:
            admin.execute(f"drop database {name} with (force)".encode())


def _schema(url: str) -> str:
    """Return the statements that make the types of the tests, as far as the server has what they need."""
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        there = {
            name
            for (name,) in connection.execute("select name from pg_available_extensions").fetchall()
            if name in EXTENSIONS
        }
        made = "".join(f"create extension if not exists {name};" for name in sorted(there)) + SCHEMA
        with connection.transaction(force_rollback=True):
            connection.execute(made.encode())
            known = "select name from unnest(%s::text[]) as name where to_regtype(name) is not null"
            names = [name for (name,) in connection.execute(known, [list(ODD_VALUES)]).fetchall()]
    composites = (
        f"create type {composite_of(name)} as (one {type_of(name)}, many {type_of(name)}[]);"
        for name in names
    )
    return made + "".join(composites)
