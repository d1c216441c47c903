"""The rows and the questions of the vector benchmark, with the exact answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.vectors.corpus import read_texts
from benchmarks.vectors.embeddings import embed
from benchmarks.vectors.stores.store import DIMENSIONS, FILTERS, Rows, make_rows

__all__ = ["VectorData", "make_data"]

_SEED = 17
_SPARE = 1.01
"""Texts that are read for each that is wanted: some have no word that others have."""
_SAME = 1e-6
"""The difference up to which two distances are the same: that of the sums of single precision."""


@dataclass(frozen=True)
class VectorData:
    """Rows to search, and questions that are none of them."""

    rows: Rows
    questions: NDArray[np.float32]
    """``(questions, DIMENSIONS)``, of length 1."""
    digest: str
    """The digest of the texts and vectors: the same data has the same one."""
    _exact: dict[tuple[int, str | None, int], tuple[int, frozenset[int]]] = field(default_factory=dict)
    """By question, filter and limit: the number of rows of the exact answer, and those that are as near."""

    def save(self, folder: Path) -> None:
        """Write what the processes of the stores read."""
        np.save(folder / "embeddings.npy", self.rows.embeddings)
        np.save(folder / "questions.npy", self.questions)
        (folder / "texts.json").write_text(json.dumps(self.rows.texts), "utf-8")

    def allowed(self, question: int, filtered: str | None) -> NDArray[np.bool_]:
        """Return which rows the filter of a question leaves."""
        if filtered is None:
            return np.ones(len(self.rows.texts), np.bool_)
        values: NDArray[np.int64] = getattr(self.rows, filtered)
        allowed: NDArray[np.bool_] = values == question % FILTERS[filtered]
        return allowed

    def recall(self, question: int, filtered: str | None, ids: Sequence[int], limit: int) -> float:
        """Return the share of the nearest rows that was found; a row at the distance of the last is one."""
        key = (question, filtered, limit)
        if key not in self._exact:
            distances = 1 - self.rows.embeddings @ self.questions[question]
            allowed = self.allowed(question, filtered)
            wanted = min(limit, int(allowed.sum()))
            last = np.partition(distances[allowed], wanted - 1)[wanted - 1]
            near = np.flatnonzero(allowed & (distances <= last + _SAME))
            self._exact[key] = wanted, frozenset(near.tolist())
        wanted, right = self._exact[key]
        return len(right & {*ids}) / wanted


def make_data(folders: Sequence[Path], rows: int, questions: int) -> VectorData:
    """Read texts of the Python files in these folders, and embed them.

    Raises ``TooFewTextsError`` if they hold fewer.
    """
    wanted = rows + questions
    texts = read_texts(folders, int(wanted * _SPARE) + 20)
    numbers, vectors = embed(texts, DIMENSIONS)
    # The questions are texts like all others, and no copies: they are taken out at random.
    order = np.random.default_rng(_SEED).permutation(len(numbers))[:wanted]
    chosen = [texts[number] for number in numbers[order]]
    made = VectorData(make_rows(chosen[:rows], vectors[order[:rows]]), vectors[order[rows:]], "")
    digest = hashlib.sha256("\0".join(chosen).encode())
    digest.update(vectors[order].tobytes())
    return VectorData(made.rows, made.questions, digest.hexdigest()[:16])
