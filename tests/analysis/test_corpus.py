"""Two sets of queries by other authors, if they are available: the authors' answers must hold."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from plainsql.analysis import Analyser, Analysis
from plainsql.statements.scanner import scan

CORPUS = Path(os.environ.get("PLAINSQL_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))

# Queries for which the analysis is sharper than the authors, with the reasons.
SHARPER = {
    (
        "testing_data/aggregates/group_by/03_group_by_multiple.json",
        "total",
    ): "a group has a row, and no amount is null",
    ("testing_data/aggregates/group_by/03_group_by_multiple.json", "avg_amount"): "as its sum",
    (
        "testing_data/types/json_jsonb_advanced/03_jsonb_array_elements.json",
        "item",
    ): "a null element is JSON's null",
    (
        "testing_data/types/json_jsonb_advanced/06_jsonb_each_from.json",
        "value",
    ): "a null value is JSON's null",
    (
        "testing_data/nullability/right_join_nullable/01_left_side_becomes_nullable.json",
        "name",
    ): "a foreign key that holds, of a column that is not null",
}


def lines(name: str) -> list[dict[str, Any]]:
    path = CORPUS / name
    if not path.exists():
        pytest.skip(f"the corpus is not here: {name} (set PLAINSQL_CORPUS to its folder)")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """Return the statement with `:name` as `$n`, and the names."""
    names: list[str] = []
    parts, end = [], 0
    for token in scan(sql):
        if token.kind == "parameter":
            name = sql[token.start + 1 : token.end]
            if name not in names:
                names.append(name)
            parts += [sql[end : token.start], f"${names.index(name) + 1}"]
            end = token.end
    return "".join([*parts, sql[end:]]), tuple(names)


def analysed(
    connection: psycopg.Connection[Any], cases: list[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], Analysis]]:
    for case in cases:
        # A case may make schemas of its own: everything is undone.
        connection.execute("begin")
        try:
            connection.execute(case["schema"].encode())
            sql, names = numbered(case["sql"])
            with Analyser(connection) as analyser:
                yield case, analyser.analyse(sql, names)
        finally:
            connection.execute("rollback")


def test_no_column_is_claimed_never_null_that_its_author_calls_nullable(
    connection: psycopg.Connection[Any],
) -> None:
    """The exceptions have reasons, and at most 3 % are nullable without need."""
    cases = lines("nullability.jsonl")
    claimed, careful, total = set(), [], 0
    for case, analysis in analysed(connection, cases):
        assert len(analysis.columns) == len(case["columns"]), case["id"]
        for found, labelled in zip(analysis.columns, case["columns"], strict=True):
            total += 1
            if labelled["nullable"] and not found.nullable:
                claimed.add((case["id"], found.name))
            if found.nullable and not labelled["nullable"]:
                careful.append((case["id"], found.name, found.because))
    assert claimed <= set(SHARPER)
    assert len(careful) <= 0.03 * total, careful


def test_every_accepted_query_is_analysed_with_its_columns(connection: psycopg.Connection[Any]) -> None:
    """Each is scanned for its parameters and described with its columns."""
    for case, analysis in analysed(connection, lines("accepted.jsonl")):
        assert [column.name for column in analysis.columns] == case["columns"], case["id"]
        assert sorted(parameter.name for parameter in analysis.parameters) == sorted(case["parameters"]), (
            case["id"]
        )
