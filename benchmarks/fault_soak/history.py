"""The writes as their callers saw them, and the verdict after a comparison with the database.

A call writes a set of tokens of its own, numbered from the set's id on: all of them or none. Its caller knows
that they are there (the call returned), that they are not (the error says so), or neither.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

__all__ = ["ACKNOWLEDGED", "REFUSED", "UNKNOWN", "Found", "History", "Verdict", "judge"]

ACKNOWLEDGED, REFUSED, UNKNOWN = 1, 2, 3

_RECORD = struct.Struct("<bqi")
_BUFFERED = 1000


class Written(NamedTuple):
    """One call's set of tokens, as its caller saw it."""

    outcome: int
    set_id: int
    size: int


class Found(NamedTuple):
    """One set of tokens in the database."""

    set_id: int
    size: int
    """The size of the set, which each of its rows holds."""
    rows: int
    tokens: int
    """Different ones."""


class History:
    """The file of what was written: the process's memory must not grow with it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._buffer: list[bytes] = []
        self.sets = 0

    def add(self, outcome: int, set_id: int, size: int) -> None:
        self.sets += 1
        self._buffer.append(_RECORD.pack(outcome, set_id, size))
        if len(self._buffer) >= _BUFFERED:
            self.flush()

    def flush(self) -> None:
        with self._path.open("ab") as file:
            file.write(b"".join(self._buffer))
        self._buffer.clear()

    def __iter__(self) -> Iterator[Written]:
        self.flush()
        for record in _RECORD.iter_unpack(self._path.read_bytes()):
            yield Written(*record)


@dataclass(slots=True)
class Verdict:
    """The number of sets of tokens that are not as their callers were informed."""

    acknowledged: int = 0
    unknown: int = 0
    refused: int = 0
    lost: int = 0
    """Acknowledged, and not there."""
    duplicated: int = 0
    """There more than once."""
    torn: int = 0
    """There in part."""
    undone: int = 0
    """There, though the error said that nothing was done."""
    foreign: int = 0
    """There, and written by no call."""

    @property
    def violations(self) -> int:
        return self.lost + self.duplicated + self.torn + self.undone + self.foreign


def judge(written: Iterable[Written], found: Iterable[Found]) -> Verdict:
    """Compare what callers saw with what the database holds."""
    verdict = Verdict()
    there = {one.set_id: one for one in found}
    for outcome, set_id, size in written:
        one = there.pop(set_id, None)
        if outcome == ACKNOWLEDGED:
            verdict.acknowledged += 1
            verdict.lost += one is None
        elif outcome == UNKNOWN:
            verdict.unknown += 1
        else:
            verdict.refused += 1
            verdict.undone += one is not None
        if one is not None:
            verdict.duplicated += one.rows > one.tokens
            verdict.torn += one.tokens != size
    verdict.foreign = len(there)
    return verdict
