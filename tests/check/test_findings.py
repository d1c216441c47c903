"""The findings of a check: reported once, at their place, unless the header allows them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from plainsql.check.problems import Problem
from plainsql.check.project_check import check_project
from plainsql.plans.statistics.production_statistics import (
    Production,
    ProductionStatistics,
    TableStatistics,
)
from plainsql.plans.statistics.statistics_files import write_statistics
from plainsql.plans.table_sizes import large_tables
from plainsql.settings import Project

SCHEMA = (
    "create table notes (id bigint primary key, author text, stars integer, text text not null,"
    " at date, seen timestamp);\n"
    "create index on notes (stars);\n"
)
Find = Callable[..., list[Problem]]


@pytest.fixture
def find(tmp_path: Path, database_url: str) -> Find:
    """Check one query, and return its problems."""

    def run(sql: str, *header: str, returns: str = "many Note") -> list[Problem]:
        for name, text in {
            "migrations/0001_notes.sql": SCHEMA,
            "sql/notes/it.sql": "\n".join(["-- It.", f"-- returns: {returns}", *header, sql, ""]),
        }.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        found = check_project(Project(root=tmp_path), database_url)
        assert found.errors == ()
        return list(found.findings)

    return run


ALL = "select n.id\nfrom notes as n"
CASES = {
    "unbounded": (ALL, "many Note", 3, 0),
    "unproved-one": (f"{ALL}\nwhere n.stars = :stars", "one Note", 3, 0),
    "partial-order": (f"{ALL}\norder by n.stars\nlimit 5", "many Note", 5, 10),
    "not-in-nullable": (
        f"{ALL}\nwhere n.id = :id\n  and n.text not in (select m.author from notes as m where m.id = 1)",
        "optional Note",
        6,
        14,
    ),
    "frozen-literal": (f"{ALL}\nwhere n.id = 1\n  and n.at > 'today'", "optional Note", 6, 14),
    "star": ("select n.*\nfrom notes as n\nwhere n.id = 1", "optional Note", 3, 8),
    "nested-without-key": (
        (
            'select n.id,\n  m.author as "m.author"\nfrom notes as n\n'
            "left join notes as m on m.id = n.stars\nwhere n.id = 1"
        ),
        "optional Note",
        4,
        15,
    ),
    "conflict-without-row": (
        "insert into notes (id, text) values (:id, 'x')\non conflict do nothing\nreturning notes.id",
        "one Note",
        4,
        1,
    ),
    "session-time-zone": (f"{ALL}\nwhere n.id = 1\n  and n.seen > now()", "optional Note", 6, 14),
    "insert-fails": (
        "insert into notes (id, author) values (:id, :author)\nreturning notes.id",
        "one Note",
        3,
        40,
    ),
    "cast-defeats-index": (f"{ALL}\nwhere n.stars::text = :stars\nlimit 1", "optional Note", 5, 7),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_found_at_its_place(find: Find, name: str) -> None:
    sql, returns, line, column = CASES[name]
    (finding,) = [found for found in find(sql, returns=returns) if found.name == name]
    assert (finding.line, finding.column) == (line, column)
    assert finding.path.endswith("sql/notes/it.sql")
    assert finding.hint


@pytest.mark.parametrize("name", CASES)
def test_a_header_may_allow_it(find: Find, name: str) -> None:
    sql, returns, _, _ = CASES[name]
    names = [found.name for found in find(sql, f"-- allow: {name}: the table is small", returns=returns)]
    assert name not in names
    assert "allow" not in names


@pytest.mark.parametrize("returns", ["many Note", "many value"])
def test_a_many_needs_no_key_and_a_one_no_limit(find: Find, returns: str) -> None:
    assert [found.name for found in find(ALL, returns=returns)] == ["unbounded"]
    assert [found.name for found in find(ALL, returns=returns.replace("many", "optional"))] == [
        "unproved-one"
    ]


def test_a_finding_of_all_variants_is_reported_once(find: Find) -> None:
    sql = (
        f"{ALL}\nwhere true\n  and n.stars = :a --?\n  and n.author = :b --?\n"
        "order by n.text asc  --? order=up\norder by n.text desc  --? order=down\nlimit 5"
    )
    assert [(found.line, found.column) for found in find(sql)] == [(8, 10), (9, 10)]


def test_a_finding_of_one_variant_is_reported_and_may_be_allowed(find: Find) -> None:
    sql = f"{ALL}\norder by n.stars  --? order=stars\norder by n.id  --? order=id\nlimit 5"
    assert [found.line for found in find(sql)] == [5]
    assert find(sql, "-- allow: partial-order: ties do not matter") == []


def test_an_allowance_without_a_finding_is_one_itself(find: Find) -> None:
    (finding,) = find(f"{ALL}\nwhere n.id = :id", "-- allow: unbounded: few", returns="optional Note")
    assert (finding.name, finding.message, finding.hint) == (
        "allow",
        "allows 'unbounded', which is not found here",
        "remove the line",
    )
    assert (finding.line, finding.column) == (3, 11)


def test_an_allowance_of_no_finding_names_the_nearest(find: Find) -> None:
    (finding,) = find(f"{ALL}\nwhere n.id = :id", "-- allow: unbound: few rows", returns="optional Note")
    assert (finding.message, finding.hint) == ("there is no finding 'unbound'", "did you mean unbounded?")


def test_a_moved_statement_has_its_findings_at_its_new_place(find: Find) -> None:
    sql = f"{ALL}\norder by n.stars\nlimit 5"
    assert [found.line for found in find(sql)] == [5]
    # From the cache: the text of the statement has not changed.
    assert [found.line for found in find(sql, "", "")] == [7]


@pytest.mark.parametrize(
    ("columns", "join"),
    [
        ('m.text as "m.text", m.author as "m.author"', "left join notes as m on m.id = n.stars"),
        ('m.author as "m.author"', "inner join notes as m on m.id = n.stars"),
        ('m.id as "m.id", m.author as "m.author"', "left join notes as m on m.id = n.stars"),
        # Its columns are not of one join: such a nested row is never None.
        ('m.author as "m.author", n.author as "m.other"', "left join notes as m on m.id = n.stars"),
    ],
)
def test_a_nested_row_that_differs_from_no_match_is_no_finding(find: Find, columns: str, join: str) -> None:
    sql = f"select n.id, {columns}\nfrom notes as n\n{join}\nwhere n.id = 1"
    assert find(sql, returns="optional Note") == []


def test_a_headers_override_makes_a_nested_row_differ_from_no_match(find: Find) -> None:
    sql = (
        'select n.id, m.author as "m.author"\nfrom notes as n\n'
        "left join notes as m on m.id = n.stars\nwhere n.id = 1"
    )
    assert find(sql, '-- column "m.author": not null', returns="optional Note") == []


def test_a_star_names_the_columns_to_paste(find: Find) -> None:
    (found,) = find("select *\nfrom notes as n\nwhere n.id = 1", returns="optional Note")
    assert found.hint == "name them: n.id, n.author, n.stars, n.text, n.at, n.seen"
    names = str(found.hint).removeprefix("name them: ")
    assert find(f"select {names}\nfrom notes as n\nwhere n.id = 1", returns="optional Note") == []


def test_a_vector_index_is_missing_on_a_table_that_is_large_in_production(
    tmp_path: Path, database_url: str
) -> None:
    header = "-- The nearest.\n-- returns: many Doc\n"
    query = "select d.id\nfrom docs as d\norder by d.e <=> :q, d.id\nlimit :n\n"
    allowed = f"{header}-- allow: vector-index: exact\n{query}"
    for path, text in {
        "migrations/0001_docs.sql": (
            "create extension if not exists vector;\n"
            "create table docs (id bigint primary key, e vector(3));\n"
        ),
        "sql/docs/nearest.sql": header + query,
        "sql/docs/exact.sql": allowed,
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    project = Project(root=tmp_path)
    taken = datetime(2026, 1, 1, tzinfo=UTC)
    production = Production(format=1, taken=taken, server="18.1", collation="C", values="few")

    def problems(rows: float) -> list[Problem]:
        tables = {"docs": TableStatistics(rows=rows)}
        write_statistics(
            tmp_path / "stats", ProductionStatistics(production=production, schemas={"public": tables})
        )
        found = check_project(project, database_url, large=large_tables(project))
        assert found.errors == ()
        return list(found.findings)

    assert large_tables(project) == {}
    # The allowance of the second query stays, whatever is known of the table.
    assert problems(9_999) == []
    (finding,) = problems(61_914)
    assert (finding.name, finding.line, finding.column) == ("vector-index", 5, 14)
    assert Path(finding.path).name == "nearest.sql"
    assert (
        finding.message == "no index of docs serves the order by <=>: all of its rows are read and compared"
    )
    assert finding.detail == "production has about 61,914 rows"
    assert finding.hint == (
        "in a migration of its own that starts with '-- transactional: false':"
        " create index concurrently on public.docs using hnsw (e vector_cosine_ops)"
    )
