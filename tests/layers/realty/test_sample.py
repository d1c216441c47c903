"""The sample data: the same every time, and fit for the schema."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest

from plainsql.layers.realty import sample
from tests.layers.realty.agency import load

NOW = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)


def test_the_same_arguments_give_the_same_rows() -> None:
    one = sample.tables(now=NOW, properties=90, leads=20)
    assert one == sample.tables(now=NOW, properties=90, leads=20)
    assert one != sample.tables(now=NOW, properties=90, leads=20, seed=2)


def test_there_are_as_many_homes_and_leads_as_requested() -> None:
    rows = {table.name: table.rows for table in sample.tables(now=NOW, properties=81, leads=3)}
    assert (len(rows["properties"]), len(rows["projects"]), len(rows["leads"])) == (81, 3, 3)
    assert len(rows["conversations"]) >= 3


def test_descriptions_are_varied() -> None:
    (homes,) = (t for t in sample.tables(now=NOW, properties=400, leads=0) if t.name == "properties")
    at = homes.columns.index("description")
    assert len({row[at] for row in homes.rows}) > 390


@pytest.mark.parametrize(
    "given",
    [{"now": datetime(2026, 1, 1)}, {"properties": 0}, {"leads": -1}],  # noqa: DTZ001
    ids=["a time without a zone", "no property", "fewer than no leads"],
)
def test_nonsense_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"time zone|at least"):
        sample.tables(**{"now": NOW, **given})  # type: ignore[arg-type]


def test_it_fits_the_schema_and_its_own_rules(plainsql_fresh_database_url: str) -> None:
    tables = sample.tables(now=NOW, properties=120, leads=60)
    load(plainsql_fresh_database_url, tables)
    with psycopg.connect(plainsql_fresh_database_url) as connection:
        for table in tables:
            counted = connection.execute(f"select count(*) from realty.{table.name}".encode()).fetchone()
            assert counted == (len(table.rows),)
        wrong = connection.execute("""
            select c.id
            from realty.conversations as c
            inner join lateral (
              select m.created_at, m.type from realty.messages as m where m.conversation_id = c.id
              order by m.created_at desc limit 1
            ) as last on true
            where c.last_message_at <> last.created_at or c.is_answered_by_lead <> (last.type = 'human')
        """).fetchall()
        assert wrong == []
        upcoming = connection.execute(
            "select count(*) from realty.appointments where scheduled_for > %s", [NOW]
        )
        assert upcoming.fetchone() != (0,)
