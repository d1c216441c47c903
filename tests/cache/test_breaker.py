"""A store that does not answer is skipped, and tried again by one call."""

from __future__ import annotations

from plainsql.cache.breaker import Breaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def opened() -> tuple[Breaker, Clock]:
    clock = Clock()
    breaker = Breaker(failures=3, pause=0.1, longest=5.0, clock=clock)
    for _ in range(3):
        assert breaker.allows()
        breaker.failed()
    return breaker, clock


def test_it_opens_after_several_failures_in_a_row() -> None:
    breaker, _ = opened()
    assert breaker.state == "open"
    assert not breaker.allows()
    other = Breaker(failures=3)
    for _ in range(10):
        other.failed()
        other.failed()
        other.succeeded()
        assert other.state == "closed"


def test_then_one_call_tries_and_its_answer_closes_it() -> None:
    breaker, clock = opened()
    clock.now += breaker.wait
    assert breaker.state != "open"
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    breaker.succeeded()
    assert breaker.wait == 0
    assert [breaker.allows() for _ in range(3)] == [True] * 3


def test_each_failure_makes_the_pause_longer_up_to_a_limit() -> None:
    breaker, clock = opened()
    pauses = []
    for _ in range(12):
        pauses.append(breaker.wait)
        clock.now += breaker.wait
        assert breaker.allows()
        breaker.failed()
    assert 0.075 <= pauses[0] <= 0.125
    assert 3.75 <= pauses[-1] <= 6.25


def test_a_call_that_was_cancelled_or_lost_lets_another_try() -> None:
    breaker, clock = opened()
    clock.now += breaker.wait
    assert breaker.allows()
    breaker.abandoned()
    assert breaker.allows()
    clock.now += 5.0
    assert breaker.allows()
