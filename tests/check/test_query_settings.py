"""The settings of `set` lines: compared with the server's, and typed in the generated function."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from plainsql.analysis import Analyser
from plainsql.analysis.catalog.definitions import Definitions
from plainsql.check.analysed_statements import analyse_one
from plainsql.check.analysis_cache import AnalysisCache
from plainsql.check.problems import findings_of
from plainsql.codegen import Checked, plan_modules
from plainsql.codegen.render import render
from plainsql.editor.edited_text import EditedText
from plainsql.editor.hovers import hover_text
from plainsql.editor.schema_names import SchemaNames
from plainsql.errors import ContractError
from plainsql.statements import parse


@pytest.fixture(scope="module")
def connection(database_url: str) -> Iterator[Any]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("create extension if not exists vector")
        yield connection


def check(connection: Any, *lines: str, body: str = "select 1") -> Checked | Exception:
    text = "\n".join(["-- returns: value", *(f"-- {line}" for line in lines), body])
    file = Path("/nonexistent/analyses")  # nothing is read, and nothing is saved
    cache = AnalysisCache(file, definitions=Definitions(connection), no_cache=True)
    with Analyser(connection) as analyser:
        return analyse_one(analyser, connection, parse(text, name="s.q", path="s.sql"), cache)


@pytest.mark.parametrize(
    ("lines", "place", "message"),
    [
        (["set: hnsw.ef_serch = 10"], (2, 9), "there is no setting hnsw.ef_serch"),
        (["set: hnsw.ef_search = 5000"], (2, 26), "5000 is outside the valid range"),
        (["set: plan_cache_mode = sometimes"], (2, 27), "invalid value for parameter"),
        (["set: app.jwt_tenant = 'x'"], (2, 9), "there is no setting app.jwt_tenant"),
        (["set: application_name = 'x'"], (2, 9), "not known to change plans and resources only"),
        (["set: log_statement = 'all'"], (2, 9), "no setting that a role may set"),
        (
            ["set: work_mem = :m", "param m: 1..70"],
            (3, 10),
            "the bound 1 of m is out of the range",
        ),
        (["set: work_mem = :m", "param m: = 'x'"], (3, 10), "the default of m is no value of work_mem"),
        (["set: jit = :a", "set: work_mem = :a"], (2, 15), "which have different types"),
        (["set: jit = :a", "param a: 1..2"], (3, 10), "a has bounds, and jit is of the type bool"),
    ],
)
def test_a_line_that_the_server_refuses(
    connection: Any, lines: list[str], place: tuple[int, int], message: str
) -> None:
    """The error has the place in the header, and says what to do."""
    found = check(connection, *lines)
    if isinstance(found, Checked):
        _, [found] = plan_modules([found], "app")
    assert isinstance(found, ContractError)
    assert message in str(found)
    assert found.place is not None
    assert (found.place.line, found.place.column) == place
    assert found.hint


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("ef = 5000, mode = 'off'", "ef is no value of hnsw.ef_search, expected 1..1000"),
        ("ef = 10, mode = 'loose'", "expected off, relaxed_order, strict_order"),
        ("ef = 1000, mode = 'strict_order'", ""),
        ("mode = null, ef = 1", ""),
    ],
)
def test_an_example_has_values_that_the_server_takes(connection: Any, values: str, message: str) -> None:
    lines = ("set: hnsw.ef_search = :ef", "set: hnsw.iterative_scan = :mode", f"example: {values}")
    found = check(connection, *lines)
    assert isinstance(found, ContractError) is bool(message)
    if isinstance(found, ContractError):
        assert message in found.message
        assert found.place is not None
        assert found.place.line == 4


def test_an_editor_shows_the_types_and_bounds_of_settings(connection: Any) -> None:
    lines = (
        *("set: hnsw.ef_search = :ef", "set: hnsw.iterative_scan = :scan", "set: work_mem = 4096"),
        *("param ef: 10.. = 100", "set: enable_seqscan = :seq", "param seq: = null"),
    )
    found = check(connection, *lines)
    assert isinstance(found, Checked)
    text = EditedText(found.statement.source)
    for word, parts in {
        "= :ef": ("`hnsw.ef_search` **integer**, 1..1000", "`:ef` **integer**, 10..1000, 100 by default"),
        "param ef": ("`:ef` **integer**, 10..1000, 100 by default, the value of `hnsw.ef_search`",),
        "= :scan": ("**off, relaxed_order, strict_order**\n\n`:scan` **off, relaxed_order, strict_order**",),
        "work_mem": ("`work_mem` **integer, kB**, 64..2147483647",),
        "param seq": ("`:seq` **bool**, null by default: the session's value",),
    }.items():
        hover = hover_text(text, text.text.index(word), found, SchemaNames())
        assert hover is not None
        for part in parts:
            assert part in hover.text
    unread = hover_text(text, text.text.index("work_mem"), None, SchemaNames())
    assert unread is not None
    assert unread.text.startswith("`set:` A setting of the server for this statement alone")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("set: hnsw.iterative_scan = relaxed_order", 1),
        ("set: hnsw.iterative_scan = 'RELAXED_ORDER'", 1),
        ("set: hnsw.iterative_scan = :scan", 1),
        ("set: hnsw.iterative_scan = strict_order", 0),
        ("set: ivfflat.iterative_scan = relaxed_order", 0),
    ],
)
def test_a_relaxed_scan_is_a_finding_of_its_search(connection: Any, line: str, expected: int) -> None:
    connection.execute(
        "create table if not exists item (id bigint primary key, e vector(3));"
        "create index if not exists item_e on item using hnsw (e vector_cosine_ops)"
    )
    found = check(connection, line, body="select i.id from item as i order by i.e <=> :q limit :limit")
    assert isinstance(found, Checked)
    problems = [problem for problem in findings_of(found) if problem.name == "vector-order"]
    assert len(problems) == expected
    for problem in problems:
        assert problem.message == (
            "with hnsw.iterative_scan = relaxed_order the index item_e gives the rows out of order,"
            " and nothing sorts them again"
        )


def test_a_parameter_of_the_text_has_its_own_type(connection: Any) -> None:
    """A number may be the limit and a setting; a date may not."""
    assert isinstance(check(connection, "set: hnsw.ef_search = :n", body="select 1 limit :n"), Checked)
    found = check(connection, "set: hnsw.ef_search = :n", body="select :n::date")
    assert "is of the type integer" in str(found)


def test_the_function_has_the_types_and_bounds(connection: Any) -> None:
    """They are the server's, within those of the header."""
    found = check(
        connection,
        "set: hnsw.ef_search = :ef",
        "set: hnsw.iterative_scan = :scan",
        "set: enable_seqscan = :seq",
        "set: random_page_cost = :cost",
        "set: plan_cache_mode = force_custom_plan",
        "param ef: ..400 = 100",
        "param seq: = true",
        "param cost: = null",
    )
    assert isinstance(found, Checked)
    [module], errors = plan_modules([found], "app")
    assert not errors
    source = " ".join(render(module, "sql").split())
    for part in (
        "ef: int = 100",
        'scan: Literal["off", "relaxed_order", "strict_order"]',
        "seq: bool = True",
        "cost: float | None = None",
        'bounded("ef", ef, 1, 400)',
        'settings={"plan_cache_mode": "force_custom_plan"}',
        '"hnsw.ef_search": "ef", "hnsw.iterative_scan": "scan"',
    ):
        assert part in source, part
