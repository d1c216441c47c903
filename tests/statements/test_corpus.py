"""Queries of other projects, on the schemas that they were written for."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from plainsql.statements import compile_body
from tests.statements.oracle import Oracle

CORPUS = Path(__file__).parents[2].parent / "shared" / "corpus" / "accepted.jsonl"


def _cases() -> list[Any]:
    if not CORPUS.exists():
        reason = "the corpus of queries by others, shared/corpus beside the repository, is absent"
        return [pytest.param({}, id="corpus", marks=pytest.mark.skip(reason=reason))]
    lines = CORPUS.read_text(encoding="utf-8").splitlines()
    return [pytest.param(case, id=case["id"]) for case in map(json.loads, lines)]


@pytest.fixture(scope="module")
def quiet_connection(database_url: str) -> Generator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, options="-c client_min_messages=error") as connection:
        yield connection
        connection.rollback()


@pytest.mark.parametrize("case", _cases())
def test_a_query_by_others_is_read_as_they_meant_it(
    quiet_connection: psycopg.Connection[Any], case: dict[str, Any]
) -> None:
    """Each is scanned to its parameters, prepared on its schema and described with its columns, exactly."""
    compiled = compile_body(case["sql"], name="corpus", path=case["id"])
    # If authors numbered parameters against their order in the text, the corpus keeps the numbers.
    numbered = all(name[0] == "p" and name[1:].isdigit() for name in case["parameters"])
    assert (
        sorted(compiled.parameters, key=lambda p: int(p[1:])) if numbered else list(compiled.parameters)
    ) == case["parameters"]
    try:
        quiet_connection.execute(case["schema"])
        nparams, columns = Oracle(quiet_connection).describe(compiled.variant().sql)
    finally:
        quiet_connection.rollback()
    assert nparams == len(case["parameters"])
    assert columns == case["columns"]
