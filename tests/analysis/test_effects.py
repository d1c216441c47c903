"""Effects, also of what is evaluated without a call in the tree, against what a statement really does."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from plainsql.analysis import Analyser
from tests.analysis.effects_cases import FLAVOURS, Tally, build, judge, run, written_statements

SEED, STATEMENTS = 5, 2400


def test_no_statement_does_what_it_is_proved_not_to_do(connection: psycopg.Connection[Any]) -> None:
    tally = Tally()
    found = list(run(connection, SEED, STATEMENTS, tally))
    assert not found, "\n".join(map(str, found[:20]))
    # The run is worth something only while most statements reach the function.
    assert tally.refused + tally.failed < 0.25 * tally.statements
    assert tally.left > 0.5 * tally.statements
    assert tally.wrote > 0.3 * tally.statements


@pytest.mark.parametrize(
    ("flavour", "table"), [(f, table) for f in FLAVOURS for table in written_statements(f)]
)
def test_what_a_table_evaluates_is_followed(
    connection: psycopg.Connection[Any], flavour: str, table: str
) -> None:
    schema, statements = written_statements(flavour)[table]
    build(connection, flavour, schema)
    tally = Tally()
    role = "pg_monitor" if "policy" in table else ""
    with Analyser(connection) as analyser:
        for sql in statements:
            found = judge(connection, analyser, flavour, sql, tally, role)
            assert found is None, str(found)
    # Each statement runs, and nearly each of them reaches the function.
    assert not tally.refused + tally.failed
    assert tally.left >= max(1, tally.statements - 1)
