"""The steps of a check: SQL to run, and its rows. They know no driver; a loop of each driver runs them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from plainsql.errors import PlainsqlError
from plainsql.health.results import Check

__all__ = ["Command", "RefusedStepError", "Rows", "Steps", "next_step", "run_steps"]

Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Command:
    """SQL whose rows are not needed: an empty answer is sent back.

    It may have ``$n`` without values, as ``explain (generic_plan)`` has, so it needs the simple protocol.
    """

    sql: str


Steps = Generator[str | Command | Check, Rows, None]
"""Yields SQL, whose rows are sent back, and each check when it is done."""


class RefusedStepError(PlainsqlError):
    """The server refused the SQL of a step."""

    def __init__(self, message: str, sqlstate: str, hint: str | None = None) -> None:
        super().__init__(f"{message} (SQLSTATE {sqlstate})", hint=hint)
        self.reason = message
        """The server's message."""
        self.sqlstate = sqlstate


def next_step(steps: Steps, answer: Rows | RefusedStepError | None) -> str | Command | Check | None:
    """Hand over the answer of the last step and return the next one, None at the end."""
    try:
        if isinstance(answer, RefusedStepError):
            return steps.throw(answer)
        return next(steps) if answer is None else steps.send(answer)
    except StopIteration:
        return None


def run_steps(steps: Steps, execute: Callable[[str], Rows]) -> Iterator[Check]:
    """Yield the checks, each when it is done. ``execute`` may raise ``RefusedStepError``."""
    answer: Rows | RefusedStepError | None = None
    while (step := next_step(steps, answer)) is not None:
        if isinstance(step, Check):
            answer = None
            yield step
            continue
        try:
            answer = execute(step.sql if isinstance(step, Command) else step)
        except RefusedStepError as error:
            answer = error
