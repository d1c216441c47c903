"""The benchmarks themselves: a run of tiny counts, through the same code as a real one."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import asyncpg
import msgspec
import pytest

from benchmarks import contenders, data, page, processors, spread
from benchmarks.cases import make_cases
from benchmarks.cases.base import Admin, Case, Work, WrongAnswerError, expect
from benchmarks.contenders import UnknownContenderError
from benchmarks.contenders.asyncpg_pool import PoolWithStructs
from benchmarks.contenders.base import Contender, NotOfferedError
from benchmarks.contenders.plainsql_database import PlainsqlBefore
from benchmarks.database import Place, open_database
from benchmarks.elsewhere import Elsewhere, ElsewhereError
from benchmarks.extent import QUICK
from benchmarks.headlines import headlines
from benchmarks.results import Measured, Results, Series
from benchmarks.round_trip_proxy import open_network
from benchmarks.rounds import measure
from benchmarks.run import Listener, run
from benchmarks.stream_worker import read
from plainsql import codegen, embedded
from plainsql.check.project_check import check_project
from plainsql.settings import Project

ROOT = Path(__file__).parents[2]

TINY = dataclasses.replace(
    QUICK,
    leads=1_200,
    bulk_rows=600,
    vectors=40,
    slice=0.002,
    rounds=3,
    crowded_rounds=3,
    calls_per_task=1,
    heavy_slice=0.002,
    stream_seconds=5.0,
    seconds=60.0,
)

# Contenders whose libraries plainsql requires: the peers are not in every environment.
ALWAYS = (
    "plainsql",
    "plainsql-unjoined",
    "plainsql-one-by-one",
    "asyncpg-held",
    "asyncpg-pool",
    "asyncpg-no-reset",
    "any-loader",
    "psycopg",
    "sqlc-asyncpg",
)


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def results(told: list[str]) -> Results:
    def tell(one: Measured, names: Mapping[str, str]) -> None:
        told.append(one.case)

    return run(ALWAYS, [], ["asyncio"], TINY, Listener(start=lambda results: told.append("start"), case=tell))


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with open_database(TINY.leads, vectors=TINY.vectors) as place:
        yield place


def test_a_run_measures_every_case_and_tells_of_each(results: Results, told: list[str]) -> None:
    assert results.left_out == []
    assert told == ["start", *(one.case for one in results.measured)]
    assert {"point-read/1", "rows/1000", "tenant-read/64", "mixed/64", "search-burst/60"} <= set(told)
    assert {"bulk-insert", "columns/1000", "matrix", "network-point-read/1", "stream"} <= set(told)


def test_nobody_fails_and_nobody_is_missing(results: Results) -> None:
    assert results.missing == {}
    assert {one.case: one.failed for one in results.measured if one.failed} == {}
    everything = {one.case for one in results.measured} - {"import", "columns/1000", "matrix"}
    for one in results.measured:
        if one.case in everything:
            took_part = {series.contender for series in one.series}
            # A burst of searches is all that this one does, and sqlc's style has none.
            assert {"plainsql", "asyncpg-pool", "asyncpg-no-reset", "psycopg"} <= took_part, one.case
            assert ("plainsql-one-by-one" in took_part) == (one.case == "search-burst/60")
            assert ("sqlc-asyncpg" in took_part) == (one.case != "search-burst/60")


def test_calls_are_timed_one_by_one_after_the_rounds_that_count_them(results: Results) -> None:
    for one in results.measured:
        if one.case in ("import", "stream", "bulk-insert", "matrix"):
            assert not any(series.p50_ms for series in one.series)
            continue
        for series in one.series:
            assert len(series.p50_ms) == TINY.latency_rounds, one.case
            assert all(0 < p50 <= p99 for p50, p99 in zip(series.p50_ms, series.p99_ms, strict=False))
    for one in results.measured:
        if one.case not in ("import", "stream"):
            assert all(len(series.cpu_us) == len(series.rates) for series in one.series)
    # 64 tasks share ten connections at the most: each waits for several calls' time.
    (crowd,) = (one for one in results.measured if one.case == "point-read/64")
    for series in crowd.series:
        assert series.p50_ms[0] > 1000 / max(series.rates)


def test_searches_at_once_have_the_rows_of_single_ones_and_their_recall(results: Results) -> None:
    (burst,) = (one for one in results.measured if one.case == "search-burst/60")
    assert {series.note for series in burst.series} == {burst.series[0].note}
    assert burst.series[0].note.startswith(("recall 0.", "recall 1."))


def test_the_results_name_the_commit_and_whether_the_compiled_part_runs(results: Results) -> None:
    from plainsql import speed

    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert results.commit == done.stdout.strip()
    assert results.compiled["plainsql"] == str(speed.status())


def test_both_sides_of_a_ratio_are_placed_alike(results: Results) -> None:
    # One placement for all contenders of a case, and the output says which.
    assert all(one.placement for one in results.measured if one.case != "import")
    far = [one for one in results.measured if one.case.startswith("network-")]
    assert far
    assert all("a network of 0.5 ms" in one.placement for one in far)


def test_every_contender_of_a_case_has_as_many_rounds(results: Results) -> None:
    for one in results.measured:
        assert len({len(series.rates) for series in one.series}) == 1, one.case
        assert all(rate > 0 for series in one.series for rate in series.rates), one.case


def test_a_stream_reads_the_whole_table_and_its_memory_is_kept(results: Results) -> None:
    (stream,) = (one for one in results.measured if one.case == "stream")
    assert {series.units for series in stream.series} == {TINY.leads}
    assert all(len(series.memory_mb) == len(series.rates) for series in stream.series)


def test_the_results_name_no_host_and_no_folder(results: Results) -> None:
    import platform

    text = msgspec.json.encode(results).decode()
    assert str(ROOT) not in text
    assert str(Path.home()) not in text
    assert platform.node() not in text


def test_the_command_writes_json_and_tables(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--only", "import", "--json", str(file)]
        + ["--contenders", "plainsql,asyncpg-pool", "--loop", "asyncio", "--folder", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "import of the library in a new process" in done.stdout
    assert [one["case"] for one in json.loads(file.read_text())["measured"]] == ["import"]


def test_the_generated_queries_are_up_to_date() -> None:
    project = Project.load(ROOT / "benchmarks")
    with embedded.start(scratch=True) as server:
        found = check_project(project, server.url("postgres"))
    assert found.errors == ()
    assert not codegen.compare(found.files, project.output_folder), "cd benchmarks && plainsql generate"


# -- Processors


async def test_clients_and_server_run_on_processors_of_their_own_until_the_end(place: Place) -> None:
    if not processors.are_enough():
        pytest.skip("this takes Linux and two processors")
    everything = processors.allowed()
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE
    )
    old: Any = await asyncpg.connect(place.url)
    try:
        with processors.divided(place.pid, [other.pid]):
            new: Any = await asyncpg.connect(place.url)
            ours = processors.allowed()
            assert processors.allowed(other.pid) == ours
            theirs = [processors.allowed(one.get_server_pid()) for one in (old, new)]
        assert ours
        assert theirs == [everything - ours] * 2
        for process in (0, other.pid, place.pid, old.get_server_pid(), new.get_server_pid()):
            assert processors.allowed(process) == everything
        await new.close()
    finally:
        await old.close()
        await other.communicate(b"\n")


@pytest.mark.parametrize(
    ("mode", "alone", "many"), [("auto", True, False), ("apart", True, True), ("together", False, False)]
)
def test_with_one_call_at_a_time_they_run_apart(
    monkeypatch: pytest.MonkeyPatch, mode: processors.Mode, alone: bool, many: bool
) -> None:
    if not processors.are_enough():
        pytest.skip("this takes Linux and two processors")
    everything = processors.allowed()
    seen: set[bool] = set()
    found: dict[str, set[bool]] = {}
    get_lead = PoolWithStructs.get_lead

    async def look(self: PoolWithStructs, id: int) -> Any:
        seen.add(processors.allowed() != everything)
        return await get_lead(self, id)

    def tell(one: Measured, _: Mapping[str, str]) -> None:
        found[one.case] = set(seen)
        seen.clear()

    monkeypatch.setattr(PoolWithStructs, "get_lead", look)
    cases = ["point-read/1", "point-read/64"]
    run(["asyncpg-pool"], cases, ["asyncio"], TINY, Listener(start=lambda _: None, case=tell), mode)
    assert found == {"point-read/1": {alone}, "point-read/64": {many}}


# -- A contender in a process of its own


async def test_another_checkout_takes_its_turns_in_a_process_of_its_own(place: Place) -> None:
    (case,) = (case for case in make_cases(TINY) if case.name == "point-read/8")
    pool, other = PoolWithStructs(), Elsewhere("plainsql-before", PlainsqlBefore(ROOT), TINY, "asyncio")
    admin: Any = await asyncpg.connect(place.url)
    await pool.open(place)
    await other.open(place)
    try:
        assert other.pid not in (0, os.getpid())
        made = {"asyncpg-pool": pool, "plainsql-before": other}
        one = await measure(case, made, admin, "asyncio", TINY, float("inf"))
    finally:
        await other.close()
        await pool.close()
        await admin.close()
    assert one.failed == {}
    assert [series.contender for series in one.series] == ["asyncpg-pool", "plainsql-before"]
    assert {(len(series.rates), len(series.p50_ms)) for series in one.series} == {(TINY.rounds, 1)}
    assert other.compiled


async def test_a_process_that_cannot_start_is_an_error(place: Place, tmp_path: Path) -> None:
    (tmp_path / "src" / "plainsql").mkdir(parents=True)
    (tmp_path / "src" / "plainsql" / "__init__.py").write_text("raise ImportError('another plainsql')")
    other = Elsewhere("plainsql-before", PlainsqlBefore(tmp_path), TINY, "asyncio")
    with pytest.raises(ElsewhereError, match="its process has ended"):
        await other.open(place)
    assert other.pid == 0


# -- A network


async def test_a_network_delays_each_way_and_holds_nothing_else_up(place: Place) -> None:
    round_trip, many = 0.1, 20
    with open_network(place, round_trip) as network:
        connections: list[Any] = [await asyncpg.connect(network.place.url) for _ in range(many)]
        began = time.monotonic()
        await connections[0].fetchval("select 1", timeout=10)
        alone = time.monotonic() - began
        # In two trips, the statement is prepared and then executed.
        assert alone >= 2 * round_trip
        began = time.monotonic()
        await asyncio.gather(*(connection.fetchval("select 1") for connection in connections[1:]))
        assert time.monotonic() - began < many / 2 * 2 * round_trip
        wide = await connections[1].fetchval("select repeat('0123456789', 1000000)")
        assert wide == "0123456789" * 1_000_000
        for connection in connections:
            await connection.close()


async def test_a_network_ends_the_other_side_of_a_connection_that_ends(place: Place) -> None:
    with open_network(place, 0.002) as network:
        admin: Any = await asyncpg.connect(place.url)
        far: Any = await asyncpg.connect(network.place.url)
        pid = far.get_server_pid()
        far.terminate()
        async with asyncio.timeout(10):
            while await admin.fetchval("select exists (select from pg_stat_activity where pid = $1)", pid):
                pass
        far = await asyncpg.connect(network.place.url)
        ended = asyncio.Event()
        far.add_termination_listener(lambda _: ended.set())
        await admin.fetchval("select pg_terminate_backend($1)", far.get_server_pid())
        async with asyncio.timeout(10):
            await ended.wait()
        await admin.close()


# -- The page


def test_the_page_holds_the_results_of_the_reference() -> None:
    results = msgspec.json.decode(page.REFERENCE.read_bytes(), type=Results)
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.replaced(text, results) == text, "python -m benchmarks.page"
    with pytest.raises(ValueError, match="results: begin"):
        page.replaced("a page", results)


def test_the_page_says_what_of_the_headline_is_the_reset_query() -> None:
    rates = {"plainsql": 4.6, "asyncpg-pool": 2.0, "asyncpg-no-reset": 4.2}
    series = [Series(name, [rate], 1) for name, rate in rates.items()]
    one = Measured("point-read/1", "point read, 1 task", "calls", "uvloop", 1, 0.1, series, {}, {})
    results = msgspec.json.decode(page.REFERENCE.read_bytes(), type=Results)
    results.measured = [one]
    row = (
        "| point read, 1 task, against asyncpg's pool without its reset query | 1.10\N{MULTIPLICATION SIGN} |"
    )
    text = page.replaced("<!-- results: begin -->\n<!-- results: end -->\n", results)
    assert "One read at a time is 2.30 times as fast as through asyncpg's pool.\n2.10 times of it" in text
    assert "plainsql is 1.10 times as fast" in text
    assert row in text


# -- One case, with contenders that are made for it


class Doubler(Contender):
    """Answers with twice the id, or with something else."""

    name = "doubler"
    distributions = ()

    def __init__(self, order: list[str], name: str, factor: int = 2) -> None:
        self.order, self.own, self.factor = order, name, factor

    async def open(self, place: Any) -> None: ...

    async def close(self) -> None: ...

    async def get_lead(self, id: int) -> int:
        self.order.append(self.own)
        return id * self.factor


class Unwilling(Doubler):
    async def get_lead(self, id: int) -> int:
        raise NotOfferedError("it would rather not")


class Broken(Doubler):
    async def get_lead(self, id: int) -> int:
        raise ValueError("it fell over\nwith a long story")


class Tiring(Doubler):
    """Falls over in the middle of the rounds."""

    async def get_lead(self, id: int) -> int:
        if len(self.order) == 20:
            raise ValueError("it is tired")
        return await super().get_lead(id)


class Doubling(Case):
    name = "doubling"
    title = "doubling"
    unit = "calls"
    most = 3

    async def check(self, contender: Contender, admin: Admin) -> None:
        expect(await contender.get_lead(4), 8, "twice 4")

    def work(self, contender: Contender, units: int, seed: int) -> Work:
        return Work(contender.get_lead, [(number,) for number in range(units)], units)


async def measured(made: Mapping[str, Contender]) -> Measured:
    return await measure(Doubling(), made, None, "asyncio", TINY, float("inf"))


async def test_contenders_take_turns_and_every_second_round_goes_backwards() -> None:
    order: list[str] = []
    one = await measured({name: Doubler(order, name) for name in "abc"})
    assert [series.units for series in one.series] == [3, 3, 3]
    timed = order[-4 * 3 * 3 :]
    # The last round is the one whose calls are timed one by one.
    assert "".join(timed[::3]) == "abc" + "cba" + "abc" + "cba"


async def test_a_wrong_answer_is_a_failure_and_is_not_timed() -> None:
    one = await measured({"right": Doubler([], ""), "wrong": Doubler([], "", factor=3)})
    assert one.failed == {"wrong": "WrongAnswerError: twice 4: expected 8, got 12"}
    assert [series.contender for series in one.series] == ["right"]


async def test_who_does_not_offer_a_case_is_left_out_with_the_reason() -> None:
    one = await measured({"right": Doubler([], ""), "unwilling": Unwilling([], "")})
    assert one.skipped == {"unwilling": "it would rather not"}
    assert one.failed == {}


async def test_a_contender_that_raises_does_not_stop_the_others() -> None:
    one = await measured({"broken": Broken([], ""), "right": Doubler([], "")})
    assert one.failed == {"broken": "ValueError: it fell over"}
    assert [series.contender for series in one.series] == ["right"]


@pytest.mark.parametrize("tasks", [1, 2])
async def test_a_contender_that_raises_while_it_is_timed_is_named_and_not_shown(tasks: int) -> None:
    case, tiring = Doubling(), Tiring([], "")
    case.tasks = tasks
    longer = dataclasses.replace(TINY, rounds=9)
    made = {"tiring": tiring, "right": Doubler([], "")}
    one = await measure(case, made, None, "asyncio", longer, float("inf"))
    assert one.failed == {"tiring": "ValueError: it is tired"}
    assert [(series.contender, len(series.rates)) for series in one.series] == [("right", 9)]


async def test_after_the_deadline_a_case_ends_with_its_third_round() -> None:
    longer = dataclasses.replace(TINY, rounds=9)
    one = await measure(Doubling(), {"a": Doubler([], "")}, None, "asyncio", longer, 0.0)
    assert [len(series.rates) for series in one.series] == [3]


def test_a_contender_whose_library_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "benchmarks.contenders.psqlpy_pool", raising=False)
    monkeypatch.setitem(sys.modules, "psqlpy", None)
    made, missing = contenders.make(["asyncpg-pool", "psqlpy"])
    assert list(made) == ["asyncpg-pool"]
    assert missing == {"psqlpy": "psqlpy is not installed"}


def test_an_unknown_contender_is_an_error() -> None:
    with pytest.raises(UnknownContenderError, match="no contender 'asyncgp'; there are plainsql, "):
        contenders.make(["asyncgp"])


# -- Streams


class Hoarder(Doubler):
    """Keeps what it streams."""

    kept: ClassVar[list[bytes]] = []

    async def stream(self) -> AsyncIterator[int]:
        for number in range(20_000):
            self.kept.append(number.to_bytes(2) * 1_000)
            yield number


HOARDS = """
import asyncio, json
from benchmarks.stream_worker import read
from tests.benchmarks.test_suite import Hoarder
print(json.dumps(asyncio.run(read(Hoarder([], ""), 20_000, 60.0))))
"""


def test_a_stream_that_keeps_its_rows_is_seen_to_grow() -> None:
    # Alone in a process, as the benchmark measures: one that other tests have used has memory to spare.
    done = subprocess.run(
        [sys.executable, "-c", HOARDS], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows, _, memory_mb, last = json.loads(done.stdout)
    assert (rows, last) == (20_000, 19_999)
    assert 25 < memory_mb < 80


async def test_a_stream_whose_time_is_up_stops_where_it_is() -> None:
    rows, _, _, _ = await read(Hoarder([], ""), 20_000, 0.0)
    assert 0 < rows < 20_000


# -- Numbers


def test_a_ratio_is_taken_round_by_round() -> None:
    # In the second round the machine was half as fast, for both; in the third something held us up.
    ours, theirs = [200.0, 100.0, 60.0], [100.0, 50.0, 60.0]
    assert spread.ratio(ours, theirs) == (2.0, 1.5, 2.0)
    assert statistics.median(ours) / statistics.median(theirs) == pytest.approx(1.67, abs=0.01)


def test_one_round_has_no_quartiles_of_its_own() -> None:
    assert spread.spread([3.0]) == (3.0, 3.0, 3.0)


def test_numbers_have_three_digits_that_count() -> None:
    numbers = [0.01234, 4.5, 78.9, 1_234.5]
    assert [spread.three_digits(number) for number in numbers] == ["0.0123", "4.50", "78.9", "1,234"]


def test_headlines_are_made_only_of_what_was_measured() -> None:
    def point_read(*names: str) -> Measured:
        series = [Series(name, [4.0 if name == "plainsql" else 2.0], 1) for name in names]
        return Measured("point-read/1", "point read, 1 task", "calls", "uvloop", 1, 0.1, series, {}, {})

    assert headlines([point_read("asyncpg-pool", "asyncpg-held")]) == []
    (one,) = headlines([point_read("plainsql", "asyncpg-pool")])
    assert (one.text, one.ratio.median) == ("point read, 1 task, against asyncpg's pool, structs", 2.0)


def test_the_expected_answers_are_those_of_the_table() -> None:
    assert data.lead(1_001)[:4] == (1_001, "Lead 1001", "lead1001@example.com", 1)
    with pytest.raises(WrongAnswerError, match="a lead: expected 1, got 2"):
        expect(2, 1, "a lead")
