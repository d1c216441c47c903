"""A case: some calls to time, and the answers that they must give."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from benchmarks.contenders.base import Contender

__all__ = ["Admin", "Case", "Loop", "Work", "WrongAnswerError", "expect"]

Loop = Literal["uvloop", "asyncio"]

Admin = Any
"""An asyncpg connection that no contender uses: to empty tables and to look at what was written."""


class WrongAnswerError(Exception):
    """A contender did not return, or write, what all others do."""


@dataclass(frozen=True, slots=True)
class Work:
    """Calls that are ready to be timed: everything they take is made."""

    call: Callable[..., Awaitable[object]]
    arguments: Iterable[tuple[Any, ...]]
    units: int
    """The work of all calls together, in the case's unit."""


class Case(ABC):
    name: str
    """Such as ``point-read/64``."""
    title: str
    unit: ClassVar[str]
    """The unit that is counted per second: calls, rows."""
    tasks: int = 1
    """The number of tasks that share the calls."""
    on_asyncio: bool = False
    """True to run on asyncio's own loop as well as on uvloop."""
    for_all: bool = False
    """True to have all contenders take part, and not only the closest (see `contenders.CLOSEST`)."""
    at_once: bool = False
    """True if one call begins several: clients and server share the processors, as with many tasks."""
    heavy: bool = False
    """True if a slice is one long piece of work, which needs more seconds and fewer rounds."""
    least: int = 3
    """Units in a slice, at the least; of calls, also some for each task (see `rounds`)."""
    most: int = 1_000_000
    """And at the most."""

    @abstractmethod
    async def check(self, contender: Contender, admin: Admin) -> str | None:
        """Have the contender answer once, and compare; return what there is to say of the answers.

        Raises:
            NotOfferedError: it cannot take part.
            WrongAnswerError: the answer is another than it should be.
        """

    @abstractmethod
    def work(self, contender: Contender, units: int, seed: int) -> Work:
        """Make work of so many units. All contenders get the same for the same seed."""

    async def before(self, admin: Admin) -> None:  # noqa: B027 (most need nothing)
        """Bring the tables to the state in which each slice begins. Not timed."""


def expect(got: object, wanted: object, what: str) -> None:
    """Raise ``WrongAnswerError`` where an answer is not what it should be."""
    if got != wanted:
        raise WrongAnswerError(f"{what}: expected {_short(wanted)}, got {_short(got)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 160 else text[:157] + "…"
