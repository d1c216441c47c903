"""Recall is measured against the exact answer, with settings, filters and tenants, and changes nothing."""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

import plainsql
from plainsql.cli.app import main
from plainsql.embedded import EmbeddedServer
from plainsql.errors import BindError, ContractError, OptionError
from plainsql.vector import RecallReport, Vector, recall
from tests.pgbouncer import pgbouncer, url_through

ROWS = 3_000
DIMENSIONS = 8

FILES = {
    "pyproject.toml": "[tool.plainsql]\n",
    "sql/near/search.sql": """\
-- returns: many Near
-- param limit: 1..100 = 10
with nearest as (
  select p.id, p.e <=> :q as distance
  from passage as p
  where
    true
    and p.bucket < :below  --?
    and p.kind = :kind     --?
  order by p.e <=> :q
  limit :limit
)

select n.id, n.distance from nearest as n order by n.distance + 0, n.id
""",
    "sql/near/coarse.sql": """\
-- returns: many Near
with candidate as (
  select p.id, p.e <=> :q as distance
  from passage as p
  order by binary_quantize(p.e)::bit(8) <~> binary_quantize(:q::vector)
  limit :candidates
)

select c.id, c.distance from candidate as c order by c.distance, c.id limit :limit
""",
    "sql/near/tuned.sql": """\
-- returns: many Near
-- set: hnsw.ef_search = :ef
-- param ef: 1..200 = 1
select p.id, p.e <=> :q as distance from passage as p order by p.e <=> :q limit 10
""",
    "sql/near/asked.sql": """\
-- returns: many Near
-- set: hnsw.ef_search = :ef
select p.id, p.e <=> :q as distance from passage as p order by p.e <=> :q limit 10
""",
    "sql/near/ids.sql": """\
-- returns: many value
-- example: q = '[1,1,1,1,1,1,1,1]', limit = 5
select p.id from passage as p order by p.e <=> :q limit :limit
""",
    "sql/near/hamming.sql": """\
-- returns: many Near
select c.id, c.bits <~> :q as distance from code as c order by c.bits <~> :q limit 10
""",
    "sql/near/of_tenant.sql": """\
-- returns: many Near
select s.id, s.e <-> :q as distance from secret as s order by s.e <-> :q limit 10
""",
    "sql/near/hidden.sql": """\
-- returns: many Near
select p.id, abs(l2_distance(p.e, :q::vector)) as distance from passage as p order by 2 limit 10
""",
    "sql/near/write.sql": "-- returns: many value\nupdate passage set kind = 'c'\n"
    "where id in (select p.id from passage as p order by p.e <=> :q limit 1) returning id\n",
    "sql/near/by_id.sql": "-- returns: optional value\nselect p.kind from passage as p where p.id = :id\n",
}


