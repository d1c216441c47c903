"""The soak finds a protocol with a hole, and no hole in ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.cache_soak.history import READ, WRITE, Event, check, pack, read_events
from benchmarks.cache_soak.soak import Plan, soak

SHORT = Plan(seconds=4.0, readers=1, writers=1, registers=30, faults=0.3)


def read(version: int, began: int, register: int = 1) -> Event:
    return Event(READ, register, version, began, began + 1)


def write(version: int, ended: int, register: int = 1) -> Event:
    return Event(WRITE, register, version, ended - 5, ended)


@pytest.mark.parametrize(
    "events",
    [
        [read(1, 10)],
        [write(2, 10), read(2, 11)],
        [write(2, 10), read(1, 10)],
        [write(2, 10), read(3, 11)],
        [write(2, 10), read(1, 11, register=2)],
        [write(3, 10), write(2, 12), read(3, 13)],
    ],
)
def test_a_history_in_which_all_is_right(events: list[Event]) -> None:
    assert check(events) == []


@pytest.mark.parametrize(
    "events",
    [
        [write(2, 10), read(1, 11)],
        [read(1, 11), write(2, 10)],
        [write(3, 10), write(2, 12), read(2, 13)],
        [write(2, 10), read(2, 11), read(1, 12)],
    ],
)
def test_a_history_with_a_read_that_is_too_old(events: list[Event]) -> None:
    assert len(check(events)) == 1


def test_a_record_that_its_process_was_killed_in_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "1"
    path.write_bytes(pack(write(2, 10)) + pack(read(2, 11)) + pack(read(1, 12))[:-3])
    assert list(read_events(path)) == [write(2, 10), read(2, 11)]


@pytest.mark.timeout(300)
async def test_nothing_is_found_in_ours() -> None:
    report = await soak(SHORT)
    assert report.reads > 0
    assert report.writes > 0
    assert (report.violations, report.audit_violations) == (0, 0)


@pytest.mark.timeout(300)  # each run starts a server and several processes
@pytest.mark.parametrize("broken", ["no-marker", "counters"])
async def test_a_protocol_with_a_hole_is_found_out(broken: str) -> None:
    for seed in range(6):
        plan = Plan(
            seconds=4.0, readers=1, writers=1, registers=30, faults=0.3, lost=0.1, broken=broken, seed=seed
        )
        if (await soak(plan)).violations:
            return
    pytest.fail("not found in six runs")
