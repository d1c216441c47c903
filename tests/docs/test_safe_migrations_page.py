"""Every hazard has its section; its first example has the hazard, the safe way has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from plainsql.migrate import read_folder
from plainsql.migrate.trace import HAZARDS, Hazard, OldQueries, OldQuery, trace_run
from tests.docs.markdown import ROOT, Block, blocks_of, headings_of

PAGE = "docs/safe-migrations.md"
INTRODUCTION = {
    "Safe migrations",
    "Choose the migrations",
    "Sizes of production",
    "Allow a hazard",
    "Write all rows of a table",
    "Change a partitioned table",
    "Locks",
    "Tables of the examples",
}
# The code in production, for the hazard that is found by its queries alone.
QUERIES = {"query-fails": OldQuery("orders.taxed", "select with_tax(amount) as taxed from orders")}


def sections() -> dict[str, list[Block]]:
    """The blocks of SQL below each heading."""
    lines = (ROOT / PAGE).read_text("utf-8").splitlines()
    found: dict[str, list[Block]] = {heading: [] for heading in headings_of(PAGE)}
    for block in blocks_of(PAGE):
        if block.language == "sql":
            above = [line.lstrip("# ") for line in lines[: block.line - 2] if line.startswith("#")]
            found[above[-1]].append(block)
    return found


def hazards(
    connection: psycopg.Connection[Any], folder: Path, *migrations: str, query: OldQuery | None = None
) -> list[Hazard]:
    """Return the hazards of migrations on the tables of the page, each a deployment of its own."""
    folder.mkdir()
    (tables,) = sections()["Tables of the examples"]
    for number, text in enumerate((tables.code, *migrations)):
        (folder / f"{number:04}_it.sql").write_text(text, "utf-8")
    connection.execute("drop schema public cascade")
    connection.execute("create schema public")
    found = read_folder(folder).migrations
    queries = OldQueries([query]) if query else None
    traces = trace_run(
        connection, found, {each.name for each in found[1:]}, one_batch=False, old_queries=queries
    )
    return [hazard for trace in traces for hazard in trace.open_hazards]


def test_every_hazard_has_a_section_in_alphabetical_order() -> None:
    found = [heading for heading in headings_of(PAGE) if heading not in INTRODUCTION]
    assert found == sorted(HAZARDS)


@pytest.mark.parametrize("name", HAZARDS)
def test_the_first_example_has_the_hazard_and_the_safe_way_none(
    name: str, tmp_path: Path, connection: psycopg.Connection[Any]
) -> None:
    wrong, *right = (block.code for block in sections()[name])
    query = QUERIES.get(name)
    found = hazards(connection, tmp_path / "wrong", wrong, query=query)
    assert [hazard.name for hazard in found] == [name], [hazard.message for hazard in found]
    assert found[0].hint
    assert right
    assert hazards(connection, tmp_path / "right", *right, query=query) == []


def test_the_steps_for_a_partitioned_table_have_no_hazard(
    tmp_path: Path, connection: psycopg.Connection[Any]
) -> None:
    if connection.info.server_version < 180000:
        pytest.skip("a foreign key of a partitioned table is not valid from PostgreSQL 18 on")
    steps = [block.code for block in sections()["Change a partitioned table"]]
    assert len(steps) == 8
    assert hazards(connection, tmp_path / "steps", *steps) == []
    invalid = "select i.indexrelid::regclass::text from pg_catalog.pg_index as i where not i.indisvalid"
    assert connection.execute(invalid).fetchall() == []


@pytest.mark.parametrize("name", ["create-index", "lock-comment", "lock-timeout-missing"])
def test_a_comment_above_the_statement_allows_a_hazard(
    name: str, tmp_path: Path, connection: psycopg.Connection[Any]
) -> None:
    wrong, *_ = (block.code for block in sections()[name])
    first, _, rest = wrong.partition("\n")
    allowed = (
        f"{first}\n-- allow: {name}: it is meant\n{rest}"
        if rest
        else f"-- allow: {name}: it is meant\n{first}"
    )
    assert hazards(connection, tmp_path / "allowed", allowed) == []
