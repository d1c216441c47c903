"""A statement that the server has cut is never taken for another query."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from plainsql.statements import load_sound
from plainsql.statements.batched import ParameterType, batched_sql
from plainsql.workload.cut_statements import is_cut, name_of_beginning

SQL = Path(__file__).parents[2] / "sql" / "realty"


@pytest.mark.parametrize("size", [80, 200, 1024])
def test_a_cut_statement_is_its_own_query_or_none(size: int) -> None:
    catalog, errors = load_sound(SQL)
    assert not errors
    found = 0
    for name, statement in catalog.items():
        for variant in islice(statement.variants(), 3):
            types = [ParameterType("bigint", False, False)] * len(variant.parameters)
            for text in (
                variant.sql,
                batched_sql(variant, types),
                f"with plainsql_write as (\n{variant.sql}",
            ):
                cut = text[: min(size, len(text) - len(name) - 8)]
                named = name_of_beginning(cut, catalog.values())
                assert named in (name, None), cut
                found += named == name
    assert found > len(catalog)


def test_a_short_text_is_whole_and_a_long_one_may_be_cut() -> None:
    assert not is_cut("select 1", 1024)
    assert is_cut("x" * 1023, 1024)
    assert is_cut("é" * 511, 1024)
