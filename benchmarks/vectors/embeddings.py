"""Embeddings of texts: TF-IDF and a truncated SVD (latent semantic analysis), with NumPy alone.

No model's weights are needed, and texts with related words are near each other. Randomized SVD after Halko,
Martinsson and Tropp (2011): a random basis, two power iterations, the small problem exactly.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["embed"]

_WORD = re.compile(r"[a-z][a-z0-9]+")
_TERMS = 20_000
_FEWEST_TEXTS = 3
"""Texts that have a term at least."""
_LARGEST_SHARE = 0.2
"""The share of the texts that have a term at the most: others say nothing."""
_OVERSAMPLED = 20
_ITERATIONS = 2
_BLOCK = 2_000_000
"""Numbers of a block of a product: some megabytes, so that they stay in the processor's cache."""

Matrix = NDArray[np.float32]


class _Sparse(NamedTuple):
    """A sparse matrix by rows, each with a number at least."""

    starts: NDArray[np.int64]
    columns: NDArray[np.int64]
    values: Matrix

    def times(self, dense: Matrix) -> Matrix:
        width = dense.shape[1]
        found = np.empty((len(self.starts) - 1, width), np.float32)
        first = 0
        while first < len(found):
            most = self.starts[first] + _BLOCK // width
            last = max(first + 1, int(np.searchsorted(self.starts, most, "right")) - 1)
            low, high = self.starts[first], self.starts[last]
            products = dense[self.columns[low:high]] * self.values[low:high, None]
            np.add.reduceat(products, self.starts[first:last] - low, axis=0, out=found[first:last])
            first = last
        return found

    def transposed(self) -> _Sparse:
        rows = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        order = np.argsort(self.columns, kind="stable")
        counts = np.bincount(self.columns)
        return _Sparse(np.concatenate(([0], np.cumsum(counts))), rows[order], self.values[order])


def embed(texts: Sequence[str], dimensions: int, seed: int = 17) -> tuple[NDArray[np.int64], Matrix]:
    """Return the numbers of the texts that have known words, and their embeddings of length 1."""
    numbers, weights = _weights(texts)
    across = weights.transposed()
    random = np.random.default_rng(seed)
    width = min(dimensions + _OVERSAMPLED, len(across.starts) - 1)
    basis = random.normal(size=(len(across.starts) - 1, width)).astype(np.float32)
    for _ in range(_ITERATIONS + 1):
        basis = _orthonormal(across.times(_orthonormal(weights.times(basis))))
    # The texts in the basis of terms, turned so that the largest variance comes first.
    reduced = weights.times(basis)
    _, rotation = np.linalg.eigh((reduced.T @ reduced).astype(np.float64))
    vectors = reduced @ rotation[:, ::-1][:, :dimensions].astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1)
    kept = lengths > 1e-6
    return numbers[kept], (vectors[kept] / lengths[kept, None]).astype(np.float32)


def _orthonormal(tall: Matrix) -> Matrix:
    """Return an orthonormal basis of the columns: of so few, it is faster than a QR decomposition."""
    squares, vectors = np.linalg.eigh((tall.T @ tall).astype(np.float64))
    kept = squares > squares[-1] * 1e-6
    basis: Matrix = tall @ (vectors[:, kept] / np.sqrt(squares[kept])).astype(np.float32)
    return basis


def _weights(texts: Sequence[str]) -> tuple[NDArray[np.int64], _Sparse]:
    """Return TF-IDF of the texts that have a term, each row of length 1, and their numbers."""
    counted = [Counter(_WORD.findall(text.lower())) for text in texts]
    spread: Counter[str] = Counter()
    for words in counted:
        spread.update(words.keys())
    most = _LARGEST_SHARE * len(texts)
    able = sorted((-count, term) for term, count in spread.items() if _FEWEST_TEXTS <= count <= most)[:_TERMS]
    terms = {term: number for number, (_, term) in enumerate(able)}
    rarity = np.log(len(texts) / -np.array([count for count, _ in able]))
    numbers: list[int] = []
    starts, columns, values = [0], list[int](), list[NDArray[np.float64]]()
    for number, words in enumerate(counted):
        known = {terms[word]: count for word, count in words.items() if word in terms}
        if known:
            row = (1 + np.log([*known.values()])) * rarity[[*known]]
            values.append(row / np.linalg.norm(row))
            columns.extend(known)
            numbers.append(number)
            starts.append(len(columns))
    return np.array(numbers), _Sparse(
        np.array(starts), np.array(columns), np.concatenate(values).astype(np.float32)
    )
