"""A server that counts statements, with the agency and the shop in a database."""

from __future__ import annotations

from collections.abc import Generator

import psycopg
import pytest

from plainsql import embedded, migrate
from plainsql.embedded import EmbeddedServer
from plainsql.layers.files import migrations_folder
from tests import shop


@pytest.fixture(scope="session")
def counting_server() -> Generator[EmbeddedServer]:
    """A scratch server with pg_stat_statements: the run's own has not loaded it."""
    with embedded.start(scratch=True, preload=["pg_stat_statements"]) as server:
        yield server


@pytest.fixture(scope="module")
def counted_url(counting_server: EmbeddedServer) -> Generator[str]:
    """A database on the server that counts, with the extension in a schema of its own.

    It has the realty layer and the shop, each with a few thousand leads.
    """
    url = counting_server.create_database("counted")
    shop.create(url)
    migrate.apply(url, migrations_folder("realty").parent, layers=["realty"])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create schema counters; create extension pg_stat_statements schema counters")
        connection.execute("insert into shop.leads (name) select 'n' || n from generate_series(1, 3000) as n")
        connection.execute(
            "insert into realty.leads (name) select 'n' || n from generate_series(1, 3000) as n"
        )
    yield url
    counting_server.drop_database("counted")