@pytest.fixture(scope="module")
def near(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A project, and its database with random vectors: an index of few links, whose recall is not 1."""
    chance = random.Random(7)
    role = f"recall_{secrets.token_hex(6)}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            """
            create extension if not exists vector;
            create table passage (id int primary key, bucket int not null, kind text not null, e vector(8));
            create table code (id int primary key, bits bit(8) not null);
            create table secret (id int primary key, tenant int not null, e vector(8) not null);
            alter table secret enable row level security;
            alter table secret force row level security;
            create policy own on secret
            using (tenant = nullif(current_setting('app.jwt_tenant', true), '')::int);
            """
        )
        with connection.cursor() as cursor:
            with cursor.copy("copy passage from stdin") as copy:
                for number in range(ROWS):
                    vector = str([chance.gauss(0, 1) for _ in range(DIMENSIONS)])
                    copy.write_row((number, number % 1000, "b" if number % 10 == 0 else "a", vector))
            with cursor.copy("copy code from stdin") as copy:
                for number in range(400):
                    copy.write_row((number, f"{number % 256:08b}"))
            with cursor.copy("copy secret from stdin") as copy:
                for number in range(600):
                    vector = str([chance.gauss(0, 1) for _ in range(DIMENSIONS)])
                    copy.write_row((number, 1 if number < 500 else 2 if number < 590 else 3, vector))
        connection.execute(
            """
            create index passage_hnsw on passage using hnsw (e vector_cosine_ops)
            with (m = 4, ef_construction = 8);
            create index code_hnsw on code using hnsw (bits bit_hamming_ops);
            create index on passage (bucket);
            analyze passage, code, secret;
            """
        )
        connection.execute(
            sql.SQL("create role {0}; grant select on secret to {0}").format(sql.Identifier(role))
        )
    folder = tmp_path_factory.mktemp("recall")
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    yield database_url, folder
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("drop owned by {0}; drop role {0}").format(sql.Identifier(role)))


@pytest.fixture(autouse=True)
def _in_project(near: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(near[1])


def measure(near: tuple[str, Path], name: str, **options: Any) -> RecallReport:
    query = plainsql.load(near[1] / "sql")[f"near.{name}"]
    given: dict[str, Any] = {"sample": 30, "selectivities": (), **options}
    return recall(query, near[0], **given)


def expected_recall(url: str, ef_search: int, sample: int) -> float:
    """The recall by hand: the sets of ids of each search, with and without the index."""
    text = "select p.id from passage as p order by p.e <=> $1::vector limit 10"
    found = 0
    with psycopg.connect(url) as connection:
        cursor = psycopg.RawCursor(connection)
        vectors = cursor.execute(
            "select e::text from passage order by md5(ctid::text), ctid limit $1", [sample]
        ).fetchall()
        answers = []
        for exact in (True, False):
            cursor.execute(b"set enable_indexscan = off" if exact else b"set enable_indexscan = on")
            cursor.execute("set hnsw.iterative_scan = strict_order")
            cursor.execute(f"set hnsw.ef_search = {ef_search}".encode())
            # Prepared, the second loop would run on the plans of the first.
            rows = [cursor.execute(text, vector, prepare=False).fetchall() for vector in vectors]
            answers.append([{row[0] for row in each} for each in rows])
        connection.rollback()
    for right, answer in zip(*answers, strict=True):
        found += len(right & answer)
    return found / (10 * sample)


def test_recall_is_that_of_a_count_by_hand(near: tuple[str, Path]) -> None:
    report = measure(near, "search", settings={"hnsw.ef_search": (5, 200)}, at_least=0.95)
    (case,) = report.cases
    low, high = case.measurements
    assert low.recall == pytest.approx(expected_recall(near[0], 5, 30))
    assert high.recall == pytest.approx(expected_recall(near[0], 200, 30))
    assert low.recall < 0.95 < high.recall
    assert (report.compared_by, report.table, report.column) == ("distance", "public.passage", "e")
    assert (case.searches, case.exact_rows, case.matching, report.table_rows) == (30, 10, ROWS, ROWS)
    assert low.indexes == high.indexes == ("passage_hnsw (hnsw)",)
    assert 0 < low.median_ms <= low.p95_ms
    assert report.reached_by == {"hnsw.ef_search": "200"}
    unreached = measure(near, "search", settings={"hnsw.ef_search": (5,)}, at_least=0.95)
    assert (unreached.reached_by, unreached.is_reached) == (None, False)


def test_filters_have_the_selectivities_of_the_column(near: tuple[str, Path]) -> None:
    report = measure(near, "search", sample=3, selectivities=(0.01, 0.1))
    found = [(case.name, case.kind, case.matching) for case in report.cases]
    assert found == [
        ("no further filter", "all", ROWS),
        ("bucket < :below, 0.9 %", "filter", 27),
        ("bucket < :below, 9.9 %", "filter", 297),
        ("kind = :kind, 10 %", "filter", 300),
    ]
    assert "no value of kind selects about 1 % of the rows" in report.notes
    given = measure(near, "search", sample=3, filters=[{"below": 2, "kind": "b"}], parameters={"limit": 4})
    last = given.cases[-1]
    assert (last.name, last.matching, last.exact_rows) == ("below=2, kind=b", 3, 3)
    assert last.measurements[0].rows == 3


def test_equally_near_rows_are_right(near: tuple[str, Path]) -> None:
    # Hamming distances are small integers: most searches have several rows at the last one.
    report = measure(near, "hamming", settings={"hnsw.ef_search": (400,), "enable_seqscan": ("off",)})
    (measured,) = report.cases[0].measurements
    assert (report.compared_by, measured.indexes) == ("distance", ("code_hnsw (hnsw)",))
    assert measured.recall == 1
    mine = measure(near, "hamming", vectors=[[True] * 8, "00001111"])
    assert mine.cases[0].searches == 2


def test_settings_of_the_header_hold(near: tuple[str, Path]) -> None:
    (low,) = measure(near, "tuned").cases[0].measurements
    (high,) = measure(near, "tuned", parameters={"ef": 200}).cases[0].measurements
    (tried,) = measure(near, "tuned", settings={"hnsw.ef_search": (200,)}).cases[0].measurements
    assert low.recall < 0.9 < high.recall
    assert tried.recall == high.recall
    assert [each.settings for each in (low, high)] == [{"hnsw.ef_search": "1"}, {"hnsw.ef_search": "200"}]


def test_a_parameter_of_a_setting_to_try_needs_no_value(near: tuple[str, Path]) -> None:
    tried = measure(near, "asked", settings={"HNSW.ef_search": (1, 200)}).cases[0].measurements
    assert tried[0].recall < 0.9 < tried[1].recall
    with pytest.raises(plainsql.BindError, match="missing ef"):
        measure(near, "asked", settings={"hnsw.max_scan_tuples": (100,)})


def test_without_a_distance_rows_are_compared(near: tuple[str, Path]) -> None:
    report = measure(near, "ids", settings={"hnsw.ef_search": (1, 200)})
    low, high = report.cases[0].measurements
    assert report.compared_by == "rows"
    assert report.cases[0].exact_rows == 5  # by the header's example
    assert low.recall < high.recall


def test_tenants_of_several_sizes_are_measured(near: tuple[str, Path]) -> None:
    report = measure(near, "of_tenant", sample=20)
    assert [(case.name, case.matching) for case in report.cases] == [
        ("tenant 1, 500 rows", 500),
        ("tenant 2, 90 rows", 90),
        ("tenant 3, 10 rows", 10),
    ]
    assert all(case.measurements[0].recall == 1 for case in report.cases)  # it has no vector index
    assert report.cases[0].measurements[0].indexes == ()
    without = measure(near, "search", sample=2, tenants=[3])
    assert "no policy of public.passage reads a setting: each tenant sees all rows" in without.notes
    named = measure(near, "of_tenant", sample=2, tenants=[3])
    assert [(case.name, case.searches) for case in named.cases] == [("tenant 3", 2)]


def test_another_query_gives_the_exact_answers(near: tuple[str, Path]) -> None:
    exact = plainsql.load(near[1] / "sql").near.search
    given = {"candidates": 100, "limit": 10}
    alone = measure(near, "coarse", parameters=given)
    against = measure(near, "coarse", parameters=given, exact=exact)
    more = measure(near, "coarse", parameters=given | {"candidates": ROWS}, exact=exact)
    assert alone.cases[0].measurements[0].recall == 1  # it has no index
    assert against.cases[0].measurements[0].recall < 0.9
    assert more.cases[0].measurements[0].recall == 1
    assert alone.notes == ("no search uses a vector index: each answer is exact",)


def test_own_vectors_are_searched_for(near: tuple[str, Path]) -> None:
    vectors = [Vector([1.0] * 8), [0.5] * 8]
    report = measure(near, "hidden", vectors=vectors)
    assert (report.table, report.cases[0].searches) == ("", 2)
    named = measure(near, "hidden", column="passage.e", sample=4)
    assert (named.table, named.cases[0].searches) == ("public.passage", 4)


def test_nothing_stays_behind_a_pooler(near: tuple[str, Path], server: EmbeddedServer) -> None:
    with pgbouncer(server, "transaction", size=1) as folder:
        url = url_through(folder, urlsplit(near[0]).path.lstrip("/"))
        report = measure((url, near[1]), "search", sample=12, settings={"hnsw.ef_search": (5, 200)})
        assert [case.searches for case in report.cases] == [12]
        with psycopg.connect(url, prepare_threshold=None) as connection:
            left = connection.execute(
                "select current_setting('hnsw.ef_search'), current_setting('enable_indexscan'),"
                " (select count(*) from pg_prepared_statements where name like 'plainsql%')"
            ).fetchone()
    assert left == ("40", "on", 0)


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("hidden", {}, BindError, "no column is compared with :q\nHINT: name the column: --column "),
        ("hidden", {"column": "passage.x"}, OptionError, "column: there is no column passage.x"),
        ("by_id", {}, BindError, "expected one parameter with a vector to search for, got none"),
        ("search", {"vector": "below"}, BindError, "below is no parameter with a vector type"),
        ("write", {}, ContractError, "the query writes or locks rows, and is not executed"),
        ("search", {"vectors": [[1, 2]]}, BindError, "PostgreSQL cannot compute with the value"),
        ("search", {"vectors": ["1,2,3,4,5,6,7,8"]}, BindError, "q: expected a vector"),
        ("search", {"vectors": [object()]}, BindError, "vector 1: expected numbers, got object"),
        ("search", {"parameters": {"below": "many"}}, BindError, "below: expected an integer"),
        ("search", {"parameters": {"limit": 900}}, BindError, "limit: the value is out of bounds"),
        ("search", {"parameters": {"below": 0}}, BindError, "no search returns rows"),
        ("search", {"settings": {"hnsw.ef_search": (0,)}}, OptionError, "hnsw.ef_search: 0 is outside"),
        ("search", {"settings": {"hnsw.ef_serach": (9,)}}, OptionError, "hnsw.ef_serach: invalid "),
        ("search", {"exact": "ids"}, BindError, "near.ids: expected the columns of near.search"),
        ("search", {"parameters": {"q": "[1]"}}, BindError, "q: expected no value, got one"),
        ("search", {"sample": 0}, OptionError, "recall(): sample: expected an integer from 1"),
        ("search", {"at_least": 95}, OptionError, "recall(): at_least: expected a number above 0, at most 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_one_error(
    near: tuple[str, Path], name: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    if "exact" in options:
        options = {"exact": plainsql.load(near[1] / "sql").near.ids, "parameters": {"limit": 5}}
    with pytest.raises(error) as raised:
        measure(near, name, **options)
    assert message in str(raised.value)
    with psycopg.connect(near[0]) as connection:
        assert connection.execute("select count(*) from passage where kind = 'c'").fetchone() == (0,)


def test_the_command_prints_json_a_table_and_a_plot(
    near: tuple[str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    common = ["recall", "near.search", "--database", near[0], "--sample", "20", "--selectivity", ""]
    plot = tmp_path / "recall.svg"
    code = main(
        [*common, "--set", "hnsw.ef_search=5,200", "--at-least", "0.95", "--plot", str(plot), "limit=7"]
    )
    shown = capsys.readouterr().out
    assert code == 0, shown
    assert "public.passage.e, 3,000 rows, compared by distance" in shown
    assert "hnsw.ef_search = 200: recall of at least 0.95 in all cases" in shown
    assert "recall@7" in plot.read_text(encoding="utf-8")
    chance = random.Random(3)
    vectors = "\n".join(str([chance.gauss(0, 1) for _ in range(DIMENSIONS)]) for _ in range(20))
    (tmp_path / "q.txt").write_text(vectors, encoding="utf-8")
    arguments = [
        "--json",
        "--set",
        "hnsw.ef_search=10",
        "--at-least",
        "1",
        "--vectors",
        str(tmp_path / "q.txt"),
    ]
    assert main([*common, *arguments, "--filter", "below=900"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [case["searches"] for case in found["cases"]] == [20, 20]
    assert found["cases"][1]["matching"] == 2700
    assert found["reached_by"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "hnsw.ef_search"], "--set: expected name=value,value, got 'hnsw.ef_search'"),
        (["--selectivity", "x"], "--selectivity: expected percentages above 0"),
        (["--plot", "a.gif"], "a.gif: expected a name that ends in .png or .svg"),
        (["--vectors", "sql/near/none.npy"], "sql/near/none.npy: no such file"),
        (["--vectors", "pyproject.npy"], "pyproject.npy: expected an array of numbers"),
        (["belw=2"], "unknown belw"),
        (["--timeout", "0.002", "--sample", "5000"], "HINT: allow more time: --timeout SECONDS"),
        (["--at-least", "2"], "--at-least: expected a number above 0, at most 1"),
    ],
)
def test_wrong_words_of_recall_are_explained(
    near: tuple[str, Path], capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (near[1] / "pyproject.npy").write_text("no array", encoding="utf-8")
    assert main(["recall", "near.search", "--database", near[0], *arguments]) == 2
    assert message in capsys.readouterr().err
