"""The comparison of an answer with the exact one: by distance if the result has it, else by rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from psycopg import pq

__all__ = ["Answer", "Comparer", "read_answer"]

_FLOATS = (700, 701)
"""The oids of ``real`` and ``double precision``."""
_TOLERANCE = 1e-6

Cells: TypeAlias = "list[bytes | None]"


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of one search."""

    names: tuple[str, ...]
    computed: tuple[int, ...]
    """The columns of floats that are no column of a table: a distance, a score."""
    rows: tuple[int, ...]
    """A hash of the other columns of each row."""
    numbers: tuple[tuple[float | None, ...], ...]
    """The values of the computed columns, by row."""


def read_answer(result: pq.abc.PGresult) -> Answer:
    """Return the rows of a result in text form."""
    computed = tuple(
        at for at in range(result.nfields) if result.ftype(at) in _FLOATS and not result.ftable(at)
    )
    others = [at for at in range(result.nfields) if at not in computed]
    rows = range(result.ntuples)
    numbers = [[result.get_value(row, at) for at in computed] for row in rows]
    return Answer(
        tuple((result.fname(at) or b"").decode() for at in range(result.nfields)),
        computed,
        tuple(hash(tuple(result.get_value(row, at) for at in others or computed)) for row in rows),
        tuple(tuple(None if cell is None else float(cell) for cell in cells) for cells in numbers),
    )


class Comparer:
    """The rule by which the answers of one case are compared."""

    def __init__(self, exact: Sequence[Answer]) -> None:
        self._exact = exact
        self._at, self._sign = _distance(exact)

    @property
    def is_by_distance(self) -> bool:
        """True if a column of the result is the distance."""
        return self._at is not None

    def fit(self, answers: Sequence[Answer]) -> bool:
        """Report whether rows have the same distance in an answer as in the exact one.

        A score that is made of ranks has not: such answers are compared by rows.
        """
        at = self._at
        if at is None:
            return True
        for exact, answer in zip(self._exact, answers, strict=True):
            known = dict(zip(exact.rows, exact.numbers, strict=True))
            for row, numbers in zip(answer.rows, answer.numbers, strict=True):
                if row in known and not _equal(known[row][at], numbers[at]):
                    return False
        return True

    def by_rows(self) -> None:
        """Compare by rows from here on."""
        self._at = None

    def recall(self, number: int, answer: Answer) -> float:
        """Return the share of an exact answer that is in an answer."""
        exact = self._exact[number]
        count = len(exact.rows)
        if self._at is None:
            right = (Counter(exact.rows) & Counter(answer.rows)).total()
            return right / count
        at, sign = self._at, self._sign
        own = set(exact.rows)
        last = max(
            (sign * value for numbers in exact.numbers if (value := numbers[at]) is not None), default=None
        )
        right = 0
        for row, numbers in zip(answer.rows, answer.numbers, strict=True):
            value = numbers[at]
            # A row as near as the last exact one is right: which of the equally near ones comes is open.
            near = value is not None and last is not None and sign * value <= last
            right += near or row in own
        return min(right, count) / count


def _distance(exact: Sequence[Answer]) -> tuple[int | None, int]:
    """Return the position of the distance among the computed columns, and its sign; ``None`` if none is."""
    first = exact[0]
    found: list[tuple[int, int]] = []
    for at in range(len(first.computed)):
        columns = [[numbers[at] for numbers in answer.numbers] for answer in exact]
        for sign in (1, -1):
            if all(_rises(column, sign) for column in columns):
                found.append((at, sign))
                break
    named = [(at, sign) for at, sign in found if "dist" in first.names[first.computed[at]].lower()]
    chosen = named or found
    return chosen[0] if len(chosen) == 1 or named else (None, 1)


def _rises(column: Sequence[float | None], sign: int) -> bool:
    values = [sign * value for value in column if value is not None]
    return len(values) == len(column) and all(a <= b for a, b in pairwise(values))


def _equal(left: float | None, right: float | None) -> bool:
    if left is None or right is None:
        return left is right
    return math.isnan(left) or math.isclose(left, right, rel_tol=_TOLERANCE)
