"""Parameters that refuse null: how they are found, and what that proves about columns."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from plainsql.analysis import Analyser
from plainsql.analysis.catalog.definitions import Definitions
from plainsql.check.analysed_statements import analyse_statements
from plainsql.check.analysis_cache import AnalysisCache
from plainsql.codegen import Checked
from plainsql.statements import parse

SCHEMA = """
create table filled (id int primary key, n int not null, m int not null);
create function fills() returns trigger language plpgsql as $$
begin new.n := coalesce(new.n, 1); return new; end $$;
create trigger t before insert on filled for each row execute function fills();
"""


@pytest.fixture(scope="module")
def prepared(database_url: str) -> Generator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        yield connection


def test_null_is_accepted_if_a_trigger_fills_the_column(prepared: psycopg.Connection[Any]) -> None:
    """It is the column's value only behind the trigger."""
    sql = "insert into filled (id, n, m) values ($1, $2, $3) returning n"
    with Analyser(prepared) as analyser:
        facts = analyser.analyse(sql).parameters
    assert [fact.nullable for fact in facts] == [False, True, False]
    with psycopg.RawCursor(prepared) as cursor:
        assert cursor.execute(sql.encode(), (1, None, 2)).fetchone() == (1,)
        with pytest.raises(psycopg.errors.NotNullViolation):
            cursor.execute(sql.encode(), (2, 1, None))


def test_a_parameter_that_is_bound_to_null_by_default_proves_nothing(
    prepared: psycopg.Connection[Any],
) -> None:
    """Its default is null whatever the statement does with it, so a value computed from it may be null."""
    with Analyser(prepared) as analyser:
        refused = analyser.analyse("select $1::date - $2::date as days", ("one", "other"))
        accepted = analyser.analyse(
            "select $1::date - $2::date as days", ("one", "other"), accepting=("other",)
        )
    assert ([fact.nullable for fact in refused.parameters], refused.columns[0].nullable) == (
        [False, False],
        False,
    )
    assert ([fact.nullable for fact in accepted.parameters], accepted.columns[0].nullable) == (
        [False, True],
        True,
    )


def test_a_default_of_null_in_the_header_counts(prepared: psycopg.Connection[Any], tmp_path: Path) -> None:
    """Also after the same text without it was analysed, and cached."""
    text = "-- Days.\n-- returns: value\n{}select :one::date - :other::date as days\n"
    memory = AnalysisCache(tmp_path / "memory", definitions=Definitions(prepared))

    def check(header: str) -> Checked:
        statement = parse(text.format(header), name="days", path="days.sql")
        (checked,) = analyse_statements(prepared, [statement], memory).checked
        return checked

    assert not check("").analysis.columns[0].nullable
    assert check("-- param other: = null\n").analysis.columns[0].nullable
