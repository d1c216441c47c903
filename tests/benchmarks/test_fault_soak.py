"""The soak finds a pool that loses, doubles or mixes things up, and finds nothing in ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.fault_soak.broken import BROKEN
from benchmarks.fault_soak.history import ACKNOWLEDGED, REFUSED, UNKNOWN, Found, History, judge
from benchmarks.fault_soak.soak import Plan, Report, soak
from plainsql import codegen, embedded
from plainsql.check.project_check import check_project
from plainsql.settings import Project

ROOT = Path(__file__).parents[2]


def written(tmp_path: Path, *sets: tuple[int, int, int]) -> History:
    history = History(tmp_path / "written")
    for one in sets:
        history.add(*one)
    return history


def test_a_history_in_which_all_is_right(tmp_path: Path) -> None:
    history = written(tmp_path, (ACKNOWLEDGED, 0, 1), (UNKNOWN, 1, 3), (UNKNOWN, 4, 3), (REFUSED, 7, 1))
    verdict = judge(history, [Found(0, 1, 1, 1), Found(1, 3, 3, 3)])
    assert verdict.violations == 0
    assert (verdict.acknowledged, verdict.unknown, verdict.refused) == (1, 2, 1)


@pytest.mark.parametrize(
    ("outcome", "found", "fault"),
    [
        (ACKNOWLEDGED, [], "lost"),
        (ACKNOWLEDGED, [Found(0, 3, 6, 3)], "duplicated"),
        (UNKNOWN, [Found(0, 3, 4, 3)], "duplicated"),
        (UNKNOWN, [Found(0, 3, 2, 2)], "torn"),
        (REFUSED, [Found(0, 3, 3, 3)], "undone"),
        (ACKNOWLEDGED, [Found(0, 3, 3, 3), Found(9, 1, 1, 1)], "foreign"),
    ],
)
def test_a_history_with_a_fault(tmp_path: Path, outcome: int, found: list[Found], fault: str) -> None:
    verdict = judge(written(tmp_path, (outcome, 0, 3)), found)
    assert getattr(verdict, fault) == 1
    assert verdict.violations == 1


@pytest.mark.timeout(300)
async def test_nothing_is_found_in_ours() -> None:
    report = await soak(Plan(seconds=20.0))
    assert report.violations == 0, report
    assert report.answered > 0
    assert report.faults["standby promoted"] == 1


SEEN_BY: dict[str, Callable[[Report], int]] = {
    "answers-of-others": lambda report: report.wrong_answers,
    "tenants-mixed": lambda report: report.wrong_answers,
    "writes-again": lambda report: report.written["duplicated"],
    "commits-left-out": lambda report: report.written["lost"],
    "places-lost": lambda report: len(report.left_open),
}


def test_each_broken_pool_is_tried() -> None:
    assert SEEN_BY.keys() == BROKEN.keys()


LONG = ("places-lost", "writes-again")
"""The faults that take a dozen runs to be seen."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "fault", [pytest.param(name, marks=[pytest.mark.soak] if name in LONG else []) for name in BROKEN]
)
async def test_a_broken_pool_is_found_out(fault: str) -> None:
    for seed in range(12):
        plan = Plan(seconds=4.0, pools=(2, 4), faults=0.2, promote=False, broken=fault, seed=seed)
        if SEEN_BY[fault](await soak(plan)):
            return
    pytest.fail("not found in twelve runs")


def test_its_queries_are_up_to_date() -> None:
    project = Project.load(ROOT / "benchmarks" / "fault_soak")
    with embedded.start(scratch=True) as server:
        found = check_project(project, server.url())
    assert found.errors == ()
    assert not codegen.compare(found.files, project.output_folder)
