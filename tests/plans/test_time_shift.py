"""Times in statistics move along with the clock: old statistics give the plans of fresh ones."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from plainsql.plans.copy import open_plan_database
from plainsql.plans.statistics.production_statistics import (
    ColumnStatistics,
    IndexStatistics,
    Production,
    ProductionStatistics,
    TableStatistics,
)
from plainsql.plans.statistics.statistics_files import write_statistics
from plainsql.settings import Project
from tests.plans.conftest import MakeProject

SCHEMA = """
create table visits (
  id bigint primary key,
  at timestamptz not null,
  local timestamp not null,
  day date not null,
  gone timestamptz
);
create index visits_at_idx on visits (at);
"""
QUERIES = (
    "select from visits where at > now() - interval '5 days'",
    "select from visits where at > now() + interval '1 hour'",
    "select from visits where local < (now() at time zone 'UTC') - interval '300 days'",
    "select from visits where day = current_date - 3",
    "select from visits where day > current_date - 40",
)


@pytest.fixture(scope="module")
def project(make_project: MakeProject) -> Project:
    return make_project(
        {"migrations/0001_visits.sql": SCHEMA, "migrations/0001_visits.rollback.sql": "drop table visits;\n"}
    )


def array(values: Iterable[str]) -> str:
    return "{" + ",".join(f'"{each}"' for each in values) + "}"


def statistics(taken: datetime) -> ProductionStatistics:
    """A year of visits until ``taken``, with an infinite one, and a column that had another type."""
    times = [taken - timedelta(days=365 - 3.65 * step) for step in range(101)]
    days = [taken.date() - timedelta(days=each) for each in (3, 10)]
    bounds = [f"{each:%Y-%m-%d %H:%M:%S}" for each in times]
    with_zone = [*(f"{each}+00" for each in bounds), "infinity"]
    columns = {
        "at": ColumnStatistics(n_distinct=-1, avg_width=8, histogram_bounds=array(with_zone)),
        "local": ColumnStatistics(n_distinct=-1, avg_width=8, histogram_bounds=array(bounds)),
        "day": ColumnStatistics(
            n_distinct=50,
            avg_width=4,
            most_common_vals=array(map(str, days)),
            most_common_freqs="{0.3,0.2}",
            histogram_bounds=array(f"{each:%Y-%m-%d}" for each in times),
        ),
        "gone": ColumnStatistics(n_distinct=-1, avg_width=8, histogram_bounds=array(["~01", "~02"])),
    }
    index = IndexStatistics(method="btree", rows=1e6, pages=2745, file_pages=2745, height=2)
    index.first, index.last = str(times[0]), str(times[-1])
    table = TableStatistics(rows=1e6, pages=8000, all_visible=8000, file_pages=8000)
    table.columns = columns
    table.indexes = {"visits_at_idx": index}
    return ProductionStatistics(
        production=Production(format=1, taken=taken, server="18.0", collation="C", values="few"),
        schemas={"public": {"visits": table}},
    )


def plans(project: Project, folder: Path, taken: datetime) -> tuple[list[Any], tuple[str, ...]]:
    """The node type and the rows of each query's plan, and the notes of the copy."""
    write_statistics(folder, statistics(taken))
    found = []
    with open_plan_database(project, folder) as database, closing(database.connect()) as connection:
        for query in QUERIES:
            ((document,),) = connection.execute(f"explain (format json) {query}".encode()).fetchall()
            plan = document[0]["Plan"]
            # The clock does not stop between two copies.
            found.append((plan["Node Type"], pytest.approx(plan["Plan Rows"], rel=0.001)))
        return found, database.notes


def test_old_statistics_plan_as_fresh_ones(project: Project, tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    fresh, _ = plans(project, tmp_path / "fresh", now)
    assert [(kind, rows.expected > 1) for kind, rows in fresh] == [
        ("Index Only Scan", True),
        ("Index Only Scan", False),
        ("Seq Scan", True),
        ("Seq Scan", True),
        ("Seq Scan", True),
    ]
    for age in (timedelta(days=400, seconds=11), timedelta(days=-30)):
        old, notes = plans(project, tmp_path / "old", now - age)
        assert [(kind, rows.expected) for kind, rows in old] == fresh
        assert any("~01" in note for note in notes)
